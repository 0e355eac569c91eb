#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "vmm/boot_source.h"
#include "vmm/clock_sample.h"
#include "vmm/error.h"
#include "vmm/guest_memory.h"
#include "vmm/state.h"
#include "vmm/vm.h"

// What a VM does its own way on each architecture.
namespace ensemble::vmm::arch {

// Gives a new VM its interrupt controller. Before its vCPUs are made.
Result<void> initialize_vm(const Vm& vm);

// The VM's components with state besides vCPUs: interrupt controller and clock.
std::vector<std::unique_ptr<Stateful>> make_vm_components(std::shared_ptr<Vm> vm);

// Puts what `source` names into memory, and vCPU 0 at the kernel's entry. Linux is an Error where
// ring 0 is interpreted.
Result<void> load(GuestMemory& memory, const BootSource& source, int vcpu_fd);

// Frequency of the vCPU's time-stamp counter, in kHz.
Result<uint32_t> tsc_khz(int vcpu_fd);

// The vCPU's time-stamp counter now. The vCPU does not run.
Result<ClockSample> sample_clock(int vcpu_fd);

}  // namespace ensemble::vmm::arch
