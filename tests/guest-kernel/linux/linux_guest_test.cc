// Boots the whole guest on QEMU (lane T: no KVM) with unchanged static programs: Debian's busybox
// and those of tests/guest-programs.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

namespace {

using testing::EndsWith;
using testing::HasSubstr;

const std::string kOutput = ENSEMBLE_GUEST_OUTPUT;
const std::string kPrograms = ENSEMBLE_GUEST_PROGRAMS;
const std::string kQemu =
    "qemu-system-x86_64 -M microvm,acpi=off,pit=off,pic=off,rtc=off -accel tcg -cpu max -m 64 "
    "-nodefaults -no-user-config -display none -no-reboot -device "
    "isa-debug-exit,iobase=0xf4,iosize=0x04 -global virtio-mmio.force-legacy=false -serial none "
    "-device virtio-serial-device -chardev stdio,id=c,signal=off -device virtconsole,chardev=c "
    "-device virtio-rng-device ";

struct Outcome {
  int exit_code;  // −1: the machine did not end by itself
  std::string console;
};

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

class LinuxGuestTest : public testing::Test {
 protected:
  void SetUp() override {
    if (std::system("command -v qemu-system-x86_64 >/dev/null") != 0) {
      GTEST_SKIP() << "qemu-system-x86_64 is not installed";
    }
    directory_ = testing::TempDir() + "linux_guest_" + std::to_string(getpid());
    std::filesystem::create_directories(directory_);
    std::ofstream initrd(directory_ + "/initrd", std::ios::binary);
    initrd << read_file(kOutput + "/boot.pkg") << read_file(kPrograms);
  }
  void TearDown() override {
    if (!directory_.empty()) {
      std::filesystem::remove_all(directory_);
    }
  }

  // Runs `command` in a guest. `input` is typed a second after the start, a line at a time.
  Outcome run(const std::string& command, const std::string& input = {}) const {
    std::ofstream(directory_ + "/input", std::ios::binary) << input;
    const std::string script = directory_ + "/run.sh";
    std::ofstream(script) << "mkfifo " << directory_ << "/keys\n"
                          << "{ sleep 1; cat " << directory_ << "/input; exec sleep 50; } >"
                          << directory_ << "/keys &\nkeys=$!\n"
                          << "timeout 40 " << kQemu << "-kernel " << kOutput
                          << "/nucleus.elf -initrd " << directory_
                          << "/initrd -append 'tsc_khz=1000000 -- " << command << "' <"
                          << directory_ << "/keys >" << directory_ << "/console 2>" << directory_
                          << "/log\ncode=$?\nkill $keys\nrm " << directory_
                          << "/keys\nexit $code\n";
    const int status = std::system(("bash " + script).c_str());
    const int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    std::string console = read_file(directory_ + "/console");
    std::erase(console, '\r');
    // isa-debug-exit gives (code << 1 | 1) & 255: codes from 128 on lose their top bit.
    return {code % 2 == 1 ? code / 2 : -1, console};
  }

