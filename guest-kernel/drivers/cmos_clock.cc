// Driver of the PC's real-time clock (Motorola MC146818A data sheet), which keeps UTC. Ring 3 has
// no port I/O, so each register access is two calls into the nucleus.

#include <asm/errno.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <charconv>
#include <optional>

#include "guest-kernel/drivers/driver.h"
#include "guest-kernel/lib/calendar.h"
#include "guest-kernel/lib/chip_protocol.h"
#include "guest-kernel/lib/clock.h"
#include "guest-kernel/lib/clock_protocol.h"
#include "guest-kernel/lib/format.h"
#include "guest-kernel/lib/program.h"

namespace {

using guest::ClockChannel;

enum Register : std::uint8_t {
  kSeconds = 0x00,
  kSecondsAlarm = 0x01,
  kMinutes = 0x02,
  kMinutesAlarm = 0x03,
  kHours = 0x04,
  kHoursAlarm = 0x05,
  kDay = 0x07,
  kMonth = 0x08,
  kYear = 0x09,
  kA = 0x0a,
  kB = 0x0b,
  kC = 0x0c,
  kCentury = 0x32,  // of the machine's manifest (docs/machine.md)
};
// Of A.
constexpr std::uint8_t kUpdateInProgress = 1 << 7;
constexpr std::uint8_t kDivider = 0x70;
constexpr std::uint8_t kDividerHeld = 0x70;
// Of B.
constexpr std::uint8_t kSet = 1 << 7;
constexpr std::uint8_t kBinary = 1 << 2;
constexpr std::uint8_t k24Hours = 1 << 1;
// Of B and C.
constexpr std::uint8_t kPeriodicInterrupt = 1 << 6;
constexpr std::uint8_t kAlarmInterrupt = 1 << 5;
constexpr std::uint8_t kUpdateInterrupt = 1 << 4;
constexpr std::uint8_t kAfternoon = 1 << 7;  // of hours, in 12-hour mode

constexpr std::uint64_t kUpdateLimit = 10'000'000;  // ns; an update takes 2 ms

std::optional<std::int64_t> number_of(std::string_view text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc{} && end == text.data() + text.size() ? std::optional(value)
                                                                  : std::nullopt;
}

class Clock {
 public:
  Clock(driver::Driver& driver, const guest::Resource& ports, const guest::Resource& shared)
      : driver_(&driver),
        ports_(ports.slot),
        base_(static_cast<std::uint16_t>(ports.value)),
        shared_(reinterpret_cast<guest::ChipShared*>(shared.address)) {}

  // No interrupts, whatever an earlier run wanted.
  void start() {
    mode_ = read(kB);
    enable(kPeriodicInterrupt | kAlarmInterrupt | kUpdateInterrupt, false);
    static_cast<void>(read(kC));
  }

  void work(std::uint64_t signals) {
    if ((signals & driver::kInterruptSignal) != 0) {
      take_interrupt();
    }
    const std::uint32_t asked = shared_->asked.load(std::memory_order_acquire);
    if (asked == shared_->answered.load(std::memory_order_relaxed)) {
      return;
    }
    guest::TextWriter text(shared_->text);
    const std::size_t size = std::min<std::size_t>(shared_->input_size, shared_->input.size());
    const auto channel = static_cast<ClockChannel>(shared_->channel);
    // The client may write while this reads: what is looked at is a copy.
    const auto input = shared_->input;
    shared_->error = size == 0 ? show(channel, text) : set(channel, {input.data(), size});
    shared_->size = static_cast<std::uint32_t>(text.size());
    shared_->answered.store(asked, std::memory_order_release);
    driver_->signal_client();
  }

