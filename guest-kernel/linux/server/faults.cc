#include "guest-kernel/linux/server/faults.h"

#include "guest-kernel/abi/system_call.h"
#include "guest-kernel/linux/server/server.h"
#include "guest-kernel/linux/server/shim_image.h"
#include "guest-kernel/linux/server/signal_numbers.h"

namespace linux_server {
namespace {

constexpr std::uint64_t kPageFault = 14;

// Bits of a page fault's error code (Intel SDM volume 3, 4.7).
constexpr std::uint64_t kErrorWrite = 2;
constexpr std::uint64_t kErrorFetch = 16;

Access access_of(std::uint64_t error) {
  if ((error & kErrorFetch) != 0) {
    return Access::kExecute;
  }
  return (error & kErrorWrite) != 0 ? Access::kWrite : Access::kRead;
}

struct ExceptionSignal {
  Signal signal;
  std::string_view reason;
};

ExceptionSignal signal_of(std::uint64_t vector) {
  switch (vector) {
    case 0:
      return {kSignalFloatingPoint, "division error"};
    case 1:
    case 3:
      return {kSignalTrap, "breakpoint"};
    case 6:
      return {kSignalIllegal, "illegal instruction"};
    case 16:
    case 19:
      return {kSignalFloatingPoint, "floating-point exception"};
    case 17:
      return {kSignalBus, "unaligned access"};
    default:
      return {kSignalSegmentation, "segmentation fault"};
  }
}

// The shim was copying to or from a pointer of the application's that is bad: that call fails.
bool redirect_shim(Process& process, std::uint64_t instruction) {
  const shim::CodeHeader& code = shim_code();
  if (process.native || instruction < code.copy_begin || instruction >= code.copy_end) {
    return false;
  }
  auto registers = guest::read_thread(process.task().thread, abi::RegisterGroup::kControl);
  if (!registers) {
    return false;
  }
  (*registers)[0] = code.copy_fixup;
  return guest::write_thread(process.task().thread, abi::RegisterGroup::kControl, *registers) ==
         guest::Status::kOk;
}

}  // namespace

bool handle_fault(Server& server, Process& process, const guest::Message& fault,
                  guest::Message& answer) {
  const std::uint64_t vector = fault[0] & 0xff;
  const std::uint64_t address = fault[2];
  const std::uint64_t instruction = fault[3];
  answer[0] = static_cast<std::uint64_t>(abi::FaultReply::kRetry);
  if ((fault[0] & ~std::uint64_t{0xff}) != abi::kFaultMessage) {
    // The application has found the port's slot and plays at being the nucleus.
    answer[0] = static_cast<std::uint64_t>(abi::FaultReply::kEnd);
    return true;
  }
  if (vector == kPageFault) {
    ++process.page_faults;
    switch (process.space().handle_fault(address, access_of(fault[1]))) {
      case FaultOutcome::kResolved:
        return true;
      case FaultOutcome::kNoMemory:
        server.kill_process(process, kSignalKill, "killed: out of memory", address, instruction);
        return false;
      case FaultOutcome::kBadAddress:
        break;
    }
  }
  // A page fault, or a general protection fault where the address is not canonical.
  if (redirect_shim(process, instruction)) {
    return true;
  }
  const ExceptionSignal exception = signal_of(vector);
  server.kill_process(process, exception.signal, exception.reason,
                      vector == kPageFault ? address : instruction, instruction);
  return false;
}

}  // namespace linux_server
