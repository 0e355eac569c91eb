#pragma once

#include <linux/kvm.h>

#include <string>

#include "vmm/bus.h"
#include "vmm/error.h"
#include "vmm/exit_counts.h"
#include "vmm/guest_memory.h"
#include "vmm/kvm.h"
#include "vmm/state.h"

// What a vCPU does its own way on each architecture.
namespace ensemble::vmm::arch {

// Prepares a new vCPU: CPUID, and which registers KVM shows in the run area.
Result<void> initialize_vcpu(const Kvm& kvm, int vcpu_fd, kvm_run& run, unsigned index,
                             unsigned count);

// Answers KVM_EXIT_IO. Only ring 0 reaches the bus (docs/machine.md): a read of ring 3 is all ones,
// a write is dropped, and both are counted.
void handle_port_exit(kvm_run& run, Bus& port_bus, ExitCounts& exits);

// "in ring 0 at 0x1234 (bytes 0f 0b …)", for errors. The vCPU does not run.
std::string describe_position(int vcpu_fd, const GuestMemory& memory);

// All registers of a vCPU that does not run.
Result<void> save_vcpu(const Kvm& kvm, int vcpu_fd, StateWriter& writer);
Result<void> restore_vcpu(const Kvm& kvm, int vcpu_fd, StateReader& reader);

}  // namespace ensemble::vmm::arch
