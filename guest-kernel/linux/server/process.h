#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <utility>

#include "guest-kernel/lib/system_call.h"
#include "guest-kernel/linux/server/credentials.h"
#include "guest-kernel/linux/server/descriptor_table.h"
#include "guest-kernel/linux/server/ipc/process_handle.h"
#include "guest-kernel/linux/server/pending_signals.h"
#include "guest-kernel/linux/server/process_memory.h"
#include "guest-kernel/linux/server/process_timers.h"
#include "guest-kernel/linux/server/processor_time.h"
#include "guest-kernel/linux/server/reference.h"
#include "guest-kernel/linux/server/task.h"
#include "guest-kernel/linux/shim/limits.h"

namespace linux_server {

// What sigaction(2) records.
struct SignalAction {
  std::uint64_t handler;
  std::uint64_t flags;
  std::uint64_t restorer;
  std::uint64_t mask;
};

// Where the paths of a process begin, and what new files may not be. Processes may share theirs
// (CLONE_FS).
struct Places : Counted {
  Reference<Node> working_directory;
  Reference<Node> root_directory;  // what chroot(2) made "/"; null: the root of all
  std::uint32_t file_mode_mask = 022;
};

enum class ProcessState : std::uint8_t { kRunning, kStopped, kEnded };

// One Linux process: identity, relations, descriptors, signal actions, and its threads. Owned by
// the process table; one that has ended stays there until its parent has been told.
class Process {
 public:
  static constexpr std::size_t kSignals = 64;

  // `places`: not null, and its own for as long as it lives.
  Process(std::uint32_t id, Reference<ProcessMemory> memory, Reference<Places> places)
      : working_directory(places->working_directory),
        file_mode_mask(places->file_mode_mask),
        root_directory(places->root_directory),
        id_(id),
        memory_(std::move(memory)),
        places_(std::move(places)) {}
  ~Process();

  std::uint32_t id() const { return id_; }
  // Only while has_memory(): a process that has ended has none.
  ProcessMemory& memory() { return *memory_; }
  const Reference<ProcessMemory>& memory_reference() const { return memory_; }
  void set_memory(Reference<ProcessMemory> memory) { memory_ = std::move(memory); }
  bool has_memory() const { return static_cast<bool>(memory_); }
  guest::Slot domain() const { return memory_->domain(); }
  AddressSpace& space() { return memory_->space(); }
  const AddressSpace& space() const { return memory_->space(); }
  bool native() const { return has_memory() && memory_->native(); }

  // Its threads, linked by Task::next_in_process; the first is the main one. Null: it has ended.
  Task* tasks() const { return tasks_; }
  Task& task() { return *tasks_; }
  const Task& task() const { return *tasks_; }
  std::uint32_t task_count() const { return task_count_; }
  void add_task(Task& task);
  void remove_task(Task& task);

  DescriptorTable& descriptors() { return *descriptors_; }
  const DescriptorTable& descriptors() const { return *descriptors_; }
  const Reference<DescriptorTable>& descriptor_reference() const { return descriptors_; }
  void set_descriptors(Reference<DescriptorTable> table) { descriptors_ = std::move(table); }

  const Reference<Places>& places() const { return places_; }

  // The name that ps shows: 15 bytes of the program's.
  std::string_view name() const { return {name_.data(), name_size_}; }
  void set_name(std::string_view name);

  // Takes over what a child has from its parent: names, directories, places.
  void inherit(const Process& other);

  // Changes a limit, also where others keep it.
  void set_limit(std::uint64_t resource, const shim::Limit& limit);
  // Tells the shim whether the limits are those that it knows.
  void publish_limits();

  // What a signal tells of who sent it: the number, and the real user in the upper half.
  std::uint64_t as_sender() const { return id_ | std::uint64_t{credentials.real_user} << 32; }
  // Those that a program has which it executes.
  void take_program_credentials(const ProgramCredentials& program);

  // Tells the shim where the heap ends.
  void publish_heap() { memory_->publish_heap(); }

  Process* parent = nullptr;  // null: the first process
  std::uint32_t group = 0;
  std::uint32_t session = 0;
  bool has_called_exec = false;
  ProcessState state = ProcessState::kRunning;
  // It ends once what the server does just now is done (condemn_process()).
  bool is_condemned = false;
  Process* next_condemned = nullptr;
  std::int32_t end_status = 0;   // as wait4(2) is to give it
  std::int32_t wait_status = 0;  // as wait4(2) gives it, once it has ended, stopped or continued
  // What the parent has not been told yet.
  bool stop_untold = false;
  bool continue_untold = false;
  std::uint32_t exit_signal = 17;  // what the parent gets; 0: nothing
  WaitQueue children_changed;
  WaitQueue signals_arrived;  // for those that wait for signals that they block
  // The parent that vfork(2) keeps waiting, until this one has other memory.
  WaitQueue memory_left;
  Reference<ProcessHandle> handle;  // null: nobody has asked for one

  PendingSignals pending;
  std::array<SignalAction, kSignals + 1> actions = {};

  Reference<Node>& working_directory;  // in places()
  Reference<Node> executable;
  std::uint32_t& file_mode_mask;  // in places()
  // Where the arguments and the environment lie, for /proc/self.
  std::uint64_t arguments_start = 0, arguments_end = 0;
  std::uint64_t environment_start = 0, environment_end = 0;
  std::uint64_t auxiliary_start = 0, auxiliary_end = 0;
  std::uint64_t stack_start = 0;
  std::uint64_t started_ns = 0;  // monotonic
  std::uint64_t page_faults = 0;
  std::uint64_t calls = 0;
  // Time on processors: of the threads that have ended, and of the children that were waited for.
  ProcessorTime ended_tasks_time;
  ProcessorTime children_time;
  std::uint64_t children_page_faults = 0;
  std::uint64_t resident_maximum = 0;           // bytes, of the memories that it has left
  std::uint64_t children_resident_maximum = 0;  // bytes

  std::array<shim::Limit, shim::kLimitCount> limits = shim::default_limits();
  Reference<ProcessTimers> timers;  // null: none was ever set
  // prctl(2), personality(2).
  std::uint32_t dumpable = 1;
  std::uint32_t parent_death_signal = 0;
  std::uint32_t personality = 0;
  bool reaps_orphans = false;

  Reference<Node>& root_directory;  // in places()
  Credentials credentials;          // whose rights count

 private:
  std::uint32_t id_;
  Reference<ProcessMemory> memory_;
  Reference<Places> places_;
  Task* tasks_ = nullptr;
  std::uint32_t task_count_ = 0;
  Reference<DescriptorTable> descriptors_;
  std::array<char, 16> name_ = {};
  std::size_t name_size_ = 0;
};

}  // namespace linux_server
