#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "agent/protocol.h"
#include "vmm/error.h"
#include "vmm/event_loop.h"
#include "vmm/file_descriptor.h"

namespace ensemble::control {

// The stream to a device's agent, cut into frames. What the agent sends is a guest's: it is checked
// by who gets it. Belongs to its event loop's thread.
class AgentSocket {
 public:
  // Most bytes that who sends much has wait here.
  static constexpr std::size_t kEnoughOutput = std::size_t{1} << 20;

  struct Handlers {
    // A frame has come. It may destroy the socket.
    std::function<void(const agent::FrameHeader& header, std::string_view body)> frame;
    // No longer congested.
    std::function<void()> drained;
    // The stream has ended, or was broken as the Error says. The last; it may destroy the socket.
    std::function<void(std::optional<Error> error)> closed;
  };

  // Takes ownership of the connected socket. `loop` outlives this.
  static Result<std::unique_ptr<AgentSocket>> create(vmm::EventLoop& loop,
                                                     vmm::FileDescriptor socket, Handlers handlers);
  ~AgentSocket() { *alive_ = false; }

  // Queues a frame, of any length that the protocol allows, and sends what the socket takes.
  void send(agent::FrameType type, std::uint32_t conversation, std::uint32_t detail,
            std::string_view body = {});
  // The same, but it is sent with the next one: what the device gets at once wakes it once.
  void queue(agent::FrameType type, std::uint32_t conversation, std::uint32_t detail,
             std::string_view body);
  bool is_congested() const { return queued_ > kEnoughOutput; }

 private:
  AgentSocket(vmm::FileDescriptor socket, Handlers handlers)
      : socket_(std::move(socket)), handlers_(std::move(handlers)) {}

  void handle(std::uint32_t events);
  void read();
  bool take_frames(std::string_view& bytes);
  void write();
  void close(std::optional<Error> error);

  vmm::FileDescriptor socket_;
  Handlers handlers_;
  vmm::FdWatch watch_;  // Destroyed before the socket.
  // The beginning of a frame whose rest has not come.
  std::string input_;
  std::deque<std::string> output_;
  std::size_t sent_ = 0;  // of the first
  std::size_t queued_ = 0;
  bool waits_to_write_ = false;
  // Tells a handler's caller that this is gone.
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace ensemble::control
