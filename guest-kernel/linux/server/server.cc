#include "guest-kernel/linux/server/server.h"

#include <algorithm>
#include <array>
#include <new>

#include "guest-kernel/lib/clock.h"
#include "guest-kernel/lib/device_protocol.h"
#include "guest-kernel/lib/format.h"
#include "guest-kernel/linux/server/call_table.h"
#include "guest-kernel/linux/server/faults.h"
#include "guest-kernel/linux/server/files/device_files.h"
#include "guest-kernel/linux/server/files/proc_files.h"
#include "guest-kernel/linux/server/memory_pool.h"
#include "guest-kernel/linux/server/native_calls.h"
#include "guest-kernel/linux/server/path.h"
#include "guest-kernel/linux/server/program.h"
#include "guest-kernel/linux/server/root_archive.h"
#include "guest-kernel/linux/server/signal_numbers.h"
#include "guest-kernel/linux/server/system_name.h"

namespace linux_server {
namespace {

using guest::Role;
using guest::Slot;
using guest::Status;

// Where the server maps the root file system. A multiple of 2 MiB.
constexpr std::uint64_t kRootAddress = 0x200'0000'0000;

// Kernel memory that a process gets where there is not what it wants.
constexpr std::uint64_t kSmallProcessPages = 48;

constexpr std::uint64_t kTimerSignal = 2;  // beside guest::kConsoleSignal

constexpr std::uint64_t kFlushInterval = 10'000'000;  // ns

// A badge is a process number and what the capability is for.
enum class BadgeKind : std::uint64_t { kCall = 1, kFault = 2, kNativeCall = 3 };
std::uint64_t badge_of(const Process& process, BadgeKind kind) {
  return std::uint64_t{process.id()} << 8 | static_cast<std::uint64_t>(kind);
}

constexpr std::string_view kToolDirectory = "bin/";

constexpr int kNotFound = 127;
constexpr int kCannotRun = 126;
constexpr int kOwnFailure = 125;
constexpr int kSignalBase = 128;

}  // namespace

void Server::report(std::string_view text) {
  if (terminal_) {
    terminal_->write(text);
    terminal_->write("\n");
    terminal_->notify_driver();
  }
}

void Server::delete_slot(Slot slot) {
  if (slot != guest::kNoSlot) {
    guest::delete_capability(abi::kSelfSlot, slot);
    slots_.release(slot);
  }
}

Process* Server::find_process(std::uint64_t id) const {
  const auto found = std::find_if(processes_.begin(), processes_.end(), [id](const Process* each) {
    return each != nullptr && each->id() == id;
  });
  return found == processes_.end() ? nullptr : *found;
}

std::uint64_t Server::process_count() const {
  return static_cast<std::uint64_t>(std::count_if(
      processes_.begin(), processes_.end(), [](const Process* each) { return each != nullptr; }));
}

void Server::open_console() {
  const guest::Resource* console = info_.find(Role::kConsole);
  if (console != nullptr && console->address != 0) {
    terminal_.emplace(*console);
  } else {
    terminal_.emplace();
  }
  take_input();
}

void Server::read_root() {
  if (const guest::Resource* root = info_.find(Role::kRoot); root != nullptr) {
    const std::uint64_t size = (root->size + abi::kPageSize - 1) & ~(abi::kPageSize - 1);
    if (guest::map(abi::kSelfSlot, kRootAddress, root->slot, 0, size, abi::kRightRead) ==
        Status::kOk) {
      archive_ = {reinterpret_cast<const std::byte*>(kRootAddress), root->size};
      root_slot_ = root->slot;
    } else {
      report("linux server: the root file system cannot be mapped");
    }
  }
  if (const guest::Resource* boot = info_.find(Role::kBootArchive); boot != nullptr) {
    boot_archive_ = {reinterpret_cast<const std::byte*>(boot->address), boot->size};
  }
  // The native tools come with the boot package.
  static_cast<void>(read_root_archive(boot_archive_, kToolDirectory, kVirtualDevice, root_));
  const auto result = read_root_archive(archive_, {}, kRootDevice, root_);
  if (!result) {
    std::array<char, 512> line;
    guest::TextWriter text(line);
    text.text("linux server: root file system: ").text(result.error().entry);
    text.text(result.error().entry.empty() ? "" : ": ").text(result.error().reason);
    report(text.view());
  }
}

// Nothing may be allocated before this.
bool Server::prepare() {
  if (!MemoryPool::create(info_, memory_pool())) {
    return false;
  }
  build_call_table();
  const std::string_view product = guest::text_of(info_.product_name);
  set_system_name(product.empty() ? "ensemble" : product);
  return add_device_files(root_) && add_proc_files(root_);
}

const guest::Resource* Server::late_resource(Role role) {
  if (!is_complete_) {
    is_complete_ = true;
    guest::Message message{{static_cast<std::uint64_t>(guest::ControlRequest::kCompleteStart)}};
    static_cast<void>(guest::call(info_.slot_of(Role::kControl), message));
  }
  return info_.find(role);
}

void Server::start() {
  open_console();
  if (!prepare()) {
    report("linux server: there is not enough memory to start");
    finish(kOwnFailure);
  }
  read_root();
  start_command();
}

void Server::start_command() {
  const guest::Resource* resource = info_.find(Role::kArguments);
  Arguments arguments;
  if (resource != nullptr && resource->size != 0) {
    arguments = {{reinterpret_cast<const char*>(resource->address), resource->size},
                 resource->value};
  }
  if (arguments.count == 0 || !arguments.text.ends_with('\0')) {
    report("linux server: no command was given");
    finish(kNotFound);
  }
  const std::string_view name = arguments.text.substr(0, arguments.text.find('\0'));
  auto program = find_program(name);
  std::int64_t error = program ? 0 : program.error().number;
  if (program) {
    command_started_ = guest::read_tsc();
    const auto process = is_native(*program) ? start_native_program(*program, arguments)
                                             : start_linux_program(*program, arguments);
    error = process ? 0 : process.error().number;
  }
  if (error == 0) {
    return;
  }
  std::array<char, 512> line;
  guest::TextWriter text(line);
  text.text(name.substr(0, 256)).text(": ");
  switch (error) {
    case ENOENT:
    case ENOTDIR:
      text.text(program ? "its interpreter is not in the root file system"
                        : "not found in the root file system");
      break;
    case EACCES:
      text.text("not an executable file");
      break;
    case ENOEXEC:
      text.text("not an x86-64 ELF executable that can be loaded");
      break;
    case E2BIG:
      text.text("the arguments are too long");
      break;
    case ENOMEM:
      text.text("not enough memory to start it");
      break;
    default:
      text.text("cannot be started, error ").decimal(static_cast<std::uint64_t>(error));
      break;
  }
  report(text.view());
  finish(!program && (error == ENOENT || error == ENOTDIR) ? kNotFound : kCannotRun);
}

void Server::finish(int exit_code) {
  guest::Message message{{static_cast<std::uint64_t>(guest::ControlRequest::kCommandEnded),
                          static_cast<std::uint64_t>(exit_code), command_started_,
                          guest::read_tsc()}};
  const Status status = guest::call(info_.slot_of(Role::kControl), message);
  static_cast<void>(status);
  guest::exit_thread();  // the composer does not answer while the machine goes off
}

Status Server::connect(Process& process, Slot port, bool native) {
  const Slot own = info_.slot_of(Role::kOwnPort);
  const Slot fault = slots_.allocate();
  Status status =
      guest::copy_capability(process.domain(), port, own, abi::kRightCall,
                             badge_of(process, native ? BadgeKind::kNativeCall : BadgeKind::kCall));
  if (status == Status::kOk) {
    status = guest::copy_capability(abi::kSelfSlot, fault, own, abi::kRightCall,
                                    badge_of(process, BadgeKind::kFault));
  }
  if (status == Status::kOk && !native) {
    // A Linux program has no business with its domain: it could start threads above the server's
    // priority.
    status = guest::delete_capability(process.domain(), abi::kSelfSlot);
  }
  if (status == Status::kOk) {
    status = guest::set_fault_port(process.domain(), fault);
    delete_slot(fault);
  } else {
    slots_.release(fault);
  }
  return status;
}

Result<Process*> Server::create_process(std::uint64_t slots, Slot port, bool native,
                                        std::uint64_t kernel_pages, guest::DomainLimits limits) {
  const auto place = std::find(processes_.begin(), processes_.end(), nullptr);
  const Slot domain = slots_.allocate();
  if (place == processes_.end() || domain == guest::kNoSlot) {
    slots_.release(domain);
    return fail(EAGAIN);
  }
  Status status = guest::create_domain(domain, slots, kernel_pages, limits);
  if (status != Status::kOk && kernel_pages > kSmallProcessPages) {
    status = guest::create_domain(domain, slots, kSmallProcessPages, limits);
  }
  if (status != Status::kOk) {
    slots_.release(domain);
    return fail(ENOMEM);
  }
  Reference<DescriptorTable> descriptors(new DescriptorTable());
  auto* process = new Process(next_id_, domain, root_slot_, archive_);
  if (process == nullptr || !descriptors || connect(*process, port, native) != Status::kOk) {
    delete process;
    guest::end_domain(domain);
    delete_slot(domain);
    return fail(ENOMEM);
  }
  ++next_id_;
  process->native = native;
  process->working_directory = &root_;
  process->set_descriptors(descriptors);
  *place = process;
  const auto console = resolve(root_, root_, "/dev/console", true, process);
  for (std::size_t number = 0; console && number < 3; ++number) {
    constexpr std::uint32_t kReadAndWrite = 2;  // O_RDWR
    const auto file = number == 0 ? (*console)->open(kReadAndWrite, *process)
                                  : Result<Reference<File>>(descriptors->find(0));
    if (!file || descriptors->add(*file, false) < 0) {
      discard_process(*process);
      return fail(ENOMEM);
    }
  }
  return process;
}

bool Server::start_thread(Process& process, const guest::ThreadStart& start) {
  const Slot thread = slots_.allocate();
  if (guest::create_thread(thread, process.domain(), start) != Status::kOk) {
    slots_.release(thread);
    return false;
  }
  process.task().thread = thread;
  return true;
}

void Server::discard_process(Process& process) {
  std::replace(processes_.begin(), processes_.end(), &process, static_cast<Process*>(nullptr));
  // The domain goes first: nothing of it runs or is mapped any more when its memory is freed.
  guest::end_domain(process.domain());
  delete_slot(process.task().thread);
  delete_slot(process.domain());
  if (process.granted_size != 0) {
    memory_pool().free(process.granted_offset, process.granted_size);
  }
  delete &process;
}

void Server::end_process(Process& process, int exit_code) {
  constexpr std::uint32_t kFirstProcess = 1;
  const bool is_command = process.id() == kFirstProcess;
  if (is_command) {
    // The machine goes off with all that it holds: nothing needs to be taken down.
    terminal_->notify_driver();
    finish(exit_code & 0xff);
  }
  discard_process(process);
}

void Server::kill_process(Process& process, Signal signal, std::string_view reason,
                          std::uint64_t address, std::uint64_t instruction) {
  std::array<char, 256> line;
  guest::TextWriter text(line);
  text.text(process.name()).put('[').decimal(process.id()).text("]: ").text(reason);
  text.text(" at address 0x").hexadecimal(address);
  text.text(" (instruction 0x").hexadecimal(instruction).put(')');
  report(text.view());
  end_process(process, kSignalBase + static_cast<int>(signal));
}

void Server::take_input() {
  do {
    const TerminalSignal signal = terminal_->take_input();
    if (signal == TerminalSignal::kInterrupt || signal == TerminalSignal::kQuit) {
      const bool interrupt = signal == TerminalSignal::kInterrupt;
      const Signal number = interrupt ? kSignalInterrupt : kSignalQuit;
      for (Process* process : processes_) {
        // A recorded handler cannot be called yet, so it counts as the default.
        constexpr std::uint64_t kIgnore = 1;
        if (process != nullptr && process->actions[number].handler != kIgnore) {
          end_process(*process, kSignalBase + static_cast<int>(number));
        }
      }
    }
  } while (!terminal_->wait_for_input());
  terminal_->changed().wake();
  terminal_->notify_driver();
}

void Server::handle_notification(std::uint64_t signals) {
  if ((signals & guest::kConsoleSignal) != 0) {
    take_input();
  }
  if ((signals & kTimerSignal) != 0) {
    armed_ = Task::kNever;
    resume_due();
  }
}

void Server::resume(Task& task) {
  task.resumed = true;
  guest::Message answer;
  const std::uint64_t token = task.token;
  if (task.process->native ? run_native_call(task, answer) : run_call(task, answer)) {
    task.blocked = false;
    guest::reply(token, answer);
  }
}

void Server::resume_ready() {
  while (Task* task = ready_tasks().first()) {
    task->wait_for_deadline();
    resume(*task);
  }
}

void Server::resume_due() {
  for (Process* process : processes_) {
    if (process != nullptr && process->task().blocked && process->task().is_due()) {
      resume(process->task());
    }
  }
}

// Telling the driver costs more than the call that wrote a line, so that a program which goes on
// writing has it done every few milliseconds only. One that waits, or fills the ring, at once.
void Server::flush_output() {
  if (!terminal_->has_news()) {
    return;
  }
  const bool is_running =
      std::any_of(processes_.begin(), processes_.end(),
                  [](const Process* each) { return each != nullptr && !each->task().blocked; });
  const std::uint64_t now = guest::monotonic_ns();
  const std::uint64_t due = last_flush_ + kFlushInterval;
  if (is_running && !terminal_->is_half_full() && now < due) {
    flush_deadline_ = due;
    return;
  }
  terminal_->notify_driver();
  last_flush_ = now;
  flush_deadline_ = Task::kNever;
}

bool Server::create_timer() {
  const Slot signal = slots_.allocate();
  const Slot timer = slots_.allocate();
  if (guest::copy_capability(abi::kSelfSlot, signal, info_.slot_of(Role::kOwnPort),
                             abi::kRightSignal, kTimerSignal) != Status::kOk ||
      guest::create_timer(timer, signal) != Status::kOk) {
    return false;
  }
  timer_ = timer;
  return true;
}

// One timer for all: it is set to the earliest deadline of those who wait.
void Server::arm_timer() {
  std::uint64_t earliest = flush_deadline_;
  for (const Process* process : processes_) {
    if (process != nullptr && process->task().blocked) {
      earliest = std::min(earliest, process->task().deadline);
    }
  }
  if (earliest < armed_ && (timer_ != guest::kNoSlot || create_timer())) {
    armed_ = earliest;
    guest::arm_timer(timer_,
                     std::max<std::uint64_t>(guest::tsc_at(guest::time_page(), earliest), 1));
  }
}

bool Server::run_call(Task& task, guest::Message& answer) {
  const std::uint32_t id = task.process->id();
  const std::int64_t result = make_call(task);
  if (find_process(id) == nullptr) {
    return false;  // the call has ended it
  }
  task.blocked = result == kBlocked;
  answer[0] = static_cast<std::uint64_t>(result);
  return result != kBlocked;
}

bool Server::handle_linux_call(Process& process, const guest::Received& received,
                               guest::Message& answer) {
  Task& task = process.task();
  task.token = received.token;
  task.number = received.message[0];
  std::copy_n(received.message.word.begin() + 1, task.arguments.size(), task.arguments.begin());
  task.resumed = false;
  task.deadline = Task::kNever;
  ++process.calls;
  return run_call(task, answer);
}

bool Server::handle_call(const guest::Received& received, guest::Message& answer) {
  Process* process = find_process(received.badge >> 8);
  if (process == nullptr) {
    return false;
  }
  switch (static_cast<BadgeKind>(received.badge & 0xff)) {
    case BadgeKind::kCall:
      return handle_linux_call(*process, received, answer);
    case BadgeKind::kFault:
      return handle_fault(*this, *process, received.message, answer);
    case BadgeKind::kNativeCall:
      return handle_native_call(process->task(), received, answer);
  }
  return false;
}

void Server::run() {
  const guest::Receiver receiver(info_.slot_of(Role::kOwnPort));
  std::uint64_t token = 0;
  guest::Message answer;
  for (;;) {
    resume_ready();
    flush_output();
    arm_timer();
    const auto received = token != 0 ? receiver.reply_and_wait(token, answer) : receiver.wait();
    token = 0;
    if (!received) {
      report("linux server: its port is gone");
      finish(kOwnFailure);
    }
    if (received->is_notification()) {
      handle_notification(received->signals());
    } else if (handle_call(*received, answer)) {
      token = received->token;
    }
  }
}

}  // namespace linux_server
