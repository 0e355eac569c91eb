#include "vmm/virtqueue.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstring>
#include <limits>
#include <utility>

static_assert(std::endian::native == std::endian::little,
              "virtqueues are little-endian and are accessed in place");

namespace ensemble::vmm {

// struct virtq_desc.
struct Virtqueue::Descriptor {
  uint64_t address;
  uint32_t length;
  uint16_t flags;
  uint16_t next;
};

namespace {

// Flags of a descriptor.
constexpr uint16_t kNext = 1;
constexpr uint16_t kWrite = 2;
constexpr uint16_t kIndirect = 4;

// Flags of the available ring and of the used ring.
constexpr uint16_t kNoInterrupt = 1;
constexpr uint16_t kNoNotify = 1;

constexpr uint64_t kDescriptorBytes = 16;
constexpr uint64_t kUsedElementBytes = 8;

// Offsets in the available and in the used ring.
constexpr size_t kFlags = 0;
constexpr size_t kIndex = 2;
constexpr size_t kRing = 4;

uint64_t available_bytes(uint64_t size) {
  return kRing + 2 * size + 2;
}
uint64_t used_bytes(uint64_t size) {
  return kRing + kUsedElementBytes * size + 2;
}

// A 16-bit field that the driver uses at the same time. Alignment was checked with the ring's.
std::atomic_ref<uint16_t> field(std::span<std::byte> ring, size_t offset) {
  return std::atomic_ref<uint16_t>(*reinterpret_cast<uint16_t*>(ring.data() + offset));
}

Result<std::span<std::byte>> ring_part(const GuestMemory& memory, const char* name,
                                       uint64_t address, uint64_t size, uint64_t alignment) {
  if (address % alignment != 0) {
    return fail("the {} at {:#x} is not aligned to {} bytes", name, address, alignment);
  }
  auto span = memory.writable_span(address, size);
  return span ? span : std::unexpected(span.error().with_context(std::string("the ") + name));
}

// Copies between `data` and the bytes of `buffers` that start at `offset`.
template <typename Buffers, typename Copy>
size_t for_each_piece(const Buffers& buffers, size_t offset, size_t size, Copy copy) {
  size_t done = 0;
  for (const auto& buffer : buffers) {
    if (offset >= buffer.size()) {
      offset -= buffer.size();
      continue;
    }
    const size_t piece = std::min(buffer.size() - offset, size - done);
    if (piece == 0) {
      break;
    }
    copy(buffer.subspan(offset, piece), done);
    done += piece;
    offset = 0;
  }
  return done;
}

}  // namespace

DescriptorChain::DescriptorChain(DescriptorChain&& other) noexcept
    : queue_(std::exchange(other.queue_, nullptr)),
      generation_(other.generation_),
      head_(other.head_),
      readable_size_(other.readable_size_),
      writable_size_(other.writable_size_),
      readable_(std::move(other.readable_)),
      writable_(std::move(other.writable_)) {}

DescriptorChain& DescriptorChain::operator=(DescriptorChain&& other) noexcept {
  if (this != &other) {
    give_back();
    queue_ = std::exchange(other.queue_, nullptr);
    generation_ = other.generation_;
    head_ = other.head_;
    readable_size_ = other.readable_size_;
    writable_size_ = other.writable_size_;
    readable_ = std::move(other.readable_);
    writable_ = std::move(other.writable_);
  }
  return *this;
}

DescriptorChain::~DescriptorChain() {
  give_back();
}

void DescriptorChain::give_back() {
  if (queue_ != nullptr) {
    Virtqueue& queue = *queue_;
    queue.push(std::move(*this), 0);
  }
}

size_t DescriptorChain::read(size_t offset, std::span<std::byte> data) const {
  return for_each_piece(readable_, offset, data.size(), [&](auto piece, size_t done) {
    std::memcpy(data.data() + done, piece.data(), piece.size());
  });
}

size_t DescriptorChain::write(size_t offset, std::span<const std::byte> data) const {
  return for_each_piece(writable_, offset, data.size(), [&](auto piece, size_t done) {
    std::memcpy(piece.data(), data.data() + done, piece.size());
  });
}

Result<void> Virtqueue::enable(uint16_t size, const VirtqueueAddresses& addresses,
                               Options options) {
  if (!std::has_single_bit(size) || size > maximum_size_) {
    return fail("a queue of {} descriptors; expected a power of two up to {}", size, maximum_size_);
  }
  const auto descriptors = ring_part(memory_, "descriptor table", addresses.descriptors,
                                     kDescriptorBytes * size, kDescriptorBytes);
  const auto available =
      ring_part(memory_, "available ring", addresses.available, available_bytes(size), 2);
  const auto used = ring_part(memory_, "used ring", addresses.used, used_bytes(size), 4);
  for (const auto* part : {&descriptors, &available, &used}) {
    if (!*part) {
      return std::unexpected(part->error());
    }
  }
  reset();
  size_ = size;
  addresses_ = addresses;
  options_ = options;
  descriptors_ = *descriptors;
  available_ = *available;
  used_ = *used;
  head_in_flight_.assign(size, false);
  enabled_ = true;
  return {};
}

void Virtqueue::reset() {
  ++generation_;
  enabled_ = false;
  size_ = 0;
  addresses_ = {};
  descriptors_ = {};
  available_ = {};
  used_ = {};
  next_available_ = 0;
  next_used_ = 0;
  interrupted_used_ = 0;
  in_flight_ = 0;
  head_in_flight_.clear();
}

uint16_t Virtqueue::available_index() const {
  return field(available_, kIndex).load(std::memory_order_seq_cst);
}

uint16_t Virtqueue::waiting() const {
  return enabled_ ? std::min(static_cast<uint16_t>(available_index() - next_available_), size_) : 0;
}

Result<std::optional<DescriptorChain>> Virtqueue::pop() {
  if (!enabled_) {
    return std::nullopt;
  }
  const uint16_t index = available_index();
  const auto pending = static_cast<uint16_t>(index - next_available_);
  if (pending == 0) {
    return std::nullopt;
  }
  if (pending > size_) {
    return fail("the available index {} is {} ahead in a queue of {}", index, pending, size_);
  }
  const size_t slot = next_available_ % size_;
  const uint16_t head = field(available_, kRing + 2 * slot).load(std::memory_order_relaxed);
  if (head >= size_) {
    return fail("descriptor {} made available in a queue of {}", head, size_);
  }
  if (head_in_flight_[head]) {
    return fail("descriptor {} made available while it is in use", head);
  }
  DescriptorChain chain(nullptr, generation_, head);
  if (Result<void> added = add_chain(head, chain); !added) {
    return std::unexpected(added.error());
  }
  chain.queue_ = this;
  head_in_flight_[head] = true;
  ++in_flight_;
  ++next_available_;
  return chain;
}

Virtqueue::Descriptor Virtqueue::read_descriptor(uint16_t index) const {
  Descriptor descriptor;
  std::memcpy(&descriptor, descriptors_.data() + kDescriptorBytes * index, sizeof(descriptor));
  return descriptor;
}

// Follows a chain through the descriptor table and, at its end, an indirect table. Every step
// counts towards the queue's size, so a loop ends.
Result<void> Virtqueue::add_chain(uint16_t head, DescriptorChain& chain) {
  std::vector<Descriptor> table;  // Empty: the queue's own.
  uint16_t index = head;
  for (uint16_t steps = 1; steps <= size_; ++steps) {
    Descriptor descriptor = table.empty() ? read_descriptor(index) : table[index];
    if ((descriptor.flags & kIndirect) != 0) {
      if (!table.empty()) {
        return fail("an indirect descriptor within an indirect table");
      }
      auto indirect = read_indirect(descriptor);
      if (!indirect) {
        return std::unexpected(indirect.error());
      }
      table = *std::move(indirect);
      descriptor = table[0];
      if ((descriptor.flags & kIndirect) != 0) {
        return fail("an indirect descriptor within an indirect table");
      }
    }
    if (Result<void> added = add_buffer(descriptor, chain); !added) {
      return added;
    }
    if ((descriptor.flags & kNext) == 0) {
      return {};
    }
    index = descriptor.next;
    const size_t limit = table.empty() ? size_ : table.size();
    if (index >= limit) {
      return fail("descriptor {} named as the next one in a table of {}", index, limit);
    }
  }
  return fail("a chain longer than the queue's {} descriptors", size_);
}

// The indirect table that `descriptor` refers to, copied: at least one entry.
Result<std::vector<Virtqueue::Descriptor>> Virtqueue::read_indirect(
    const Descriptor& descriptor) const {
  if (!options_.indirect) {
    return fail("an indirect descriptor although the feature was not negotiated");
  }
  if ((descriptor.flags & kNext) != 0) {
    return fail("an indirect descriptor with a next one");
  }
  if (descriptor.length == 0 || descriptor.length % kDescriptorBytes != 0 ||
      descriptor.length / kDescriptorBytes > size_) {
    return fail("an indirect table of {} bytes; expected 1 to {} times {}", descriptor.length,
                size_, kDescriptorBytes);
  }
  std::vector<Descriptor> table(descriptor.length / kDescriptorBytes);
  if (auto copied = memory_.read(descriptor.address, std::as_writable_bytes(std::span(table)));
      !copied) {
    return std::unexpected(copied.error().with_context("an indirect table"));
  }
  return table;
}

Result<void> Virtqueue::add_buffer(const Descriptor& descriptor, DescriptorChain& chain) const {
  const bool writable = (descriptor.flags & kWrite) != 0;
  if (!writable && !chain.writable_.empty()) {
    return fail("a buffer to read after one to write");
  }
  const uint64_t total = uint64_t{chain.readable_size_} + chain.writable_size_ + descriptor.length;
  if (total > std::numeric_limits<uint32_t>::max()) {
    return fail("a chain of more than 4 GiB");
  }
  if (descriptor.length == 0) {
    return {};
  }
  if (writable) {
    const auto span = memory_.writable_span(descriptor.address, descriptor.length);
    if (!span) {
      return std::unexpected(span.error().with_context("a buffer to write"));
    }
    chain.writable_.push_back(*span);
    chain.writable_size_ += descriptor.length;
  } else {
    const auto span = memory_.readable_span(descriptor.address, descriptor.length);
    if (!span) {
      return std::unexpected(span.error().with_context("a buffer to read"));
    }
    chain.readable_.push_back(*span);
    chain.readable_size_ += descriptor.length;
  }
  return {};
}

// Ends the flight of a chain. False when it belongs to a life before the last reset.
bool Virtqueue::take_back(const DescriptorChain& chain) {
  if (!enabled_ || chain.generation_ != generation_) {
    return false;
  }
  head_in_flight_[chain.head_] = false;
  --in_flight_;
  return true;
}

void Virtqueue::push(DescriptorChain chain, uint32_t written) {
  fill_used(std::move(chain), written);
  publish_used();
}

void Virtqueue::push_together(std::vector<Filled> filled) {
  for (Filled& one : filled) {
    fill_used(std::move(one.chain), one.written);
  }
  publish_used();
}

void Virtqueue::fill_used(DescriptorChain chain, uint32_t written) {
  chain.queue_ = nullptr;
  if (!take_back(chain)) {
    return;
  }
  const size_t offset = kRing + kUsedElementBytes * (next_used_ % size_);
  const uint32_t element[2] = {chain.head_, std::min(written, chain.writable_size_)};
  std::memcpy(used_.data() + offset, element, sizeof(element));
  ++next_used_;
  ++completed_;
}

// Ordered before the look at what interrupts the driver wants.
void Virtqueue::publish_used() {
  if (enabled_) {
    field(used_, kIndex).store(next_used_, std::memory_order_seq_cst);
  }
}

void Virtqueue::put_back(DescriptorChain chain) {
  chain.queue_ = nullptr;
  if (take_back(chain)) {
    --next_available_;
  }
}

bool Virtqueue::take_interrupt_need() {
  const uint16_t before = std::exchange(interrupted_used_, next_used_);
  if (!enabled_ || before == next_used_) {
    return false;
  }
  if (!options_.event_index) {
    return (field(available_, kFlags).load(std::memory_order_seq_cst) & kNoInterrupt) == 0;
  }
  const uint16_t event =
      field(available_, kRing + 2 * size_t{size_}).load(std::memory_order_seq_cst);
  return static_cast<uint16_t>(next_used_ - event - 1) < static_cast<uint16_t>(next_used_ - before);
}

void Virtqueue::suppress_notifications() {
  // With event indexes an index that is not moved asks for nothing more.
  if (enabled_ && !options_.event_index) {
    field(used_, kFlags).store(kNoNotify, std::memory_order_relaxed);
  }
}

bool Virtqueue::request_notifications() {
  if (!enabled_) {
    return false;
  }
  if (options_.event_index) {
    field(used_, kRing + kUsedElementBytes * size_t{size_})
        .store(next_available_, std::memory_order_seq_cst);
  } else {
    field(used_, kFlags).store(0, std::memory_order_seq_cst);
  }
  return available_index() != next_available_;
}

void Virtqueue::save(StateWriter& writer) const {
  writer.boolean(enabled_);
  writer.u16(size_);
  writer.u64(addresses_.descriptors);
  writer.u64(addresses_.available);
  writer.u64(addresses_.used);
  writer.boolean(options_.event_index);
  writer.boolean(options_.indirect);
  writer.u16(static_cast<uint16_t>(next_available_ - in_flight_));
  writer.u16(next_used_);
  writer.u16(interrupted_used_);
}

Result<void> Virtqueue::restore(StateReader& reader) {
  const bool enabled = reader.boolean();
  const uint16_t size = reader.u16();
  VirtqueueAddresses addresses;
  addresses.descriptors = reader.u64();
  addresses.available = reader.u64();
  addresses.used = reader.u64();
  Options options;
  options.event_index = reader.boolean();
  options.indirect = reader.boolean();
  const uint16_t next_available = reader.u16();
  const uint16_t next_used = reader.u16();
  const uint16_t interrupted_used = reader.u16();
  if (Result<void> status = reader.status(); !status) {
    return status;
  }
  reset();
  if (!enabled) {
    return {};
  }
  if (Result<void> done = enable(size, addresses, options); !done) {
    return done;
  }
  next_available_ = next_available;
  next_used_ = next_used;
  interrupted_used_ = interrupted_used;
  return {};
}

}  // namespace ensemble::vmm
