// Control groups of version 2: what is read of them, on files of the test's own; and limits that
// Linux enforces, where it has such groups. Lane S.

#include "control/control_groups.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "tests/control/temporary_directory.h"

namespace ensemble::control {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

void write(const std::string& path, const std::string& text) {
  std::ofstream(path) << text;
}

std::string read(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

// Files as those of /proc and of a mounted tree of groups.
class ControlGroups : public testing::Test {
 protected:
  // This process is in `group`, and `root` of the tree is mounted at `place`.
  void describe(const std::string& group, const std::string& root, const std::string& place) {
    write(files_.groups, "12:memory:/other\n0::" + group + "\n");
    write(files_.mounts,
          "22 27 0:21 / /proc rw,nosuid shared:12 - proc proc rw\n"
          "31 23 0:27 " +
              root + " " + place + " rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n");
  }

  // A group as Linux makes it.
  std::string make_group(const std::string& name, const std::string& controllers) {
    const std::string group = directory_.path(name);
    std::filesystem::create_directories(group);
    write(group + "/cgroup.controllers", controllers + "\n");
    write(group + "/cgroup.procs", "");
    write(group + "/cgroup.subtree_control", "");
    return group;
  }

  std::string own_message() const {
    const auto own = own_group(files_);
    return own ? "none; it is " + *own : own.error().message();
  }

  TemporaryDirectory directory_;
  const GroupFiles files_ = {.groups = directory_.path("cgroup"),
                             .mounts = directory_.path("mountinfo")};
};

TEST_F(ControlGroups, AreFoundBelowTheirMount) {
  describe("/", "/", "/sys/fs/cgroup");
  EXPECT_EQ(own_group(files_).value_or("none"), "/sys/fs/cgroup");
  describe("/user.slice/one.service", "/", "/sys/fs/cgroup");
  EXPECT_EQ(own_group(files_).value_or("none"), "/sys/fs/cgroup/user.slice/one.service");
  describe("/user.slice/one.service", "/user.slice", "/with\\040blank");
  EXPECT_EQ(own_group(files_).value_or("none"), "/with blank/one.service");
  describe("/user.slice", "/user.slice", "/groups");
  EXPECT_EQ(own_group(files_).value_or("none"), "/groups");
}

TEST_F(ControlGroups, SayWhyTheyCannotBeUsed) {
  EXPECT_THAT(own_message(), HasSubstr(files_.groups));
  describe("/user.slices", "/user.slice", "/groups");
  EXPECT_THAT(own_message(), HasSubstr("not mounted"));
  describe("/../outside", "/", "/groups");
  EXPECT_THAT(own_message(), HasSubstr("outside"));
  write(files_.groups, "4:memory:/\n2:cpuacct:/\n");
  EXPECT_THAT(own_message(), HasSubstr("version 1 only"));
  write(files_.groups, "0::/\n");
  write(files_.mounts, "31 23 0:27\n- cgroup2\n31 23 0:27 / / - \n");
  EXPECT_THAT(own_message(), HasSubstr("not mounted"));

  const auto missing = usable_controllers(make_group("bare", "cpuset cpu io pids"));
  ASSERT_FALSE(missing);
  EXPECT_THAT(missing.error().message(), HasSubstr("no controller 'memory'"));
  const std::string whole = make_group("whole", "cpuset cpu io memory hugetlb pids");
  EXPECT_THAT(usable_controllers(whole).value(), ElementsAre("memory", "cpu", "pids"));
  std::filesystem::remove(whole + "/cgroup.subtree_control");
  const auto incomplete = usable_controllers(whole);
  ASSERT_FALSE(incomplete);
  EXPECT_THAT(incomplete.error().message(), HasSubstr("cgroup.subtree_control"));
}

TEST_F(ControlGroups, HaveWhatADeviceAndItsProcessNeed) {
  const ProcessLimits limits = limits_for(std::uint64_t{1} << 30, 4);
  EXPECT_EQ(limits.memory_bytes, (std::uint64_t{1024 + 128 + 128} << 20));
  EXPECT_EQ(limits.processors, 5U);
  EXPECT_GT(limits.threads, 16U);
  // Where there are none, nobody is held and nothing is wrong.
  EXPECT_TRUE(DeviceGroups().hold("1", ::getpid(), limits));
  EXPECT_EQ(DeviceGroups().home(), "");
}

// A tree of real groups, mounted for the test.
class RealControlGroups : public ControlGroups {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) {
      GTEST_SKIP() << "only root can mount control groups";
    }
    place_ = directory_.path("groups");
    std::filesystem::create_directory(place_);
    if (::mount("cgroup2", place_.c_str(), "cgroup2", 0, nullptr) != 0) {
      place_.clear();
      GTEST_SKIP() << "control groups of version 2 cannot be mounted: " << std::strerror(errno);
    }
    describe("/", "/", place_);
    if (const auto usable = usable_controllers(place_); !usable) {
      GTEST_SKIP() << usable.error().message();
    }
    auto groups = DeviceGroups::prepare(files_);
    ASSERT_TRUE(groups) << groups.error().message();
    groups_ = *groups;
  }

