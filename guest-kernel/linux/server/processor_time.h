#pragma once

#include <cstdint>

namespace linux_server {

struct Task;
class Process;

// Nanoseconds on a processor: `user` in the program and its shim, `system` in the server.
struct ProcessorTime {
  std::uint64_t user = 0;
  std::uint64_t system = 0;

  std::uint64_t total() const { return user + system; }
  ProcessorTime& operator+=(const ProcessorTime& other) {
    user += other.user;
    system += other.system;
    return *this;
  }
};

// Time is accounted by what the server sees, which costs the nucleus nothing: a thread uses its
// processor from an answer, or its start, to its next call, its suspension or its end. Threads that
// run on one processor at the same time are taken to share it evenly, and the server's own work is
// taken out.

// The share of a processor's time that one running thread has had so far, kept in each task while
// it runs.
struct RunningShare {
  bool is_running = false;
  std::uint64_t start = 0;
};

// The thread runs (again), or does not any more. Doing either twice changes nothing.
void begin_running(Task& task);
void end_running(Task& task);
// The server began to work at `start` (monotonic ns) on behalf of a thread of that processor; now
// it has done.
void charge_server(std::uint32_t processor, std::uint64_t start);

// Up to now.
ProcessorTime time_of(const Task& task);
ProcessorTime time_of(const Process& process);
// What one processor, or all of them, did for programs.
ProcessorTime time_of_processor(std::uint32_t processor);
// How many threads of the process run.
std::uint32_t running_tasks(const Process& process);

}  // namespace linux_server
