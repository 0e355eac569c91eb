#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "device-model/chips/state_fields.h"
#include "device-model/machine_layout.h"
#include "vmm/bus.h"
#include "vmm/state.h"

namespace ensemble::device {

// What a real-time clock is connected to. Called with the device lock held.
class ClockHost {
 public:
  virtual ~ClockHost() = default;

  // Nanoseconds since 1970, UTC.
  virtual std::int64_t real_time() const = 0;

  // An edge on the clock's interrupt line.
  virtual void interrupt() = 0;

  // Has CmosClock::wake() called once, `delay` nanoseconds from now or soon after; replaces what
  // was asked for before. A clock asks only while an enabled interrupt of its has not been sent.
  virtual void wake_after(std::optional<std::int64_t> delay) = 0;
};

// The PC's real-time clock: a Motorola MC146818 with 128 bytes behind an index and a data port. It
// shows UTC. Time is computed when it is looked at; nothing runs meanwhile. What a guest sets is
// kept as the distance from the host's time. The day of the week follows from the date, and parts
// of a date that do not exist are taken as the nearest ones that do.
class CmosClock final : public vmm::BusDevice, public vmm::Stateful {
 public:
  static constexpr std::uint64_t kSize = kClockPortCount;

  // `host` outlives the clock.
  explicit CmosClock(ClockHost& host);

  // The time that the clock asked for by wake_after has come.
  void wake();

  std::string_view name() const override { return "real-time-clock"; }
  void read(std::uint64_t offset, std::span<std::byte> data) override;
  void write(std::uint64_t offset, std::span<const std::byte> data) override;

  std::string state_tag() const override { return "real-time-clock"; }
  std::uint32_t state_version() const override { return 1; }
  Result<void> save(vmm::StateWriter& writer) const override;
  Result<void> restore(vmm::StateReader& reader, std::uint32_t version) override;

 private:
  // True while a guest sets the time, or holds the divider: the clock stands still.
  bool stands() const;
  std::int64_t time() const;    // The guest's, ns since 1970.
  std::int64_t period() const;  // Of periodic interrupts, ns; 0: there are none.
  std::optional<std::int64_t> next_alarm(std::int64_t after) const;

  std::uint8_t load(std::uint8_t index);
  void store(std::uint8_t index, std::uint8_t value);
  void advance();
  void show(std::int64_t time);
  void take_shown(bool divider_was_held);
  void update_interrupt();
  void exchange(StateFields& state);

  std::uint8_t encode(int value) const;  // As the data mode says.
  int decode(std::uint8_t value) const;
  std::uint8_t encode_hour(int hour) const;
  int decode_hour(std::uint8_t value) const;

  ClockHost& host_;
  std::array<std::uint8_t, 128> registers_{};
  std::uint8_t index_ = 0;
  std::int64_t distance_ = 0;  // ns, from the host's time to the guest's.
  std::int64_t seen_ = 0;      // The guest's time up to which flags are set.
  bool requested_ = false;     // The interrupt output before it was made an edge.
};

}  // namespace ensemble::device
