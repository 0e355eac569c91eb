#include "vmm/kvm_kind.h"

#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>

#include "vmm/guest_memory.h"
#include "vmm/kvm.h"
#include "vmm/vm.h"

namespace ensemble::vmm {
namespace {

constexpr uint64_t kMebibyte = 1024 * 1024;
constexpr uint64_t kCode = 0x100000;
constexpr uint64_t kPageMapLevel4 = 0x2000;
constexpr uint64_t kPageDirectoryPointers = 0x3000;
constexpr uint64_t kLowPages = 0x4000;
constexpr uint64_t kRegisterPages = 0x5000;
constexpr uint64_t kRegister = 0xd0000000;  // No memory: an access to it is an exit.

// An exit, `ecx` times a loop of two instructions, an exit.
constexpr std::array<uint8_t, 10> kLoop = {
    0x89, 0x03,  // mov %eax,(%rbx)
    0xff, 0xc9,  // dec %ecx
    0x75, 0xfc,  // jnz to dec
    0x89, 0x03,  // mov %eax,(%rbx)
    0xeb, 0xfe,  // jmp to itself
};

// Identity mapping of the first 2 MiB and of the register, open to both rings.
Result<void> prepare(const GuestMemory& memory) {
  constexpr uint64_t kTable = 0x7;  // Present, writable, user.
  constexpr uint64_t kLargePage = 0x87;
  constexpr uint64_t kRegisterPage = 0x97;  // Not cached.
  constexpr uint64_t kRegisterSlot = (kRegister % (1024 * kMebibyte)) / (2 * kMebibyte);
  const std::array<std::pair<uint64_t, uint64_t>, 5> entries = {{
      {kPageMapLevel4, kPageDirectoryPointers | kTable},
      {kPageDirectoryPointers, kLowPages | kTable},
      {kPageDirectoryPointers + 3 * sizeof(uint64_t), kRegisterPages | kTable},
      {kLowPages, kLargePage},
      {kRegisterPages + kRegisterSlot * sizeof(uint64_t), kRegister | kRegisterPage},
  }};
  for (const auto& [address, value] : entries) {
    if (auto stored = memory.store(address, value); !stored) {
      return stored;
    }
  }
  return memory.write(kCode, std::as_bytes(std::span(kLoop)));
}

// 64-bit mode in `ring`, at the loop.
Result<void> set_registers(int vcpu_fd, uint8_t ring, uint64_t iterations) {
  kvm_sregs sregs = {};
  if (auto got = kvm_ioctl(vcpu_fd, KVM_GET_SREGS, &sregs, "cannot read segments"); !got) {
    return std::unexpected(got.error());
  }
  kvm_segment code = {};
  code.limit = 0xffffffff;
  code.selector = static_cast<uint16_t>(0x08 | ring);
  code.type = 0xb;
  code.present = 1;
  code.dpl = ring;
  code.s = 1;
  code.l = 1;
  code.g = 1;
  kvm_segment data = code;
  data.selector = static_cast<uint16_t>(0x10 | ring);
  data.type = 3;
  data.l = 0;
  data.db = 1;
  sregs.cs = code;
  sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = data;
  sregs.cr3 = kPageMapLevel4;
  sregs.cr4 = 0x20;        // PAE.
  sregs.cr0 = 0x80000011;  // Paging, protection.
  sregs.efer = 0x500;      // Long mode, enabled and active.
  if (auto set = kvm_ioctl(vcpu_fd, KVM_SET_SREGS, &sregs, "cannot set segments"); !set) {
    return std::unexpected(set.error());
  }
  kvm_regs regs = {};
  regs.rip = kCode;
  regs.rbx = kRegister;
  regs.rcx = iterations;
  regs.rflags = 2;
  if (auto set = kvm_ioctl(vcpu_fd, KVM_SET_REGS, &regs, "cannot set registers"); !set) {
    return std::unexpected(set.error());
  }
  return {};
}

// One vCPU and its run area, for this file's short guests.
class ProbeVCpu {
 public:
  static Result<ProbeVCpu> create(const Vm& vm) {
    auto fd = kvm_ioctl(vm.fd(), KVM_CREATE_VCPU, 0, "KVM cannot make a vCPU");
    if (!fd) {
      return std::unexpected(fd.error());
    }
    ProbeVCpu vcpu;
    vcpu.descriptor_ = FileDescriptor(*fd);
    vcpu.size_ = vm.kvm().run_area_size();
    void* area = ::mmap(nullptr, vcpu.size_, PROT_READ | PROT_WRITE, MAP_SHARED, *fd, 0);
    if (area == MAP_FAILED) {
      return std::unexpected(Error::from_errno("cannot map the run area of a vCPU", errno));
    }
    vcpu.run_ = static_cast<kvm_run*>(area);
    return vcpu;
  }
  ProbeVCpu(ProbeVCpu&& other) noexcept
      : descriptor_(std::move(other.descriptor_)),
        run_(std::exchange(other.run_, nullptr)),
        size_(other.size_) {}
  ~ProbeVCpu() {
    if (run_ != nullptr) {
      ::munmap(run_, size_);
    }
  }

