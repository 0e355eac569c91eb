#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <random>
#include <string_view>

#include "tests/integration/ensemble_process.h"
#include "tests/integration/lane.h"
#include "tests/integration/temporary_folder.h"

namespace ensemble::integration {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr std::size_t kLargeSize = 96u << 20;

// Root file systems of the test's own: Debian's busybox and `large`, which ends with "end\n".
class RootFile : public testing::Test {
 protected:
  std::string make_root(std::size_t large_size) {
    std::string large(large_size, '\n');
    large.replace(large.size() - 4, 4, "end\n");
    folder_.write("large", large);
    const Outcome packed =
        ChildProcess(ENSEMBLE_SOURCE "/scripts/pack-cpio",
                     {"-o", folder_.path("root.cpio"), "bin/busybox=/bin/busybox:755",
                      "large=" + folder_.path("large")})
            .wait(default_limit() * 3);
    EXPECT_EQ(packed.exit_code, 0) << packed.errors;
    return folder_.path("root.cpio");
  }

  static Outcome run(const std::string& root, const Arguments& command,
                     const Arguments& options = {}) {
    Arguments arguments{"run", "watch", "--memory", "64M", "--rootfs", root};
    arguments.insert(arguments.end(), options.begin(), options.end());
    arguments.insert(arguments.end(), {"--", "/bin/busybox"});
    arguments.insert(arguments.end(), command.begin(), command.end());
    return run_ensemble(arguments);
  }

  TemporaryFolder folder_;
};

TEST_F(RootFile, MayBeLargerThanTheMemoryAndTakesNoneOfIt) {
  REQUIRE_KVM();
#ifdef ENSEMBLE_SANITIZED
  GTEST_SKIP() << "a sanitizer's shadow memory counts as the process's";
#endif
  const std::string root = make_root(kLargeSize);
  const Outcome end =
      run(root, {"tail", "-c", "4", "/large"}, {"--report", folder_.path("report.json")});
  EXPECT_EQ(end.output, "end\n") << end.errors;
  const auto report = nlohmann::json::parse(folder_.read("report.json"));
  EXPECT_LT(report.at("memory").at("guest_touched_kib").get<int>(), 6144);
  EXPECT_LT(report.at("memory").at("vmm_rss_kib").get<int>(), 8192);

  const auto total = [](const std::string& text) { return text.substr(0, text.find('\n')); };
  const Outcome beside_large = run(root, {"cat", "/proc/meminfo"});
  const Outcome beside_small = run_ensemble(
      {"run", "watch", "--memory", "64M", "--", "/bin/busybox", "cat", "/proc/meminfo"});
  EXPECT_THAT(total(beside_large.output), HasSubstr("MemTotal:")) << beside_large.errors;
  EXPECT_EQ(total(beside_large.output), total(beside_small.output));
}

TEST_F(RootFile, NeedNotFillItsLastPage) {
  REQUIRE_KVM();
  const std::string root = make_root(8200);
  // The last page has 8 bytes of the file, the trailer, and padding.
  ASSERT_EQ(::truncate(root.c_str(), static_cast<off_t>(std::filesystem::file_size(root) - 3900)),
            0);
  const Outcome outcome = run(root, {"tail", "-c", "4", "/large"});
  EXPECT_EQ(outcome.output, "end\n") << outcome.errors;
}

TEST_F(RootFile, ThatIsNoArchiveIsNamed) {
  const std::string text = folder_.write("text", "no archive\n");
  const Outcome outcome = run(text, {"true"});
  EXPECT_EQ(outcome.exit_code, 125);
  EXPECT_THAT(outcome.errors, HasSubstr("'" + text + "' is no newc cpio archive"));
  EXPECT_EQ(run(folder_.write("empty", ""), {"true"}).exit_code, 125);
}

// Headers are damaged at random and the end is cut off: the command runs, or the device says why
// not.
TEST_F(RootFile, ThatIsDamagedNeverTakesTheDeviceDown) {
  REQUIRE_KVM();
  constexpr int kDamages = 24;
  const std::string whole = folder_.read(std::filesystem::path(make_root(8192)).filename());
  std::mt19937 random(7);
  for (int i = 0; i < kDamages; ++i) {
    std::string damaged = whole;
    if (i % 4 == 0) {
      damaged.resize(6 + random() % (damaged.size() - 6));
    } else {
      for (int count = 0; count < 3; ++count) {
        std::size_t at = damaged.find("070701", random() % damaged.size());
        at = at == std::string::npos ? 0 : at;
        damaged[std::min(at + 6 + random() % 120, damaged.size() - 1)] =
            "0fF7\0/x\xff"[random() % 8];
      }
    }
    const Outcome outcome = run(folder_.write("damaged.cpio", damaged), {"true"});
    EXPECT_FALSE(outcome.timed_out) << i;
    EXPECT_THAT(outcome.output + outcome.errors, Not(HasSubstr("server died"))) << i;
    EXPECT_TRUE(outcome.exit_code == 0 || outcome.exit_code >= 125)
        << i << ": " << outcome.exit_code << outcome.output << outcome.errors;
  }
}

TEST_F(RootFile, ThatIsReplacedMeanwhileStaysAsItWas) {
  REQUIRE_KVM();
  const std::string root = make_root(8192);
  ChildProcess process(program_directory() + "/ensemble", {"run", "watch", "--rootfs", root, "--",
                                                           "/bin/busybox", "cat", "-", "/large"});
  process.write("started\n");
  ASSERT_TRUE(process.read_until("started", default_limit()));
  make_root(8);
  process.close_input();
  const Outcome outcome = process.wait(default_limit());
  EXPECT_EQ(outcome.output.size(), std::string_view("started\n").size() + 8192) << outcome.errors;
}

TEST_F(RootFile, ThatIsCutOffStopsTheDeviceWithAReason) {
  REQUIRE_KVM();
  const std::string root = make_root(8u << 20);
  // cat takes its input up to the end, and only then what the file has lost.
  ChildProcess process(program_directory() + "/ensemble", {"run", "watch", "--rootfs", root, "--",
                                                           "/bin/busybox", "cat", "-", "/large"});
  process.write("started\n");
  ASSERT_TRUE(process.read_until("started", default_limit()));
  ASSERT_EQ(::truncate(root.c_str(), 4096), 0);
  process.close_input();
  const Outcome outcome = process.wait(default_limit());
  EXPECT_EQ(outcome.exit_code, 125);
  EXPECT_THAT(outcome.errors, HasSubstr(root + " lost contents"));
}

}  // namespace
}  // namespace ensemble::integration