  std::string directory_;
};

// The exit code of a process that a signal ended, as isa-debug-exit passes it on.
constexpr int killed_by(int signal) {
  return (128 + signal) & 127;
}

TEST_F(LinuxGuestTest, BusyboxUname) {
  const Outcome outcome = run("/bin/busybox uname -sm");
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_EQ(outcome.console, "Linux x86_64\n");
}

TEST_F(LinuxGuestTest, BusyboxFalse) {
  EXPECT_EQ(run("/bin/busybox false").exit_code, 1);
}

TEST_F(LinuxGuestTest, SearchesThePathAndFollowsLinks) {
  const Outcome outcome = run("echo found it");
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_EQ(outcome.console, "found it\n");
}

TEST_F(LinuxGuestTest, BusyboxReadsFiles) {
  // The sum of ("0123456789" 500 times), as sha256sum has it on any machine.
  const Outcome outcome = run("busybox sha256sum /fixed/numbers /fixed/empty");
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_THAT(outcome.console,
              HasSubstr("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"));
  EXPECT_EQ(run("busybox wc -c /fixed/numbers").console, "5000 /fixed/numbers\n");
}

TEST_F(LinuxGuestTest, BusyboxCopiesMuch) {
  const Outcome outcome = run("busybox dd if=/dev/zero of=/dev/null bs=64k count=100");
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_THAT(outcome.console, HasSubstr("100+0 records out"));
}

TEST_F(LinuxGuestTest, CommandsThatCannotRun) {
  const Outcome missing = run("no-such-command");
  EXPECT_EQ(missing.exit_code, 127);
  EXPECT_EQ(missing.console, "no-such-command: not found in the root file system\n");
  const Outcome broken = run("broken");
  EXPECT_EQ(broken.exit_code, 126);
  EXPECT_EQ(broken.console, "broken: not an x86-64 ELF executable that can be loaded\n");
  EXPECT_EQ(run("/bin/plain").exit_code, 126);
  EXPECT_EQ(run("/fixed").exit_code, 126);
  EXPECT_EQ(run("/fixed/loop").exit_code, 126);
  EXPECT_EQ(run("/fixed/nothing").exit_code, 127);
}

class GuestProgramTest : public LinuxGuestTest, public testing::WithParamInterface<const char*> {};

TEST_P(GuestProgramTest, FindsNothingWrong) {
  const Outcome outcome = run(std::string("/test/") + GetParam());
  EXPECT_EQ(outcome.exit_code, 0) << outcome.console;
  EXPECT_THAT(outcome.console, EndsWith(" checks, 0 failed\n"));
}

INSTANTIATE_TEST_SUITE_P(Programs, GuestProgramTest,
                         testing::Values("start", "start-pie", "memory", "files", "hostile",
                                         "clocks", "pipes", "resources", "sockets", "terminals"));

TEST_F(LinuxGuestTest, Arguments) {
  EXPECT_THAT(run("/test/start one two=2 -three").console,
              HasSubstr("argument 1: one\nargument 2: two=2\nargument 3: -three\n"));
}

TEST_F(LinuxGuestTest, CppProgramReadsALine) {
  const Outcome outcome = run("/test/hello", "seven..\n");
  EXPECT_EQ(outcome.exit_code, 7);
  EXPECT_THAT(outcome.console, HasSubstr("caught, 7 keys, 143 values\n"));
}

TEST_F(LinuxGuestTest, TheTerminalEditsAndEnds) {
  const Outcome outcome = run("busybox cat", "helxx\x7f\x7flo\n\x04");
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_THAT(outcome.console, EndsWith("hello\n"));
}

TEST_F(LinuxGuestTest, TheTerminalInterrupts) {
  EXPECT_EQ(run("busybox cat", "typed\x03").exit_code, killed_by(2));
  EXPECT_EQ(run("/test/crash spin", "\x03").exit_code, killed_by(2));
  EXPECT_EQ(run("busybox sleep 1000", "\x1c").exit_code, killed_by(3));
}

struct Crash {
  const char* how;
  int exit_code;
  const char* message;
};
class CrashTest : public LinuxGuestTest, public testing::WithParamInterface<Crash> {};

TEST_P(CrashTest, EndsAsItsSignalSays) {
  const Outcome outcome = run(std::string("/test/crash ") + GetParam().how);
  EXPECT_EQ(outcome.exit_code, GetParam().exit_code) << outcome.console;
  EXPECT_THAT(outcome.console, HasSubstr(GetParam().message));
}

constexpr const char* kSegmentation = "crash[1]: segmentation fault at address 0x";
INSTANTIATE_TEST_SUITE_P(
    Ways, CrashTest,
    testing::Values(Crash{"exit 42", 42, ""}, Crash{"exit 300", 300 - 256, ""},
                    Crash{"read", killed_by(11), kSegmentation},
                    Crash{"write", killed_by(11), kSegmentation},
                    Crash{"jump", killed_by(11), "address 0x12345678 (instruction 0x12345678)"},
                    Crash{"data", killed_by(11), kSegmentation},
                    Crash{"noncanonical", killed_by(11), kSegmentation},
                    Crash{"kernel", killed_by(11), kSegmentation},
                    Crash{"halt", killed_by(11), kSegmentation},
                    Crash{"stack", killed_by(11), kSegmentation},
                    Crash{"unmapped", killed_by(11), kSegmentation},
                    Crash{"shim", killed_by(11), kSegmentation},
                    Crash{"stackless", killed_by(11), kSegmentation},
                    Crash{"illegal", killed_by(4), "crash[1]: illegal instruction"},
                    Crash{"divide", killed_by(8), "crash[1]: division error"},
                    Crash{"abort", killed_by(6), ""}, Crash{"kill", killed_by(9), ""},
                    Crash{"memory", killed_by(9), "crash[1]: killed: out of memory"}),
    [](const auto& crash) {
      std::string name = crash.param.how;
      std::erase(name, ' ');
      return name;
    });

}  // namespace