  void TearDown() override {
    if (place_.empty()) {
      return;
    }
    if (!groups_.home().empty()) {
      write(place_ + "/cgroup.procs", std::to_string(::getpid()));
      ::rmdir((place_ + "/ensembled").c_str());
    }
    ::umount2(place_.c_str(), MNT_DETACH);
  }

  // The status of a child that is held to the limits and then does `work`.
  template <typename Work>
  int run_held(const ProcessLimits& limits, const Work& work) {
    int gate[2];
    EXPECT_EQ(::pipe(gate), 0);
    const pid_t child = ::fork();
    if (child == 0) {
      char byte = 0;
      ::_exit(::read(gate[0], &byte, 1) == 1 ? work() : 99);
    }
    const auto held = groups_.hold("1", child, limits);
    EXPECT_TRUE(held) << held.error().message();
    EXPECT_EQ(::write(gate[1], "x", 1), 1);
    int status = 0;
    ::waitpid(child, &status, 0);
    ::close(gate[0]);
    ::close(gate[1]);
    return status;
  }

  std::string place_;
  DeviceGroups groups_;
};

TEST_F(RealControlGroups, HoldAProcessToItsMemory) {
  constexpr std::size_t kSize = std::size_t{64} << 20;
  const auto touch = [] {
    void* const memory =
        ::mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
      return 1;
    }
    std::memset(memory, 1, kSize);
    return 0;
  };
  const ProcessLimits small = {.memory_bytes = kSize / 4, .processors = 1, .threads = 8};
  int status = run_held(small, touch);
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) << status;
  EXPECT_EQ(read(place_ + "/ensemble-1/memory.max"), std::to_string(kSize / 4) + "\n");
  EXPECT_EQ(read(place_ + "/ensemble-1/cpu.max"), "100000 100000\n");
  // The same group with another limit.
  const ProcessLimits large = {.memory_bytes = 2 * kSize, .processors = 2, .threads = 8};
  status = run_held(large, touch);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  groups_.forget("1");
  EXPECT_FALSE(std::filesystem::exists(place_ + "/ensemble-1"));
}

TEST_F(RealControlGroups, HoldAProcessToItsThreads) {
  const ProcessLimits limits = {.memory_bytes = 64 << 20, .processors = 1, .threads = 4};
  const int status = run_held(limits, [] {
    ::setpgid(0, 0);
    int made = 0;
    for (; made < 16; ++made) {
      const pid_t child = ::fork();
      if (child == 0) {
        ::pause();
      }
      if (child < 0) {
        break;
      }
    }
    const int error = errno;
    ::signal(SIGTERM, SIG_IGN);
    ::kill(0, SIGTERM);
    return made == 3 && error == EAGAIN ? 0 : 1;
  });
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
}

TEST_F(RealControlGroups, AreMadeAgainByANextDaemonAndReleasedByALastOne) {
  EXPECT_EQ(read(place_ + "/ensembled/cgroup.procs"), std::to_string(::getpid()) + "\n");
  const std::string left = place_ + "/ensemble-left";
  ASSERT_EQ(::mkdir(left.c_str(), 0755), 0);
  describe("/ensembled", "/", place_);
  const auto again = DeviceGroups::prepare(files_);
  ASSERT_TRUE(again) << again.error().message();
  EXPECT_EQ(again->home(), place_);
  EXPECT_FALSE(std::filesystem::exists(left));
  EXPECT_THAT(read(place_ + "/cgroup.subtree_control"), HasSubstr("memory"));
  const auto released = DeviceGroups::release(files_);
  EXPECT_TRUE(released) << released.error().message();
  EXPECT_THAT(read(place_ + "/cgroup.subtree_control"), testing::Not(HasSubstr("memory")));
}

}  // namespace
}  // namespace ensemble::control
