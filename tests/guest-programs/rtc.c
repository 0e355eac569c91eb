// The real-time clock, as Linux's rtc-dev has it.
#include <fcntl.h>
#include <linux/rtc.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

static time_t seconds_of(const struct rtc_time* time) {
  struct tm parts = {.tm_sec = time->tm_sec,
                     .tm_min = time->tm_min,
                     .tm_hour = time->tm_hour,
                     .tm_mday = time->tm_mday,
                     .tm_mon = time->tm_mon,
                     .tm_year = time->tm_year};
  return timegm(&parts);
}

static struct rtc_time time_of(time_t seconds) {
  struct tm parts;
  gmtime_r(&seconds, &parts);
  return (struct rtc_time){.tm_sec = parts.tm_sec,
                           .tm_min = parts.tm_min,
                           .tm_hour = parts.tm_hour,
                           .tm_mday = parts.tm_mday,
                           .tm_mon = parts.tm_mon,
                           .tm_year = parts.tm_year};
}

static time_t now_of(int clock) {
  struct rtc_time time;
  CHECK(ioctl(clock, RTC_RD_TIME, &time) == 0);
  return seconds_of(&time);
}

static int is_ready(int clock, int milliseconds) {
  struct pollfd polled = {.fd = clock, .events = POLLIN};
  return poll(&polled, 1, milliseconds);
}

static unsigned long take(int clock) {
  unsigned long events = 0;
  CHECK(read(clock, &events, sizeof events) == sizeof events);
  return events;
}

static void check_time(int clock) {
  struct rtc_time shown;
  CHECK(ioctl(clock, RTC_RD_TIME, &shown) == 0);
  const time_t seconds = seconds_of(&shown);
  const long apart = (long)(time(NULL) - seconds);
  CHECK(apart >= -1 && apart <= 2);
  struct tm parts;
  gmtime_r(&seconds, &parts);
  CHECK(shown.tm_wday == parts.tm_wday && shown.tm_yday == parts.tm_yday && shown.tm_isdst == 0);

  // A leap day; all that follows happens on it.
  struct rtc_time leap = {.tm_year = 132, .tm_mon = 1, .tm_mday = 29, .tm_hour = 23, .tm_min = 30};
  CHECK(ioctl(clock, RTC_SET_TIME, &leap) == 0);
  const time_t set = seconds_of(&leap);
  CHECK(now_of(clock) >= set && now_of(clock) <= set + 2);
  leap.tm_year = 131;
  CHECK_ERROR(ioctl(clock, RTC_SET_TIME, &leap), EINVAL);
  CHECK_ERROR(ioctl(clock, RTC_RD_TIME, 8), EFAULT);
  CHECK_ERROR(ioctl(clock, RTC_SET_TIME, 8), EFAULT);
  CHECK_ERROR(ioctl(clock, RTC_EPOCH_READ, &leap), ENOTTY);
}

static void check_reading(int clock) {
  char byte[8];
  CHECK_ERROR(read(clock, byte, 3), EINVAL);
  CHECK_ERROR(read(clock, byte, 5), EINVAL);
  CHECK(is_ready(clock, 0) == 0);
  const int flags = fcntl(clock, F_GETFL);
  CHECK(fcntl(clock, F_SETFL, flags | O_NONBLOCK) == 0);
  CHECK_ERROR(read(clock, byte, 8), EAGAIN);
  CHECK(fcntl(clock, F_SETFL, flags) == 0);
  CHECK_ERROR(open("/dev/rtc0", O_RDONLY), EBUSY);
}

static void check_updates(int clock) {
  CHECK(ioctl(clock, RTC_UIE_ON, 0) == 0);
  CHECK(is_ready(clock, 3000) == 1);
  const unsigned long first = take(clock);
  CHECK((first & 0xff) == (RTC_IRQF | RTC_UF) && first >> 8 >= 1);
  const time_t before = now_of(clock);
  unsigned int half = 0;
  CHECK(read(clock, &half, sizeof half) == sizeof half);
  CHECK((half & 0xff) == (RTC_IRQF | RTC_UF));
  CHECK(now_of(clock) > before);
  CHECK(ioctl(clock, RTC_UIE_OFF, 0) == 0);
  while (is_ready(clock, 0) == 1) {
    take(clock);
  }
  CHECK(is_ready(clock, 1500) == 0);
}

