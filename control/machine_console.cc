#include "control/machine_console.h"

#include <algorithm>
#include <array>
#include <utility>

namespace ensemble::control {
namespace {

// Registers of the 16550 and their bits (PC16550D).
constexpr std::uint64_t kInterruptEnable = 1;
constexpr std::uint64_t kLineControl = 3;
constexpr std::byte kReceivedDataInterrupt{0x01};
constexpr std::byte kDivisorLatchAccess{0x80};

}  // namespace

class MachineConsole::VirtioBackend final : public device::ConsoleBackend {
 public:
  explicit VirtioBackend(MachineConsole& console) : console_(console) {}
  ~VirtioBackend() override {
    console_.virtio_writable_ = nullptr;
    console_.virtio_readable_ = nullptr;
  }

  std::size_t write(std::span<const std::byte> data) override { return console_.port_.write(data); }

  std::size_t read(std::span<std::byte> data) override {
    console_.input_taker_ = InputTaker::kVirtio;
    return console_.port_.read(data);
  }

  void set_handlers(std::function<void()> writable, std::function<void()> readable) override {
    console_.virtio_writable_ = std::move(writable);
    console_.virtio_readable_ = std::move(readable);
  }

 private:
  MachineConsole& console_;
};

MachineConsole::MachineConsole(ConsolePort& port) : port_(port) {
  port_.set_handlers([this] { output_ready(); }, [this] { input_ready(); });
}

MachineConsole::~MachineConsole() {
  port_.set_handlers(nullptr, nullptr);
}

vmm::BusDevice& MachineConsole::add_serial(std::unique_ptr<vmm::InterruptLine> interrupt) {
  // A UART has no way to wait: what a reader leaves for too long is lost, as on a real line.
  serial_ = std::make_unique<vmm::Serial16550>(
      std::move(interrupt), [this](std::span<const std::byte> data) { port_.write(data); });
  serial_->set_input_ready_handler([this] { feed_serial(); });
  return *this;
}

std::unique_ptr<device::ConsoleBackend> MachineConsole::make_virtio_backend() {
  return std::make_unique<VirtioBackend>(*this);
}

void MachineConsole::read(std::uint64_t offset, std::span<std::byte> data) {
  serial_->read(offset, data);
}

void MachineConsole::write(std::uint64_t offset, std::span<const std::byte> data) {
  serial_->write(offset, data);
  if (offset == kLineControl) {
    divisor_latch_ = (data[0] & kDivisorLatchAccess) != std::byte{0};
  } else if (offset == kInterruptEnable && !divisor_latch_ && input_taker_ == InputTaker::kNobody &&
             (data[0] & kReceivedDataInterrupt) != std::byte{0}) {
    input_taker_ = InputTaker::kSerial;
    feed_serial();
  }
}

void MachineConsole::feed_serial() {
  std::array<std::byte, 4096> chunk;
  while (input_taker_ == InputTaker::kSerial && serial_->input_space() > 0) {
    const std::size_t wanted = std::min(chunk.size(), serial_->input_space());
    const std::size_t count = port_.read(std::span(chunk).first(wanted));
    if (count == 0) {
      return;
    }
    serial_->push_input(std::span(chunk).first(count));
  }
}

void MachineConsole::input_ready() {
  if (input_taker_ == InputTaker::kSerial) {
    feed_serial();
  } else if (virtio_readable_) {
    virtio_readable_();
  }
}

void MachineConsole::output_ready() {
  if (virtio_writable_) {
    virtio_writable_();
  }
}

Result<void> MachineConsole::save(vmm::StateWriter& writer) const {
  writer.boolean(divisor_latch_);
  writer.u8(static_cast<std::uint8_t>(input_taker_));
  return {};
}

Result<void> MachineConsole::restore(vmm::StateReader& reader, std::uint32_t) {
  const bool divisor_latch = reader.boolean();
  const std::uint8_t taker = reader.u8();
  if (auto finished = reader.finish(); !finished) {
    return finished;
  }
  const auto input_taker = static_cast<InputTaker>(taker);
  if (input_taker > InputTaker::kVirtio || (input_taker == InputTaker::kSerial && !serial_) ||
      (input_taker == InputTaker::kVirtio && !virtio_readable_)) {
    return fail("input was saved as taken by {}, which this machine does not have", taker);
  }
  divisor_latch_ = divisor_latch;
  input_taker_ = input_taker;
  return {};
}

}  // namespace ensemble::control
