#include "guest-kernel/linux/server/faults.h"

#include <array>
#include <string_view>

#include "guest-kernel/abi/system_call.h"
#include "guest-kernel/lib/format.h"
#include "guest-kernel/linux/server/memory_pool.h"
#include "guest-kernel/linux/server/memory_share.h"
#include "guest-kernel/linux/server/process_table.h"
#include "guest-kernel/linux/server/server.h"
#include "guest-kernel/linux/server/shim_image.h"
#include "guest-kernel/linux/server/signals.h"
#include "guest-kernel/linux/server/thread_redirect.h"

namespace linux_server {
namespace {

constexpr std::uint64_t kPageFault = 14;
constexpr std::uint32_t kFirstProcess = 1;

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
  std::int32_t code;  // si_code
  bool at_instruction;
};

ExceptionSignal signal_of(std::uint64_t vector) {
  switch (vector) {
    case 0:
      return {kSignalFloatingPoint, 1, true};  // FPE_INTDIV
    case 1:
      return {kSignalTrap, 2, true};  // TRAP_TRACE
    case 3:
      return {kSignalTrap, SignalInfo::kKernel, false};
    case 6:
      return {kSignalIllegal, 2, true};  // ILL_ILLOPN
    case 16:
    case 19:
      return {kSignalFloatingPoint, 7, true};  // FPE_FLTINV
    case 17:
      return {kSignalBus, 1, true};  // BUS_ADRALN
    default:
      return {kSignalSegmentation, SignalInfo::kKernel, false};
  }
}

std::string_view reason_of(Signal signal, std::uint64_t vector) {
  if (signal == kSignalKill) {
    return "killed: out of memory";
  }
  switch (vector) {
    case 0:
      return "division error";
    case 1:
    case 3:
      return "breakpoint";
    case 6:
      return "illegal instruction";
    case 16:
    case 19:
      return "floating-point exception";
    case 17:
      return "unaligned access";
    default:
      return "segmentation fault";
  }
}

SignalInfo describe(const ProcessMemory& memory, const guest::Message& fault) {
  const std::uint64_t vector = fault[0] & 0xff;
  if (vector == kPageFault) {
    constexpr std::int32_t kNotMapped = 1;   // SEGV_MAPERR
    constexpr std::int32_t kNotAllowed = 2;  // SEGV_ACCERR
    const bool mapped = memory.space().segments().find(fault[2]) != nullptr;
    return SignalInfo::of_fault(kSignalSegmentation, mapped ? kNotAllowed : kNotMapped, fault[2]);
  }
  const ExceptionSignal exception = signal_of(vector);
  return SignalInfo::of_fault(exception.signal, exception.code,
                              exception.at_instruction ? fault[3] : 0);
}

// The shim was copying to or from a pointer of the application's that is bad: that call fails.
bool redirect_shim(const Task& task, std::uint64_t instruction) {
  const shim::CodeHeader& code = shim_code();
  if (task.page == nullptr || instruction < code.copy_begin || instruction >= code.copy_end) {
    return false;
  }
  auto registers = guest::read_thread(task.thread, abi::RegisterGroup::kControl);
  if (!registers) {
    return false;
  }
  (*registers)[0] = code.copy_fixup;
  return guest::write_thread(task.thread, abi::RegisterGroup::kControl, *registers) ==
         guest::Status::kOk;
}

// Which thread has faulted. The nucleus's number is learnt the first time, from the GS base.
Task* find_faulted(const ProcessMemory& memory, std::uint64_t nucleus_id) {
  Task* unknown = nullptr;
  unsigned unknown_count = 0;
  for (Task* task : all_tasks()) {
    if (task == nullptr || task_at(task->index, memory) == nullptr ||
        task->thread == guest::kNoSlot) {
      continue;
    }
    if (task->nucleus_id == nucleus_id) {
      return task;
    }
    if (task->nucleus_id == 0) {
      unknown = task;
      ++unknown_count;
    }
  }
  for (Task* task : all_tasks()) {
    if (unknown_count > 1 && task != nullptr && task_at(task->index, memory) != nullptr &&
        task->nucleus_id == 0 && task->thread != guest::kNoSlot) {
      // Only the one that has faulted, and is not answered yet, can be read.
      const auto control = guest::read_thread(task->thread, abi::RegisterGroup::kControl);
      const auto told = guest::information(abi::InformationKind::kThread, 0, task->thread);
      if (control && told && (*told)[2] == nucleus_id) {
        unknown = task;
        break;
      }
    }
  }
  if (unknown != nullptr) {
    unknown->nucleus_id = nucleus_id;
  }
  return unknown;
}

void end_by_fault(Task& task, Signal signal, const guest::Message& fault) {
  Process& process = *task.process;
  if (process.id() == kFirstProcess) {
    std::array<char, 256> line;
    guest::TextWriter text(line);
    const std::uint64_t address = (fault[0] & 0xff) == kPageFault ? fault[2] : fault[3];
    text.text(process.name())
        .put('[')
        .decimal(process.id())
        .text("]: ")
        .text(reason_of(signal, fault[0] & 0xff));
    text.text(" at address 0x").hexadecimal(address);
    text.text(" (instruction 0x").hexadecimal(fault[3]).put(')');
    server().report(text.view());
  }
  condemn_process(process, killed_by(signal));
}

// What has run out.
enum class Shortage : std::uint8_t { kNothing, kMemory, kMappings, kPageTables };

Shortage find_shortage() {
  constexpr std::uint64_t kLeast = 16 * abi::kPageSize;
  if (!memory_pool().spares(abi::kPageSize)) {
    return Shortage::kMemory;
  }
  if (mappings_share.is_scarce()) {
    return Shortage::kMappings;
  }
  const auto own = guest::information(abi::InformationKind::kDomain, 0, abi::kSelfSlot);
  return own && (*own)[0] + kLeast > (*own)[1] ? Shortage::kPageTables : Shortage::kNothing;
}

// How much a process has of what is short.
std::uint64_t share_of(const Process& process, Shortage shortage) {
  const AddressSpace& space = process.space();
  if (shortage == Shortage::kMemory) {
    return space.resident() + space.segments().memory();
  }
  if (shortage == Shortage::kMappings) {
    return space.segments().memory();
  }
  const auto told =
      guest::information(abi::InformationKind::kDomain, 0, process.memory_reference()->domain());
  return told ? (*told)[4] : 0;
}

// Something has run out: the process with most of it ends, so that `asking` can go on once it is
// answered. False: that is `asking` itself. The first process ends last, and never for page tables,
// of which all have much the same.
bool end_largest_process(const Process& asking, Shortage shortage) {
  const bool innocent = asking.id() == kFirstProcess && shortage == Shortage::kPageTables;
  Process* largest = nullptr;
  std::uint64_t most = 0;
  for (Process* process = server().process_after(0); process != nullptr;
       process = server().process_after(process->id())) {
    if (process->state == ProcessState::kEnded || !process->has_memory() ||
        (process->id() == kFirstProcess && process != &asking) ||
        (process == &asking && innocent)) {
      continue;
    }
    const std::uint64_t size = share_of(*process, shortage);
    if (size > most) {
      most = size;
      largest = process;
    }
  }
  if (largest == nullptr || largest == &asking ||
      largest->memory_reference().get() == asking.memory_reference().get()) {
    return false;
  }
  condemn_process(*largest, killed_by(kSignalKill));
  return true;
}

// Where nothing is short, it is this process that has too much of something.
bool make_room(Task& task, const guest::Message& fault) {
  const Shortage shortage = find_shortage();
  if (shortage == Shortage::kNothing || !end_largest_process(*task.process, shortage)) {
    end_by_fault(task, kSignalKill, fault);
    return false;
  }
  return true;
}

}  // namespace

