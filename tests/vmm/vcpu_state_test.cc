#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

#include "test_support.h"
#include "vmm/arch/x86_64/kvm_list.h"
#include "vmm/arch/x86_64/vcpu_arch.h"
#include "vmm/file_descriptor.h"
#include "vmm/kvm.h"

namespace ensemble::vmm {
namespace {

// A vCPU of a machine without memory, which never runs.
struct IdleVcpu {
  FileDescriptor machine;
  FileDescriptor vcpu;
};

IdleVcpu make_vcpu(const Kvm& kvm) {
  IdleVcpu made;
  made.machine = FileDescriptor(::ioctl(kvm.fd(), KVM_CREATE_VM, 0));
  EXPECT_EQ(::ioctl(made.machine.get(), KVM_CREATE_IRQCHIP, 0), 0);
  made.vcpu = FileDescriptor(::ioctl(made.machine.get(), KVM_CREATE_VCPU, 0));
  kvm_run run = {};
  const auto initialized = arch::initialize_vcpu(kvm, made.vcpu.get(), run, 0, 1);
  EXPECT_TRUE(initialized) << error_of(initialized);
  return made;
}

// Intel's SDM, volume 1, 13.4: the legacy area, the header, the upper halves of YMM.
constexpr size_t kHeader = 512;
constexpr size_t kUpperHalves = 576;
constexpr size_t kUpperHalvesSize = 256;
constexpr uint64_t kThroughAvx = 7;

// KVM writes as many bytes as it says.
std::vector<char> vector_state(const Kvm& kvm, int vcpu) {
  const int size = kvm.capability(KVM_CAP_XSAVE2);
  std::vector<char> state(std::max(arch::kXsaveSize, static_cast<size_t>(size)));
  EXPECT_EQ(::ioctl(vcpu, size > 0 ? arch::kGetXsave2 : arch::kGetXsave, state.data()), 0)
      << std::strerror(errno);
  return state;
}

// Programs use them wherever the processor has them, whatever the vCPU's CPUID says where KVM
// interprets ring 0 and cannot hide what ring 3 sees.
TEST(VcpuState, HoldsTheUpperHalvesOfWideRegisters) {
  if (!__builtin_cpu_supports("avx")) {
    GTEST_SKIP() << "the processor has no AVX";
  }
  const auto kvm = Kvm::open("/dev/kvm");
  if (!kvm) {
    GTEST_SKIP() << error_of(kvm);
  }
  const IdleVcpu from = make_vcpu(**kvm);
  std::vector<char> state = vector_state(**kvm, from.vcpu.get());
  std::memcpy(&state[kHeader], &kThroughAvx, sizeof kThroughAvx);
  for (size_t i = 0; i < kUpperHalvesSize; ++i) {
    state[kUpperHalves + i] = static_cast<char>(i + 1);
  }
  ASSERT_EQ(::ioctl(from.vcpu.get(), arch::kSetXsave, state.data()), 0) << std::strerror(errno);

  StateWriter writer;
  const auto saved = arch::save_vcpu(**kvm, from.vcpu.get(), writer);
  ASSERT_TRUE(saved) << error_of(saved);
  const IdleVcpu to = make_vcpu(**kvm);
  StateReader reader(writer.data());
  const auto restored = arch::restore_vcpu(**kvm, to.vcpu.get(), reader);
  ASSERT_TRUE(restored) << error_of(restored);

  const std::vector<char> after = vector_state(**kvm, to.vcpu.get());
  uint64_t components = 0;
  std::memcpy(&components, &after[kHeader], sizeof components);
  EXPECT_EQ(components & kThroughAvx, kThroughAvx);
  EXPECT_EQ(std::memcmp(&after[kUpperHalves], &state[kUpperHalves], kUpperHalvesSize), 0);
}

}  // namespace
}  // namespace ensemble::vmm
