// Driver of the DesignWare I²C controller (DW_apb_i2c databook), as a master with 7-bit addresses.
// All commands of a transfer fit into the FIFOs, so that one interrupt tells of its end.

#include <array>
#include <cstring>

#include "guest-kernel/drivers/driver.h"
#include "guest-kernel/lib/clock.h"
#include "guest-kernel/lib/fixed_vector.h"
#include "guest-kernel/lib/i2c_protocol.h"
#include "guest-kernel/lib/program.h"

namespace {

using guest::I2cStatus;

// Indices of 32-bit registers.
enum Register : std::size_t {
  kControl = 0x00 / 4,
  kTarget = 0x04 / 4,
  kDataCommand = 0x10 / 4,
  kFastHigh = 0x1c / 4,
  kFastLow = 0x20 / 4,
  kInterruptMask = 0x30 / 4,
  kRawInterrupts = 0x34 / 4,
  kClearInterrupts = 0x40 / 4,
  kEnable = 0x6c / 4,
  kReceiveLevel = 0x78 / 4,
  kAbortSource = 0x80 / 4,
  kParameters = 0xf4 / 4,
  kType = 0xfc / 4,
};

constexpr std::uint32_t kDesignWare = 0x4457'0140;  // of kType
// Of kControl: master, fast mode, restart, and no slave.
constexpr std::uint32_t kFastMaster = 1 | 2 << 1 | 1 << 5 | 1 << 6;
// Of kDataCommand.
constexpr std::uint32_t kRead = 1 << 8;
constexpr std::uint32_t kStop = 1 << 9;
constexpr std::uint32_t kRestart = 1 << 10;
// Of kInterruptMask and kRawInterrupts.
constexpr std::uint32_t kAborted = 1 << 6;
constexpr std::uint32_t kStopped = 1 << 9;
// Of kAbortSource: nobody acknowledged the address, or a byte.
constexpr std::uint32_t kNoAcknowledge = 0b1111;

constexpr std::size_t kMostCallers = 16;
constexpr std::uint64_t kTimeLimit = 500'000'000;  // ns, for a transfer
constexpr std::uint64_t kTimerSignal = 8;          // beside those of driver_protocol.h

class Controller {
 public:
  Controller(driver::Driver& driver, const guest::Resource& registers)
      : driver_(&driver),
        registers_(reinterpret_cast<volatile std::uint32_t*>(registers.address)) {}

  // Returns nullptr, or a sentence that says what is wrong with it.
  const char* start(guest::StartInfo& info) {
    if (registers_[kType] != kDesignWare) {
      return "it is no DesignWare I2C controller";
    }
    const std::uint32_t depth = (registers_[kParameters] >> 16 & 0xff) + 1;
    if (depth < guest::kI2cMostCommands) {
      return "its FIFOs are too short";
    }
    const guest::Slot signal = info.first_free_slot;
    timer_ = signal + 1;
    if (guest::copy_capability(abi::kSelfSlot, signal, driver_->receiver().port(),
                               abi::kRightSignal, kTimerSignal) != guest::Status::kOk ||
        guest::create_timer(timer_, signal) != guest::Status::kOk) {
      return "it cannot have a timer";
    }
    reset();
    // Of an earlier run of this driver, which may have ended before it did so.
    driver_->acknowledge_interrupt();
    driver_->add_property("fifo", depth);
    return nullptr;
  }

  [[noreturn]] void run() {
    for (;;) {
      const guest::Received received = driver_->receive();
      if (!received.is_notification()) {
        accept(received);
      } else {
        handle_signals(received.signals());
      }
      while (!is_busy_ && !callers_.empty()) {
        begin();
      }
    }
  }

 private:
  struct Caller {
    std::uint64_t token = 0;
    guest::Message request;

    std::uint64_t address() const { return request[0] & 0xff; }
    std::uint64_t written() const { return request[0] >> 8 & 0xff; }
    std::uint64_t read() const { return request[0] >> 16; }
    bool is_sound() const {
      return address() < 0x80 && written() <= guest::kI2cMostWritten &&
             read() <= guest::kI2cMostRead && written() + read() != 0 &&
             written() + read() <= guest::kI2cMostCommands;
    }
  };

  void accept(const guest::Received& call) {
    const Caller caller{call.token, call.message};
    if (!caller.is_sound()) {
      answer(call.token, I2cStatus::kBadRequest);
    } else if (callers_.push_back(caller) == nullptr) {
      answer(call.token, I2cStatus::kBusy);
    }
  }

