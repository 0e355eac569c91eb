#pragma once

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/resource.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <sstream>
#include <string>

namespace ensemble::control {

// A process that gets no more descriptors, as long as this lives.
class StarvedProcess {
 public:
  explicit StarvedProcess(pid_t process) : process_(process) {
    EXPECT_EQ(::prlimit(process_, RLIMIT_NOFILE, nullptr, &before_), 0);
    const rlimit none{.rlim_cur = 0, .rlim_max = before_.rlim_max};
    EXPECT_EQ(::prlimit(process_, RLIMIT_NOFILE, &none, nullptr), 0);
  }
  ~StarvedProcess() { EXPECT_EQ(::prlimit(process_, RLIMIT_NOFILE, &before_, nullptr), 0); }
  StarvedProcess(const StarvedProcess&) = delete;
  StarvedProcess& operator=(const StarvedProcess&) = delete;

  // The processor time that its first thread, which runs its event loop, takes in the next `time`.
  std::chrono::milliseconds loop_time_in(std::chrono::milliseconds time) const {
    const auto before = loop_time();
    ::poll(nullptr, 0, static_cast<int>(time.count()));
    return loop_time() - before;
  }

 private:
  std::chrono::milliseconds loop_time() const {
    const std::string id = std::to_string(process_);
    std::ifstream file("/proc/" + id + "/task/" + id + "/stat");
    std::string line;
    std::getline(file, line);
    // Behind the name, which ends with ')': the state, then ten numbers, then two of clock ticks.
    std::istringstream words(line.substr(line.rfind(')') + 1));
    std::string skipped;
    for (int i = 0; i < 11; ++i) {
      words >> skipped;
    }
    long user = 0;
    long kernel = 0;
    words >> user >> kernel;
    EXPECT_TRUE(words) << line;
    return std::chrono::milliseconds((user + kernel) * 1000 / ::sysconf(_SC_CLK_TCK));
  }

  pid_t process_;
  rlimit before_{};
};

}  // namespace ensemble::control
