#pragma once

#include <cstdint>

#include "guest-kernel/linux/server/directory.h"
#include "guest-kernel/linux/server/file.h"
#include "guest-kernel/linux/server/files/chip_client.h"
#include "guest-kernel/linux/server/result.h"

namespace linux_server {

class ClockFile;

inline constexpr std::uint32_t kClockDevice = 254 << 8 | 0;

// The machine's real-time clock: what outlives the one file that may be open on it.
class ClockDevice {
 public:
  explicit ClockDevice(ChipClient& client) : client_(&client) {}
  ClockDevice(const ClockDevice&) = delete;
  ClockDevice& operator=(const ClockDevice&) = delete;

  ChipClient& client() const { return *client_; }
  bool is_open() const { return file_ != nullptr; }
  void open(ClockFile& file);
  // Updates end; an alarm stays set, and nobody is told of it.
  void close();
  // The driver has signalled.
  void look();

  // The alarm that was set last: seconds since 1970; 0: none yet.
  std::int64_t alarm = 0;
  bool alarm_is_enabled = false;

 private:
  // Tells the driver to end updates; nobody waits for its answer.
  class Silence : public ChipQuestion {
   public:
    bool is_asked = false;

   private:
    void answered(int /*error*/, std::string_view /*text*/) override { is_asked = false; }
  };

  ChipClient* client_;
  ClockFile* file_ = nullptr;
  Silence silence_;
  std::uint32_t updates_ = 0;  // that were seen
  std::uint32_t alarms_ = 0;
};

// /dev/rtc0 with /dev/rtc, and /sys/class/rtc; nothing where the machine has no such clock. False:
// no memory.
bool add_clock_nodes(Directory& devices);
bool add_clock_files(Directory& root);
// ENXIO: there is no clock. EBUSY: it is open. ENOMEM.
Result<Reference<File>> open_clock(Node& node, std::uint32_t flags);
// The driver has signalled.
void take_clock_events();

}  // namespace linux_server
