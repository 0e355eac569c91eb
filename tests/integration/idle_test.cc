#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <thread>

#include "tests/integration/ensemble_process.h"
#include "tests/integration/lane.h"

namespace ensemble::integration {
namespace {

// Processor time of a process and its children so far, in clock ticks.
long processor_ticks(pid_t pid) {
  const std::string folder = "/proc/" + std::to_string(pid);
  std::ostringstream text;
  text << std::ifstream(folder + "/stat").rdbuf();
  // After the name in parentheses come the state and then numbers: 12 and 13 are user and system.
  std::istringstream fields(text.str().substr(text.str().rfind(')') + 1));
  std::string field;
  long ticks = 0;
  for (int index = 0; index <= 12 && fields >> field; ++index) {
    ticks += index >= 11 ? std::stol(field) : 0;
  }
  std::error_code ignored;
  for (const auto& task : std::filesystem::directory_iterator(folder + "/task", ignored)) {
    std::ifstream children(task.path() / "children");
    for (pid_t child = 0; children >> child;) {
      ticks += processor_ticks(child);
    }
  }
  return ticks;
}

TEST(Idle, ADeviceThatWaitsForItsConsoleCostsNothing) {
  REQUIRE_KVM();
  if (on_lane_s()) {
    GTEST_SKIP() << "processor time under emulation says nothing; lane P measures it";
  }
  ChildProcess process(program_directory() + "/ensemble",
                       {"run", "watch", "--", "/bin/busybox", "cat"});
  process.write("ready\n");
  ASSERT_TRUE(process.read_until("ready", default_limit()));
  std::this_thread::sleep_for(std::chrono::milliseconds(500));
  const long before = processor_ticks(process.pid());
  constexpr int kSeconds = 8;
  std::this_thread::sleep_for(std::chrono::seconds(kSeconds));
  const long used = processor_ticks(process.pid()) - before;
  const double percent =
      100.0 * static_cast<double>(used) / static_cast<double>(::sysconf(_SC_CLK_TCK)) / kSeconds;
  EXPECT_LT(percent, 0.5);
  process.signal(SIGTERM);
  process.wait(default_limit());
}

}  // namespace
}  // namespace ensemble::integration
