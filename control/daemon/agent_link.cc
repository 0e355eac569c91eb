#include "control/daemon/agent_link.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace ensemble::control {
namespace {

using agent::FrameHeader;
using agent::FrameType;

// Bytes that the agent hears of at once: each frame costs the device time.
constexpr std::size_t kCreditStep = agent::kFirstCredit / 4;

ApiError broken_protocol(std::string_view what) {
  return {grpc::UNAVAILABLE, "AGENT_BROKEN",
          fmt::format("the device's agent broke the protocol: {}", what)};
}

}  // namespace

AgentConversation::AgentConversation(AgentLink& link, std::uint32_t number, std::uint64_t credit,
                                     Handlers handlers)
    : link_(&link),
      number_(number),
      handlers_(std::make_shared<const Handlers>(std::move(handlers))),
      credit_(credit) {}

AgentConversation::~AgentConversation() {
  if (link_ != nullptr) {
    link_->conversations_.erase(number_);
    link_->socket_->send(FrameType::kCancel, number_, 0);
  }
}

bool AgentConversation::may_send() const {
  return link_ != nullptr && credit_ != 0 && !is_congested();
}

bool AgentConversation::is_congested() const {
  return link_ != nullptr && link_->socket_->is_congested();
}

std::size_t AgentConversation::send_data(agent::Channel channel, std::string_view bytes) {
  if (link_ == nullptr) {
    return 0;
  }
  bytes = bytes.substr(0, std::min<std::uint64_t>(credit_, agent::kLargestBody));
  credit_ -= bytes.size();
  link_->socket_->send(FrameType::kData, number_, channel, bytes);
  return bytes.size();
}

void AgentConversation::send(FrameType type, std::uint32_t detail, std::string_view body) {
  if (link_ != nullptr) {
    link_->socket_->send(type, number_, detail, body);
  }
}

void AgentConversation::set_handlers(Handlers handlers) {
  handlers_ = std::make_shared<const Handlers>(std::move(handlers));
}

void AgentConversation::passed_on(std::size_t bytes) {
  passed_on_ += bytes;
  if (passed_on_ >= kCreditStep && link_ != nullptr) {
    const std::size_t step = std::exchange(passed_on_, 0);
    expected_ += step;
    send(FrameType::kCredit, static_cast<std::uint32_t>(step));
  }
}

// False: the agent sends more than it may.
bool AgentConversation::take(const FrameHeader& header, std::string_view body) {
  const auto handlers = handlers_;  // They may destroy this.
  if (header.type == FrameType::kCredit) {
    // A guest may say anything: no sum of such numbers overflows 64 bits in a device's life.
    credit_ += header.detail;
    handlers->writable();
    return true;
  }
  if (header.type == FrameType::kData) {
    if (body.size() > expected_) {
      return false;
    }
    expected_ -= body.size();
  }
  if (is_last(header.type)) {
    link_->conversations_.erase(number_);
    link_ = nullptr;
  }
  handlers->frame(header, body);
  return true;
}

Result<std::unique_ptr<AgentLink>> AgentLink::create(vmm::EventLoop& loop,
                                                     vmm::FileDescriptor socket,
                                                     std::function<void(ApiError error)> closed) {
  std::unique_ptr<AgentLink> link(new AgentLink(std::move(closed)));
  auto made = AgentSocket::create(
      loop, std::move(socket),
      {.frame = [raw = link.get()](const FrameHeader& header,
                                   std::string_view body) { raw->take(header, body); },
       .drained = [raw = link.get()] { raw->drained(); },
       .closed =
           [raw = link.get()](const std::optional<Error>& error) {
             raw->close({grpc::UNAVAILABLE, "AGENT_GONE",
                         error ? error->message() : "the device's agent is gone"});
           }});
  if (!made) {
    return std::unexpected(made.error());
  }
  link->socket_ = std::move(*made);
  auto timer = LoopTimer::create(loop, [raw = link.get()] {
    raw->close({grpc::UNAVAILABLE, "AGENT_SILENT",
                fmt::format("the device's agent did not answer in {} s", kPatience.count())});
  });
  if (!timer) {
    return std::unexpected(timer.error());
  }
  link->patience_ = std::move(*timer);
  link->patience_->set(kPatience);
  link->socket_->send(FrameType::kHello, 0, agent::kVersion);
  return link;
}

ApiResult<std::unique_ptr<AgentConversation>> AgentLink::begin(FrameType type,
                                                               std::string_view body,
                                                               AgentConversation::Handlers handlers,
                                                               bool input_ends) {
  if (conversations_.size() >= kMostConversations) {
    return exhausted(
        "TOO_MANY_CALLS",
        fmt::format("the device serves {} calls already, as many as it can", kMostConversations));
  }
  while (++last_number_ == 0 || conversations_.contains(last_number_)) {
  }
  const std::uint64_t credit = type == FrameType::kPush ? agent::kPushCredit : agent::kFirstCredit;
  auto made = std::make_unique<AgentConversation>(*this, last_number_, credit, std::move(handlers));
  conversations_.emplace(last_number_, made.get());
  if (input_ends) {
    socket_->queue(type, last_number_, 0, body);
    socket_->send(FrameType::kEndOfData, last_number_, agent::kStandardInput);
  } else {
    socket_->send(type, last_number_, 0, body);
  }
  return made;
}

void AgentLink::take(const FrameHeader& header, std::string_view body) {
  if (header.type == FrameType::kHello) {
    greet(header.detail);
    return;
  }
  if (!greeted_) {
    close(broken_protocol("it did not greet first"));
    return;
  }
  // Others were cancelled while this was under way.
  const auto found = conversations_.find(header.conversation);
  if (found != conversations_.end() && !found->second->take(header, body)) {
    close(broken_protocol("it sent more than it may"));
  }
}

void AgentLink::greet(std::uint32_t version) {
  greeted_ = true;
  patience_->cancel();
  if (version != agent::kVersion) {
    close({grpc::UNAVAILABLE, "AGENT_VERSION",
           fmt::format("the device's agent speaks version {} of the protocol, not {}; stop the "
                       "device and start it again",
                       version, agent::kVersion)});
  }
}

void AgentLink::drained() {
  std::vector<std::uint32_t> order;
  order.reserve(conversations_.size());
  for (const auto& [number, conversation] : conversations_) {
    order.push_back(number);
  }
  std::ranges::rotate(order, std::ranges::upper_bound(order, last_served_));
  for (const std::uint32_t number : order) {
    if (socket_->is_congested()) {
      return;
    }
    last_served_ = number;
    if (const auto found = conversations_.find(number); found != conversations_.end()) {
      const auto handlers = found->second->handlers_;
      handlers->writable();
    }
  }
}

void AgentLink::close(ApiError error) {
  patience_->cancel();
  if (const auto closed = std::exchange(closed_, nullptr)) {
    closed(std::move(error));
  }
}

void AgentLink::give_up(const ApiError& error) {
  while (!conversations_.empty()) {
    AgentConversation& conversation = *conversations_.begin()->second;
    conversations_.erase(conversations_.begin());
    conversation.link_ = nullptr;
    const auto handlers = conversation.handlers_;
    handlers->broken(error);
  }
}

}  // namespace ensemble::control
