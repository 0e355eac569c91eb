#pragma once

#include <cstdint>
#include <string_view>

#include "guest-kernel/abi/boot_info.h"
#include "guest-kernel/composer/machine.h"

namespace composer {

// Exit code of a machine that failed by itself, as `ensemble run` has it.
inline constexpr std::uint64_t kFailureCode = 125;

// TSC values of docs/machine.md's milestones; 0: not reached.
struct Milestones {
  std::uint64_t kernel_entry = 0;
  std::uint64_t first_user = 0;
  std::uint64_t command_started = 0;
  std::uint64_t command_ended = 0;
};

// Ends the machine: through machine control where it has one, else as QEMU's machines end.
class Power {
 public:
  // `machine` outlives this.
  constexpr explicit Power(const Machine& machine) : machine_(&machine) {}

  [[noreturn]] void off(std::uint64_t exit_code, const Milestones& milestones) const;
  // Tells machine control, where there is one, of a system call that programs missed.
  void report_missed_call(std::uint32_t number, std::uint32_t count) const;
  [[noreturn]] void reset() const;
  // Says why on the 16550, then powers off with kFailureCode.
  [[noreturn]] void fail(std::string_view sentence, std::string_view detail = {}) const;

 private:
  // The registers, mapped on first use; nullptr if there are none.
  volatile std::uint32_t* registers() const;

  const Machine* machine_;
  mutable volatile std::uint32_t* registers_ = nullptr;
};

}  // namespace composer
