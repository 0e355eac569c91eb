#include "control/daemon/process_link.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <utility>
#include <vector>

namespace ensemble::control {

namespace proto = ensemble::vmm::v1;

Result<std::unique_ptr<ProcessLink>> ProcessLink::create(vmm::EventLoop& loop,
                                                         vmm::FileDescriptor socket,
                                                         Handlers handlers) {
  std::unique_ptr<ProcessLink> link(new ProcessLink(std::move(handlers)));
  auto framed = FramedSocket::create(
      loop, std::move(socket),
      {.take = [raw = link.get()](FramedSocket&,
                                  MessageReader& reader) { return raw->take(reader); },
       .closed = [raw = link.get()](FramedSocket&,
                                    const std::optional<Error>& error) { raw->closed(error); }});
  if (!framed) {
    return std::unexpected(framed.error());
  }
  link->socket_ = std::move(*framed);
  auto timer = LoopTimer::create(loop, [raw = link.get()] { raw->answer_overdue(); });
  if (!timer) {
    return std::unexpected(timer.error());
  }
  link->timer_ = std::move(*timer);
  return link;
}

void ProcessLink::ask(proto::Request request, ReplyHandler handler,
                      std::chrono::milliseconds patience) {
  request.set_id(++last_id_);
  waiting_.emplace(last_id_,
                   Waiting{.handler = std::move(handler), .deadline = Clock::now() + patience});
  set_timer();
  socket_->send(request);
}

void ProcessLink::give_up() {
  for (const auto& [id, each] : std::exchange(waiting_, {})) {
    each.handler(std::unexpected(Error::from_errno("the device's process is gone", ECONNRESET)));
  }
}

void ProcessLink::set_timer() {
  if (waiting_.empty()) {
    timer_->cancel();
    return;
  }
  const auto next = std::ranges::min_element(
      waiting_, {}, [](const auto& entry) { return entry.second.deadline; });
  timer_->set(next->second.deadline - Clock::now());
}

void ProcessLink::answer_overdue() {
  std::vector<ReplyHandler> overdue;
  const auto now = Clock::now();
  std::erase_if(waiting_, [&](auto& entry) {
    const bool late = entry.second.deadline <= now;
    if (late) {
      overdue.push_back(std::move(entry.second.handler));
    }
    return late;
  });
  set_timer();
  // From here on the link may be gone: a handler may destroy it.
  for (const ReplyHandler& handler : overdue) {
    handler(std::unexpected(Error::from_errno("the device's process does not answer", ETIMEDOUT)));
  }
}

Result<bool> ProcessLink::take(MessageReader& reader) {
  proto::FromVmm message;
  auto taken = reader.take(message);
  if (!taken || !*taken) {
    return taken;
  }
  if (message.has_reply()) {
    answer(message.reply());
  } else if (message.has_event()) {
    // A copy: the handler may destroy the link.
    const auto event = handlers_.event;
    event(message.event());
  }
  return true;
}

void ProcessLink::answer(const proto::Reply& reply) {
  auto found = waiting_.extract(reply.id());
  if (found.empty()) {
    return;
  }
  set_timer();
  const ReplyHandler handler = std::move(found.mapped().handler);
  if (reply.has_failure()) {
    handler(fail("{}", reply.failure().message()));
  } else {
    handler(reply);
  }
}

void ProcessLink::closed(const std::optional<Error>& error) {
  const auto last = handlers_.closed;
  give_up();
  last(error);
}

}  // namespace ensemble::control
