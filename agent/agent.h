#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "agent/conversation.h"
#include "agent/loop.h"
#include "agent/port.h"

namespace ensemble::agent {

// The first process of a device that the host works with: it runs the device's command as its
// child, ends with it, reaps what has lost its parent, and answers the host.
class Agent final : public Watcher {
 public:
  Agent(std::vector<std::string> command, std::vector<std::string> environment);

  // The exit code for the device: the command's, or 128 and its signal.
  int run();

  void ready(int descriptor, std::uint32_t events) override;

 private:
  bool watch_signals();
  bool start_command();
  void reap();
  void take(const FrameHeader& header, std::string_view body);
  void begin(const FrameHeader& header, std::string_view body);
  Conversation* find(std::uint32_t number) const;
  void end_command(std::uint32_t patience_ms);
  void pump();
  void work();
  int patience() const;
  void drop_all();
  void remove_finished();

  const std::vector<std::string> command_;
  const std::vector<std::string> environment_;
  Loop loop_;
  Port port_;
  int signals_ = -1;
  int process_ = -1;  // of the command
  int exit_code_ = -1;
  std::int64_t kill_time_ = 0;  // of the command, as monotonic_ms(); 0: never
  std::vector<std::unique_ptr<Conversation>> conversations_;
};

}  // namespace ensemble::agent
