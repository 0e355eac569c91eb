// Lets a hostile driver loose on a virtio device without a wire: entropy, console, port, block or
// input, as the first byte says. The rest is a list of what the driver writes into registers,
// configuration, rings and buffers. Nothing may crash, hang, or reach outside guest memory, what is
// saved can be restored, and saved state that the input damages is refused or leads to a device
// that works on. (network_fuzz has the network device.)

#include <linux/input-event-codes.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "device-model/machine_layout.h"
#include "device-model/virtio/block_device.h"
#include "device-model/virtio/console_device.h"
#include "device-model/virtio/entropy_device.h"
#include "device-model/virtio/input_device.h"
#include "device-model/virtio/port_device.h"
#include "device-model/virtio/virtio_bus.h"
#include "tests/vmm/driver_queue.h"

namespace ensemble::device {
namespace {

constexpr std::uint64_t kMemory = 16 << 20;
constexpr std::uint64_t kRings = 0x200000;
constexpr std::uint64_t kRingStride = 0x100000;
constexpr std::uint64_t kBuffers = 0x800000;
constexpr std::uint16_t kQueueSize = 16;

// Takes and gives a few bytes at a time.
class Trickle final : public ConsoleBackend {
 public:
  std::size_t write(std::span<const std::byte> data) override {
    return std::min<std::size_t>(data.size(), ++calls_ % 7);
  }
  std::size_t read(std::span<std::byte> data) override {
    const std::size_t size = std::min<std::size_t>(data.size(), ++calls_ % 5);
    std::fill_n(data.begin(), size, std::byte{'x'});
    return size;
  }
  void set_handlers(std::function<void()>, std::function<void()>) override {}

 private:
  unsigned calls_ = 0;
};

// An other end that comes whenever it may.
class EagerPort final : public PortBackend {
 public:
  void set_handlers(Handlers) override {}
  void admit() override { connected_ = true; }
  bool connected() const override { return connected_; }
  void disconnect() override { connected_ = false; }
  std::size_t write(std::span<const std::byte> data) override { return inner_.write(data); }
  std::size_t read(std::span<std::byte> data) override { return inner_.read(data); }

 private:
  Trickle inner_;
  bool connected_ = false;
};

InputDescription touch_screen() {
  InputDescription description;
  description.name = "Touch";
  description.keys = {{KEY_POWER, "power"}};
  description.relative_axes = {REL_WHEEL};
  description.absolute_axes = {{.code = ABS_MT_SLOT, .maximum = 3},
                               {.code = ABS_MT_POSITION_X, .maximum = 100},
                               {.code = ABS_MT_POSITION_Y, .maximum = 100},
                               {.code = ABS_MT_TRACKING_ID, .minimum = -1, .maximum = 65535}};
  return description;
}

// The path of an empty disk of 64 KiB, which lasts as long as the process.
const std::string& disk_path() {
  static const std::string path = [] {
    std::string name = "/tmp/virtio_fuzz-XXXXXX";
    const int file = ::mkstemp(name.data());
    if (file < 0 || ::ftruncate(file, 1 << 16) != 0) {
      std::abort();
    }
    ::close(file);
    std::atexit([] { ::unlink(disk_path().c_str()); });
    return name;
  }();
  return path;
}

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
  explicit Machine(std::uint8_t kind) {
    device_ = bus_.attach(make(kind)).value();
    for (std::uint16_t i = 0; i < device_->device().queue_count(); ++i) {
      queues_.emplace_back(memory_, kRings + i * kRingStride, kQueueSize);
    }
    start(~std::uint64_t{0});
  }

