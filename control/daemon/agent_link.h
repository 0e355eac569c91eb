#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "agent/protocol.h"
#include "control/daemon/agent_socket.h"
#include "control/daemon/api_error.h"
#include "control/loop_timer.h"
#include "vmm/event_loop.h"
#include "vmm/file_descriptor.h"

namespace ensemble::control {

class AgentLink;

// Whether a conversation is over with such a frame.
constexpr bool is_last(agent::FrameType type) {
  return type == agent::FrameType::kEnded || type == agent::FrameType::kFailed ||
         type == agent::FrameType::kDone;
}

// What a device's agent is asked to do, under way. Destroyed before it is over, it is cancelled.
class AgentConversation {
 public:
  // The last call of any is the last that is heard; each may destroy the conversation.
  struct Handlers {
    // A frame of the agent's; not kCredit. Bytes of kData never exceed the credit that it has.
    // kEnded, kFailed and kDone are the last.
    std::function<void(const agent::FrameHeader& header, std::string_view body)> frame;
    // may_send() may be true again.
    std::function<void()> writable;
    // The link is gone.
    std::function<void(const ApiError& error)> broken;
  };

  AgentConversation(AgentLink& link, std::uint32_t number, std::uint64_t credit, Handlers handlers);
  AgentConversation(const AgentConversation&) = delete;
  AgentConversation& operator=(const AgentConversation&) = delete;
  ~AgentConversation();

  // Whether there is credit for bytes, and room for them in the link.
  bool may_send() const;
  // Whether the link has no room: who passes on what a client sends reads no more of it.
  bool is_congested() const;
  // Sends as many of the bytes as there is credit for, in one frame; returns how many.
  std::size_t send_data(agent::Channel channel, std::string_view bytes);
  void send(agent::FrameType type, std::uint32_t detail, std::string_view body = {});
  // Tells another from now on.
  void set_handlers(Handlers handlers);
  // So many bytes of kData have been passed on. The agent is told of them in large steps.
  void passed_on(std::size_t bytes);

 private:
  friend class AgentLink;

  bool take(const agent::FrameHeader& header, std::string_view body);

  AgentLink* link_;  // Null: it is over.
  const std::uint32_t number_;
  // Kept while one of them is called.
  std::shared_ptr<const Handlers> handlers_;
  std::uint64_t credit_;
  std::uint64_t expected_ = agent::kFirstCredit;  // what the agent may still send
  std::size_t passed_on_ = 0;                     // without credit for it
};

// The daemon's end of the stream to one device's agent, which many conversations share. What waits
// in it is bounded: bytes towards the agent by is_congested(), those from it by credit. Belongs to
// the event loop's thread.
class AgentLink {
 public:
  // How long an agent may take to answer at all: its device may just boot.
  static constexpr std::chrono::seconds kPatience{30};
  static constexpr std::size_t kMostConversations = 120;

  // `closed` comes once: the stream has ended, the agent is silent or not one that can be spoken
  // with. Then the owner calls give_up().
  static Result<std::unique_ptr<AgentLink>> create(vmm::EventLoop& loop, vmm::FileDescriptor socket,
                                                   std::function<void(ApiError error)> closed);

  // Begins a conversation by a frame. RESOURCE_EXHAUSTED: there are too many. `input_ends`: a
  // command has no input, which the agent hears of with the same bytes.
  ApiResult<std::unique_ptr<AgentConversation>> begin(agent::FrameType type, std::string_view body,
                                                      AgentConversation::Handlers handlers,
                                                      bool input_ends = false);

  // Ends all conversations with the error. Before the link is destroyed.
  void give_up(const ApiError& error);

 private:
  friend class AgentConversation;
  explicit AgentLink(std::function<void(ApiError error)> closed) : closed_(std::move(closed)) {}

  void take(const agent::FrameHeader& header, std::string_view body);
  void greet(std::uint32_t version);
  void drained();
  void close(ApiError error);

  std::function<void(ApiError error)> closed_;
  std::unique_ptr<AgentSocket> socket_;
  std::unique_ptr<LoopTimer> patience_;
  bool greeted_ = false;
  std::uint32_t last_number_ = 0;
  // Whom room was offered to last: the next is the first the next time.
  std::uint32_t last_served_ = 0;
  std::map<std::uint32_t, AgentConversation*> conversations_;
};

}  // namespace ensemble::control
