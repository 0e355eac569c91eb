#include "guest-kernel/composer/supervisor.h"

#include <array>

#include "guest-kernel/composer/address_map.h"
#include "guest-kernel/composer/serial_log.h"
#include "guest-kernel/drivers/driver_protocol.h"
#include "guest-kernel/lib/clock.h"
#include "guest-kernel/lib/device_protocol.h"
#include "guest-kernel/lib/format.h"
#include "guest-kernel/lib/missed_calls.h"

namespace composer {
namespace {

using guest::Status;

// How long the console may take for the last output before the machine goes off all the same.
constexpr std::uint64_t kDrainSeconds = 2;

std::string_view describe_fault(const guest::Message& fault, std::span<char> buffer) {
  guest::TextWriter text(buffer);
  text.text("exception ").decimal(fault[0] - abi::kFaultMessage);
  text.text(" (error 0x").hexadecimal(fault[1]);
  text.text(") at 0x").hexadecimal(fault[3]);
  text.text(", address 0x").hexadecimal(fault[2]);
  return text.view();
}

}  // namespace

bool Supervisor::console_is_drained() const {
  const Service* console = services_->console();
  if (console == nullptr || console->record->state == guest::DeviceState::kStopped ||
      console->instance.info().status.state == guest::DriverState::kFailed) {
    return true;
  }
  const auto& shared =
      *reinterpret_cast<const guest::ConsoleShared*>(services_->shared_memory(*console));
  return shared.output.written.load(std::memory_order_acquire) ==
         shared.output.read.load(std::memory_order_acquire);
}

void Supervisor::begin_shutdown() {
  shutting_down_ = true;
  if (console_is_drained()) {
    system_->power.off(exit_code_, milestones_);
  }
  guest::copy_capability(abi::kSelfSlot, kTimerPortSlot, kOwnPortSlot, abi::kRightSignal,
                         kTimerSignal);
  guest::create_timer(kTimerSlot, kTimerPortSlot);
  guest::arm_timer(kTimerSlot, guest::read_tsc() + kDrainSeconds * system_->machine.tsc_frequency);
  guest::copy_capability(abi::kSelfSlot, kDrainSlot, services_->console()->port(),
                         abi::kRightSignal, driver::kDrainSignal);
  guest::signal(kDrainSlot);
}

// False: the caller gets no answer, the machine ends first.
bool Supervisor::handle_control(const guest::Message& request, guest::Message& reply) {
  if (request[0] == guest::kMissedCallsRequest) {
    for (std::size_t index = 1; index < request.word.size(); ++index) {
      if (request[index] != 0) {
        system_->power.report_missed_call(static_cast<std::uint32_t>(request[index] >> 32),
                                          static_cast<std::uint32_t>(request[index]));
      }
    }
    return true;
  }
  switch (static_cast<guest::ControlRequest>(request[0])) {
    case guest::ControlRequest::kCommandStarted:
      milestones_.command_started = request[1];
      return true;
    case guest::ControlRequest::kCommandEnded:
      exit_code_ = request[1];
      milestones_.kernel_entry = system_->boot->entry_tsc;
      milestones_.first_user = system_->boot->first_user_tsc;
      milestones_.command_started = request[2];
      milestones_.command_ended = request[3];
      begin_shutdown();
      return false;
    case guest::ControlRequest::kReset:
      system_->power.reset();
    case guest::ControlRequest::kCompleteStart:
      reply[0] = static_cast<std::uint64_t>(server_->complete());
      return true;
    case guest::ControlRequest::kStartDriver:
      reply[0] = static_cast<std::uint64_t>(server_->start_driver(request[1]));
      return true;
  }
  reply[0] = static_cast<std::uint64_t>(guest::DeviceStatus::kBadRequest);
  return true;
}

void Supervisor::handle_fault(std::size_t domain, const guest::Message& fault) {
  std::array<char, 96> buffer;
  services_->restart(domain, describe_fault(fault, buffer));
  const Service* console = services_->console();
  if (console != nullptr && console->record->state == guest::DeviceState::kStopped &&
      !shutting_down_) {
    system_->power.fail("the console driver died too often",
                        guest::text_of(console->record->message));
  }
}

void Supervisor::handle_signals(std::uint64_t signals) {
  if (shutting_down_ && ((signals & kTimerSignal) != 0 || console_is_drained())) {
    system_->power.off(exit_code_, milestones_);
  }
  for (const Service& service : services_->all()) {
    if ((signals >> service.index & 1) == 0 || service.abandoned ||
        service.instance.info().status.state != guest::DriverState::kFailed) {
      continue;
    }
    refresh();
    if (&service == services_->console()) {
      system_->power.fail("the console driver failed", guest::text_of(service.record->message));
    }
    services_->abandon(service.index);
  }
}

void Supervisor::refresh() {
  services_->refresh();
  if (const auto machine = guest::information(abi::InformationKind::kMachine)) {
    system_->device_table->processors_running = static_cast<std::uint32_t>((*machine)[0]);
  }
}

guest::Message Supervisor::answer(const guest::Received& call, bool& answered) {
  std::array<char, 96> buffer;
  guest::Message reply;
  answered = true;
  switch (call.badge & kBadgeTag) {
    case kFaultBadge:
      handle_fault(call.badge - kFaultBadge, call.message);
      answered = false;  // the thread is gone
      break;
    case kServerFaultBadge:
      system_->power.fail("the Linux server died", describe_fault(call.message, buffer));
    case kFileSystemFaultBadge:
      // Its client's call fails, and so does all that follows.
      server_->end_file_system();
      answered = false;
      break;
    case kControlBadge:
      answered = handle_control(call.message, reply);
      break;
    case kInformationBadge:
      if (call.message[0] != static_cast<std::uint64_t>(guest::InformationRequest::kRefresh)) {
        reply[0] = static_cast<std::uint64_t>(guest::DeviceStatus::kBadRequest);
        break;
      }
      refresh();
      break;
    default:
      break;
  }
  return reply;
}

void Supervisor::run() {
  const guest::Receiver receiver(kOwnPortSlot);
  std::uint64_t token = 0;
  guest::Message reply;
  for (;;) {
    const auto received = receiver.reply_and_wait(token, reply);
    token = 0;
    if (!received) {
      system_->power.fail("the composer's port failed", guest::status_name(received.error()));
    }
    if (received->is_notification()) {
      handle_signals(received->signals());
      continue;
    }
    bool answered = false;
    reply = answer(*received, answered);
    token = answered ? received->token : 0;
  }
}

}  // namespace composer
