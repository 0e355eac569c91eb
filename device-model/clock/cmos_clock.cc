#include "device-model/clock/cmos_clock.h"

#include <algorithm>
#include <chrono>
#include <tuple>

namespace ensemble::device {
namespace {

enum Register : std::uint8_t {
  kSeconds = 0x00,
  kSecondsAlarm = 0x01,
  kMinutes = 0x02,
  kMinutesAlarm = 0x03,
  kHours = 0x04,
  kHoursAlarm = 0x05,
  kWeekday = 0x06,
  kDay = 0x07,
  kMonth = 0x08,
  kYear = 0x09,
  kA = 0x0A,
  kB = 0x0B,
  kC = 0x0C,
  kD = 0x0D,
  kCentury = kClockCenturyIndex,
};

// Of A.
constexpr std::uint8_t kUpdateInProgress = 1 << 7;
constexpr std::uint8_t kDividerHeld = 0x60;
constexpr std::uint8_t kRate = 0x0F;
// Of B; the enabling bits are where C has the flags.
constexpr std::uint8_t kSet = 1 << 7;
constexpr std::uint8_t kBinary = 1 << 2;
constexpr std::uint8_t k24Hours = 1 << 1;
// Of B and C.
constexpr std::uint8_t kPeriodic = 1 << 6;
constexpr std::uint8_t kAlarm = 1 << 5;
constexpr std::uint8_t kUpdate = 1 << 4;
constexpr std::uint8_t kInterrupts = kPeriodic | kAlarm | kUpdate;
constexpr std::uint8_t kRequest = 1 << 7;    // Of C.
constexpr std::uint8_t kPowerGood = 1 << 7;  // Of D.
constexpr std::uint8_t kAfternoon = 1 << 7;  // Of the hours in 12-hour mode.
constexpr std::uint8_t kAnyValue = 0xC0;     // From here on an alarm's register matches all.

constexpr std::int64_t kSecond = 1'000'000'000;
constexpr std::int64_t kDaySeconds = 86400;
// How long before a second's end the update is announced.
constexpr std::int64_t kUpdateNotice = 244'000;
// With the divider let go, the first update comes after half a second.
constexpr std::int64_t kDividerStart = kSecond / 2;
// Of times from 1970, and of the guest's from the host's: 285 years; nanoseconds reach little
// further. At its end a clock stands.
constexpr std::int64_t kFurthest = 9'000'000'000 * kSecond;

std::int64_t bounded_sum(std::int64_t a, std::int64_t b) {
  std::int64_t sum = 0;
  if (__builtin_add_overflow(a, b, &sum)) {
    sum = a < 0 ? -kFurthest : kFurthest;
  }
  return std::clamp(sum, -kFurthest, kFurthest);
}

std::int64_t floor_divide(std::int64_t value, std::int64_t divisor) {
  return value / divisor - (value % divisor < 0 ? 1 : 0);
}

bool is_time(std::uint8_t index) {
  return (index <= kYear && index != kSecondsAlarm && index != kMinutesAlarm &&
          index != kHoursAlarm) ||
         index == kCentury;
}

}  // namespace

CmosClock::CmosClock(ClockHost& host) : host_(host) {
  registers_[kA] = 0x26;  // The 32768 Hz crystal's divider; 1024 Hz.
  registers_[kB] = k24Hours;
  registers_[kD] = kPowerGood;
  seen_ = time();
  show(seen_);
}

std::int64_t CmosClock::time() const {
  return bounded_sum(host_.real_time(), distance_);
}

bool CmosClock::stands() const {
  return (registers_[kB] & kSet) != 0 || (registers_[kA] & kDividerHeld) == kDividerHeld;
}

std::int64_t CmosClock::period() const {
  constexpr std::int64_t kCrystal = 32768;  // Hz
  const int rate = registers_[kA] & kRate;
  if (rate == 0) {
    return 0;
  }
  const int shift = rate <= 2 ? rate + 6 : rate - 1;
  return (kSecond << shift) / kCrystal;
}

std::uint8_t CmosClock::encode(int value) const {
  const bool binary = (registers_[kB] & kBinary) != 0;
  return static_cast<std::uint8_t>(binary ? value : value / 10 << 4 | value % 10);
}

int CmosClock::decode(std::uint8_t value) const {
  return (registers_[kB] & kBinary) != 0 ? value : (value >> 4) * 10 + (value & 0x0F);
}

std::uint8_t CmosClock::encode_hour(int hour) const {
  if ((registers_[kB] & k24Hours) != 0) {
    return encode(hour);
  }
  const int half = hour % 12 == 0 ? 12 : hour % 12;
  return static_cast<std::uint8_t>(encode(half) | (hour >= 12 ? kAfternoon : 0));
}

int CmosClock::decode_hour(std::uint8_t value) const {
  if ((registers_[kB] & k24Hours) != 0) {
    return decode(value);
  }
  const int half = decode(static_cast<std::uint8_t>(value & ~kAfternoon)) % 12;
  return half + ((value & kAfternoon) != 0 ? 12 : 0);
}

// Puts a time into the registers.
void CmosClock::show(std::int64_t time) {
  using std::chrono::days, std::chrono::sys_days;
  const std::int64_t seconds = floor_divide(time, kSecond);
  const std::int64_t day_number = floor_divide(seconds, kDaySeconds);
  const sys_days day{days(static_cast<int>(day_number))};
  const std::chrono::year_month_day date(day);
  const auto of_day = static_cast<int>(seconds - day_number * kDaySeconds);
  const int year = std::clamp(static_cast<int>(date.year()), 0, 9999);
  registers_[kSeconds] = encode(of_day % 60);
  registers_[kMinutes] = encode(of_day / 60 % 60);
  registers_[kHours] = encode_hour(of_day / 3600);
  registers_[kWeekday] =
      encode(static_cast<int>(std::chrono::weekday(day).c_encoding()) + 1);  // Sunday: 1.
  registers_[kDay] = encode(static_cast<int>(static_cast<unsigned>(date.day())));
  registers_[kMonth] = encode(static_cast<int>(static_cast<unsigned>(date.month())));
  registers_[kYear] = encode(year % 100);
  registers_[kCentury] = encode(year / 100);
}

// Goes on from the time in the registers.
void CmosClock::take_shown(bool divider_was_held) {
  using namespace std::chrono;
  const auto field = [this](std::uint8_t index, int least, int most) {
    return std::clamp(decode(registers_[index]), least, most);
  };
  const year year_shown(field(kCentury, 0, 99) * 100 + field(kYear, 0, 99));
  const month month_shown(static_cast<unsigned>(field(kMonth, 1, 12)));
  const auto last = static_cast<unsigned>((year_shown / month_shown / std::chrono::last).day());
  const day day_shown(
      std::min(static_cast<unsigned>(field(kDay, 1, 31)), static_cast<unsigned>(last)));
  const std::int64_t days =
      sys_days(year_shown / month_shown / day_shown).time_since_epoch().count();
  const std::int64_t hour = std::clamp(decode_hour(registers_[kHours]), 0, 23);
  const std::int64_t seconds =
      days * kDaySeconds + hour * 3600 + field(kMinutes, 0, 59) * 60 + field(kSeconds, 0, 59);
  // The years 1779 to 2223: from there time can still pass.
  constexpr std::int64_t kEarliest = -6'000'000'000, kLatest = 8'000'000'000;
  const std::int64_t before = time();
  const std::int64_t part =
      divider_was_held ? kDividerStart : before - floor_divide(before, kSecond) * kSecond;
  distance_ = bounded_sum(std::clamp(seconds, kEarliest, kLatest) * kSecond + part,
                          -std::max(host_.real_time(), -kFurthest));
  seen_ = time();
  show(seen_);
}

// The first instant behind `after` at which the alarm's registers match.
std::optional<std::int64_t> CmosClock::next_alarm(std::int64_t after) const {
  const auto matches = [this](std::uint8_t index, int value, auto decoded) {
    return registers_[index] >= kAnyValue || decoded(registers_[index]) == value;
  };
  const auto number = [this](std::uint8_t value) { return decode(value); };
  const auto hour = [this](std::uint8_t value) { return decode_hour(value); };
  // No second is looked at for an alarm that never comes: a guest may ask at each access.
  if ((registers_[kHoursAlarm] < kAnyValue && decode_hour(registers_[kHoursAlarm]) > 23) ||
      (registers_[kMinutesAlarm] < kAnyValue && decode(registers_[kMinutesAlarm]) > 59) ||
      (registers_[kSecondsAlarm] < kAnyValue && decode(registers_[kSecondsAlarm]) > 59)) {
    return std::nullopt;
  }
  const std::int64_t first = floor_divide(after, kSecond) + 1;
  const std::int64_t midnight = floor_divide(first, kDaySeconds) * kDaySeconds;
  for (std::int64_t second = first; second < first + kDaySeconds;) {
    const auto of_day = static_cast<int>((second - midnight) % kDaySeconds);
    if (!matches(kHoursAlarm, of_day / 3600, hour)) {
      second += 3600 - of_day % 3600;
    } else if (!matches(kMinutesAlarm, of_day / 60 % 60, number)) {
      second += 60 - of_day % 60;
    } else if (!matches(kSecondsAlarm, of_day % 60, number)) {
      ++second;
    } else {
      return second * kSecond;
    }
  }
  return std::nullopt;
}

// Sets the flags of what has happened since the last call.
void CmosClock::advance() {
  const std::int64_t now = time();
  if (stands() || now <= seen_) {
    seen_ = now;
    return;
  }
  if (floor_divide(now, kSecond) != floor_divide(seen_, kSecond)) {
    registers_[kC] |= kUpdate;
    const auto alarm = (registers_[kC] & kAlarm) != 0 ? std::nullopt : next_alarm(seen_);
    if (alarm && *alarm <= now) {
      registers_[kC] |= kAlarm;
    }
  }
  const std::int64_t length = period();
  if (length != 0 && floor_divide(now, length) != floor_divide(seen_, length)) {
    registers_[kC] |= kPeriodic;
  }
  seen_ = now;
  show(now);
}

// A request is an edge, and lasts until C is read: until then nobody need be woken.
void CmosClock::update_interrupt() {
  const auto enabled = static_cast<std::uint8_t>(registers_[kB] & kInterrupts);
  const bool requested = (enabled & registers_[kC]) != 0;
  if (requested && !requested_) {
    host_.interrupt();
  }
  requested_ = requested;
  std::optional<std::int64_t> next;
  const auto consider = [&next](std::int64_t time) { next = next ? std::min(*next, time) : time; };
  if (!requested && !stands()) {
    if ((enabled & kUpdate) != 0) {
      consider((floor_divide(seen_, kSecond) + 1) * kSecond);
    }
    if (const std::int64_t length = period(); (enabled & kPeriodic) != 0 && length != 0) {
      consider((floor_divide(seen_, length) + 1) * length);
    }
    if (const auto alarm = (enabled & kAlarm) != 0 ? next_alarm(seen_) : std::nullopt) {
      consider(*alarm);
    }
  }
  host_.wake_after(next ? std::optional(std::max<std::int64_t>(*next - seen_, 1)) : std::nullopt);
}

void CmosClock::wake() {
  advance();
  update_interrupt();
}

std::uint8_t CmosClock::load(std::uint8_t index) {
  if (index == kA) {
    const std::int64_t part = seen_ - floor_divide(seen_, kSecond) * kSecond;
    const bool updating = !stands() && part >= kSecond - kUpdateNotice;
    return static_cast<std::uint8_t>(registers_[kA] | (updating ? kUpdateInProgress : 0));
  }
  if (index == kC) {
    const std::uint8_t flags = registers_[kC];
    registers_[kC] = 0;
    return static_cast<std::uint8_t>(flags | (requested_ ? kRequest : 0));
  }
  return registers_[index];
}

void CmosClock::store(std::uint8_t index, std::uint8_t value) {
  const bool stood = stands();
  if (index == kC || index == kD) {
    return;
  }
  const bool divider_was_held = (registers_[kA] & kDividerHeld) == kDividerHeld;
  if (index == kA) {
    value &= static_cast<std::uint8_t>(~kUpdateInProgress);
  } else if (index == kB && (value & kSet) != 0) {
    value &= static_cast<std::uint8_t>(~kUpdate);  // As the chip does.
  }
  registers_[index] = value;
  const bool let_go = stood && !stands();
  if (let_go || (!stands() && is_time(index))) {
    take_shown(let_go && divider_was_held);
  } else if (index == kB && !stood && !stands()) {
    show(seen_);  // The data mode may be another one.
  }
}

void CmosClock::read(std::uint64_t offset, std::span<std::byte> data) {
  if (data.size() != 1 || offset == 0) {
    return;  // The index cannot be read: all ones.
  }
  advance();
  data[0] = static_cast<std::byte>(load(index_));
  update_interrupt();
}

void CmosClock::write(std::uint64_t offset, std::span<const std::byte> data) {
  if (data.size() != 1) {
    return;
  }
  const auto value = std::to_integer<std::uint8_t>(data[0]);
  if (offset == 0) {
    index_ = value & 0x7F;  // The highest bit masks a PC's non-maskable interrupts.
    return;
  }
  advance();
  store(index_, value);
  update_interrupt();
}

void CmosClock::exchange(StateFields& state) {
  state.field(registers_);
  state.limited(index_, 0x7F, "as the register's index");
  state.fields(distance_, requested_);
  state.require(-kFurthest <= distance_ && distance_ <= kFurthest,
                "holds a time that lies too far from the host's");
}

Result<void> CmosClock::save(vmm::StateWriter& writer) const {
  StateFields state(writer, 0, state_version());
  // Nothing is changed by saving; the list of fields is one for both directions.
  const_cast<CmosClock*>(this)->exchange(state);
  return {};
}

// The time goes on as of a clock with a battery; what fell due meanwhile is not made up for.
Result<void> CmosClock::restore(vmm::StateReader& reader, std::uint32_t version) {
  const auto before = std::tuple(registers_, index_, distance_, requested_);
  StateFields state(reader, 0, version);
  exchange(state);
  if (auto finished = state.finish(); !finished) {
    std::tie(registers_, index_, distance_, requested_) = before;
    return finished;
  }
  seen_ = time();
  update_interrupt();
  return {};
}

}  // namespace ensemble::device
