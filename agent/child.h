#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

namespace ensemble::agent {

// A program to start as a child, in a session of its own.
struct ChildSettings {
  std::vector<std::string> command;
  std::vector<std::string> environment;  // the whole of it
  std::string directory = "/";           // empty: the agent's
  bool as_user = false;
  std::uint32_t user = 0;
  std::uint32_t group = 0;
  // Its standard descriptors; not closed here.
  int descriptors[3] = {0, 1, 2};
  // Its standard input becomes its controlling terminal.
  bool on_terminal = false;
};

// How it began.
struct StartedChild {
  pid_t process;      // or a negative errno, also where it cannot be executed
  bool in_directory;  // false: that was what failed
};

// Starts it. A command without '/' is looked for in PATH of its environment. The agent's memory is
// not copied for it.
StartedChild start_child(const ChildSettings& settings);

}  // namespace ensemble::agent
