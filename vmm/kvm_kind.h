#pragma once

#include <string>

#include "vmm/error.h"

namespace ensemble::vmm {

// How this host's KVM runs a guest's ring 0.
enum class Ring0 {
  kNative,       // By the CPU (VT-x, AMD-V).
  kInterpreted,  // Instruction by instruction (paravirtual KVM): see docs/machine.md.
};

struct Ring0Measurement {
  double ring0_ns_per_instruction = 0;
  double ring3_ns_per_instruction = 0;
  Ring0 ring0 = Ring0::kNative;
};

// From the host's kernel modules; takes microseconds. kNative where they do not tell.
Ring0 detect_ring0();

// Runs the same loop in ring 0 and in ring 3 of a small VM and compares. Takes some milliseconds.
Result<Ring0Measurement> measure_ring0(const std::string& kvm_path = "/dev/kvm");

// Name of the kernel module that provides KVM: "kvm_pvm", "kvm_amd", "kvm_intel"; "kvm" if unknown.
std::string kvm_module_name();

}  // namespace ensemble::vmm
