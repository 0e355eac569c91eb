#include "cpuid_template.h"

#include <gtest/gtest.h>

#include "test_support.h"

namespace ensemble::vmm::arch {
namespace {

constexpr uint32_t bit(unsigned number) {
  return uint32_t{1} << number;
}

kvm_cpuid_entry2 entry(uint32_t leaf, uint32_t subleaf, uint32_t eax, uint32_t ebx, uint32_t ecx,
                       uint32_t edx) {
  kvm_cpuid_entry2 result = {};
  result.function = leaf;
  result.index = subleaf;
  result.flags = leaf == 4 || leaf == 7 || leaf == 0xb || leaf == 0xd || leaf == 0x8000001d
                     ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX
                     : 0;
  result.eax = eax;
  result.ebx = ebx;
  result.ecx = ecx;
  result.edx = edx;
  return result;
}

// A host that has everything.
CpuidTable full_host(bool intel) {
  const uint32_t vendor = intel ? 0x756e6547 : 0x68747541;
  return CpuidTable({entry(0, 0, 0x1f, vendor, 0, 0), entry(1, 0, ~0u, ~0u, ~0u, ~0u),
                     entry(4, 0, 0xfc000121, 1, 2, 3), entry(4, 1, 0xfc0fc163, 1, 2, 3),
                     entry(4, 2, 0, 0, 0, 0), entry(7, 0, 1, ~0u, ~0u, ~0u),
                     entry(7, 1, ~0u, 0, 0, 0), entry(0xd, 0, 7, 1, 1, 0),
                     entry(0xd, 1, 15, 0, 0, 0), entry(0x80000001, 0, 0, 0, ~0u, ~0u),
                     entry(0x80000008, 0, 0, 0, 0x701f, 0), entry(0x8000001d, 0, 0x7fc121, 0, 0, 0),
                     entry(0x8000001d, 1, 0x7fc163, 0, 0, 0), entry(0x8000001d, 2, 0, 0, 0, 0),
                     entry(0x8000001e, 0, 9, 9, 9, 0)});
}

TEST(CpuidTemplate, GivesEachVCpuItsIdentity) {
  for (bool intel : {false, true}) {
    CpuidTable table = full_host(intel);
    apply_cpuid_template(table, {.vcpu_index = 2, .vcpu_count = 6});
    EXPECT_EQ(table.find(1)->ebx >> 24, 2u);
    EXPECT_EQ((table.find(1)->ebx >> 16) & 0xff, 6u);
    EXPECT_NE(table.find(1)->edx & bit(28), 0u) << "several logical processors";
    EXPECT_NE(table.find(1)->ecx & bit(31), 0u) << "hypervisor";
    const auto* threads = table.find(0xb, 0);
    const auto* cores = table.find(0xb, 1);
    ASSERT_NE(cores, nullptr);
    EXPECT_EQ(threads->ebx, 1u) << "one thread for each core";
    EXPECT_EQ(threads->edx, 2u) << "x2APIC ID";
    EXPECT_EQ(cores->eax, 3u) << "bits for six cores";
    EXPECT_EQ(cores->ebx, 6u);
    EXPECT_EQ(cores->edx, 2u);
  }
}

TEST(CpuidTemplate, TellsOneVCpuThatItIsAlone) {
  CpuidTable table = full_host(false);
  apply_cpuid_template(table, {.vcpu_index = 0, .vcpu_count = 1});
  EXPECT_EQ(table.find(1)->edx & bit(28), 0u);
  EXPECT_EQ(table.find(0xb, 1)->eax, 0u);
  EXPECT_EQ(table.find(0x80000008)->ecx & 0xff, 0u);
  EXPECT_EQ(table.find(0x80000001)->ecx & bit(1), 0u);
}

TEST(CpuidTemplate, SharesOnlyTheLastCache) {
  CpuidTable intel = full_host(true);
  apply_cpuid_template(intel, {.vcpu_index = 0, .vcpu_count = 4});
  EXPECT_EQ((intel.find(4, 0)->eax >> 14) & 0xfff, 0u) << "level 1";
  EXPECT_EQ((intel.find(4, 1)->eax >> 14) & 0xfff, 3u) << "level 3";
  EXPECT_EQ(intel.find(4, 1)->eax >> 26, 3u) << "cores";
  CpuidTable amd = full_host(false);
  apply_cpuid_template(amd, {.vcpu_index = 1, .vcpu_count = 4});
  EXPECT_EQ((amd.find(0x8000001d, 0)->eax >> 14) & 0xfff, 0u);
  EXPECT_EQ((amd.find(0x8000001d, 1)->eax >> 14) & 0xfff, 3u);
  EXPECT_EQ(amd.find(0x80000008)->ecx & 0xf0ff, 0x2003u);
  EXPECT_EQ(amd.find(0x8000001e)->eax, 1u);
}

TEST(CpuidTemplate, LeavesVectorStateToNativeRing0) {
  CpuidTable table = full_host(true);
  apply_cpuid_template(table, {.ring0 = Ring0::kNative});
  EXPECT_NE(table.find(1)->ecx & bit(26), 0u) << "XSAVE";
  EXPECT_NE(table.find(1)->ecx & bit(28), 0u) << "AVX";
  EXPECT_NE(table.find(7)->ebx & bit(5), 0u) << "AVX2";
  EXPECT_NE(table.find(7)->ebx & bit(20), 0u) << "SMAP";
  EXPECT_NE(table.find(0xd), nullptr);
}

TEST(CpuidTemplate, HidesWhatAnInterpreterCannotRun) {
  CpuidTable table = full_host(true);
  apply_cpuid_template(table, {.ring0 = Ring0::kInterpreted});
  for (unsigned hidden : {3u, 12u, 17u, 26u, 27u, 28u, 29u}) {
    EXPECT_EQ(table.find(1)->ecx & bit(hidden), 0u) << "leaf 1 ecx " << hidden;
  }
  for (unsigned hidden : {0u, 5u, 7u, 10u, 16u, 20u, 31u}) {
    EXPECT_EQ(table.find(7)->ebx & bit(hidden), 0u) << "leaf 7 ebx " << hidden;
  }
  EXPECT_EQ(table.find(7)->eax, 0u) << "no subleaves";
  EXPECT_EQ(table.find(7)->ecx & bit(22), 0u) << "RDPID";
  EXPECT_EQ(table.find(0x80000001)->edx & bit(27), 0u) << "RDTSCP";
  EXPECT_EQ(table.find(0xd), nullptr) << "no XSAVE areas";
  for (unsigned kept : {0u, 9u, 13u, 19u, 20u, 23u}) {
    EXPECT_NE(table.find(1)->ecx & bit(kept), 0u) << "leaf 1 ecx " << kept;
  }
  EXPECT_NE(table.find(7)->ebx & bit(8), 0u) << "BMI2 needs no state of its own";
}

TEST(CpuidTemplate, FollowsTheHostOnTheDeadlineTimer) {
  CpuidTable table = full_host(false);
  apply_cpuid_template(table, {.tsc_deadline = false});
  EXPECT_EQ(table.find(1)->ecx & bit(24), 0u);
  apply_cpuid_template(table, {.tsc_deadline = true});
  EXPECT_NE(table.find(1)->ecx & bit(24), 0u);
}

TEST(CpuidTemplate, TableFindsReplacesAndRemoves) {
  CpuidTable table = full_host(false);
  EXPECT_EQ(table.find(0x12345), nullptr);
  EXPECT_EQ(table.find(7, 9), nullptr);
  table.set(entry(7, 0, 42, 0, 0, 0));
  EXPECT_EQ(table.find(7)->eax, 42u);
  const size_t before = table.entries().size();
  table.set(entry(0x40000000, 0, 1, 0, 0, 0));
  EXPECT_EQ(table.entries().size(), before + 1);
  table.remove(7);
  EXPECT_EQ(table.entries().size(), before - 1);
}

TEST(CpuidTemplate, StartsFromWhatKvmSupports) {
  SKIP_WITHOUT_KVM();
  const auto kvm = take(Kvm::open("/dev/kvm"));
  CpuidTable table = take(CpuidTable::supported(*kvm));
  ASSERT_NE(table.find(0), nullptr);
  EXPECT_GE(table.find(0)->eax, 7u);
  EXPECT_NE(table.find(0x40000000), nullptr) << "the hypervisor's signature";
}

}  // namespace
}  // namespace ensemble::vmm::arch
