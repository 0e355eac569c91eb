#include "guest-kernel/ext4/block_cache.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>

namespace ext4 {

BlockCache::BlockCache(Disk& disk, std::span<std::byte> memory, std::uint32_t block_size)
    : disk_(disk), block_size_(block_size) {
  const std::size_t each = block_size + sizeof(Buffer) + 2 * sizeof(Buffer*);
  const std::size_t count = memory.size() / each;
  std::byte* const notes = memory.data() + count * block_size;
  buffers_ = {reinterpret_cast<Buffer*>(notes), count};
  table_ = {reinterpret_cast<Buffer**>(notes + count * sizeof(Buffer)), 2 * count};
  for (std::size_t i = 0; i < count; ++i) {
    new (&buffers_[i]) Buffer{.bytes = memory.data() + i * block_size};
  }
  std::fill(table_.begin(), table_.end(), nullptr);
}

std::size_t BlockCache::hash(std::uint64_t block) const {
  return static_cast<std::size_t>((block * 0x9e37'79b9'7f4a'7c15) >> 32) % table_.size();
}

BlockCache::Buffer* BlockCache::find(std::uint64_t block) {
  Buffer* buffer = table_[hash(block)];
  while (buffer != nullptr && buffer->block != block) {
    buffer = buffer->next;
  }
  return buffer;
}

void BlockCache::unlink(Buffer& buffer) {
  Buffer** at = &table_[hash(buffer.block)];
  while (*at != &buffer) {
    at = &(*at)->next;
  }
  *at = buffer.next;
  buffer.used = false;
}

// A buffer that holds nothing, after a clock's algorithm.
BlockCache::Buffer* BlockCache::take() {
  for (std::size_t tries = 0; tries < 2 * buffers_.size(); ++tries) {
    Buffer& buffer = buffers_[hand_];
    hand_ = (hand_ + 1) % buffers_.size();
    if (!buffer.used) {
      return &buffer;
    }
    if (!buffer.dirty && !buffer.logged && !buffer.recent) {
      unlink(buffer);
      return &buffer;
    }
    buffer.recent = false;
  }
  return nullptr;
}

BlockCache::Buffer* BlockCache::get(std::uint64_t block, bool read, int& error) {
  error = EIO;
  if (budget_ == 0 || block >= disk_.size() / block_size_) {
    return nullptr;
  }
  --budget_;
  Buffer* buffer = find(block);
  if (buffer == nullptr) {
    buffer = take();
    if (buffer == nullptr) {
      error = ENOMEM;
      return nullptr;
    }
    if (read) {
      error = disk_.read(block * block_size_, buffer->bytes, block_size_);
      if (error != 0) {
        return nullptr;
      }
    }
    buffer->block = block;
    buffer->used = true;
    buffer->dirty = false;
    Buffer*& first = table_[hash(block)];
    buffer->next = first;
    first = buffer;
  }
  buffer->recent = true;
  error = 0;
  return buffer;
}

// Reads whole blocks that are not here past the cache, `done` bytes: a long read leaves the blocks
// of metadata where they are.
int BlockCache::read_run(std::uint64_t offset, void* to, std::uint64_t size, std::uint64_t& done) {
  done = 0;
  if (offset % block_size_ != 0) {
    return 0;
  }
  while (size - done >= block_size_ && find((offset + done) / block_size_) == nullptr) {
    done += block_size_;
  }
  if (done <= block_size_) {
    done = 0;
    return 0;
  }
  if (budget_ == 0 || offset > disk_.size() || done > disk_.size() - offset) {
    return EIO;
  }
  --budget_;
  return disk_.read(offset, to, done);
}

int BlockCache::read(std::uint64_t offset, void* to, std::uint64_t size) {
  auto* at = static_cast<std::byte*>(to);
  while (size != 0) {
    std::uint64_t run = 0;
    if (const int failed = read_run(offset, at, size, run)) {
      return failed;
    }
    if (run != 0) {
      at += run;
      offset += run;
      size -= run;
      continue;
    }
    const std::uint64_t in_block = offset % block_size_;
    const std::uint64_t count = std::min<std::uint64_t>(size, block_size_ - in_block);
    int error = 0;
    const Buffer* buffer = get(offset / block_size_, true, error);
    if (buffer == nullptr) {
      return error;
    }
    std::memcpy(at, buffer->bytes + in_block, count);
    at += count;
    offset += count;
    size -= count;
  }
  return 0;
}

int BlockCache::write(std::uint64_t offset, const void* from, std::uint64_t size) {
  const auto* at = static_cast<const std::byte*>(from);
  while (size != 0) {
    const std::uint64_t in_block = offset % block_size_;
    const std::uint64_t count = std::min<std::uint64_t>(size, block_size_ - in_block);
    int error = 0;
    const bool known = find(offset / block_size_) != nullptr;
    Buffer* buffer = get(offset / block_size_, count != block_size_, error);
    if (buffer == nullptr) {
      return error;
    }
    const bool same =
        (known || count != block_size_) && std::memcmp(buffer->bytes + in_block, at, count) == 0;
    if (!same) {
      std::memcpy(buffer->bytes + in_block, at, count);
    }
    if (direct_) {
      if (const int failed = disk_.write(buffer->block * block_size_, buffer->bytes, block_size_)) {
        return failed;
      }
    } else if (!same && !buffer->dirty) {
      buffer->dirty = true;
      ++dirty_count_;
    }
    at += count;
    offset += count;
    size -= count;
  }
  return 0;
}

int BlockCache::zero(std::uint64_t offset, std::uint64_t size) {
  static constexpr std::byte kZeroes[4096] = {};
  while (size != 0) {
    // Whole blocks, for they need not be read, and are written once.
    const std::uint64_t count = std::min<std::uint64_t>(size, block_size_ - offset % block_size_);
    if (const int failed = write(offset, kZeroes, count)) {
      return failed;
    }
    offset += count;
    size -= count;
  }
  return 0;
}

void BlockCache::mark_logged(Buffer& buffer) {
  dirty_count_ -= buffer.dirty ? 1 : 0;
  logged_count_ += buffer.logged ? 0 : 1;
  buffer.dirty = false;
  buffer.logged = true;
}

void BlockCache::mark_placed(Buffer& buffer) {
  logged_count_ -= buffer.logged ? 1 : 0;
  buffer.logged = false;
}

void BlockCache::clear() {
  for (Buffer& buffer : buffers_) {
    buffer.used = buffer.dirty = buffer.logged = false;
  }
  std::fill(table_.begin(), table_.end(), nullptr);
  dirty_count_ = logged_count_ = 0;
}

}  // namespace ext4
