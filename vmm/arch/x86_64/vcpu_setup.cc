#include <algorithm>
#include <array>

#include "cpuid_template.h"
#include "vcpu_arch.h"
#include "vmm/kvm_kind.h"

namespace ensemble::vmm::arch {

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
