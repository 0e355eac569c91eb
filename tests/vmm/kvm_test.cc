#include "vmm/kvm.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <set>
#include <string_view>

#include "test_support.h"
#include "vmm/exit_counts.h"
#include "vmm/kvm_kind.h"
#include "vmm/stop_reason.h"

namespace ensemble::vmm {
namespace {

TEST(Kvm, SaysHowToMendAMissingDevice) {
  const auto kvm = Kvm::open("/nowhere/kvm");
  ASSERT_FALSE(kvm);
  EXPECT_EQ(kvm.error().error_number(), ENOENT);
  EXPECT_TRUE(contains(error_of(kvm), "cannot open /nowhere/kvm"));
  EXPECT_TRUE(contains(error_of(kvm), "modprobe"));
}

TEST(Kvm, SaysHowToMendMissingPermission) {
  if (::geteuid() == 0) {
    // Root may open anything; a directory cannot be opened for writing by anybody.
    EXPECT_TRUE(contains(error_of(Kvm::open("/tmp")), "cannot open /tmp"));
    return;
  }
  TemporaryFolder folder;
  const std::string path = folder.write("kvm", {});
  ASSERT_EQ(::chmod(path.c_str(), 0), 0);
  EXPECT_TRUE(contains(error_of(Kvm::open(path)), "usermod -aG kvm"));
}

TEST(Kvm, RefusesOtherFiles) {
  TemporaryFolder folder;
  EXPECT_TRUE(contains(error_of(Kvm::open("/dev/null")), "/dev/null is no KVM device"));
  EXPECT_TRUE(contains(error_of(Kvm::open(folder.write("file", {}))), "is no KVM device"));
}

TEST(Kvm, OpensTheHosts) {
  SKIP_WITHOUT_KVM();
  const auto kvm = take(Kvm::open("/dev/kvm"));
  EXPECT_GE(kvm->run_area_size(), sizeof(kvm_run));
  EXPECT_GT(kvm->capability(KVM_CAP_MAX_VCPUS), 0);
  EXPECT_EQ(kvm->capability(0x7fffffff), 0);
}

TEST(KvmKind, MeasurementAgreesWithTheModule) {
  SKIP_WITHOUT_KVM();
  const Ring0Measurement measured = take(measure_ring0());
  EXPECT_GT(measured.ring3_ns_per_instruction, 0);
  if (kvm_module_name() != "kvm") {
    EXPECT_EQ(measured.ring0, detect_ring0())
        << "module " << kvm_module_name() << ", ring 0 " << measured.ring0_ns_per_instruction
        << " ns, ring 3 " << measured.ring3_ns_per_instruction << " ns";
  }
}

TEST(KvmKind, MeasurementNamesABadDevice) {
  EXPECT_TRUE(contains(error_of(measure_ring0("/nowhere/kvm")), "/nowhere/kvm"));
}

TEST(ExitCounts, CountsUnderDistinctNames) {
  ExitCounts counts;
  std::set<std::string_view> names;
  for (size_t i = 0; i < kExitReasonCount; ++i) {
    const auto reason = static_cast<ExitReason>(i);
    EXPECT_TRUE(names.insert(exit_reason_name(reason)).second) << exit_reason_name(reason);
    for (size_t j = 0; j < i; ++j) {
      counts.count(reason);
    }
  }
  const ExitCounts::Snapshot snapshot = counts.snapshot();
  for (size_t i = 0; i < kExitReasonCount; ++i) {
    EXPECT_EQ(snapshot[i], i);
  }
  EXPECT_EQ(counts.denied_port_accesses(), 0u);
}

TEST(StopReason, ReadsAsASentence) {
  using Kind = StopReason::Kind;
  const auto text = [](Kind kind, std::string detail) {
    return StopReason{.kind = kind, .exit_code = 3, .detail = std::move(detail)}.to_string();
  };
  EXPECT_EQ(text(Kind::kPowerOff, ""), "the guest powered off with code 3");
  EXPECT_EQ(text(Kind::kResetRequested, ""), "the guest asked for a reset");
  EXPECT_EQ(text(Kind::kTripleFault, "vCPU 1"),
            "the guest met a fault that it could not handle: vCPU 1");
  EXPECT_EQ(text(Kind::kInternalError, "why"), "the machine cannot go on: why");
  EXPECT_EQ(text(Kind::kStoppedFromOutside, "signal 15"),
            "the machine was stopped from outside: signal 15");
}

}  // namespace
}  // namespace ensemble::vmm
