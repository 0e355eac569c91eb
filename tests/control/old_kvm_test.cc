// A KVM that is too old. The kernel answers for it: a seccomp filter, which the programs under test
// inherit, has chosen questions to KVM answered with 0. Lane P.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/kvm.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <thread>

#include "tests/control/running_command.h"
#include "tests/control/test_guests.h"

namespace ensemble::control {
namespace {

using testing::HasSubstr;

// ioctl(…, request, argument) returns 0 in this thread and the processes that it starts. False
// where the host forbids filters.
bool answer_with_zero(std::uint32_t request, std::uint32_t argument) {
  constexpr auto kRequest = offsetof(seccomp_data, args) + sizeof(std::uint64_t);
  constexpr auto kArgument = kRequest + sizeof(std::uint64_t);
  const auto load = [](std::size_t offset) {
    return sock_filter(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, static_cast<std::uint32_t>(offset)));
  };
  // Leads to the end when the value loaded is another.
  const auto expect = [](std::uint32_t value, std::uint8_t statements_to_end) {
    return sock_filter(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, statements_to_end));
  };
  std::array filter = {
      load(offsetof(seccomp_data, nr)),
      expect(SYS_ioctl, 5),
      load(kRequest),
      expect(request, 3),
      load(kArgument),
      expect(argument, 1),
      sock_filter(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO)),
      sock_filter(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)),
  };
  const sock_fprog program = {.len = filter.size(), .filter = filter.data()};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

struct Question {
  const char* name;
  std::uint32_t request;
  std::uint32_t argument;
  const char* finding;
};

class OldKvm : public testing::TestWithParam<Question> {
 protected:
  void SetUp() override {
    if (::access("/dev/kvm", R_OK | W_OK) != 0) {
      GTEST_SKIP() << "needs /dev/kvm";
    }
  }

  // Runs `ensemble` on a KVM that answers the parameter's question with 0.
  static RunningCommand::Result run(const std::vector<std::string>& arguments) {
    RunningCommand::Result result;
    // The filter stays with the thread that asked for it.
    std::thread([&] {
      ASSERT_TRUE(answer_with_zero(GetParam().request, GetParam().argument));
      auto environment = bare();
      environment["LIBVIRT_DRIVER_DIR"] = "/nonexistent";  // Nor is there QEMU.
      result = run_ensemble(arguments, environment);
    }).join();
    return result;
  }
};

TEST_P(OldKvm, IsNamedWithItsMend) {
  const auto result = run(run_guest("hello"));
  EXPECT_EQ(result.exit_code, 125);
  EXPECT_EQ(result.output, "");
  EXPECT_EQ(std::ranges::count(result.errors, '\n'), 1) << result.errors;
  EXPECT_THAT(result.errors, HasSubstr("/dev/kvm"));
  EXPECT_THAT(result.errors, HasSubstr(GetParam().finding));
  EXPECT_THAT(result.errors, testing::ContainsRegex("update the kernel to Linux 5.10 or newer"));
}

TEST_P(OldKvm, IsFoundByTheDoctor) {
  const auto result = run({"doctor"});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.output, testing::ContainsRegex("bad +kvm .*"));
  EXPECT_THAT(result.output, HasSubstr(GetParam().finding));
  EXPECT_THAT(result.output, HasSubstr("mend: sudo apt-get install linux-image-amd64"));
}

#define LACKS(capability)                                              \
  Question {                                                           \
#capability, KVM_CHECK_EXTENSION, capability, "lacks " #capability \
  }

INSTANTIATE_TEST_SUITE_P(
    Answers, OldKvm,
    testing::Values(Question{"ApiVersion", KVM_GET_API_VERSION, 0,
                             "version 0 of the KVM API where version 12 is needed"},
                    LACKS(KVM_CAP_USER_MEMORY), LACKS(KVM_CAP_IRQCHIP), LACKS(KVM_CAP_IRQ_ROUTING),
                    LACKS(KVM_CAP_IRQFD), LACKS(KVM_CAP_IOEVENTFD), LACKS(KVM_CAP_IMMEDIATE_EXIT),
                    LACKS(KVM_CAP_SYNC_REGS), LACKS(KVM_CAP_GET_TSC_KHZ), LACKS(KVM_CAP_MP_STATE),
                    LACKS(KVM_CAP_XSAVE), LACKS(KVM_CAP_VCPU_EVENTS)),
    [](const auto& question) { return std::string(question.param.name); });

}  // namespace
}  // namespace ensemble::control