  // With those of the offered features that `mask` has.
  void start(std::uint64_t mask) {
    const std::uint64_t offered = device_->device().identity().features | 3ULL << 28;
    const std::uint64_t features = (offered & mask) | std::uint64_t{1} << 32;
    write(0x70, 0);
    write(0x70, 3);
    for (std::uint32_t half : {0, 1}) {
      write(0x24, half);
      write(0x20, static_cast<std::uint32_t>(features >> (32 * half)));
    }
    write(0x70, 3 | 8);
    for (std::uint16_t i = 0; i < queues_.size(); ++i) {
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
    const auto index = static_cast<std::uint16_t>((what >> 4) % queues_.size());
    vmm::DriverQueue& queue = queues_[index];
    switch (what % 10) {
      case 0:
      case 1:
        offer(queue, input);
        break;
      case 2:
        queue.set_descriptor(input.take<std::uint8_t>() % kQueueSize,
                             input.take<vmm::DriverQueue::Descriptor>());
        break;
      case 3:
        queue.offer(input.take<std::uint8_t>());
        break;
      case 4: {
        const auto bytes = input.take_bytes(input.take<std::uint8_t>());
        memory_.write(kBuffers + input.take<std::uint16_t>(), std::as_bytes(bytes)).value();
        break;
      }
      case 5:
        write(0x50, index);
        run();
        break;
      case 6:
        start(input.take<std::uint32_t>());
        break;
      case 7:
        write(input.take<std::uint8_t>() * 2U, input.take<std::uint32_t>());
        break;
      case 8:
        report(input);
        break;
      default:
        restore(input);
        break;
    }
  }

 private:
  std::unique_ptr<VirtioDevice> make(std::uint8_t kind) {
    switch (kind % 5) {
      case 0:
        return std::make_unique<EntropyDevice>();
      case 1:
        return std::make_unique<ConsoleDevice>(std::make_unique<Trickle>(), true);
      case 2:
        return std::make_unique<PortDevice>("agent", port_);
      case 3:
        return BlockDevice::create(disk_path(), {}, *loop_).value();
      default: {
        auto input = InputDevice::create(touch_screen()).value();
        input_ = input.get();
        return input;
      }
    }
  }

  void run() {
    // A console's backend always has more: rounds are limited.
    for (int round = 0; round < 20 && loop_->run_once(std::chrono::milliseconds(0)).value() > 0;
         ++round) {
    }
  }

  void write(std::uint64_t offset, std::uint32_t value) {
    registers_.write(kVirtioAddress + offset, std::as_bytes(std::span(&value, 1)));
    registers_.read(kVirtioAddress + offset, std::as_writable_bytes(std::span(&value, 1)));
  }

  static void offer(vmm::DriverQueue& queue, Input& input) {
    std::vector<vmm::DriverQueue::Buffer> buffers;
    for (unsigned count = 1 + input.take<std::uint8_t>() % 4; count > 0; --count) {
      const auto length = input.take<std::uint16_t>();
      buffers.push_back({kBuffers + input.take<std::uint16_t>(), length, (length & 1) != 0});
    }
    queue.offer(queue.write_chain(buffers));
  }

  // What happens at the product; the description decides what can.
  void report(Input& input) {
    if (input_ != nullptr) {
      const InputEvent event{input.take<std::uint8_t>(), input.take<std::uint8_t>(),
                             input.take<std::int16_t>()};
      (void)input_->report(std::span(&event, 1));
    }
  }

  // What was just saved is accepted; with the input's changes, accepted or refused.
  void restore(Input& input) {
    vmm::StateWriter writer;
    if (!device_->save(writer)) {
      std::abort();
    }
    std::vector<std::byte> state = writer.data();
    const unsigned changes = input.take<std::uint8_t>() % 4U;
    for (unsigned i = 0; i < changes; ++i) {
      state[input.take<std::uint16_t>() % state.size()] = input.take<std::byte>();
    }
    vmm::StateReader reader(state);
    const auto restored = device_->restore(reader, 1);
    if ((changes == 0 && !restored) || (!restored && restored.error().message().empty())) {
      std::abort();
    }
    run();
  }

  std::unique_ptr<vmm::EventLoop> loop_ = vmm::EventLoop::create().value();
  EagerPort port_;
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
  VirtioMmio* device_ = nullptr;
  InputDevice* input_ = nullptr;  // Null: it is another device.
  std::vector<vmm::DriverQueue> queues_;
};

}  // namespace
}  // namespace ensemble::device

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ensemble::device;
  Input input(std::span(data, size));
  Machine machine(input.take<std::uint8_t>());
  while (!input.empty()) {
    machine.step(input);
  }
  return 0;
}
