// Devices on QEMU, as on a host without KVM. QEMU emulates the processor, so that no lane is
// needed.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <thread>

#include "tests/integration/disk_image.h"
#include "tests/integration/ensemble_process.h"

namespace ensemble::integration {
namespace {

using testing::ContainsRegex;
using testing::HasSubstr;
using namespace std::chrono_literals;

constexpr auto kLimit = 120s;

Environment without_kvm() {
  return {{"ENSEMBLE_KVM_DEVICE", "/nonexistent/kvm"}};
}

bool has_driver() {
  std::error_code failed;
  for (const auto& entry : std::filesystem::directory_iterator("/usr/lib", failed)) {
    const auto driver = entry.path() / "libvirt/connection-driver/libvirt_driver_qemu.so";
    if (std::filesystem::exists(driver, failed)) {
      return true;
    }
  }
  return false;
}

// What this host lacks for QEMU by libvirt; empty: nothing. It does not ask the program under test,
// whose failures are to be seen.
std::string find_lack() {
  if (::access("/usr/bin/qemu-system-x86_64", X_OK) != 0) {
    return "needs the package qemu-system-x86";
  }
  if (!has_driver()) {
    return "needs the package libvirt-daemon-driver-qemu";
  }
  if (::geteuid() != 0) {
    return {};
  }
  ChildProcess probe("/usr/bin/unshare", {"--user", "--map-user=1000", "--map-group=1000", "true"});
  const Outcome outcome = probe.wait(10s);
  return outcome.exit_code == 0
             ? ""
             : "root needs a user namespace, which this environment forbids: " + outcome.errors;
}

const std::string& lack() {
  static const std::string found = find_lack();
  return found;
}

class OnQemu : public testing::Test {
 protected:
  void SetUp() override {
    if (!lack().empty()) {
      GTEST_SKIP() << lack();
    }
  }

  static Outcome run(const Arguments& arguments) {
    return run_ensemble(arguments, without_kvm(), kLimit);
  }
};

// How many QEMUs have the file open as their disk.
int count_qemus(const std::string& disk) {
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    std::ifstream file(entry.path() / "cmdline", std::ios::binary);
    const std::string words{std::istreambuf_iterator<char>(file), {}};
    count += words.starts_with("/usr/bin/qemu") && words.find(disk) != std::string::npos ? 1 : 0;
  }
  return count;
}

TEST_F(OnQemu, AHostWithoutKvmGetsADeviceAndOneWarning) {
  const Outcome outcome = run({"run", "phone", "--", "/bin/busybox", "uname", "-n"});
  EXPECT_EQ(outcome.output, "phone\n") << outcome.errors;
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_THAT(outcome.errors, HasSubstr("KVM cannot be used"));
  EXPECT_THAT(outcome.errors, HasSubstr("/nonexistent/kvm"));
  EXPECT_EQ(std::ranges::count(outcome.errors, '\n'), 1) << outcome.errors;
}

TEST_F(OnQemu, TheDoctorIsContentWithoutKvm) {
  const Outcome outcome = run({"doctor"});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.output;
  EXPECT_THAT(outcome.output, ContainsRegex("warning +kvm .*/nonexistent/kvm"));
  EXPECT_THAT(outcome.output, ContainsRegex("good +qemu +QEMU [0-9.]+, by libvirt [0-9.]+\n"));
}

TEST_F(OnQemu, ADeviceThatIsAskedForThereComesWithoutAWarning) {
  const Outcome outcome =
      run({"run", "watch", "--engine", "libvirt", "--", "/bin/busybox", "sh", "-c", "exit 7"});
  EXPECT_EQ(outcome.exit_code, 7);
  EXPECT_EQ(outcome.errors, "");
}

TEST_F(OnQemu, ACommandReadsWhatIsTyped) {
  ChildProcess device(program_directory() + "/ensemble", {"run", "watch", "--engine", "libvirt"},
                      without_kvm());
  device.write("echo $((6 * 7)); exit 3\n");
  device.close_input();
  const Outcome outcome = device.wait(kLimit);
  EXPECT_EQ(outcome.output, "42\n") << outcome.errors;
  EXPECT_EQ(outcome.exit_code, 3);
}

TEST_F(OnQemu, ADiskKeepsWhatWasWritten) {
  const DiskImage disk(32 << 20);
  const auto on_disk = [&](const std::string& script) {
    return run({"run", "phone", "--engine", "libvirt", "--disk", disk.path(), "--", "/bin/busybox",
                "sh", "-c", script});
  };
  EXPECT_EQ(on_disk("echo kept > /data/file && sync").exit_code, 0);
  EXPECT_EQ(on_disk("cat /data/file").output, "kept\n");
  disk.expect_sound();
}

TEST_F(OnQemu, NoQemuIsLeftOfACommandThatWasKilled) {
  const DiskImage disk(32 << 20);
  ChildProcess device(program_directory() + "/ensemble",
                      {"run", "watch", "--engine", "libvirt", "--disk", disk.path(), "--",
                       "/bin/busybox", "sh", "-c", "echo up; sleep 1000"},
                      without_kvm());
  ASSERT_TRUE(device.read_until("up", kLimit));
  EXPECT_EQ(count_qemus(disk.path()), 1);
  device.signal(SIGKILL);
  for (int round = 0; round < 100 && count_qemus(disk.path()) != 0; ++round) {
    std::this_thread::sleep_for(100ms);
  }
  EXPECT_EQ(count_qemus(disk.path()), 0);
}

TEST(Engine, ThatIsNoneIsRefused) {
  const Outcome outcome = run_ensemble({"run", "watch", "--engine", "xen"});
  EXPECT_EQ(outcome.exit_code, 125);
  EXPECT_THAT(outcome.errors, HasSubstr("'xen' is none of auto, kvm, libvirt and libvirt:URI"));
}

TEST(Engine, AConnectionToAnotherHostIsRefused) {
  for (const char* uri : {"", "qemu+ssh://host/system", "test:///default"}) {
    const Outcome outcome =
        run_ensemble({"run", "watch", "--engine", std::string("libvirt:") + uri}, without_kvm());
    EXPECT_EQ(outcome.exit_code, 125);
    EXPECT_THAT(outcome.errors,
                HasSubstr("'" + std::string(uri) + "' is no connection to this host's QEMU"));
  }
}

TEST(Engine, AConnectionThatCannotBeHadIsNamed) {
  const Outcome outcome =
      run_ensemble({"run", "watch", "--engine", "libvirt:qemu+unix:///session?socket=/nonexistent"},
                   without_kvm(), kLimit);
  EXPECT_EQ(outcome.exit_code, 125);
  EXPECT_THAT(outcome.errors, HasSubstr("cannot connect to libvirt at 'qemu+unix"));
}

TEST(Engine, KvmThatIsAskedForIsNotReplaced) {
  const Outcome outcome = run_ensemble({"run", "watch", "--engine", "kvm"}, without_kvm());
  EXPECT_EQ(outcome.exit_code, 125);
  EXPECT_THAT(outcome.errors, HasSubstr("/nonexistent/kvm"));
}

}  // namespace
}  // namespace ensemble::integration
