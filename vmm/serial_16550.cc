#include "vmm/serial_16550.h"

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

namespace ensemble::vmm {
namespace {

// Register offsets. With DLAB set, 0 and 1 are the divisor.
constexpr uint64_t kData = 0;
constexpr uint64_t kInterruptEnable = 1;
constexpr uint64_t kInterruptIdentity = 2;  // Write: FIFO control.
constexpr uint64_t kLineControl = 3;
constexpr uint64_t kModemControl = 4;
constexpr uint64_t kLineStatus = 5;
constexpr uint64_t kModemStatus = 6;
constexpr uint64_t kScratch = 7;

constexpr uint8_t kEnableReceived = 1 << 0;
constexpr uint8_t kEnableTransmitEmpty = 1 << 1;
constexpr uint8_t kEnableLineStatus = 1 << 2;
constexpr uint8_t kInterruptEnableMask = 0x0f;

constexpr uint8_t kIdentityNone = 0x01;
constexpr uint8_t kIdentityTransmitEmpty = 0x02;
constexpr uint8_t kIdentityReceived = 0x04;
constexpr uint8_t kIdentityLineStatus = 0x06;
constexpr uint8_t kIdentityTimeout = 0x0c;
constexpr uint8_t kIdentityFifosEnabled = 0xc0;

constexpr uint8_t kFifoEnable = 1 << 0;
constexpr uint8_t kFifoClearReceive = 1 << 1;
constexpr uint8_t kFifoKept = 0xc9;  // Enable, DMA mode, trigger level.

constexpr uint8_t kDivisorLatch = 1 << 7;

constexpr uint8_t kLoopback = 1 << 4;
constexpr uint8_t kModemControlMask = 0x1f;

constexpr uint8_t kDataReady = 1 << 0;
constexpr uint8_t kOverrun = 1 << 1;
constexpr uint8_t kTransmitEmpty = (1 << 5) | (1 << 6);

constexpr uint8_t kClearToSend = 1 << 4;
constexpr uint8_t kDataSetReady = 1 << 5;
constexpr uint8_t kRingIndicator = 1 << 6;
constexpr uint8_t kCarrierDetect = 1 << 7;

constexpr size_t kFifoSize = 16;

size_t trigger_level(uint8_t fifo_control) {
  constexpr std::array<size_t, 4> kLevels = {1, 4, 8, 14};
  return kLevels[fifo_control >> 6];
}

}  // namespace

Serial16550::Serial16550(std::unique_ptr<InterruptLine> interrupt,
                         std::function<void(std::span<const std::byte>)> sink)
    : interrupt_(std::move(interrupt)), sink_(std::move(sink)) {}

size_t Serial16550::push_input(std::span<const std::byte> data) {
  const size_t taken = std::min(data.size(), input_space());
  for (std::byte byte : data.first(taken)) {
    input_.push_back(std::to_integer<uint8_t>(byte));
  }
  update_interrupt();
  return taken;
}

void Serial16550::read(uint64_t offset, std::span<std::byte> data) {
  // Registers are one byte wide; wider accesses see the first and all ones.
  data[0] = static_cast<std::byte>(read_register(offset));
}

void Serial16550::write(uint64_t offset, std::span<const std::byte> data) {
  write_register(offset, std::to_integer<uint8_t>(data[0]));
}

uint8_t Serial16550::read_register(uint64_t offset) {
  const bool divisor = (line_control_ & kDivisorLatch) != 0;
  switch (offset) {
    case kData:
      return divisor ? divisor_low_ : receive();
    case kInterruptEnable:
      return divisor ? divisor_high_ : interrupt_enable_;
    case kInterruptIdentity: {
      const uint8_t identity = pending_interrupt();
      if (identity == kIdentityTransmitEmpty) {
        transmit_empty_pending_ = false;
        update_interrupt();
      }
      return identity | ((fifo_control_ & kFifoEnable) != 0 ? kIdentityFifosEnabled : 0);
    }
    case kLineControl:
      return line_control_;
    case kModemControl:
      return modem_control_;
    case kLineStatus: {
      const uint8_t status = line_status();
      overrun_ = false;
      update_interrupt();
      return status;
    }
    case kModemStatus:
      return modem_status();
    case kScratch:
      return scratch_;
    default:
      return 0xff;
  }
}

void Serial16550::write_register(uint64_t offset, uint8_t value) {
  const bool divisor = (line_control_ & kDivisorLatch) != 0;
  switch (offset) {
    case kData:
      if (divisor) {
        divisor_low_ = value;
      } else {
        transmit(value);
      }
      break;
    case kInterruptEnable:
      if (divisor) {
        divisor_high_ = value;
      } else {
        // Enabling the transmitter's interrupt while it is empty raises it.
        const auto newly_enabled = static_cast<uint8_t>(value & ~interrupt_enable_);
        interrupt_enable_ = value & kInterruptEnableMask;
        if ((newly_enabled & kEnableTransmitEmpty) != 0) {
          transmit_empty_pending_ = true;
        }
        update_interrupt();
      }
      break;
    case kInterruptIdentity:
      write_fifo_control(value);
      break;
    case kLineControl:
      line_control_ = value;
      break;
    case kModemControl:
      modem_control_ = value & kModemControlMask;
      break;
    case kScratch:
      scratch_ = value;
      break;
    default:  // The status registers.
      break;
  }
}

uint8_t Serial16550::receive() {
  if (input_.empty()) {
    return 0;
  }
  const bool was_full = input_space() == 0;
  const uint8_t value = input_.front();
  input_.pop_front();
  update_interrupt();
  if (was_full && on_ready_) {
    on_ready_();
  }
  return value;
}

void Serial16550::transmit(uint8_t value) {
  transmit_empty_pending_ = false;
  update_interrupt();
  if ((modem_control_ & kLoopback) == 0) {
    const std::byte byte{value};
    sink_(std::span(&byte, 1));
  } else if (input_.size() < kFifoSize) {
    input_.push_back(value);
  } else {
    overrun_ = true;
  }
  // The line is infinitely fast: the transmitter is empty again, which is a new interrupt.
  transmit_empty_pending_ = true;
  update_interrupt();
}

void Serial16550::write_fifo_control(uint8_t value) {
  // Changing the enable bit clears the FIFOs.
  const bool toggled = ((value ^ fifo_control_) & kFifoEnable) != 0;
  if (toggled || (value & kFifoClearReceive) != 0) {
    // What waits behind the FIFO has not reached the chip yet, and stays.
    const size_t depth = (fifo_control_ & kFifoEnable) != 0 ? kFifoSize : 1;
    const bool was_full = input_space() == 0;
    // A chip that was never set up has received nothing: keep what was typed before the guest came.
    if (interrupt_enable_ != 0 || fifo_control_ != 0 || (modem_control_ & kLoopback) != 0) {
      input_.erase(input_.begin(),
                   input_.begin() + static_cast<std::ptrdiff_t>(std::min(depth, input_.size())));
    }
    if (was_full && input_space() != 0 && on_ready_) {
      on_ready_();
    }
  }
  fifo_control_ = value & kFifoKept;
  update_interrupt();
}

uint8_t Serial16550::line_status() const {
  return static_cast<uint8_t>(kTransmitEmpty | (input_.empty() ? 0 : kDataReady) |
                              (overrun_ ? kOverrun : 0));
}

uint8_t Serial16550::modem_status() const {
  if ((modem_control_ & kLoopback) == 0) {
    return kClearToSend | kDataSetReady | kCarrierDetect;
  }
  // In loopback the outputs DTR, RTS, OUT1, OUT2 are the inputs DSR, CTS, RI, DCD.
  uint8_t status = 0;
  status |= (modem_control_ & 1) != 0 ? kDataSetReady : 0;
  status |= (modem_control_ & 2) != 0 ? kClearToSend : 0;
  status |= (modem_control_ & 4) != 0 ? kRingIndicator : 0;
  status |= (modem_control_ & 8) != 0 ? kCarrierDetect : 0;
  return status;
}

// The interrupt of the highest priority, as in the identity register.
uint8_t Serial16550::pending_interrupt() const {
  if ((interrupt_enable_ & kEnableLineStatus) != 0 && overrun_) {
    return kIdentityLineStatus;
  }
  if ((interrupt_enable_ & kEnableReceived) != 0 && !input_.empty()) {
    const bool fifo = (fifo_control_ & kFifoEnable) != 0;
    return fifo && input_.size() < trigger_level(fifo_control_) ? kIdentityTimeout
                                                                : kIdentityReceived;
  }
  if ((interrupt_enable_ & kEnableTransmitEmpty) != 0 && transmit_empty_pending_) {
    return kIdentityTransmitEmpty;
  }
  return kIdentityNone;
}

void Serial16550::update_interrupt() {
  const bool high = pending_interrupt() != kIdentityNone;
  if (high && !line_high_ && interrupt_) {
    interrupt_->trigger();
  }
  line_high_ = high;
}

Result<void> Serial16550::save(StateWriter& writer) const {
  for (uint8_t value : {interrupt_enable_, fifo_control_, line_control_, modem_control_, scratch_,
                        divisor_low_, divisor_high_}) {
    writer.u8(value);
  }
  writer.boolean(transmit_empty_pending_);
  writer.boolean(overrun_);
  writer.boolean(line_high_);
  const std::vector<uint8_t> input(input_.begin(), input_.end());
  writer.bytes(std::as_bytes(std::span(input)));
  return {};
}

Result<void> Serial16550::restore(StateReader& reader, uint32_t) {
  std::array<uint8_t, 7> registers = {};
  for (uint8_t& value : registers) {
    value = reader.u8();
  }
  const bool transmit_empty_pending = reader.boolean();
  const bool overrun = reader.boolean();
  const bool line_high = reader.boolean();
  const auto input = reader.bytes(kInputLimit);
  if (auto finished = reader.finish(); !finished) {
    return finished;
  }
  interrupt_enable_ = registers[0] & kInterruptEnableMask;
  fifo_control_ = registers[1] & kFifoKept;
  line_control_ = registers[2];
  modem_control_ = registers[3] & kModemControlMask;
  scratch_ = registers[4];
  divisor_low_ = registers[5];
  divisor_high_ = registers[6];
  transmit_empty_pending_ = transmit_empty_pending;
  overrun_ = overrun;
  line_high_ = line_high;
  input_.clear();
  for (std::byte byte : input) {
    input_.push_back(std::to_integer<uint8_t>(byte));
  }
  return {};
}

}  // namespace ensemble::vmm
