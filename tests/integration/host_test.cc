#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>

#include "tests/integration/lane.h"
#include "vmm/file_descriptor.h"

namespace ensemble::integration {
namespace {

TEST(Host, HasAKvmThatMakesMachines) {
  REQUIRE_KVM();
  const vmm::FileDescriptor kvm(::open("/dev/kvm", O_RDWR | O_CLOEXEC));
  ASSERT_GE(kvm.get(), 0);
  EXPECT_EQ(::ioctl(kvm.get(), KVM_GET_API_VERSION, 0), KVM_API_VERSION);
  const vmm::FileDescriptor machine(::ioctl(kvm.get(), KVM_CREATE_VM, 0));
  EXPECT_GE(machine.get(), 0);
}

}  // namespace
}  // namespace ensemble::integration