bool handle_fault(ProcessMemory& memory, const guest::Message& fault, guest::Message& answer) {
  const std::uint64_t vector = fault[0] & 0xff;
  const std::uint64_t instruction = fault[3];
  Task* task = find_faulted(memory, fault[6]);
  answer[0] = static_cast<std::uint64_t>(abi::FaultReply::kRetry);
  if ((fault[0] & ~std::uint64_t{0xff}) != abi::kFaultMessage || task == nullptr) {
    // The application has found the port's slot and plays at being the nucleus.
    answer[0] = static_cast<std::uint64_t>(abi::FaultReply::kEnd);
    return true;
  }
  bool no_file = false;
  if (vector == kPageFault) {
    ++task->process->page_faults;
    switch (memory.space().handle_fault(fault[2], access_of(fault[1]))) {
      case FaultOutcome::kResolved:
        return true;
      case FaultOutcome::kNoMemory:
        return make_room(*task, fault);
      case FaultOutcome::kNoFile:
        no_file = true;
        break;
      case FaultOutcome::kBadAddress:
        break;
    }
  }
  // A page fault, or a general protection fault where the address is not canonical.
  if (redirect_shim(*task, instruction)) {
    return true;
  }
  constexpr std::int32_t kNoAddress = 2;  // BUS_ADRERR
  const SignalInfo info =
      no_file ? SignalInfo::of_fault(kSignalBus, kNoAddress, fault[2]) : describe(memory, fault);
  if (!is_shim_code(instruction) && force_signal(*task, info)) {
    task->page->exception_vector = vector;
    task->page->exception_error = fault[1];
    task->page->exception_address = vector == kPageFault ? fault[2] : 0;
    if (redirect_faulted(*task)) {
      return true;
    }
  }
  end_by_fault(*task, static_cast<Signal>(info.number()), fault);
  return false;
}

}  // namespace linux_server
