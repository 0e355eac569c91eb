// What users get wrong: each mistake has one clear sentence and exit code 125, and no device runs.

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "control/atomic_file.h"
#include "tests/control/running_command.h"
#include "tests/control/temporary_directory.h"
#include "tests/control/test_guests.h"

namespace ensemble::control {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

struct Mistake {
  std::string name;
  std::vector<std::string> arguments;
  std::vector<std::string> message;  // What the sentence must hold.
};

void expect_refused(const RunningCommand::Result& result, const std::vector<std::string>& parts) {
  EXPECT_EQ(result.exit_code, 125);
  EXPECT_EQ(result.output, "");
  EXPECT_THAT(result.errors, StartsWith("ensemble: "));
  EXPECT_EQ(std::ranges::count(result.errors, '\n'), 1) << result.errors;
  for (const std::string& part : parts) {
    EXPECT_THAT(result.errors, HasSubstr(part));
  }
}

class BadInput : public testing::TestWithParam<Mistake> {};

TEST_P(BadInput, IsExplained) {
  expect_refused(run_ensemble(GetParam().arguments, bare()), GetParam().message);
}

std::vector<Mistake> mistakes() {
  const std::string hello = guest("hello");
  return {
      {"NoCommand", {}, {"--help"}},
      {"UnknownCommand", {"fly"}, {"fly"}},
      {"UnknownOption", {"run", "watch", "--wings"}, {"--wings"}},
      {"CommandWithoutDashes", {"run", "watch", "uname"}, {"uname"}},
      {"NoProfile", {"run"}, {"PROFILE"}},
      {"UnknownProfile", {"run", "toaster"}, {"toaster"}},
      {"MissingProfileFile", {"run", "/nonexistent/p.yaml"}, {"/nonexistent/p.yaml"}},
      {"UnknownLogLevel", {"--log-level", "loud", "run", "watch"}, {"loud"}},
      {"NoCpus", run_guest("hello", {"--cpus", "0"}), {"--cpus 0", "1 to 8"}},
      {"NineCpus", run_guest("hello", {"--cpus", "9"}), {"--cpus 9", "1 to 8"}},
      {"NegativeCpus", run_guest("hello", {"--cpus", "-1"}), {"--cpus -1", "1 to 8"}},
      {"CpusThatAreNoNumber", run_guest("hello", {"--cpus", "many"}), {"--cpus", "many"}},
      {"MemoryTooSmall", run_guest("hello", {"--memory", "14M"}), {"--memory 14M", "16M"}},
      {"MemoryTooLarge", run_guest("hello", {"--memory", "34G"}), {"--memory 34G", "32G"}},
      {"MemoryOfOddSize", run_guest("hello", {"--memory", "33M"}), {"--memory 33M", "2 MiB"}},
      {"MemoryThatIsNoSize",
       run_guest("hello", {"--memory", "big"}),
       {"--memory", "'big'", "512M"}},
      {"MissingKernel",
       {"run", "watch", "--kernel", "/nonexistent/k"},
       {"kernel '/nonexistent/k'", "No such file"}},
      {"KernelIsADirectory", {"run", "watch", "--kernel", "/usr"}, {"kernel '/usr'"}},
      {"MissingGuestFiles", {"run", "watch"}, {"kernel is missing", "/nonexistent/nucleus.elf"}},
      {"MissingInitrd",
       run_guest("hello", {"--initrd", "/nonexistent/i"}),
       {"root file system '/nonexistent/i'", "No such file"}},
      {"MissingDisk",
       run_guest("hello", {"--disk", "/nonexistent/d"}),
       {"disk '/nonexistent/d'", "No such file"}},
      {"DiskIsADevice",
       run_guest("hello", {"--disk", "/dev/null"}),
       {"disk '/dev/null'", "not a regular file"}},
      {"UnknownNetwork",
       run_guest("hello", {"--network", "usr"}),
       {"--network: unknown network 'usr'", "none, user, tap:NAME"}},
      {"MissingTap",
       run_guest("hello", {"--network", "tap:nosuchtap"}),
       {"device 'virtio-network'", "there is no network interface 'nosuchtap'"}},
      {"BalloonThatIsNoSize", run_guest("hello", {"--balloon", "big"}), {"--balloon", "'big'"}},
      {"BalloonWithoutLinux",
       run_guest("hello", {"--balloon", "16M"}),
       {"a memory balloon can be had by Linux"}},
      {"BalloonOfMoreThanAll",
       run_guest("hello", {"--append", "quiet", "--memory", "32M", "--balloon", "64M"}),
       {"a balloon of 67108864 bytes", "larger than the device's memory"}},
      {"SocketsWithoutLinux",
       run_guest("hello", {"--vsock", "/tmp/vsock"}),
       {"sockets of the guest can be had with Linux"}},
      {"SocketsInNoFolder",
       run_guest("hello", {"--append", "quiet", "--vsock", "/nonexistent/vsock"}),
       {"device 'virtio-vsock'", "cannot listen at '/nonexistent/vsock'"}},
      {"UnknownOutputFormat", {"doctor", "--output", "xml"}, {"xml"}},
  };
}

INSTANTIATE_TEST_SUITE_P(CommandLine, BadInput, testing::ValuesIn(mistakes()),
                         [](const auto& mistake) { return mistake.param.name; });

class BadFiles : public testing::Test {
 protected:
  void SetUp() override {
    if (::access("/dev/kvm", R_OK | W_OK) != 0) {
      GTEST_SKIP() << "needs /dev/kvm";
    }
  }

