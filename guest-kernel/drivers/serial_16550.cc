// Driver of the 16550 UART: the console where there is no virtio console. Ring 3 has no port I/O,
// so each register access is a call into the nucleus.

#include <array>

#include "guest-kernel/drivers/driver.h"
#include "guest-kernel/lib/device_protocol.h"
#include "guest-kernel/lib/program.h"

namespace {

enum Register : std::uint16_t {
  kData = 0,
  kInterruptEnable = 1,
  kFifoControl = 2,        // written
  kInterruptIdentity = 2,  // read
  kLineControl = 3,
  kModemControl = 4,
  kLineStatus = 5,
};
constexpr std::uint8_t kReceiveInterrupt = 1;
constexpr std::uint8_t kTransmitInterrupt = 2;
constexpr std::uint8_t kFifosEnable = 1;
constexpr std::uint8_t kFifosOn = 0xc0;
constexpr std::uint8_t kEightBits = 3;
constexpr std::uint8_t kReadyAndInterruptsOut = 0x0b;
constexpr std::uint8_t kDataReady = 1;
constexpr std::uint8_t kTransmitterHoldingEmpty = 0x20;
constexpr std::size_t kFifoSize = 16;

class Serial {
 public:
  Serial(driver::Driver& driver, const guest::Resource& ports, const guest::Resource& shared)
      : driver_(&driver),
        ports_(ports.slot),
        base_(static_cast<std::uint16_t>(ports.value)),
        output_(header(shared).output, driver::bytes_of(shared).subspan(guest::kConsoleOutputOffset,
                                                                        guest::kConsoleOutputSize)),
        input_(header(shared).input, driver::bytes_of(shared).subspan(guest::kConsoleInputOffset,
                                                                      guest::kConsoleInputSize)) {}

  void start() {
    write(kInterruptEnable, 0);
    write(kLineControl, kEightBits);
    // What came before this driver: turning the FIFOs on would throw it away.
    pump_input();
    write(kFifoControl, kFifosEnable);
    take_byte((read(kLineStatus) & kDataReady) != 0);
    burst_ = (read(kInterruptIdentity) & kFifosOn) == kFifosOn ? kFifoSize : 1;
    write(kModemControl, kReadyAndInterruptsOut);
    enable(kReceiveInterrupt);
    driver_->add_property("fifo", burst_);
  }

  void run() {
    driver_->serve_signals([this](std::uint64_t signals) { work(signals); });
  }

 private:
  static guest::ConsoleShared& header(const guest::Resource& shared) {
    return *reinterpret_cast<guest::ConsoleShared*>(shared.address);
  }

  std::uint8_t read(std::uint16_t index) const {
    const auto value = guest::read_port(ports_, static_cast<std::uint16_t>(base_ + index), 1);
    return static_cast<std::uint8_t>(value.value_or(0));
  }
  void write(std::uint16_t index, std::uint8_t value) const {
    guest::write_port(ports_, static_cast<std::uint16_t>(base_ + index), 1, value);
  }
  void enable(std::uint8_t interrupts) {
    if (interrupts != enabled_) {
      enabled_ = interrupts;
      write(kInterruptEnable, interrupts);
    }
  }

  void work(std::uint64_t signals) {
    draining_ |= (signals & driver::kDrainSignal) != 0;
    const bool receiving = (signals & driver::kInterruptSignal) != 0 || input_waits_
                               ? pump_input()
                               : (enabled_ & kReceiveInterrupt) != 0;
    bool sending = false;
    do {
      sending = !pump_output();
    } while (!sending && !output_.wait_for_bytes());
    enable(static_cast<std::uint8_t>((receiving ? kReceiveInterrupt : 0) |
                                     (sending ? kTransmitInterrupt : 0)));
    if ((signals & driver::kInterruptSignal) != 0 && driver_->interrupt_is_level()) {
      driver_->acknowledge_interrupt();
    }
    if (draining_ && !sending) {
      draining_ = false;
      driver_->signal_supervisor();
    }
  }

  // Reads until the FIFO is empty, which an edge-triggered line needs to fire again. False if the
  // ring is full: the client signals when it has read.
  bool pump_input() {
    bool moved = false;
    bool open = true;
    while (open) {
      if (input_.room() == 0 && input_.wait_for_room()) {
        open = false;
      } else if ((read(kLineStatus) & kDataReady) == 0) {
        break;
      } else {
        moved |= take_byte(true);
      }
    }
    input_waits_ = !open;
    if (moved && input_.consumer_waits()) {
      driver_->signal_client();
    }
    return open;
  }

  // Reads the data register, which also has a UART that stopped listening listen again; keeps the
  // byte if there was one. False if there is no room.
  bool take_byte(bool ready) {
    const std::array<std::byte, 1> byte = {static_cast<std::byte>(read(kData))};
    return ready && input_.write(byte) != 0;
  }

  // False if the transmitter is busy with more to send.
  bool pump_output() {
    while (output_.available() != 0) {
      if ((read(kLineStatus) & kTransmitterHoldingEmpty) == 0) {
        return false;
      }
      std::array<std::byte, kFifoSize> bytes;
      const std::size_t count = output_.read(std::span(bytes).first(burst_));
      for (std::size_t i = 0; i < count; ++i) {
        write(kData, static_cast<std::uint8_t>(bytes[i]));
      }
      if (output_.producer_waits()) {
        driver_->signal_client();
      }
    }
    return true;
  }

  driver::Driver* driver_;
  guest::Slot ports_;
  std::uint16_t base_;
  guest::ByteRingConsumer output_;
  guest::ByteRingProducer input_;
  std::size_t burst_ = 1;
  std::uint8_t enabled_ = 0;
  bool input_waits_ = false;
  bool draining_ = false;
};

}  // namespace

void program_main(guest::StartInfo& info) {
  driver::Driver driver(info);
  const guest::Resource& ports = driver.need(guest::Role::kIoPorts, "it was given no I/O ports");
  const guest::Resource& shared =
      driver.need(guest::Role::kSharedMemory, "it was given no memory to share with its client");
  if (shared.size < guest::kConsoleSharedSize) {
    driver.fail("the memory that it was given is too small");
  }
  Serial serial(driver, ports, shared);
  serial.start();
  driver.running();
  serial.run();
}