static void check_alarms(int clock) {
  struct rtc_wkalrm alarm = {.enabled = 1, .time = time_of(now_of(clock) + 2)};
  CHECK(ioctl(clock, RTC_WKALM_SET, &alarm) == 0);
  struct rtc_wkalrm shown;
  CHECK(ioctl(clock, RTC_WKALM_RD, &shown) == 0);
  CHECK(shown.enabled == 1 && shown.pending == 0);
  CHECK(seconds_of(&shown.time) == seconds_of(&alarm.time));
  CHECK(is_ready(clock, 5000) == 1);
  CHECK((take(clock) & 0xff) == (RTC_IRQF | RTC_AF));
  CHECK(now_of(clock) >= seconds_of(&alarm.time));
  CHECK(ioctl(clock, RTC_WKALM_RD, &shown) == 0 && shown.enabled == 0);

  // By the time of day, and off before it comes.
  struct rtc_time later = time_of(now_of(clock) + 2);
  CHECK(ioctl(clock, RTC_ALM_SET, &later) == 0);
  struct rtc_time told;
  CHECK(ioctl(clock, RTC_ALM_READ, &told) == 0);
  CHECK(seconds_of(&told) == seconds_of(&later));
  CHECK(ioctl(clock, RTC_AIE_ON, 0) == 0);
  CHECK(ioctl(clock, RTC_AIE_OFF, 0) == 0);
  CHECK(is_ready(clock, 2500) == 0);

  // Tomorrow, yesterday, in two days, and never.
  struct rtc_time earlier = time_of(now_of(clock) - 60);
  CHECK(ioctl(clock, RTC_ALM_SET, &earlier) == 0);
  CHECK(ioctl(clock, RTC_ALM_READ, &told) == 0);
  CHECK(seconds_of(&told) == seconds_of(&earlier) + 86400);
  alarm.time = earlier;
  CHECK_ERROR(ioctl(clock, RTC_WKALM_SET, &alarm), ETIME);
  alarm.time = time_of(now_of(clock) + 2 * 86400);
  CHECK_ERROR(ioctl(clock, RTC_WKALM_SET, &alarm), EINVAL);
  alarm.time.tm_mon = 12;
  CHECK_ERROR(ioctl(clock, RTC_WKALM_SET, &alarm), EINVAL);
}

static void check_periods(int clock) {
  unsigned long rate = 0;
  CHECK(ioctl(clock, RTC_IRQP_SET, 16) == 0);
  CHECK(ioctl(clock, RTC_IRQP_READ, &rate) == 0 && rate == 16);
  CHECK_ERROR(ioctl(clock, RTC_IRQP_SET, 5), EINVAL);
  CHECK(ioctl(clock, RTC_PIE_ON, 0) == 0);
  unsigned long count = 0;
  while (count < 8) {
    const unsigned long events = take(clock);
    CHECK((events & 0xff) == (RTC_IRQF | RTC_PF));
    count += events >> 8;
  }
  CHECK(ioctl(clock, RTC_PIE_OFF, 0) == 0);
}

int main(void) {
  const int clock = open("/dev/rtc", O_RDWR);
  CHECK(clock >= 0);
  struct stat status;
  CHECK(fstat(clock, &status) == 0 && S_ISCHR(status.st_mode));
  check_time(clock);
  check_reading(clock);
  check_updates(clock);
  check_alarms(clock);
  check_periods(clock);
  // Who closes it ends its updates, and makes room for the next.
  CHECK(ioctl(clock, RTC_UIE_ON, 0) == 0);
  CHECK(close(clock) == 0);
  const int again = open("/dev/rtc0", O_RDONLY);
  CHECK(again >= 0);
  CHECK(is_ready(again, 1500) == 0);
  return finish();
}
