#include "guest-kernel/lib/calendar.h"

#include <chrono>

namespace guest {
namespace {

using std::chrono::days;
using std::chrono::sys_days;

TEST(Calendar, AgreesWithTheLibraryOnEachDayOfTenThousandYears) {
  using std::chrono::year;
  const std::int64_t first = sys_days(year(0) / 1 / 1).time_since_epoch().count();
  const std::int64_t last = sys_days(year(9999) / 12 / 31).time_since_epoch().count();
  for (std::int64_t day = first; day <= last; ++day) {
    const std::chrono::year_month_day expected{sys_days(days(static_cast<int>(day)))};
    const Date date = date_of(day);
    ASSERT_EQ(date.year, static_cast<int>(expected.year())) << day;
    ASSERT_EQ(date.month, static_cast<int>(static_cast<unsigned>(expected.month()))) << day;
    ASSERT_EQ(date.day, static_cast<int>(static_cast<unsigned>(expected.day()))) << day;
    ASSERT_EQ(days_since_epoch(date), day);
    ASSERT_EQ(weekday_of(day),
              static_cast<int>(std::chrono::weekday(sys_days(expected)).c_encoding()));
  }
}

TEST(Calendar, CountsTheDaysOfAYear) {
  EXPECT_EQ(day_of_year({2023, 12, 31}), 364);
  EXPECT_EQ(day_of_year({2024, 12, 31}), 365);
  EXPECT_EQ(days_of_month(2000, 2), 29);
  EXPECT_EQ(days_of_month(1900, 2), 28);
}

}  // namespace
}  // namespace guest
