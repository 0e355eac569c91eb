#include <cpuid.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "cpuid_template.h"
#include "vcpu_arch.h"
#include "vmm/kvm_kind.h"

namespace ensemble::vmm::arch {
namespace {

// True where this host's processor is QEMU's TCG (the hypervisor leaf's signature).
bool host_is_emulated_by_qemu() {
  constexpr uint32_t kHypervisorLeaf = 0x40000000;
  std::array<uint32_t, 4> leaf = {};
  __cpuid(kHypervisorLeaf, leaf[0], leaf[1], leaf[2], leaf[3]);
  return std::memcmp(&leaf[1], "TCGTCGTCGTCG", 12) == 0;
}

// QEMU's TCG (7.2) runs a nested guest's XSETBV without the exit that KVM asked for. KVM goes on
// with what it believes XCR0 to be, 1, and XSAVE leaves the vector registers out. There XCR0 starts
// with all that CPUID promises; guests set it before they use it, so none of them sees a
// difference.
Result<void> enable_promised_state(int vcpu_fd, CpuidTable& table) {
  const kvm_cpuid_entry2* promised = table.find(0xd, 0);
  if (promised == nullptr) {
    return {};
  }
  kvm_xcrs registers = {};
  registers.nr_xcrs = 1;
  registers.xcrs[0].xcr = 0;
  registers.xcrs[0].value = promised->eax | uint64_t{promised->edx} << 32;
  if (::ioctl(vcpu_fd, KVM_SET_XCRS, &registers) != 0) {
    return std::unexpected(Error::from_errno(
        fmt::format("KVM does not set XCR0 to {:#x}", registers.xcrs[0].value), errno));
  }
  return {};
}

}  // namespace

Result<void> initialize_vcpu(const Kvm& kvm, int vcpu_fd, kvm_run& run, unsigned index,
                             unsigned count) {
  auto supported = CpuidTable::supported(kvm);
  if (!supported) {
    return std::unexpected(supported.error());
  }
  apply_cpuid_template(*supported,
                       {.vcpu_index = index,
                        .vcpu_count = count,
                        .ring0 = detect_ring0(),
                        .tsc_deadline = kvm.capability(KVM_CAP_TSC_DEADLINE_TIMER) > 0});
  if (auto set = supported->give_to(vcpu_fd); !set) {
    return std::unexpected(set.error());
  }
  run.kvm_valid_regs = KVM_SYNC_X86_SREGS;
  if (detect_ring0() == Ring0::kNative && host_is_emulated_by_qemu()) {
    return enable_promised_state(vcpu_fd, *supported);
  }
  return {};
}

void handle_port_exit(kvm_run& run, Bus& port_bus, ExitCounts& exits) {
  const bool is_read = run.io.direction == KVM_EXIT_IO_IN;
  exits.count(is_read ? ExitReason::kPortRead : ExitReason::kPortWrite);
  const bool allowed = run.s.regs.sregs.ss.dpl != 3;
  if (!allowed) {
    exits.count_denied_port_access();
  }
  auto* data = reinterpret_cast<std::byte*>(&run) + run.io.data_offset;
  for (uint32_t i = 0; i < run.io.count; ++i) {
    const std::span access(data + size_t{i} * run.io.size, run.io.size);
    if (is_read) {
      std::ranges::fill(access, std::byte{0xff});
      if (allowed) {
        port_bus.read(run.io.port, access);
      }
    } else if (allowed) {
      port_bus.write(run.io.port, access);
    }
  }
}

std::string describe_position(int vcpu_fd, const GuestMemory& memory) {
  kvm_regs regs = {};
  kvm_sregs sregs = {};
  if (::ioctl(vcpu_fd, KVM_GET_REGS, &regs) != 0 || ::ioctl(vcpu_fd, KVM_GET_SREGS, &sregs) != 0) {
    return "at an unknown address";
  }
  const uint64_t address = sregs.cs.base + regs.rip;
  std::string text = fmt::format("in ring {} at {:#x}", sregs.ss.dpl, address);
  kvm_translation translation = {};
  translation.linear_address = address;
  if (::ioctl(vcpu_fd, KVM_TRANSLATE, &translation) != 0 || translation.valid == 0) {
    return text;
  }
  constexpr uint64_t kPageSize = 4096;
  std::array<std::byte, 15> bytes;  // The longest instruction.
  const uint64_t in_page = kPageSize - translation.physical_address % kPageSize;
  const auto instruction = std::span(bytes).first(std::min<uint64_t>(bytes.size(), in_page));
  if (!memory.read(translation.physical_address, instruction)) {
    return text;
  }
  text += " (bytes";
  for (std::byte byte : instruction) {
    text += fmt::format(" {:02x}", std::to_integer<unsigned>(byte));
  }
  return text + ")";
}

}  // namespace ensemble::vmm::arch