  std::string write(const std::string& name, const std::string& content) {
    const std::string path = directory_.path(name);
    EXPECT_TRUE(write_file_atomically(path, content));
    return path;
  }

  TemporaryDirectory directory_;
};

TEST_F(BadFiles, KernelIsNoElf) {
  const std::string path = write("kernel", "#!/bin/sh\necho no kernel\n");
  expect_refused(run_ensemble({"run", "watch", "--kernel", path}, bare()), {path, "ELF"});
}

TEST_F(BadFiles, KernelIsEmpty) {
  const std::string path = write("kernel", "");
  expect_refused(run_ensemble({"run", "watch", "--kernel", path}, bare()), {path});
}

TEST_F(BadFiles, KernelIsAnElfWithoutPvhEntry) {
  expect_refused(run_ensemble({"run", "watch", "--kernel", "/bin/busybox"}, bare()),
                 {"/bin/busybox", "PVH"});
}

TEST_F(BadFiles, KernelLiesOutsideMemory) {
  expect_refused(run_ensemble(run_guest("outside_memory", {"--memory", "64M"}), bare()),
                 {guest("outside_memory")});
}

TEST_F(BadFiles, InitrdIsLargerThanAnyone) {
  const std::string path = write("initrd", "");
  expect_refused(run_ensemble(run_guest("hello", {"--initrd", path}), bare()), {path});
}

TEST_F(BadFiles, DiskIsNotWholeSectors) {
  const std::string path = write("disk", std::string(1000, 'x'));
  expect_refused(run_ensemble(run_guest("hello", {"--disk", path}), bare()), {path, "512"});
}

TEST_F(BadFiles, UnreadableFilesAreNamed) {
  const std::string path = write("kernel", "x");
  ::chmod(directory_.path("").c_str(), 0755);
  ::chmod(path.c_str(), 0);
  const bool unprivileged = true;
  expect_refused(
      run_ensemble({"run", "watch", "--engine", "kvm", "--kernel", path}, bare(), unprivileged),
      {"kernel '" + path + "'", "Permission denied"});
}

TEST_F(BadFiles, ProfileErrorsNameTheLine) {
  const std::string path = write("bad.yaml", "extends: watch\nmodel: Bad\nmemory: 3 parsecs\n");
  expect_refused(run_ensemble({"run", path, "--kernel", guest("hello")}, bare()),
                 {path + ":3:", "parsecs"});
}

std::map<std::string, std::string> with_kvm(const std::string& path) {
  auto environment = bare();
  environment["ENSEMBLE_KVM_DEVICE"] = path;
  environment["LIBVIRT_DRIVER_DIR"] = "/nonexistent";  // Nor is there QEMU.
  return environment;
}

TEST(BadKvm, IsMissing) {
  expect_refused(run_ensemble(run_guest("hello"), with_kvm("/nonexistent/kvm")),
                 {"/nonexistent/kvm"});
}

TEST(BadKvm, IsSomethingElse) {
  const int terminal = ::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
  const vmm::FileDescriptor kept(terminal);
  ASSERT_EQ(::unlockpt(terminal), 0);
  const TemporaryDirectory directory;
  const std::string file = directory.path("kvm");
  ASSERT_TRUE(write_file_atomically(file, ""));
  for (const std::string& path :
       {std::string("/dev/null"), std::string(::ptsname(terminal)), file}) {
    expect_refused(run_ensemble(run_guest("hello"), with_kvm(path)),
                   {path + " is no KVM device", "expected KVM's own, usually /dev/kvm"});
    const auto doctor = run_ensemble({"doctor"}, with_kvm(path));
    EXPECT_EQ(doctor.exit_code, 1);
    EXPECT_THAT(doctor.output, HasSubstr("mend: name KVM's device file in ENSEMBLE_KVM_DEVICE"));
  }
}

TEST(BadKvm, IsForbidden) {
  const TemporaryDirectory directory;
  const std::string path = directory.path("kvm");
  ASSERT_TRUE(write_file_atomically(path, ""));
  ::chmod(directory.path("").c_str(), 0755);
  ::chmod(path.c_str(), 0);
  const bool unprivileged = true;
  expect_refused(run_ensemble(run_guest("hello"), with_kvm(path), unprivileged), {path, "kvm"});
  const auto doctor = run_ensemble({"doctor"}, with_kvm(path), unprivileged);
  EXPECT_EQ(doctor.exit_code, 1);
  EXPECT_THAT(doctor.output, HasSubstr("usermod -aG kvm"));
}

TEST(BadVmm, IsMissing) {
  auto environment = bare();
  environment["ENSEMBLE_VMM"] = "/nonexistent/vmm";
  expect_refused(run_ensemble(run_guest("hello"), environment),
                 {"'/nonexistent/vmm'", "No such file"});
}

TEST(BadVmm, DiesAtOnce) {
  auto environment = bare();
  environment["ENSEMBLE_VMM"] = "/bin/false";
  expect_refused(run_ensemble(run_guest("hello"), environment), {"ended with exit code 1"});
}

}  // namespace
}  // namespace ensemble::control