  int fd() const { return descriptor_.get(); }

  Result<void> run_to_register() {
    if (auto ran = kvm_ioctl(fd(), KVM_RUN, 0, "KVM cannot run the probe"); !ran) {
      return std::unexpected(ran.error());
    }
    if (run_->exit_reason != KVM_EXIT_MMIO) {
      return fail("the probe ended with exit reason {}", run_->exit_reason);
    }
    return {};
  }

 private:
  ProbeVCpu() = default;

  FileDescriptor descriptor_;
  kvm_run* run_ = nullptr;
  size_t size_ = 0;
};

// Nanoseconds for one instruction of the loop.
Result<double> measure(std::shared_ptr<Kvm> kvm, uint8_t ring, uint64_t iterations) {
  auto memory = GuestMemory::create(16 * kMebibyte);
  if (!memory) {
    return std::unexpected(memory.error());
  }
  if (auto prepared = prepare(*memory); !prepared) {
    return std::unexpected(prepared.error());
  }
  auto vm = Vm::create(std::move(kvm));
  if (!vm) {
    return std::unexpected(vm.error());
  }
  if (auto added = (*vm)->add_memory(*memory); !added) {
    return std::unexpected(added.error());
  }
  auto vcpu = ProbeVCpu::create(**vm);
  if (!vcpu) {
    return std::unexpected(vcpu.error());
  }
  if (auto set = set_registers(vcpu->fd(), ring, iterations); !set) {
    return std::unexpected(set.error());
  }
  if (auto started = vcpu->run_to_register(); !started) {
    return std::unexpected(started.error());
  }
  const auto start = std::chrono::steady_clock::now();
  if (auto ended = vcpu->run_to_register(); !ended) {
    return std::unexpected(ended.error());
  }
  const std::chrono::duration<double, std::nano> time = std::chrono::steady_clock::now() - start;
  return time.count() / (2.0 * static_cast<double>(iterations));
}

}  // namespace

std::string kvm_module_name() {
  // Only one of them can provide /dev/kvm at a time.
  for (const char* name : {"kvm_pvm", "kvm_intel", "kvm_amd"}) {
    if (::access((std::string("/sys/module/") + name).c_str(), F_OK) == 0) {
      return name;
    }
  }
  return "kvm";
}

Ring0 detect_ring0() {
  static const Ring0 detected =
      kvm_module_name() == "kvm_pvm" ? Ring0::kInterpreted : Ring0::kNative;
  return detected;
}

Result<Ring0Measurement> measure_ring0(const std::string& kvm_path) {
  // Few enough for an interpreter to end soon; where they end at once, many for precision. Where
  // KVM itself is emulated, few measure the way in and out: more decide.
  constexpr uint64_t kFew = 2000;
  constexpr uint64_t kMore = 20'000;
  constexpr uint64_t kMany = 2'000'000;
  constexpr double kInterpretedNs = 100;

  auto kvm = Kvm::open(kvm_path);
  if (!kvm) {
    return std::unexpected(kvm.error());
  }
  auto ring3 = measure(*kvm, 3, kMany);
  if (!ring3) {
    return std::unexpected(ring3.error());
  }
  auto ring0 = measure(*kvm, 0, kFew);
  if (ring0) {
    ring0 = measure(*kvm, 0, *ring0 < kInterpretedNs ? kMany : kMore);
  }
  if (!ring0) {
    return std::unexpected(ring0.error());
  }
  return Ring0Measurement{.ring0_ns_per_instruction = *ring0,
                          .ring3_ns_per_instruction = *ring3,
                          .ring0 = *ring0 >= kInterpretedNs ? Ring0::kInterpreted : Ring0::kNative};
}

}  // namespace ensemble::vmm