 private:
  std::uint8_t read(std::uint8_t index) const {
    guest::write_port(ports_, base_, 1, index);
    const auto value = guest::read_port(ports_, static_cast<std::uint16_t>(base_ + 1), 1);
    return static_cast<std::uint8_t>(value.value_or(0));
  }
  void write(std::uint8_t index, std::uint8_t value) const {
    guest::write_port(ports_, base_, 1, index);
    guest::write_port(ports_, static_cast<std::uint16_t>(base_ + 1), 1, value);
  }
  void enable(std::uint8_t interrupts, bool on) {
    mode_ = static_cast<std::uint8_t>(on ? mode_ | interrupts : mode_ & ~interrupts);
    write(kB, mode_);
  }

  // Registers hold BCD or binary numbers, as B says.
  int decode(std::uint8_t value) const {
    return (mode_ & kBinary) != 0 ? value : (value >> 4) * 10 + (value & 0xf);
  }
  std::uint8_t encode(std::int64_t value) const {
    return static_cast<std::uint8_t>((mode_ & kBinary) != 0 ? value : value / 10 << 4 | value % 10);
  }
  int decode_hours(std::uint8_t value) const {
    if ((mode_ & k24Hours) != 0) {
      return decode(value);
    }
    return decode(value & ~kAfternoon) % 12 + ((value & kAfternoon) != 0 ? 12 : 0);
  }
  std::uint8_t encode_hours(std::int64_t hours) const {
    if ((mode_ & k24Hours) != 0) {
      return encode(hours);
    }
    const std::int64_t half = hours % 12 == 0 ? 12 : hours % 12;
    return static_cast<std::uint8_t>(encode(half) | (hours >= 12 ? kAfternoon : 0));
  }

  // Seconds since 1970. Nothing: the registers hold no time, or are being updated for too long.
  std::optional<std::int64_t> time() const {
    const std::uint64_t limit = guest::monotonic_ns() + kUpdateLimit;
    for (;;) {
      const bool is_last = guest::monotonic_ns() >= limit;
      if ((read(kA) & kUpdateInProgress) == 0) {
        const std::uint8_t seconds = read(kSeconds);
        const auto found = time_from(seconds);
        // Between two equal readings of the seconds there was no update.
        if (read(kSeconds) == seconds) {
          return found;
        }
      }
      if (is_last) {
        return std::nullopt;
      }
    }
  }

  std::optional<std::int64_t> time_from(std::uint8_t seconds) const {
    const int second = decode(seconds);
    const int minute = decode(read(kMinutes));
    const int hour = decode_hours(read(kHours));
    const guest::Date date{decode(read(kCentury)) * 100 + decode(read(kYear)), decode(read(kMonth)),
                           decode(read(kDay))};
    if (second > 59 || minute > 59 || hour > 23 || date.month < 1 || date.month > 12 ||
        date.day < 1 || date.day > guest::days_of_month(date.year, date.month)) {
      return std::nullopt;
    }
    return guest::days_since_epoch(date) * guest::kDaySeconds + hour * 3600 + minute * 60 + second;
  }

  int show(ClockChannel channel, guest::TextWriter& text) const {
    const auto now = time();
    if (!now || *now < 0) {
      return EINVAL;
    }
    const auto two = [&text](std::int64_t value) {
      text.put(static_cast<char>('0' + value / 10)).put(static_cast<char>('0' + value % 10));
    };
    const std::int64_t of_day = *now % guest::kDaySeconds;
    const guest::Date date = guest::date_of(*now / guest::kDaySeconds);
    switch (channel) {
      case ClockChannel::kSeconds:
        text.decimal(static_cast<std::uint64_t>(*now));
        break;
      case ClockChannel::kDate:
        text.decimal(static_cast<std::uint64_t>(date.year)).put('-');
        two(date.month);
        text.put('-');
        two(date.day);
        break;
      case ClockChannel::kTimeOfDay:
        two(of_day / 3600);
        text.put(':');
        two(of_day / 60 % 60);
        text.put(':');
        two(of_day % 60);
        break;
      default:
        return EINVAL;
    }
    text.put('\n');
    return 0;
  }

