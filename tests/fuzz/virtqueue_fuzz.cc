// Lets a hostile driver loose on a virtqueue: the input is the contents of ring memory and a list
// of what driver and device do. Nothing may crash, hang, or reach outside guest memory, and the
// device's bounds must hold whatever the driver writes.

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <span>

#include "vmm/guest_memory.h"
#include "vmm/virtqueue.h"

namespace ensemble::vmm {
namespace {

constexpr uint64_t kMemory = 16 << 20;
constexpr uint64_t kRings = 0x200000;  // What the input writes to lies from here on.
constexpr uint64_t kRingBytes = 0x2000;

void require(bool condition) {
  if (!condition) {
    std::abort();
  }
}

// The bytes of the input, one after the other; zeroes at the end.
class Input {
 public:
  explicit Input(std::span<const uint8_t> data) : data_(data) {}

  bool empty() const { return data_.empty(); }

  template <typename T>
  T take() {
    T value{};
    const size_t size = std::min(sizeof(T), data_.size());
    std::memcpy(&value, data_.data(), size);
    data_ = data_.subspan(size);
    return value;
  }

  std::span<const uint8_t> take_bytes(size_t size) {
    const auto bytes = data_.first(std::min(size, data_.size()));
    data_ = data_.subspan(bytes.size());
    return bytes;
  }

 private:
  std::span<const uint8_t> data_;
};

void enable(Virtqueue& queue, Input& input) {
  const auto options = input.take<uint8_t>();
  const auto size = static_cast<uint16_t>(1U << (options >> 4));
  const VirtqueueAddresses addresses =
      (options & 4) != 0 ? VirtqueueAddresses{input.take<uint64_t>(), input.take<uint64_t>(),
                                              input.take<uint64_t>()}
                         : VirtqueueAddresses{kRings, kRings + 0x1000, kRings + 0x1800};
  (void)queue.enable(size, addresses,
                     {.event_index = (options & 1) != 0, .indirect = (options & 2) != 0});
}

// Looks at a chain as a device would.
void use(const DescriptorChain& chain, Input& input) {
  static std::byte buffer[256];
  uint64_t readable = 0;
  for (const auto& part : chain.readable()) {
    readable += part.size();
  }
  uint64_t writable = 0;
  for (const auto& part : chain.writable()) {
    writable += part.size();
  }
  require(readable == chain.readable_size() && writable == chain.writable_size());
  const auto offset = input.take<uint32_t>();
  require(chain.read(offset, buffer) <= readable);
  require(chain.write(offset, buffer) <= writable);
}

void run(GuestMemory& memory, Input input) {
  Virtqueue queue(memory, 64);
  std::deque<DescriptorChain> taken;
  while (!input.empty()) {
    switch (input.take<uint8_t>() % 11) {
      case 0:
        enable(queue, input);
        break;
      case 1:
        queue.reset();
        break;
      case 2:
      case 3: {
        auto chain = queue.pop();
        if (chain && *chain) {
          use(**chain, input);
          taken.push_back(**std::move(chain));
        }
        break;
      }
      case 4:
        if (!taken.empty()) {
          queue.push(std::move(taken.front()), input.take<uint32_t>());
          taken.pop_front();
        }
        break;
      case 5:
        if (!taken.empty()) {
          queue.put_back(std::move(taken.back()));
          taken.pop_back();
        }
        break;
      case 6: {
        const uint64_t offset = input.take<uint16_t>() % kRingBytes;
        const auto bytes = input.take_bytes(input.take<uint8_t>() % 64);
        memory.write(kRings + offset, std::as_bytes(bytes)).value();
        break;
      }
      case 7:
        queue.suppress_notifications();
        (void)queue.request_notifications();
        break;
      case 8:
        (void)queue.take_interrupt_need();
        break;
      case 9: {
        StateWriter writer;
        queue.save(writer);
        Virtqueue copy(memory, 64);
        StateReader reader(writer.data());
        require(copy.restore(reader).has_value());
        break;
      }
      case 10: {
        std::vector<Virtqueue::Filled> filled;
        for (unsigned count = input.take<uint8_t>() % 8; count > 0 && !taken.empty(); --count) {
          filled.push_back({std::move(taken.front()), input.take<uint32_t>()});
          taken.pop_front();
        }
        queue.push_together(std::move(filled));
        break;
      }
    }
    require(queue.in_flight() <= 64);
  }
}

}  // namespace
}  // namespace ensemble::vmm

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ensemble::vmm;
  static GuestMemory memory = GuestMemory::create(kMemory).value();
  static const std::vector<std::byte> zeroes(kRingBytes + 64);
  memory.write(kRings, zeroes).value();
  Input input(std::span(data, size));
  memory.write(kRings, std::as_bytes(input.take_bytes(input.take<uint16_t>() % kRingBytes)))
      .value();
  run(memory, input);
  return 0;
}
