#pragma once

#include <cstdint>
#include <string>

#include "control/ensemble/vmm/v1/vmm.pb.h"

namespace ensemble::control {

// What `ensemble run --report` writes about one run.
struct RunReport {
  std::string profile;
  std::string kernel_sha256;
  std::string accelerator;  // The host's KVM module, such as "kvm_amd".
  unsigned vcpus = 0;
  std::uint64_t memory_mib = 0;
  int exit_code = 0;
  ensemble::vmm::v1::Measurements measurements;
};

// The report as JSON with a final newline. Under "boot", intervals in microseconds; one whose ends
// the guest did not report is null, and so is a memory figure that was not taken:
//   vmm_start_to_entry_us   start of ensemble-vmm to the kernel's first instruction
//   entry_to_first_user_us  from there to the first ring-3 instruction
//   entry_to_command_us     from the kernel's first instruction to the start of the command
//   total_us                start of ensemble-vmm to the start of the command
// "missed_calls" has the name of each system call that a program made and the guest does not have
// ("number_N" where Linux has none either), and how often.
std::string to_json(const RunReport& report);

}  // namespace ensemble::control
