#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "guest-kernel/drivers/driver_protocol.h"
#include "guest-kernel/lib/device_protocol.h"
#include "guest-kernel/lib/fixed_vector.h"
#include "guest-kernel/lib/start_info.h"

namespace driver {

// What every driver does with its StartInfo: finds what it was given, tells the supervisor how it
// is, waits for interrupts and clients.
class Driver {
 public:
  explicit Driver(guest::StartInfo& info) : info_(&info) {}

  // Gives up with a message if the composer did not give it.
  const guest::Resource& need(guest::Role role, std::string_view what);
  const guest::Resource* find(guest::Role role) const { return info_->find(role); }
  guest::Receiver receiver() const {
    return guest::Receiver(info_->slot_of(guest::Role::kOwnPort));
  }

  // Shown by /bin/devices; before running().
  void add_property(std::string_view name, std::uint64_t value);
  void running();
  // Answers the callers that wait with an error, tells the supervisor, and ends the thread.
  [[noreturn]] void fail(std::string_view message);

  void signal_client() const { guest::signal(info_->slot_of(guest::Role::kClient)); }
  void signal_supervisor() const { guest::signal(info_->slot_of(guest::Role::kSupervisor)); }

  // Blocks for the next call, which reply() has to answer, or notification.
  guest::Received receive();
  void reply(std::uint64_t token, const guest::Message& answer);

  // For drivers that nothing is asked of by a call: gives `work` the signals that came, for good,
  // and the client's at once.
  template <typename Work>
  [[noreturn]] void serve_signals(Work work) {
    std::uint64_t signals = kClientSignal;
    for (;;) {
      work(signals);
      const guest::Received received = receive();
      signals = received.is_notification() ? received.signals() : 0;
      if (!received.is_notification()) {
        reply(received.token, {{static_cast<std::uint64_t>(guest::DeviceStatus::kBadRequest)}});
      }
    }
  }

  // A level-triggered line has to be acknowledged, an edge-triggered one not.
  bool interrupt_is_level() const { return find(guest::Role::kInterrupt) != nullptr; }
  void acknowledge_interrupt() const {
    guest::acknowledge_interrupt(info_->slot_of(guest::Role::kInterrupt));
  }

 private:
  static constexpr std::size_t kMostCallers = 64;  // more than any driver keeps waiting

  guest::StartInfo* info_;
  guest::FixedVector<std::uint64_t, kMostCallers> waiting_;  // tokens
};

// The bytes of a mapped resource.
inline std::span<std::byte> bytes_of(const guest::Resource& resource) {
  return {reinterpret_cast<std::byte*>(resource.address), resource.size};
}

}  // namespace driver
