#include "guest-kernel/linux/server/thread_redirect.h"

#include "guest-kernel/abi/layout.h"
#include "guest-kernel/abi/system_call.h"
#include "guest-kernel/linux/server/shim_image.h"

namespace linux_server {
namespace {

using abi::RegisterGroup;
using guest::RegisterWords;

// Places in RegisterGroup::kControl.
constexpr std::size_t kInstruction = 0;
constexpr std::size_t kStack = 1;
constexpr std::size_t kFlags = 2;

constexpr std::uint64_t kPlainFlags = 0x202;

bool enter_shim(Task& task, RegisterWords control, std::uint64_t instruction) {
  task.page->interrupted_instruction = instruction;
  task.page->interrupted_stack = control[kStack];
  task.page->interrupted_flags = control[kFlags];
  control[kInstruction] = shim_code().interrupted;
  control[kStack] = task.page_address + abi::kPageSize;
  control[kFlags] = kPlainFlags;
  return guest::write_thread(task.thread, RegisterGroup::kControl, control) == guest::Status::kOk;
}

// On its way out of the shim it has looked already: it goes back.
void look_again(Task& task, RegisterWords control, std::uint64_t from) {
  control[kInstruction] = from;
  control[kStack] = task.page_address + shim::kFrameOffset;
  control[kFlags] = kPlainFlags;
  static_cast<void>(guest::write_thread(task.thread, RegisterGroup::kControl, control));
}

}  // namespace

bool is_shim_code(std::uint64_t instruction) {
  return (instruction >= shim::kCode && instruction < shim::kCode + shim::kCodeSize) ||
         (instruction >= abi::kEntryPage && instruction < abi::kEntryPage + abi::kPageSize);
}

void redirect_to_signals(Task& task) {
  const shim::CodeHeader& code = shim_code();
  if (task.thread == guest::kNoSlot || task.page == nullptr || task.suspended) {
    return;
  }
  guest::control_thread(task.thread, abi::ThreadOperation::kSuspend);
  // Where it cannot be read it is on its way to the server, and looks when it comes back.
  if (const auto control = guest::read_thread(task.thread, RegisterGroup::kControl); control) {
    const std::uint64_t instruction = (*control)[kInstruction];
    if (instruction >= code.exit_begin && instruction < code.exit_jump) {
      look_again(task, *control, code.exit_begin);
    } else if (instruction == code.exit_jump) {
      enter_shim(task, *control, task.page->resume);
    } else if (!is_shim_code(instruction)) {
      enter_shim(task, *control, instruction);
    }
  }
  guest::control_thread(task.thread, abi::ThreadOperation::kResume);
}

bool redirect_faulted(Task& task) {
  const auto control = guest::read_thread(task.thread, RegisterGroup::kControl);
  return control && !is_shim_code((*control)[kInstruction]) &&
         enter_shim(task, *control, (*control)[kInstruction]);
}

}  // namespace linux_server
