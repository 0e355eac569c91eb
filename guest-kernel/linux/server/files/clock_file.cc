#include "guest-kernel/linux/server/files/clock_file.h"

#include <asm/errno.h>
#include <asm/fcntl.h>

#include <array>
#include <optional>

#include "guest-kernel/lib/calendar.h"
#include "guest-kernel/lib/clock.h"
#include "guest-kernel/lib/clock_protocol.h"
#include "guest-kernel/lib/format.h"
#include "guest-kernel/linux/server/credentials.h"
#include "guest-kernel/linux/server/process.h"

namespace linux_server {
namespace {

using guest::ClockChannel;

constexpr std::uint64_t kTimeLimit = 5'000'000'000;  // ns, for an answer of the driver
constexpr std::uint64_t kSecond = 1'000'000'000;     // ns
constexpr std::uint32_t kMostRate = 8192;            // Hz
constexpr std::uint32_t kMostRateOfAnybody = 64;
constexpr std::int32_t kFirstYear = 1900;  // of rtc_time's years

rtc_time to_rtc_time(std::int64_t seconds) {
  const std::int64_t days = seconds / guest::kDaySeconds;
  const auto of_day = static_cast<int>(seconds % guest::kDaySeconds);
  const guest::Date date = guest::date_of(days);
  rtc_time time{};
  time.tm_sec = of_day % 60;
  time.tm_min = of_day / 60 % 60;
  time.tm_hour = of_day / 3600;
  time.tm_mday = date.day;
  time.tm_mon = date.month - 1;
  time.tm_year = date.year - kFirstYear;
  time.tm_wday = guest::weekday_of(days);
  time.tm_yday = guest::day_of_year(date);
  return time;
}

bool is_time_of_day(const rtc_time& time) {
  return time.tm_hour >= 0 && time.tm_hour < 24 && time.tm_min >= 0 && time.tm_min < 60 &&
         time.tm_sec >= 0 && time.tm_sec < 60;
}

std::int64_t second_of_day(const rtc_time& time) {
  return time.tm_hour * 3600 + time.tm_min * 60 + time.tm_sec;
}

// Nothing: there is no such time, or it is before 1970.
std::optional<std::int64_t> to_seconds(const rtc_time& time) {
  constexpr int kLastYear = 9999;
  if (time.tm_year < 70 || time.tm_year > kLastYear - kFirstYear || time.tm_mon < 0 ||
      time.tm_mon > 11 || time.tm_mday < 1 || !is_time_of_day(time)) {
    return std::nullopt;
  }
  const guest::Date date{time.tm_year + kFirstYear, time.tm_mon + 1, time.tm_mday};
  if (date.day > guest::days_of_month(date.year, date.month)) {
    return std::nullopt;
  }
  return guest::days_since_epoch(date) * guest::kDaySeconds + second_of_day(time);
}

template <typename T>
std::int64_t give(Task& task, std::uint64_t address, const T& value) {
  return task.process->space().write_value(address, value) ? 0 : -EFAULT;
}

}  // namespace

ClockFile::ClockFile(Node& node, std::uint32_t flags, ClockDevice& device)
    : File(node, flags), device_(device) {}

ClockFile::~ClockFile() {
  device_.client().withdraw(*this);
  device_.close();
}

void ClockFile::tell(std::uint32_t flag, std::uint32_t count) {
  constexpr unsigned kCountShift = 8;
  if (count != 0) {
    events_ = (events_ + (std::uint64_t{count} << kCountShift)) | RTC_IRQF | flag;
    changed_.wake(kReadable);
  }
}

// An unsigned long, or half of it where there is no room for more.
std::int64_t ClockFile::read(Task& task, const UserBuffer& buffer, std::uint64_t /*offset*/) {
  if (buffer.size() != sizeof(std::uint32_t) && buffer.size() < sizeof events_) {
    return -EINVAL;
  }
  if (events_ == 0) {
    return (flags() & O_NONBLOCK) != 0 ? -EAGAIN : task.wait(changed_);
  }
  const std::uint64_t events = std::exchange(events_, 0);
  const std::size_t size =
      buffer.size() == sizeof(std::uint32_t) ? sizeof(std::uint32_t) : sizeof events;
  return buffer.fill(std::as_bytes(std::span(&events, 1)).first(size));
}

void ClockFile::answered(int error, std::string_view text) {
  is_waiting_ = false;
  error_ = error;
  value_ = 0;
  for (const char c : text) {
    value_ =
        c >= '0' && c <= '9' && value_ < INT64_MAX / 10 - 10 ? value_ * 10 + (c - '0') : value_;
  }
  answers_.wake();
}

void ClockFile::end_turn() {
  device_.client().withdraw(*this);
  is_waiting_ = false;
  asker_ = 0;
  answers_.wake();
}

std::int64_t ClockFile::ask(Task& task, ClockChannel channel, std::string_view input) {
  const std::uint64_t now = guest::monotonic_ns();
  task.uninterruptible = true;  // it is over within the limit
  if (task.resumed && asker_ == task.id) {
    if (!is_waiting_) {
      end_turn();
      return -error_;
    }
    if (now < turn_end_) {
      return task.wait(answers_);
    }
    device_.client().give_up(*this);
    end_turn();
    return -EIO;
  }
  // One whose thread has ended meanwhile is over, too.
  if (asker_ != 0 && now < turn_end_) {
    task.deadline = turn_end_;
    return task.wait(answers_);
  }
  if (asker_ != 0) {
    end_turn();
  }
  if (const int error = device_.client().ask(*this, static_cast<std::uint32_t>(channel), input)) {
    return -error;
  }
  asker_ = task.id;
  is_waiting_ = true;
  task.deadline = turn_end_ = now + kTimeLimit;
  return task.wait(answers_);
}

std::int64_t ClockFile::set(Task& task, ClockChannel channel, std::int64_t value) {
  std::array<char, 24> digits;
  guest::TextWriter text(digits);
  text.decimal(static_cast<std::uint64_t>(value));
  return ask(task, channel, text.view());
}

std::int64_t ClockFile::give_time(Task& task, std::uint64_t address) {
  const std::int64_t result = ask(task, ClockChannel::kSeconds);
  return result == 0 ? give(task, address, to_rtc_time(value_)) : result;
}

std::int64_t ClockFile::set_time(Task& task, std::uint64_t address) {
  if (!task.process->credentials.has(Capability::kSetTime)) {
    return -EACCES;
  }
  const auto wanted = task.process->space().read_value<rtc_time>(address);
  const auto seconds = wanted ? to_seconds(*wanted) : std::nullopt;
  return !wanted ? -EFAULT : !seconds ? -EINVAL : set(task, ClockChannel::kSeconds, *seconds);
}

std::int64_t ClockFile::give_alarm(Task& task, std::uint64_t address, bool is_whole) const {
  rtc_wkalrm alarm{};
  alarm.enabled = device_.alarm_is_enabled ? 1 : 0;
  alarm.time = to_rtc_time(device_.alarm);
  return is_whole ? give(task, address, alarm) : give(task, address, alarm.time);
}

// RTC_ALM_SET: the next time that it is so late. The alarm is enabled by RTC_AIE_ON.
std::int64_t ClockFile::set_alarm_of_day(Task& task, std::uint64_t address) {
  const auto wanted = task.process->space().read_value<rtc_time>(address);
  if (!wanted || !is_time_of_day(*wanted)) {
    return wanted ? -EINVAL : -EFAULT;
  }
  const std::int64_t result = ask(task, ClockChannel::kSeconds);
  if (result == 0) {
    const std::int64_t midnight = value_ - value_ % guest::kDaySeconds;
    const std::int64_t then = midnight + second_of_day(*wanted);
    device_.alarm = then < value_ ? then + guest::kDaySeconds : then;
    device_.alarm_is_enabled = false;
  }
  return result;
}

std::int64_t ClockFile::set_alarm(Task& task, std::uint64_t address) {
  const auto wanted = task.process->space().read_value<rtc_wkalrm>(address);
  const auto seconds = wanted ? to_seconds(wanted->time) : std::nullopt;
  if (!seconds) {
    return wanted ? -EINVAL : -EFAULT;
  }
  const bool on = wanted->enabled != 0;
  const std::int64_t result = set(task, ClockChannel::kAlarm, on ? *seconds : 0);
  if (result == 0) {
    device_.alarm = *seconds;
    device_.alarm_is_enabled = on;
  }
  return result;
}

// One whose time has come already rings at once.
std::int64_t ClockFile::enable_alarm(Task& task, bool on) {
  const std::int64_t result = set(task, ClockChannel::kAlarm, on ? device_.alarm : 0);
  if (result == 0) {
    device_.alarm_is_enabled = on && device_.alarm != 0;
  }
  if (result == -ETIME) {
    tell(RTC_AF, 1);
    return 0;
  }
  return result;
}

std::int64_t ClockFile::set_rate(Task& task, std::uint64_t rate) {
  if (rate > kMostRateOfAnybody && !task.process->credentials.has(Capability::kResources)) {
    return -EACCES;
  }
  if (rate == 0 || rate > kMostRate || (rate & (rate - 1)) != 0) {
    return -EINVAL;
  }
  rate_ = static_cast<std::uint32_t>(rate);
  return 0;
}

std::int64_t ClockFile::set_periodic(bool on) {
  if (on) {
    EventTimer::set(guest::monotonic_ns() + kSecond / rate_);
  } else {
    cancel();
  }
  return 0;
}

void ClockFile::expire() {
  const std::uint64_t period = kSecond / rate_;
  const std::uint64_t now = guest::monotonic_ns();
  const std::uint64_t count = 1 + (now - deadline()) / period;
  tell(RTC_PF, static_cast<std::uint32_t>(count));
  EventTimer::set(deadline() + count * period);
}

std::int64_t ClockFile::control(Task& task, std::uint64_t request, std::uint64_t argument) {
  switch (request) {
    case RTC_RD_TIME:
      return give_time(task, argument);
    case RTC_SET_TIME:
      return set_time(task, argument);
    case RTC_ALM_READ:
      return give_alarm(task, argument, false);
    case RTC_WKALM_RD:
      return give_alarm(task, argument, true);
    case RTC_ALM_SET:
      return set_alarm_of_day(task, argument);
    case RTC_WKALM_SET:
      return set_alarm(task, argument);
    case RTC_AIE_ON:
    case RTC_AIE_OFF:
      return enable_alarm(task, request == RTC_AIE_ON);
    case RTC_UIE_ON:
    case RTC_UIE_OFF:
      return set(task, ClockChannel::kUpdates, request == RTC_UIE_ON ? 1 : 0);
    case RTC_PIE_ON:
    case RTC_PIE_OFF:
      return set_periodic(request == RTC_PIE_ON);
    case RTC_IRQP_READ:
      return give(task, argument, std::uint64_t{rate_});
    case RTC_IRQP_SET:
      return set_rate(task, argument);
    default:
      return -ENOTTY;
  }
}

}  // namespace linux_server
