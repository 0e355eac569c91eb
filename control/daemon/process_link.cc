#include "control/daemon/process_link.h"

#include <utility>

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
  return link;
}

void ProcessLink::ask(proto::Request request, ReplyHandler handler) {
  request.set_id(++last_id_);
  waiting_.emplace(last_id_, std::move(handler));
  socket_->send(request);
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
  const auto found = waiting_.extract(reply.id());
  if (found.empty()) {
    return;
  }
  const ReplyHandler handler = found.mapped();
  if (reply.has_failure()) {
    handler(fail("{}", reply.failure().message()));
  } else {
    handler(reply);
  }
}

void ProcessLink::closed(const std::optional<Error>& error) {
  const auto waiting = std::exchange(waiting_, {});
  const auto last = handlers_.closed;
  for (const auto& [id, handler] : waiting) {
    handler(fail("the device's process is gone"));
  }
  last(error);
}

}  // namespace ensemble::control