  int set(ClockChannel channel, std::string_view input) {
    const auto value = number_of(input);
    if (!value || *value < 0) {
      return EINVAL;
    }
    switch (channel) {
      case ClockChannel::kSeconds:
        return set_time(*value);
      case ClockChannel::kAlarm:
        return set_alarm(*value);
      case ClockChannel::kUpdates:
        static_cast<void>(read(kC));  // what was before does not count
        enable(kUpdateInterrupt, *value != 0);
        return 0;
      default:
        return EINVAL;
    }
  }

  // The divider is held meanwhile: when it is let go, half a second is left of the second that was
  // set, which is what programs that set the clock count on.
  int set_time(std::int64_t seconds) {
    const guest::Date date = guest::date_of(seconds / guest::kDaySeconds);
    if (date.year > 9999) {
      return ERANGE;
    }
    const std::int64_t of_day = seconds % guest::kDaySeconds;
    const std::uint8_t rate = read(kA) & ~kUpdateInProgress;
    write(kB, mode_ | kSet);
    write(kA, (rate & ~kDivider) | kDividerHeld);
    write(kSeconds, encode(of_day % 60));
    write(kMinutes, encode(of_day / 60 % 60));
    write(kHours, encode_hours(of_day / 3600));
    write(kDay, encode(date.day));
    write(kMonth, encode(date.month));
    write(kYear, encode(date.year % 100));
    write(kCentury, encode(date.year / 100));
    write(kB, mode_);
    write(kA, rate);
    return 0;
  }

  // The chip compares the time of day only.
  int set_alarm(std::int64_t seconds) {
    if (seconds == 0) {
      enable(kAlarmInterrupt, false);
      return 0;
    }
    const auto now = time();
    if (!now) {
      return EINVAL;
    }
    if (seconds <= *now || seconds - *now >= guest::kDaySeconds) {
      return seconds <= *now ? ETIME : EINVAL;
    }
    const std::int64_t of_day = seconds % guest::kDaySeconds;
    enable(kAlarmInterrupt, false);
    write(kSecondsAlarm, encode(of_day % 60));
    write(kMinutesAlarm, encode(of_day / 60 % 60));
    write(kHoursAlarm, encode_hours(of_day / 3600));
    count(read(kC) & kUpdateInterrupt);
    enable(kAlarmInterrupt, true);
    return 0;
  }

  // Reading C is what acknowledges the interrupt.
  void take_interrupt() {
    const auto flags = static_cast<std::uint8_t>(read(kC) & mode_);
    count(flags);
    if ((flags & kAlarmInterrupt) != 0) {
      enable(kAlarmInterrupt, false);
    }
  }

  void count(std::uint8_t flags) {
    flags &= mode_;
    if ((flags & kUpdateInterrupt) != 0) {
      shared_->events[guest::kClockUpdate].fetch_add(1, std::memory_order_release);
    }
    if ((flags & kAlarmInterrupt) != 0) {
      shared_->events[guest::kClockAlarm].fetch_add(1, std::memory_order_release);
    }
    if ((flags & (kUpdateInterrupt | kAlarmInterrupt)) != 0) {
      driver_->signal_client();
    }
  }

  driver::Driver* driver_;
  guest::Slot ports_;
  std::uint16_t base_;
  guest::ChipShared* shared_;
  std::uint8_t mode_ = 0;  // what B is
};

}  // namespace

void program_main(guest::StartInfo& info) {
  driver::Driver driver(info);
  const guest::Resource& ports = driver.need(guest::Role::kIoPorts, "it was given no I/O ports");
  const guest::Resource& shared =
      driver.need(guest::Role::kSharedMemory, "it was given no memory to share with its client");
  if (shared.size < guest::kChipSharedSize) {
    driver.fail("the memory that it was given is too small");
  }
  Clock clock(driver, ports, shared);
  clock.start();
  driver.running();
  driver.serve_signals([&clock](std::uint64_t signals) { clock.work(signals); });
}
