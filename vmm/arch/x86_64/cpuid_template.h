#pragma once

#include <linux/kvm.h>

#include <cstdint>
#include <vector>

#include "vmm/error.h"
#include "vmm/kvm.h"
#include "vmm/kvm_kind.h"

namespace ensemble::vmm::arch {

// What the CPUID instruction answers in a guest.
class CpuidTable {
 public:
  explicit CpuidTable(std::vector<kvm_cpuid_entry2> entries) : entries_(std::move(entries)) {}

  // What this host's KVM supports.
  static Result<CpuidTable> supported(const Kvm& kvm);

  // Makes it the answers of a vCPU that has not run.
  Result<void> give_to(int vcpu_fd) const;

  // The entry for a leaf and subleaf, or null.
  kvm_cpuid_entry2* find(uint32_t leaf, uint32_t subleaf = 0);

  // Adds an entry, or replaces the one for its leaf and subleaf.
  void set(const kvm_cpuid_entry2& entry);

  // Removes a leaf with all its subleaves.
  void remove(uint32_t leaf);

  const std::vector<kvm_cpuid_entry2>& entries() const { return entries_; }

 private:
  std::vector<kvm_cpuid_entry2> entries_;
};

// What a vCPU's CPUID depends on besides the host.
struct CpuidOptions {
  unsigned vcpu_index = 0;  // Also its APIC ID.
  unsigned vcpu_count = 1;
  Ring0 ring0 = Ring0::kNative;
  bool tsc_deadline = true;  // KVM offers the TSC deadline timer.
};

// Makes the host's table that of one vCPU: its APIC ID, a topology of one package with one thread
// per core, the TSC deadline timer, the hypervisor bit.
//
// Where ring 0 is interpreted, it also hides what a kernel would use and the interpreter cannot run
// (the XSAVE and AVX families, SMEP, SMAP, INVPCID, PCID, FSGSBASE, RDTSCP, RDPID, MONITOR), and
// shows what the host CPU has and ring 3 runs natively with no state beyond FXSAVE's (SSE3 to
// SSE4.2, POPCNT, AES, BMI and the like), which such a KVM leaves out. Only ring 0 is sure to see
// all this: where the processor cannot trap CPUID, ring 3 is answered by the processor itself.
void apply_cpuid_template(CpuidTable& table, const CpuidOptions& options);

}  // namespace ensemble::vmm::arch
