#pragma once

#include <linux/rtc.h>

#include <cstdint>
#include <string_view>

#include "guest-kernel/lib/clock_protocol.h"
#include "guest-kernel/linux/server/file.h"
#include "guest-kernel/linux/server/files/clock_device.h"
#include "guest-kernel/linux/server/ipc/event_timer.h"
#include "guest-kernel/linux/server/task.h"

namespace linux_server {

// An open /dev/rtc0: Linux's rtc-dev. Calls that the driver has to answer are made one at a time.
class ClockFile : public File, private ChipQuestion, private EventTimer {
 public:
  // `device` outlives this, and has no other file.
  ClockFile(Node& node, std::uint32_t flags, ClockDevice& device);
  ~ClockFile() override;

  bool is_seekable() const override { return false; }
  std::int64_t read(Task& task, const UserBuffer& buffer, std::uint64_t offset) override;
  std::int64_t control(Task& task, std::uint64_t request, std::uint64_t argument) override;
  std::uint32_t readiness() const override { return events_ != 0 ? kReadable : 0u; }
  WaitQueue* changes() override { return &changed_; }

  // So many interrupts have come: `flag` is RTC_UF, RTC_AF or RTC_PF.
  void tell(std::uint32_t flag, std::uint32_t count);

 private:
  void answered(int error, std::string_view text) override;
  void expire() override;

  // Has the driver answer. 0: it has, into `value_`; a negative errno, or kBlocked.
  std::int64_t ask(Task& task, guest::ClockChannel channel, std::string_view input = {});
  std::int64_t set(Task& task, guest::ClockChannel channel, std::int64_t value);
  void end_turn();

  std::int64_t give_time(Task& task, std::uint64_t address);
  std::int64_t set_time(Task& task, std::uint64_t address);
  std::int64_t give_alarm(Task& task, std::uint64_t address, bool is_whole) const;
  std::int64_t set_alarm_of_day(Task& task, std::uint64_t address);
  std::int64_t set_alarm(Task& task, std::uint64_t address);
  std::int64_t enable_alarm(Task& task, bool on);
  std::int64_t set_rate(Task& task, std::uint64_t rate);
  std::int64_t set_periodic(bool on);

  ClockDevice& device_;
  WaitQueue changed_;         // by interrupts
  std::uint64_t events_ = 0;  // what read() gives: flags, and above them a count
  // Of the question that is being asked.
  WaitQueue answers_;
  std::uint32_t asker_ = 0;  // the thread whose turn it is; 0: nobody's
  std::uint64_t turn_end_ = 0;
  bool is_waiting_ = false;
  int error_ = 0;
  std::int64_t value_ = 0;
  // Periodic interrupts, which no hardware is needed for.
  std::uint32_t rate_ = 1;  // Hz
};

}  // namespace linux_server
