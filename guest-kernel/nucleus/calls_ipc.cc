#include "guest-kernel/nucleus/port.h"
#include "guest-kernel/nucleus/system_call.h"

namespace nucleus {

using abi::Status;

Outcome call(FrameCall& call) {
  Status status{};
  const Slot* slot =
      check_slot(call.domain, call.frame.rdi, ObjectType::kPort, abi::kRightCall, status);
  if (slot == nullptr) {
    return status;
  }
  call_port(call.processor, call.thread, static_cast<Port&>(*slot->object()), slot->badge);
  return Outcome::frame_is_complete();
}

Outcome reply_wait(FrameCall& call) {
  Status status{};
  if (call.frame.rbx != 0) {
    (void)reply(call.processor, call.thread, call.frame.rbx);
  }
  Port* port = find<Port>(call.domain, call.frame.rdi, abi::kRightReceive, status);
  if (port == nullptr) {
    return status;
  }
  receive(call.thread, *port, true);
  return Outcome::frame_is_complete();
}

Outcome reply_only(FrameCall& call) {
  return reply(call.processor, call.thread, call.frame.rbx);
}

Outcome poll(FrameCall& call) {
  Status status{};
  Port* port = find<Port>(call.domain, call.frame.rdi, abi::kRightReceive, status);
  if (port == nullptr) {
    return status;
  }
  receive(call.thread, *port, false);
  return Outcome::frame_is_complete();
}

}  // namespace nucleus
