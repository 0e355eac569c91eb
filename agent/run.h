#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "agent/child.h"
#include "agent/conversation.h"

namespace ensemble::agent {

// A command that the host runs: its input, output, signals and end.
class Run final : public Conversation {
 public:
  // `environment`: of the agent, which the command's own is added to.
  Run(Port& port, std::uint32_t number, Loop& loop, const std::vector<std::string>& environment);
  ~Run() override;

  // kRun's body.
  void start(std::string_view body);

  void take(const FrameHeader& header, std::string_view body) override;
  void pump() override;
  void child_ended(int process, int status) override;
  void cancel() override;
  void ready(int descriptor, std::uint32_t events) override;

 private:
  // One way out of the command.
  struct Output {
    int descriptor = -1;
    Channel channel = kStandardOutput;
    bool watched = false;
  };

  bool parse(std::string_view body, ChildSettings& settings);
  int open_pipes(ChildSettings& settings);
  int open_terminal(ChildSettings& settings);
  void resize(std::uint32_t size);
  void feed();
  void close_input();
  bool drain(Output& output);
  void close_output(Output& output);
  void watch(Output& output, bool wanted);
  void signal(int number) const;
  void hang_up() const;

  Loop& loop_;
  const std::vector<std::string>& environment_;
  std::uint32_t flags_ = 0;
  std::uint32_t size_ = 0;
  int process_ = -1;
  int status_ = -1;  // of waitpid(2); -1: it runs
  int terminal_ = -1;
  int input_ = -1;
  std::string waiting_;        // input that the command has not taken
  bool line_is_open_ = false;  // of input: no newline ends it
  bool input_ends_ = false;
  bool input_is_nonblocking_ = false;  // of a pipe, before the first bytes are written
  Output outputs_[2];
  // The command's ends, until it has been started.
  std::vector<int> ends_;
};

}  // namespace ensemble::agent