  void answer(std::uint64_t token, I2cStatus status) {
    driver_->reply(token, {{static_cast<std::uint64_t>(status)}});
  }

  // All settings, and nothing in the FIFOs.
  void reset() {
    registers_[kEnable] = 0;
    registers_[kInterruptMask] = 0;
    registers_[kControl] = kFastMaster;
    registers_[kEnable] = 1;
    target_ = ~std::uint64_t{0};
  }

  void arm() { guest::arm_timer(timer_, guest::tsc_at(guest::time_page(), deadline_)); }

  // Puts the oldest caller's transfer into the FIFO.
  void begin() {
    const Caller& caller = callers_[0];
    if (target_ != caller.address()) {
      target_ = caller.address();
      registers_[kTarget] = static_cast<std::uint32_t>(target_);
    }
    const std::uint64_t count = caller.written() + caller.read();
    std::array<std::uint8_t, guest::kI2cMostWritten> bytes;
    std::memcpy(bytes.data(), &caller.request.word[1], bytes.size());
    is_busy_ = true;
    deadline_ = guest::monotonic_ns() + kTimeLimit;
    arm();
    for (std::uint64_t i = 0; i < count; ++i) {
      const bool reads = i >= caller.written();
      const bool turns = reads && i == caller.written() && i != 0;
      registers_[kDataCommand] =
          (reads ? kRead : bytes[i]) | (turns ? kRestart : 0) | (i + 1 == count ? kStop : 0);
    }
    registers_[kInterruptMask] = kStopped | kAborted;
  }

  void handle_signals(std::uint64_t signals) {
    if ((signals & driver::kInterruptSignal) != 0) {
      if (is_busy_) {
        look();
      }
      driver_->acknowledge_interrupt();
    }
    // One of an earlier transfer may come late. On a busy host so may the interrupt.
    if ((signals & kTimerSignal) == 0 || !is_busy_) {
      return;
    }
    if (guest::monotonic_ns() < deadline_) {
      arm();
      return;
    }
    look();
    if (is_busy_) {
      reset();
      finish(I2cStatus::kTimedOut);
    }
  }

  void look() {
    const std::uint32_t raw = registers_[kRawInterrupts];
    if ((raw & (kStopped | kAborted)) == 0) {
      return;
    }
    const std::uint32_t source = (raw & kAborted) != 0 ? registers_[kAbortSource] : 0;
    registers_[kInterruptMask] = 0;
    static_cast<void>(registers_[kClearInterrupts]);
    if ((raw & kAborted) != 0) {
      reset();  // what was received before it
      finish((source & kNoAcknowledge) != 0 ? I2cStatus::kNoAcknowledge : I2cStatus::kBusError);
    } else if (registers_[kReceiveLevel] != callers_[0].read()) {
      reset();
      finish(I2cStatus::kBusError);
    } else {
      finish(I2cStatus::kOk);
    }
  }

  // Answers the oldest caller.
  void finish(I2cStatus status) {
    guest::Message message{{static_cast<std::uint64_t>(status)}};
    if (status == I2cStatus::kOk) {
      std::array<std::uint8_t, guest::kI2cMostRead> bytes{};
      for (std::uint64_t i = 0; i < callers_[0].read(); ++i) {
        bytes[i] = static_cast<std::uint8_t>(registers_[kDataCommand]);
      }
      std::memcpy(&message.word[1], bytes.data(), bytes.size());
    }
    guest::arm_timer(timer_, 0);
    is_busy_ = false;
    driver_->reply(callers_[0].token, message);
    callers_.erase_first();
  }

  driver::Driver* driver_;
  volatile std::uint32_t* registers_;
  guest::Slot timer_ = guest::kNoSlot;
  guest::FixedVector<Caller, kMostCallers> callers_;
  std::uint64_t target_ = 0;
  std::uint64_t deadline_ = 0;
  bool is_busy_ = false;  // with the transfer of callers_[0]
};

}  // namespace

void program_main(guest::StartInfo& info) {
  driver::Driver driver(info);
  const guest::Resource& registers =
      driver.need(guest::Role::kRegisters, "it was given no registers");
  if (registers.size < 0x100) {
    driver.fail("its registers are too few");
  }
  Controller controller(driver, registers);
  if (const char* wrong = controller.start(info)) {
    driver.fail(wrong);
  }
  driver.running();
  controller.run();
}
