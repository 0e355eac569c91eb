// Lets a hostile driver loose on a network device that is on a user-mode network: the input is a
// list of what the driver writes into its rings and buffers and when it notifies. Nothing may
// crash, hang, or reach outside guest memory. Frames that would open a socket of the host are left
// out.

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "device-model/machine_layout.h"
#include "device-model/network/user_network.h"
#include "device-model/virtio/network_device.h"
#include "device-model/virtio/virtio_bus.h"
#include "tests/vmm/driver_queue.h"

namespace ensemble::device {
namespace {

constexpr std::uint64_t kMemory = 16 << 20;
constexpr std::uint64_t kRings = 0x200000;
constexpr std::uint64_t kRingStride = 0x100000;
constexpr std::uint64_t kBuffers = 0x800000;
constexpr std::uint16_t kQueueSize = 16;

// Passes on what opens no socket: ARP, and DHCP's requests to everybody.
class FencedNetwork final : public NetworkBackend {
 public:
  explicit FencedNetwork(std::unique_ptr<NetworkBackend> inner) : inner_(std::move(inner)) {}
  std::uint16_t mtu() const override { return inner_->mtu(); }
  void send(std::span<const std::byte> frame) override {
    // Of the type, IPv4 without options, UDP, the target's address, and its port.
    constexpr std::pair<std::size_t, std::uint8_t> kDhcp[] = {
        {12, 8},    {13, 0},    {14, 0x45}, {23, 17}, {30, 0xFF},
        {31, 0xFF}, {32, 0xFF}, {33, 0xFF}, {36, 0},  {37, 67}};
    const bool is_arp = frame[12] == std::byte{8} && frame[13] == std::byte{6};
    const bool is_dhcp = std::ranges::all_of(kDhcp, [&](const auto& each) {
      return each.first < frame.size() && frame[each.first] == std::byte{each.second};
    });
    if (is_arp || is_dhcp) {
      inner_->send(frame);
    }
  }
  void flush() override { inner_->flush(); }
  std::size_t receive(std::span<std::byte> buffer) override { return inner_->receive(buffer); }
  void set_readable_handler(std::function<void()> readable) override {
    inner_->set_readable_handler(std::move(readable));
  }

 private:
  const std::unique_ptr<NetworkBackend> inner_;
};

class Input {
 public:
  explicit Input(std::span<const std::uint8_t> data) : data_(data) {}
  bool empty() const { return data_.empty(); }
  template <typename T>
  T take() {
    T value{};
    const std::size_t size = std::min(sizeof(T), data_.size());
    std::memcpy(&value, data_.data(), size);
    data_ = data_.subspan(size);
    return value;
  }
  std::span<const std::uint8_t> take_bytes(std::size_t size) {
    const auto bytes = data_.first(std::min(size, data_.size()));
    data_ = data_.subspan(bytes.size());
    return bytes;
  }

 private:
  std::span<const std::uint8_t> data_;
};

// A machine without processors, and its driver.
class Machine {
 public:
  explicit Machine(std::uint64_t features) {
    const MacAddress mac{2, 1, 2, 3, 4, 5};
    bus_.attach(std::make_unique<NetworkDevice>(
                    mac, std::make_unique<FencedNetwork>(UserNetwork::create(*loop_).value())))
        .value();
    start(features);
  }

  void start(std::uint64_t features) {
    write(0x70, 0);
    write(0x70, 3);
    for (std::uint32_t half : {0, 1}) {
      write(0x24, half);
      write(0x20, static_cast<std::uint32_t>(features >> (32 * half)));
    }
    write(0x70, 3 | 8);
    for (std::uint16_t i = 0; i < 2; ++i) {
      queues_[i] = vmm::DriverQueue(memory_, kRings + i * kRingStride, kQueueSize);
      queues_[i].set_available_index(0);
      memory_.store<std::uint32_t>(queues_[i].addresses().used, 0).value();
      write(0x30, i);
      write(0x38, kQueueSize);
      const std::uint64_t parts[] = {queues_[i].addresses().descriptors,
                                     queues_[i].addresses().available, queues_[i].addresses().used};
      for (std::uint64_t part = 0; part < 3; ++part) {
        write(0x80 + 0x10 * part, static_cast<std::uint32_t>(parts[part]));
      }
      write(0x44, 1);
    }
    write(0x70, 3 | 8 | 4);
  }

  void step(Input& input) {
    const auto what = input.take<std::uint8_t>();
    const std::uint16_t index = what & 1;
    vmm::DriverQueue& queue = queues_[index];
    switch ((what >> 1) % 6) {
      case 0:
        offer(queue, input, index == 0);
        break;
      case 1:
        queue.set_descriptor(input.take<std::uint8_t>() % kQueueSize,
                             input.take<vmm::DriverQueue::Descriptor>());
        break;
      case 2:
        queue.offer(input.take<std::uint8_t>());
        break;
      case 3: {
        const auto bytes = input.take_bytes(input.take<std::uint8_t>());
        memory_.write(kBuffers + input.take<std::uint16_t>(), std::as_bytes(bytes)).value();
        break;
      }
      case 4:
        write(0x50, index);
        while (loop_->run_once(std::chrono::milliseconds(0)).value() > 0) {
        }
        break;
      case 5:
        start(std::uint64_t{1} << 32 | std::uint64_t{input.take<std::uint8_t>() & 1U} << 15 |
              std::uint64_t{input.take<std::uint8_t>() & 3U} << 28);
        break;
    }
  }

 private:
  void write(std::uint64_t offset, std::uint32_t value) {
    registers_.write(kVirtioAddress + offset, std::as_bytes(std::span(&value, 1)));
  }

  static void offer(vmm::DriverQueue& queue, Input& input, bool writable) {
    std::vector<vmm::DriverQueue::Buffer> buffers;
    for (unsigned count = 1 + input.take<std::uint8_t>() % 4; count > 0; --count) {
      buffers.push_back(
          {kBuffers + input.take<std::uint16_t>(), input.take<std::uint16_t>(), writable});
    }
    queue.offer(queue.write_chain(buffers));
  }

  std::unique_ptr<vmm::EventLoop> loop_ = vmm::EventLoop::create().value();
  vmm::GuestMemory memory_ = vmm::GuestMemory::create(kMemory).value();
  vmm::Bus registers_{"mmio", loop_->device_lock()};
  VirtioBus bus_{VirtioBus::Host{
      .memory = memory_,
      .registers = registers_,
      .doorbells = nullptr,
      .loop = *loop_,
      .make_interrupt = [](std::uint32_t) -> Result<std::unique_ptr<vmm::InterruptLine>> {
        return std::make_unique<vmm::CountingInterruptLine>();
      }}};
  std::array<vmm::DriverQueue, 2> queues_{
      vmm::DriverQueue(memory_, kRings, kQueueSize),
      vmm::DriverQueue(memory_, kRings + kRingStride, kQueueSize)};
};

}  // namespace
}  // namespace ensemble::device

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ensemble::device;
  Input input(std::span(data, size));
  Machine machine(std::uint64_t{1} << 32 | 1 << 15);
  while (!input.empty()) {
    machine.step(input);
  }
  return 0;
}
