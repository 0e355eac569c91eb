#pragma once

#include <cstdint>

#include "guest-kernel/composer/server.h"
#include "guest-kernel/composer/services.h"
#include "guest-kernel/composer/system.h"
#include "guest-kernel/lib/system_call.h"

namespace composer {

// The composer after the boot: answers its port for as long as the machine runs.
class Supervisor {
 public:
  Supervisor(System& system, Services& services, LinuxServer& server)
      : system_(&system), services_(&services), server_(&server) {}

  [[noreturn]] void run();

 private:
  guest::Message answer(const guest::Received& call, bool& answered);
  void handle_fault(std::size_t domain, const guest::Message& fault);
  void handle_signals(std::uint64_t signals);
  bool handle_control(const guest::Message& request, guest::Message& reply);
  void begin_shutdown();
  void refresh();
  // True if all that the command wrote has left through the console.
  bool console_is_drained() const;

  System* system_;
  Services* services_;
  LinuxServer* server_;
  bool shutting_down_ = false;
  std::uint64_t exit_code_ = 0;
  Milestones milestones_;
};

}  // namespace composer
