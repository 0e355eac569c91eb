#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "agent/loop.h"
#include "agent/protocol.h"

namespace ensemble::agent {

// The agent's end of the stream to the host, cut into frames. Frames that the port does not take
// wait here; who sends much asks is_congested() first.
class Port final : public Watcher {
 public:
  struct Handlers {
    std::function<void(const FrameHeader& header, std::string_view body)> frame;
    std::function<void()> drained;       // no longer congested
    std::function<void()> disconnected;  // a connection has ended, or broken the protocol
  };

  Port(Loop& loop, const char* path, Handlers handlers);
  ~Port() override;

  // Negative errno.
  int open();
  void send(FrameType type, std::uint32_t conversation, std::uint32_t detail,
            std::string_view body = {});
  bool is_congested() const { return output_.size() - sent_ > kEnoughOutput; }
  // More may have come than was taken in one turn: others first, then work().
  bool has_work() const { return more_; }
  void work() { read_input(); }

  void ready(int descriptor, std::uint32_t events) override;

 private:
  static constexpr std::size_t kEnoughOutput = 512 * 1024;
  static constexpr std::size_t kInputSize = 1024 * 1024 + kLargestBody + sizeof(FrameHeader);

  static constexpr int kMostTurns = 4;

  void read_input();
  bool take_frames();
  void flush();
  void reopen();

  Loop& loop_;
  const char* const path_;
  const Handlers handlers_;
  int descriptor_ = -1;
  bool carried_ = false;  // bytes have come since it was opened
  bool more_ = false;
  bool hung_up_ = false;
  std::unique_ptr<char[]> input_;
  std::size_t filled_ = 0;
  std::string output_;
  std::size_t sent_ = 0;
};

}  // namespace ensemble::agent
