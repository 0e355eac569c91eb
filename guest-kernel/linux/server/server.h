#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "guest-kernel/lib/slot_allocator.h"
#include "guest-kernel/lib/start_info.h"
#include "guest-kernel/lib/system_call.h"
#include "guest-kernel/linux/server/directory.h"
#include "guest-kernel/linux/server/node.h"
#include "guest-kernel/linux/server/process.h"
#include "guest-kernel/linux/server/random.h"
#include "guest-kernel/linux/server/result.h"
#include "guest-kernel/linux/server/terminal.h"
#include "guest-kernel/linux/shim/limits.h"

namespace linux_server {

// The Linux server: one thread that owns the processes and everything that they share, and answers
// their calls, their faults and the console's signals, one at a time.
class Server {
 public:
  explicit Server(guest::StartInfo& info) : info_(info) {}

  // Reads the root archive and starts the command, or says why that fails and ends the machine with
  // the exit code that a shell would give.
  void start();
  // Serves for ever.
  [[noreturn]] void run();

  const guest::StartInfo& info() const { return info_; }
  Directory& root() { return root_; }
  std::span<const std::byte> archive() const { return archive_; }
  guest::Slot root_region() const { return root_slot_; }
  // A resource that the composer gives only when it is asked for the first time; null: there is
  // none.
  const guest::Resource* late_resource(guest::Role role);
  Terminal& terminal() { return *terminal_; }
  Random& random() { return random_; }
  // One that has ended is there until its parent has been told, without memory and descriptors.
  Process* find_process(std::uint64_t id) const;
  std::uint64_t process_count() const;
  // The process with the lowest number above `id`, or null.
  Process* process_after(std::uint64_t id) const;

  // A slot of the server's own; kNoSlot: none left.
  guest::Slot allocate_slot() { return slots_.allocate(); }
  void release_slot(guest::Slot slot) { slots_.release(slot); }
  // Empties it too.
  void delete_slot(guest::Slot slot);

  // Whether the bytes are the boot package's, which is trusted, or those of a root file system.
  bool is_from_boot_package(std::span<const std::byte> bytes) const {
    return !bytes.empty() && bytes.data() >= boot_archive_.data() &&
           bytes.data() < boot_archive_.data() + boot_archive_.size();
  }

  // The call that is being served is answered by nobody: its thread has ended.
  void forget_call(const Task& task) { current_ = current_ == &task ? nullptr : current_; }
  const Task* current() const { return current_; }
  // Answers a call that `task` is blocked in.
  void answer(Task& task, std::int64_t result);

  // Writes a line that is the server's own, for the user.
  void report(std::string_view text);
  // The first process has ended: the machine stops with its exit code (0 … 255).
  [[noreturn]] void finish(int exit_code);

 private:
  static constexpr int kOwnFailure = 125;  // exit code

  // An answer that has not been sent; token 0: none.
  struct Answer {
    std::uint64_t token = 0;
    std::uint32_t processor = 0;  // where the thread will run
    guest::Message message;
  };

  void open_console();
  void read_root();
  bool prepare();
  void start_command();
  void explain_failure(std::string_view name, bool found, std::int64_t error);
  void handle_notification(std::uint64_t signals);
  // Returns true if `answer` is to be sent now.
  bool handle_call(const guest::Received& received, guest::Message& answer);
  bool handle_linux_call(ProcessMemory& memory, const guest::Received& received,
                         guest::Message& answer);
  bool handle_native_call(ProcessMemory& memory, const guest::Received& received,
                          guest::Message& answer);
  bool handle_take_signal(Task& task, guest::Message& answer);
  bool run_call(Task& task, guest::Message& answer);
  void resume(Task& task);
  void send(const Answer& answer);
  void send_put_off();
  void resume_ready();
  // Whether anybody's time had come.
  bool resume_due();
  void take_input();
  void flush_output();
  void arm_timer();
  bool create_timer();

  guest::StartInfo& info_;
  guest::SlotAllocator<4096> slots_{info_.first_free_slot, info_.end_slot};
  Directory root_{""};
  std::span<const std::byte> archive_;
  guest::Slot root_slot_ = guest::kNoSlot;
  std::span<const std::byte> boot_archive_;
  std::optional<Terminal> terminal_;
  Random random_;
  Task* current_ = nullptr;  // whose call is being served
  // Goes out with the wait for the next call, which costs no system call of its own.
  Answer next_;
  // Of a thread on next_'s processor, which will most likely wait for it soon: then this goes out
  // the same way, and neither thread competes with the other.
  Answer put_off_;
  std::uint64_t put_off_due_ = Task::kNever;  // monotonic ns
  guest::Slot timer_ = guest::kNoSlot;        // made when somebody first waits for a time
  bool is_complete_ = false;                  // the composer has given all it has
  std::uint64_t armed_ = Task::kNever;
  std::uint64_t timer_pause_ = 0;                // ns; not 0 after the timer has rung for nobody
  std::uint64_t last_flush_ = 0;                 // monotonic ns
  std::uint64_t flush_deadline_ = Task::kNever;  // when the driver is told of what was put off
  std::uint64_t command_started_ = 0;            // TSC
};

// The one server.
Server& server();

}  // namespace linux_server
