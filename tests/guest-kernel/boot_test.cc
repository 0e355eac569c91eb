// Boots nucleus, composer and drivers on QEMU (lane T: no KVM), with a probe as the server, and
// looks at what it says.

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>

namespace {

using testing::HasSubstr;
using testing::Not;

const std::string kOutput = ENSEMBLE_GUEST_OUTPUT;
constexpr const char* kQemu =
    "qemu-system-x86_64 -M microvm,acpi=off,pit=off,pic=off,rtc=off -accel tcg -cpu max -m 64 "
    "-nodefaults -display none -no-reboot -device isa-debug-exit,iobase=0xf4,iosize=0x04 ";

struct Outcome {
  int exit_code;
  std::string console;  // what the command's console showed
  std::string serial;   // what the 16550 showed, where that is not the console
};

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

class GuestBoot : public testing::Test {
 protected:
  void SetUp() override {
    if (std::system("command -v qemu-system-x86_64 >/dev/null") != 0) {
      GTEST_SKIP() << "qemu-system-x86_64 is not installed";
    }
    directory_ = testing::TempDir() + "guest_boot_" + std::to_string(getpid());
    std::filesystem::create_directories(directory_);
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  Outcome run(const std::string& package, const std::string& devices, const std::string& append,
              const std::string& input = {}, const std::string& typed_after = {}) {
    const std::string command = std::string("exec timeout 20 ") + kQemu + devices + " -kernel " +
                                kOutput + "/nucleus.elf -initrd " + kOutput + "/" + package +
                                " -append 'tsc_khz=1000000 " + append + "' >" + directory_ +
                                "/console 2>" + directory_ + "/log";
    const int status = run_with_input(command, input, typed_after);
    // isa-debug-exit: (code << 1) | 1.
    const int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    return {code % 2 == 1 ? code / 2 : -code, read_file(directory_ + "/console"),
            read_file(directory_ + "/serial")};
  }
  // `typed_after`: what the console shows first. A UART loses what comes while its driver starts.
  Outcome run_on_serial(const std::string& append, const std::string& input = {},
                        const std::string& typed_after = {}) {
    return run("probe.pkg", "-serial stdio", "console=ttyS0 " + append, input, typed_after);
  }
  Outcome run_on_virtio(const std::string& append, const std::string& input = {},
                        const std::string& package = "probe.pkg") {
    const std::string disk = directory_ + "/disk";
    std::ofstream(disk).close();
    std::filesystem::resize_file(disk, 1 << 20);
    return run(package,
               "-global virtio-mmio.force-legacy=false -serial file:" + directory_ +
                   "/serial -device virtio-serial-device -chardev stdio,id=c -device "
                   "virtconsole,chardev=c -device virtio-rng-device -drive "
                   "format=raw,if=none,id=d,file=" +
                   disk + " -device virtio-blk-device,drive=d,serial=disk-serial",
               append, input);
  }

  std::string directory_;

 private:
  void wait_for(const std::string& text) const {
    for (int i = 0; i < 1000 && read_file(directory_ + "/console").find(text) == std::string::npos;
         ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
  }

  // The standard input stays open until the command ends.
  int run_with_input(const std::string& command, const std::string& input,
                     const std::string& typed_after) const {
    std::array<int, 2> ends{};
    if (pipe2(ends.data(), O_CLOEXEC) != 0) {
      return -1;
    }
    const pid_t child = fork();
    if (child == 0) {
      dup2(ends[0], STDIN_FILENO);
      execl("/bin/sh", "sh", "-c", command.c_str(), nullptr);
      _exit(1);
    }
    close(ends[0]);
    wait_for(typed_after);
    const ssize_t written = write(ends[1], input.data(), input.size());
    int status = -1;
    waitpid(child, &status, 0);
    close(ends[1]);
    return written == static_cast<ssize_t>(input.size()) ? status : -1;
  }
};

TEST_F(GuestBoot, SerialConsole) {
  const Outcome outcome = run_on_serial("-- hello time exit7");
  EXPECT_EQ(outcome.exit_code, 7);
  EXPECT_THAT(outcome.console, HasSubstr("hello from ring 3\ntime ok\n"));
}

TEST_F(GuestBoot, SerialInput) {
  const Outcome outcome = run_on_serial("-- hello echo", "what was typed\n", "hello from ring 3\n");
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_THAT(outcome.console, HasSubstr("echo: what was typed\n"));
}

TEST_F(GuestBoot, VirtioConsoleBothWays) {
  const Outcome outcome = run_on_virtio("-- hello echo exit7", "what was typed\n");
  EXPECT_EQ(outcome.exit_code, 7);
  EXPECT_THAT(outcome.console, HasSubstr("hello from ring 3\necho: what was typed\n"));
}

TEST_F(GuestBoot, ConsoleLosesNothing) {
  const Outcome outcome = run_on_virtio("-- flood");
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_EQ(outcome.console.size(), 2000u * 50u);
}

TEST_F(GuestBoot, BlockAndEntropy) {
  const Outcome outcome = run_on_virtio("-- complete entropy entropy block");
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_THAT(outcome.console, HasSubstr("complete=0\nentropy ok\nentropy ok\ncapacity=2048\n"
                                         "write=0\nflush=0\nread=0\nread_bytes=4096\nsame\n"
                                         "past_end=1\noverflow=1\noutside=1\nunknown=1\nid=0\n"));
  const std::string disk = read_file(directory_ + "/disk");
  ASSERT_EQ(disk.size(), 1u << 20);
  for (std::size_t i = 0; i < 4096; ++i) {
    ASSERT_EQ(static_cast<unsigned char>(disk[4096 + i]),
              static_cast<unsigned char>(i * 7 + i / 256));
  }
}

TEST_F(GuestBoot, DeviceTableNamesDriversAndDomains) {
  const Outcome outcome = run_on_virtio("-- complete table");
  EXPECT_THAT(outcome.console, HasSubstr("virtio,device3 virtio-console console state 2"));
  EXPECT_THAT(outcome.console, HasSubstr("virtio,device2 virtio-block block state 2"));
  EXPECT_THAT(outcome.console, HasSubstr("virtio,device4 virtio-entropy entropy state 2"));
}

TEST_F(GuestBoot, ServerThatDiesEndsTheMachine) {
  const Outcome outcome = run_on_virtio("-- hello fault");
  EXPECT_EQ(outcome.exit_code, 125);
  EXPECT_THAT(outcome.serial, HasSubstr("ensemble: the Linux server died: exception 6"));
}

TEST_F(GuestBoot, DriverThatDiesIsStartedAgainAFewTimes) {
  const Outcome outcome = run_on_virtio(
      "-- complete entropy table entropy entropy entropy table entropy hello", "", "crash.pkg");
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_THAT(outcome.console, HasSubstr("virtio-entropy entropy state 2 restarts 1 exception 6"));
  EXPECT_THAT(outcome.console, HasSubstr("virtio-entropy entropy state 4 restarts 4 exception 6"));
  // Who calls it after that is told so, and does not wait for ever.
  EXPECT_THAT(outcome.console, HasSubstr("hello from ring 3"));
  EXPECT_THAT(outcome.console, Not(HasSubstr("entropy ok")));
}

TEST_F(GuestBoot, BadCommandLineEndsTheMachine) {
  const Outcome outcome = run_on_serial("cpus=9 -- hello");
  EXPECT_EQ(outcome.exit_code, 125);
  EXPECT_THAT(outcome.console,
              HasSubstr("ensemble: bad command line: the command line's cpus is no number from"));
}

TEST_F(GuestBoot, AllProcessorsStart) {
  const Outcome outcome = run("probe.pkg", "-smp 4 -serial stdio",
                              "console=ttyS0 cpus=4 -- complete complete table exit7");
  EXPECT_EQ(outcome.exit_code, 7);
  EXPECT_THAT(outcome.console, HasSubstr("processors=4"));
}

TEST_F(GuestBoot, PackageWithoutServerEndsTheMachine) {
  const Outcome outcome = run("empty.pkg", "-serial stdio", "console=ttyS0 -- hello");
  EXPECT_EQ(outcome.exit_code, 125);
  EXPECT_THAT(outcome.console,
              HasSubstr("ensemble: the Linux server does not start: not in the boot package"));
}

}  // namespace
