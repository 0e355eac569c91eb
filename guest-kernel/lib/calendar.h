#pragma once

#include <cstdint>

// Days since 1970-01-01 and dates of the Gregorian calendar, for the years 0 to 9999.
namespace guest {

inline constexpr std::int64_t kDaySeconds = 86'400;

struct Date {
  std::int32_t year;
  std::int32_t month;  // 1 … 12
  std::int32_t day;    // 1 …
};

constexpr bool is_leap_year(std::int32_t year) {
  return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

constexpr std::int32_t days_of_month(std::int32_t year, std::int32_t month) {
  const bool is_short = month == 4 || month == 6 || month == 9 || month == 11;
  return month == 2 ? (is_leap_year(year) ? 29 : 28) : is_short ? 30 : 31;
}

// 0 … 365: since the first of January.
constexpr std::int32_t day_of_year(const Date& date) {
  std::int32_t days = date.day - 1;
  for (std::int32_t month = 1; month < date.month; ++month) {
    days += days_of_month(date.year, month);
  }
  return days;
}

// Leap years before `year`, from the year 0 on.
constexpr std::int64_t leap_years_before(std::int32_t year) {
  return year == 0 ? 0 : (year - 1) / 4 - (year - 1) / 100 + (year - 1) / 400 + 1;
}

constexpr std::int64_t days_since_epoch(const Date& date) {
  constexpr std::int64_t kEpoch = std::int64_t{1970} * 365 + leap_years_before(1970);
  return std::int64_t{date.year} * 365 + leap_years_before(date.year) + day_of_year(date) - kEpoch;
}

constexpr Date date_of(std::int64_t days) {
  // The year by its average length is wrong by one at most.
  auto year = static_cast<std::int32_t>(1970 + days * 400 / 146'097);
  while (days < days_since_epoch({year, 1, 1})) {
    --year;
  }
  while (days >= days_since_epoch({year + 1, 1, 1})) {
    ++year;
  }
  auto day = static_cast<std::int32_t>(days - days_since_epoch({year, 1, 1}));
  std::int32_t month = 1;
  for (; day >= days_of_month(year, month); ++month) {
    day -= days_of_month(year, month);
  }
  return {year, month, day + 1};
}

// 0: Sunday.
constexpr std::int32_t weekday_of(std::int64_t days) {
  return static_cast<std::int32_t>(((days + 4) % 7 + 7) % 7);
}

}  // namespace guest
