#include "cpuid_template.h"

#include <cpuid.h>

#include <algorithm>
#include <bit>

#include "kvm_list.h"

namespace ensemble::vmm::arch {
namespace {

constexpr uint32_t bit(unsigned number) {
  return uint32_t{1} << number;
}

// Leaf 1.
constexpr uint32_t kMonitor = bit(3);  // ECX from here.
constexpr uint32_t kFma = bit(12);
constexpr uint32_t kPcid = bit(17);
constexpr uint32_t kX2Apic = bit(21);
constexpr uint32_t kTscDeadline = bit(24);
constexpr uint32_t kXsave = bit(26) | bit(27);  // With OSXSAVE.
constexpr uint32_t kAvx = bit(28);
constexpr uint32_t kF16c = bit(29);
constexpr uint32_t kHypervisor = bit(31);
constexpr uint32_t kHtt = bit(28);  // EDX.

constexpr uint32_t kHiddenLeaf1Ecx = kMonitor | kFma | kPcid | kXsave | kAvx | kF16c;
// SSE3, PCLMULQDQ, SSSE3, SSE4.1, SSE4.2, MOVBE, POPCNT, AES, RDRAND.
constexpr uint32_t kRing3Leaf1Ecx =
    bit(0) | bit(1) | bit(9) | bit(19) | bit(20) | bit(22) | bit(23) | bit(25) | bit(30);

// Leaf 7, subleaf 0. Hidden: FSGSBASE, AVX2, SMEP, INVPCID, AVX-512 (F, DQ, IFMA, PF, ER, CD, BW,
// VL), SMAP.
constexpr uint32_t kHiddenLeaf7Ebx = bit(0) | bit(5) | bit(7) | bit(10) | bit(16) | bit(17) |
                                     bit(20) | bit(21) | bit(26) | bit(27) | bit(28) | bit(30) |
                                     bit(31);
// BMI1, BMI2, ERMS, RDSEED, ADX, SHA.
constexpr uint32_t kRing3Leaf7Ebx = bit(3) | bit(8) | bit(9) | bit(18) | bit(19) | bit(29);
// AVX-512 (VBMI, VBMI2, VNNI, BITALG, VPOPCNTDQ), PKU, OSPKE, shadow stacks, VAES, VPCLMULQDQ,
// LA57, RDPID.
constexpr uint32_t kHiddenLeaf7Ecx = bit(1) | bit(3) | bit(4) | bit(6) | bit(7) | bit(9) | bit(10) |
                                     bit(11) | bit(12) | bit(14) | bit(16) | bit(22);
// AVX-512 (4VNNIW, 4FMAPS, VP2INTERSECT, FP16), indirect branch tracking, AMX.
constexpr uint32_t kHiddenLeaf7Edx =
    bit(2) | bit(3) | bit(8) | bit(20) | bit(22) | bit(23) | bit(24) | bit(25);
constexpr uint32_t kRing3Leaf7Edx = bit(4);  // FSRM.

// Leaf 0x80000001. XOP, LWP, FMA4, TBM need XSAVE's state or are encoded like those that do.
constexpr uint32_t kHiddenExtendedEcx = bit(11) | bit(15) | bit(16) | bit(21);
constexpr uint32_t kRing3ExtendedEcx =
    bit(0) | bit(5) | bit(6) | bit(8);            // LAHF, LZCNT, SSE4A, prefetchw.
constexpr uint32_t kHiddenExtendedEdx = bit(27);  // RDTSCP.

struct Registers {
  uint32_t eax = 0;
  uint32_t ebx = 0;
  uint32_t ecx = 0;
  uint32_t edx = 0;
};

Registers host_cpuid(uint32_t leaf) {
  Registers registers;
  __get_cpuid_count(leaf, 0, &registers.eax, &registers.ebx, &registers.ecx, &registers.edx);
  return registers;
}

void apply_interpreted_ring0(CpuidTable& table) {
  if (auto* entry = table.find(1)) {
    entry->ecx = (entry->ecx | (host_cpuid(1).ecx & kRing3Leaf1Ecx)) & ~kHiddenLeaf1Ecx;
  }
  if (auto* entry = table.find(7)) {
    const Registers host = host_cpuid(7);
    entry->eax = 0;  // No further subleaves: they list AVX instructions.
    entry->ebx = (entry->ebx | (host.ebx & kRing3Leaf7Ebx)) & ~kHiddenLeaf7Ebx;
    entry->ecx &= ~kHiddenLeaf7Ecx;
    entry->edx = (entry->edx | (host.edx & kRing3Leaf7Edx)) & ~kHiddenLeaf7Edx;
  }
  if (auto* entry = table.find(0x80000001)) {
    entry->ecx =
        (entry->ecx | (host_cpuid(0x80000001).ecx & kRing3ExtendedEcx)) & ~kHiddenExtendedEcx;
    entry->edx &= ~kHiddenExtendedEdx;
  }
  table.remove(0xd);  // XSAVE's areas.
}

// Leaves 0xB and 0x1F: extended topology. One thread per core, all cores in one package.
void set_extended_topology(CpuidTable& table, uint32_t leaf, const CpuidOptions& options) {
  const auto id_bits = static_cast<uint32_t>(std::bit_width(options.vcpu_count - 1));
  constexpr uint32_t kThreadLevel = 1;
  constexpr uint32_t kCoreLevel = 2;
  table.remove(leaf);
  const auto level = [&](uint32_t index, uint32_t shift, uint32_t threads, uint32_t type) {
    kvm_cpuid_entry2 entry = {};
    entry.function = leaf;
    entry.index = index;
    entry.flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
    entry.eax = shift;
    entry.ebx = threads;
    entry.ecx = index | type << 8;
    entry.edx = options.vcpu_index;
    table.set(entry);
  };
  level(0, 0, 1, kThreadLevel);
  level(1, id_bits, options.vcpu_count, kCoreLevel);
  level(2, 0, 0, 0);
}

// The topology that AMD's own leaves tell.
void set_amd_topology(CpuidTable& table, const CpuidOptions& options) {
  if (auto* entry = table.find(0x80000008)) {
    const auto id_bits = static_cast<uint32_t>(std::bit_width(options.vcpu_count - 1));
    entry->ecx = (entry->ecx & ~uint32_t{0xf0ff}) | id_bits << 12 | (options.vcpu_count - 1);
  }
  if (auto* entry = table.find(0x8000001e); entry != nullptr) {
    entry->eax = options.vcpu_index;
    entry->ebx = options.vcpu_index;  // Core ID; one thread per core.
    entry->ecx = 0;                   // One node.
  }
  // Legacy multi-core mode: cores rather than threads share the package.
  if (auto* entry = table.find(0x80000001)) {
    entry->ecx = options.vcpu_count > 1 ? entry->ecx | bit(1) : entry->ecx & ~bit(1);
  }
}

// Leaves 4 (Intel) and 0x8000001D (AMD): which vCPUs share a cache. Level 3 is shared by all, the
// others by none.
void set_cache_sharing(CpuidTable& table, uint32_t leaf, const CpuidOptions& options) {
  for (uint32_t subleaf = 0;; ++subleaf) {
    auto* entry = table.find(leaf, subleaf);
    if (entry == nullptr || (entry->eax & 0x1f) == 0) {
      return;
    }
    const uint32_t cache_level = (entry->eax >> 5) & 7;
    const uint32_t sharing = cache_level >= 3 ? options.vcpu_count - 1 : 0;
    entry->eax = (entry->eax & 0x3fff) | sharing << 14;
    if (leaf == 4) {
      entry->eax |= (options.vcpu_count - 1) << 26;
    }
  }
}

bool is_amd(CpuidTable& table) {
  const auto* entry = table.find(0);
  return entry != nullptr && entry->ebx != signature_INTEL_ebx;
}

}  // namespace

Result<CpuidTable> CpuidTable::supported(const Kvm& kvm) {
  constexpr size_t kEntryLimit = 256;
  CpuidList list(kEntryLimit);
  if (auto got =
          kvm_ioctl(kvm.fd(), kGetSupportedCpuid, list.data(), "KVM does not tell its CPUID");
      !got) {
    return std::unexpected(got.error());
  }
  return CpuidTable({list.entries().begin(), list.entries().end()});
}

Result<void> CpuidTable::give_to(int vcpu_fd) const {
  CpuidList list(entries_);
  if (auto set = kvm_ioctl(vcpu_fd, kSetCpuid, list.data(), "KVM refuses the CPUID"); !set) {
    return std::unexpected(set.error());
  }
  return {};
}

kvm_cpuid_entry2* CpuidTable::find(uint32_t leaf, uint32_t subleaf) {
  auto found = std::ranges::find_if(entries_, [&](const kvm_cpuid_entry2& entry) {
    return entry.function == leaf &&
           (entry.index == subleaf || (entry.flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX) == 0);
  });
  return found == entries_.end() ? nullptr : &*found;
}

void CpuidTable::set(const kvm_cpuid_entry2& entry) {
  if (auto* existing = find(entry.function, entry.index)) {
    *existing = entry;
  } else {
    entries_.push_back(entry);
  }
}

void CpuidTable::remove(uint32_t leaf) {
  std::erase_if(entries_, [&](const kvm_cpuid_entry2& entry) { return entry.function == leaf; });
}

void apply_cpuid_template(CpuidTable& table, const CpuidOptions& options) {
  if (auto* entry = table.find(1)) {
    entry->ebx = (entry->ebx & 0xffff) | options.vcpu_count << 16 | options.vcpu_index << 24;
    entry->ecx |= kHypervisor | kX2Apic;
    entry->ecx = options.tsc_deadline ? entry->ecx | kTscDeadline : entry->ecx & ~kTscDeadline;
    entry->edx = options.vcpu_count > 1 ? entry->edx | kHtt : entry->edx & ~kHtt;
  }
  set_extended_topology(table, 0xb, options);
  if (table.find(0x1f) != nullptr) {
    set_extended_topology(table, 0x1f, options);
  }
  if (is_amd(table)) {
    set_amd_topology(table, options);
    set_cache_sharing(table, 0x8000001d, options);
  } else {
    set_cache_sharing(table, 4, options);
  }
  if (options.ring0 == Ring0::kInterpreted) {
    apply_interpreted_ring0(table);
  }
}

}  // namespace ensemble::vmm::arch
