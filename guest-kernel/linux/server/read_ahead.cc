#include "guest-kernel/linux/server/read_ahead.h"

#include <algorithm>

#include "guest-kernel/linux/server/file.h"
#include "guest-kernel/linux/server/file_mappings.h"
#include "guest-kernel/linux/server/memory_pool.h"
#include "guest-kernel/linux/server/node_extras.h"
#include "guest-kernel/linux/server/process_memory.h"

namespace linux_server {
namespace {

using shim::ReadAheadState;

// Larger reads gain little.
constexpr std::uint64_t kLargestRead = shim::kReadAheadSize / 4;

constinit ReadAhead* first = nullptr;

bool is_watched(const Node& node) {
  return node.extras() != nullptr && node.extras()->watches != nullptr;
}

// Nobody can change its bytes without opening it anew, or is to be told of reads.
bool is_quiet(const Node& node) {
  if (node.type() != kRegularFile || is_watched(node) ||
      (node.parent() != nullptr && is_watched(*node.parent()))) {
    return false;
  }
  return !node.contents().empty() ||
         (node.has_pages() && node.writers == 0 && !is_mapped_writable(node));
}

}  // namespace

bool ReadAhead::is_busy() {
  const std::uint64_t state = __atomic_load_n(&memory_->shim_page->read_ahead, __ATOMIC_RELAXED);
  if (state == seen_) {
    return false;
  }
  seen_ = state;
  return true;
}

bool ReadAhead::offer(File& file, std::uint32_t descriptor, ProcessMemory& memory,
                      std::uint64_t size) {
  if (!file.seems_to_go_on() || size > kLargestRead || !is_quiet(file.node()) ||
      file.is_read_ahead() || (file_ != nullptr && is_busy())) {
    return false;
  }
  const std::uint64_t position = file.position();
  if (position > file.size() || file.size() - position < 2 * size) {
    return false;
  }
  end();
  const std::span<std::byte> buffer = memory.read_ahead_buffer();
  const std::int64_t count = buffer.empty() ? 0 : file.read_bytes(position, buffer);
  if (count <= 0) {
    return false;
  }
  file_ = &file;
  memory_ = &memory;
  start_ = position;
  size_ = static_cast<std::uint64_t>(count);
  descriptor_ = descriptor;
  seen_ = ReadAheadState{0, size_, descriptor, ++generation_}.word();
  file.set_read_ahead(this);
  next_ = first;
  if (next_ != nullptr) {
    next_->previous_ = this;
  }
  first = this;
  __atomic_store_n(&memory.shim_page->read_ahead, seen_, __ATOMIC_RELEASE);
  return true;
}

void ReadAhead::end() {
  if (file_ == nullptr) {
    return;
  }
  shim::ProcessPage& page = *memory_->shim_page;
  const ReadAheadState state(__atomic_exchange_n(&page.read_ahead, 0, __ATOMIC_ACQ_REL));
  page.descriptor_kinds[descriptor_] &= static_cast<std::uint8_t>(~shim::kIsReadAhead);
  (previous_ != nullptr ? previous_->next_ : first) = next_;
  if (next_ != nullptr) {
    next_->previous_ = previous_;
  }
  next_ = previous_ = nullptr;
  File& file = *file_;
  file_ = nullptr;
  file.set_read_ahead(nullptr);
  const std::uint64_t used = std::min(state.position, size_);
  file.set_position(start_ + used);
  // What is hardly used, as where two take turns, is not offered again at once.
  if (used >= size_ / 2) {
    file.believe_in_more();
  }
}

void ReadAhead::end_all_of(const Node& node) {
  for (ReadAhead* each = first; each != nullptr;) {
    ReadAhead* const next = each->next_;
    if (&each->file_->node() == &node) {
      each->end();
    }
    each = next;
  }
}

void ReadAhead::end_all() {
  while (first != nullptr) {
    first->end();
  }
}

}  // namespace linux_server
