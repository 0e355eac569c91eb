#include <cerrno>
#include <cstring>

#include "guest-kernel/ext4/checksum.h"
#include "guest-kernel/ext4/journal.h"

// What is written to the journal.
namespace ext4 {

int Journal::begin() {
  superblock_.compatible_features = kJournalChecksumV1;
  superblock_.incompatible_features = kJournalRevoke | kJournal64Bit | kJournalAsyncCommit;
  superblock_.checksum_type = 0;
  superblock_.fast_commit_blocks = 0;
  superblock_.head = 0;
  head_ = superblock_.first;
  used_ = 0;
  superblock_.start = head_;
  superblock_.sequence = sequence_;
  if (const int failed = write_superblock()) {
    return failed;
  }
  return cache_.disk().flush();
}

std::size_t Journal::capacity() const {
  const std::size_t log = superblock_.block_count - superblock_.first;
  return log - log / 16 - 8;  // what is left is for descriptors
}

// All that was committed is in its place: the log is used from its first block on.
int Journal::restart_log() {
  if (const int failed = cache_.disk().flush()) {
    return failed;
  }
  head_ = superblock_.first;
  superblock_.start = head_;
  superblock_.sequence = sequence_;
  used_ = 0;
  if (const int failed = write_superblock()) {
    return failed;
  }
  return cache_.disk().flush();
}

// Writes what was committed to its place. Nothing may be dirty.
int Journal::place_blocks() {
  for (BlockCache::Buffer& buffer : cache_.buffers()) {
    if (buffer.logged) {
      if (const int failed =
              cache_.disk().write(buffer.block * block_size_, buffer.bytes, block_size_)) {
        return failed;
      }
      cache_.mark_placed(buffer);
    }
  }
  return 0;
}

// The same where blocks have been changed since: what was committed of them is in the log alone.
int Journal::place_from_log() {
  if (const int failed = run(Pass::kScan)) {
    return failed;
  }
  if (end_sequence_ != sequence_) {
    return EIO;
  }
  if (const int failed = run(Pass::kReplay)) {
    return failed;
  }
  for (BlockCache::Buffer& buffer : cache_.buffers()) {
    cache_.mark_placed(buffer);
  }
  return 0;
}

int Journal::end() {
  int failed = place_blocks();
  // They must be there before the log forgets them.
  failed = failed != 0 ? failed : cache_.disk().flush();
  if (failed != 0) {
    return failed;
  }
  superblock_.start = 0;
  superblock_.sequence = sequence_;
  failed = write_superblock();
  return failed != 0 ? failed : cache_.disk().flush();
}

std::size_t Journal::blocks_per_descriptor() const {
  return (block_size_ - sizeof(JournalHeader) - kUuidSize) / sizeof(WideTag);
}

// Makes a descriptor in `block_` of as many dirty blocks as it has room for, from buffer `from` on.
// Where to go on.
std::size_t Journal::fill_descriptor(std::size_t from) {
  std::memset(block_, 0, block_size_);
  const JournalHeader header = {kJournalMagic, kDescriptorBlock, sequence_};
  std::memcpy(block_, &header, sizeof(header));
  std::byte* at = block_ + sizeof(header);
  std::byte* last = nullptr;
  WideTag tag{};
  std::size_t left = blocks_per_descriptor();
  const auto buffers = cache_.buffers();
  for (; from < buffers.size() && left != 0; ++from) {
    const BlockCache::Buffer& buffer = buffers[from];
    if (!buffer.dirty) {
      continue;
    }
    const bool escape = read_as<Big32>(buffer.bytes) == kJournalMagic;
    const unsigned flags = (escape ? kTagEscaped : 0u) | (last != nullptr ? kTagSameUuid : 0u);
    tag = {static_cast<std::uint32_t>(buffer.block), 0, static_cast<std::uint16_t>(flags),
           static_cast<std::uint32_t>(buffer.block >> 32)};
    std::memcpy(at, &tag, sizeof(tag));
    const bool first = last == nullptr;
    last = at;
    at += sizeof(tag);
    if (first) {
      std::memcpy(at, superblock_.uuid, kUuidSize);
      at += kUuidSize;
    }
    --left;
  }
  tag.flags = static_cast<std::uint16_t>(tag.flags | kTagLast);
  std::memcpy(last, &tag, sizeof(tag));
  return from;
}

int Journal::write_summed(std::uint32_t at, const std::byte* from) {
  sum_ = crc32_be(sum_, from, block_size_);
  return write_log(at, from);
}

// Writes a descriptor at log block `at`, and its blocks after it, from buffer `from` on, which is
// then the one after them. There is a dirty one.
int Journal::write_group(std::size_t& from, std::uint32_t& at) {
  const std::size_t end = fill_descriptor(from);
  if (const int failed = write_summed(at, block_)) {
    return failed;
  }
  at = next(at);
  for (; from < end; ++from) {
    const BlockCache::Buffer& buffer = cache_.buffers()[from];
    if (!buffer.dirty) {
      continue;
    }
    const std::byte* bytes = buffer.bytes;
    if (read_as<Big32>(bytes) == kJournalMagic) {
      std::memcpy(copy_, bytes, block_size_);
      std::memset(copy_, 0, sizeof(Big32));
      bytes = copy_;
    }
    if (const int failed = write_summed(at, bytes)) {
      return failed;
    }
    at = next(at);
  }
  return 0;
}

int Journal::write_commit_block(std::uint32_t at, std::int64_t seconds) {
  std::memset(block_, 0, block_size_);
  CommitBlock commit{};
  commit.header = {kJournalMagic, kCommitBlock, sequence_};
  commit.checksum_type = kChecksumCrc32;
  commit.checksum_size = sizeof(sum_);
  commit.checksum[0] = sum_;
  commit.seconds = static_cast<std::uint64_t>(seconds);
  std::memcpy(block_, &commit, sizeof(commit));
  return write_log(at, block_);
}

int Journal::commit(std::int64_t seconds) {
  const std::size_t dirty = cache_.dirty_count();
  if (dirty == 0) {
    return 0;
  }
  const std::size_t groups = (dirty + blocks_per_descriptor() - 1) / blocks_per_descriptor();
  const std::size_t needed = groups + dirty + 1;
  const std::size_t log = superblock_.block_count - superblock_.first;
  if (needed > log) {
    return ENOSPC;
  }
  if (used_ + needed > log) {
    int failed = place_from_log();
    failed = failed != 0 ? failed : restart_log();
    if (failed != 0) {
      return failed;
    }
  }
  std::uint32_t at = head_;
  std::size_t from = 0;
  sum_ = ~0u;
  for (std::size_t group = 0; group < groups; ++group) {
    if (const int failed = write_group(from, at)) {
      return failed;
    }
  }
  int failed = write_commit_block(at, seconds);
  failed = failed != 0 ? failed : cache_.disk().flush();
  if (failed != 0) {
    return failed;
  }
  head_ = next(at);
  ++sequence_;
  used_ += static_cast<std::uint32_t>(needed);
  for (BlockCache::Buffer& buffer : cache_.buffers()) {
    if (buffer.dirty) {
      cache_.mark_logged(buffer);
    }
  }
  // Before the log is full, so that the next commit fits, and before the cache is.
  const bool is_full = used_ > log / 2;
  if (is_full || cache_.logged_count() > cache_.capacity() / 8) {
    failed = place_blocks();
  }
  return failed == 0 && is_full ? restart_log() : failed;
}

}  // namespace ext4
