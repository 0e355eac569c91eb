// Runs a fixed amount of computing on one processor, then the same amount for each of N processors
// at once, and prints how long either took and what each processor did. With real processors behind
// them the two times are alike; on one they differ by the factor N.

#include <array>
#include <atomic>

#include "guest-kernel/abi/layout.h"
#include "guest-kernel/lib/clock.h"
#include "guest-kernel/lib/start_info.h"
#include "guest-kernel/tools/native.h"

NATIVE_PROGRAM(64, 64, 64, 2);

namespace {

constexpr std::size_t kMaximumThreads = 8;
constexpr std::uint64_t kStackSize = 8192;
constexpr std::uint64_t kDefaultRounds = 30'000'000;

enum : guest::Slot { kDonePort = guest::kNativeFirstFree, kDoneSignal, kFirstThread };

struct Worker {
  std::uint64_t rounds;
  std::uint64_t result;
  std::uint64_t started_ns;
  std::uint64_t ended_ns;
};
std::array<Worker, kMaximumThreads> workers;
std::atomic<std::uint64_t> finished;

// A chain of dependent steps that no compiler shortens (xorshift64).
std::uint64_t compute(std::uint64_t rounds) {
  std::uint64_t state = 0x9e37'79b9'7f4a'7c15;
  for (std::uint64_t i = 0; i < rounds; ++i) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
  }
  return state;
}

extern "C" [[noreturn]] void worker_main(Worker* worker) {
  worker->started_ns = guest::monotonic_ns();
  worker->result = compute(worker->rounds);
  worker->ended_ns = guest::monotonic_ns();
  finished.fetch_add(1);
  guest::signal(kDoneSignal);
  guest::exit_thread();
}

std::uint64_t parse(std::string_view text, std::uint64_t fallback) {
  std::uint64_t value = 0;
  for (const char c : text) {
    if (c < '0' || c > '9' || value > ~std::uint64_t{0} / 16) {
      return fallback;
    }
    value = value * 10 + static_cast<std::uint64_t>(c - '0');
  }
  return text.empty() ? fallback : value;
}

// Runs `count` workers, the i-th on processor i. Returns the wall time in ns, 0 if it failed.
std::uint64_t run(const guest::NativeStart& start, std::size_t count, std::uint64_t rounds) {
  finished = 0;
  const std::uint64_t begin = guest::monotonic_ns();
  for (std::size_t i = 0; i < count; ++i) {
    workers[i] = {rounds, 0, 0, 0};
    const std::uint64_t stack = start.free_address + (i + 1) * kStackSize;
    // A function is entered with the stack 8 below a multiple of 16: where a call would leave it.
    const auto status = guest::create_thread(
        kFirstThread + i, abi::kSelfSlot,
        {reinterpret_cast<std::uint64_t>(&worker_main), stack - 8,
         reinterpret_cast<std::uint64_t>(&workers[i]), guest::kApplicationPriority, i});
    if (status != guest::Status::kOk) {
      native::fail(start, "smp-test", guest::status_name(status));
    }
  }
  const guest::Receiver receiver(kDonePort);
  while (finished.load() != count) {
    if (!receiver.wait()) {
      native::fail(start, "smp-test", "the port failed");
    }
  }
  const std::uint64_t end = guest::monotonic_ns();
  for (std::size_t i = 0; i < count; ++i) {
    guest::delete_capability(abi::kSelfSlot, kFirstThread + i);
  }
  return end - begin;
}

}  // namespace

extern "C" void program_main(const guest::NativeStart& start) {
  const auto machine = guest::information(abi::InformationKind::kMachine, 0, guest::kNativeMachine);
  if (!machine) {
    native::fail(start, "smp-test", "the nucleus does not say how many processors run");
  }
  const std::uint64_t running = (*machine)[0];
  std::uint64_t threads = parse(native::argument(start, 1), running);
  threads = threads == 0 ? 1 : threads > running ? running : threads;
  threads = threads > kMaximumThreads ? kMaximumThreads : threads;
  const std::uint64_t rounds = parse(native::argument(start, 2), kDefaultRounds);
  guest::Status status = guest::create_port(kDonePort);
  if (status == guest::Status::kOk) {
    status = guest::copy_capability(abi::kSelfSlot, kDoneSignal, kDonePort, abi::kRightSignal, 1);
  }
  if (status == guest::Status::kOk) {
    status = guest::map(abi::kSelfSlot, start.free_address, guest::kNativeMemory, 0,
                        kMaximumThreads * kStackSize, abi::kRightRead | abi::kRightWrite);
  }
  if (status != guest::Status::kOk) {
    native::fail(start, "smp-test", guest::status_name(status));
  }
  const std::uint64_t one = run(start, 1, rounds);
  const std::uint64_t expected = workers[0].result;
  const std::uint64_t all = run(start, threads, rounds);
  bool same = true;
  std::uint64_t work = 0;
  for (std::size_t i = 0; i < threads; ++i) {
    same &= workers[i].result == expected;
    work += workers[i].ended_ns - workers[i].started_ns;
  }
  native::Output output(start);
  guest::JsonWriter json = output.json();
  json.begin_object().member("processors", running).member("threads", threads);
  json.member("rounds", rounds).key("results_agree").boolean(same);
  json.member("one_thread_ns", one).member("all_threads_ns", all).member("work_ns", work);
  // Times the work of one thread that got done per time of one: `threads` at best.
  json.key("speedup").fixed_point(all == 0 ? 0 : one * threads * 1000 / all, 3);
  json.key("per_processor").begin_array();
  for (std::uint64_t i = 0; i < running; ++i) {
    const auto counters =
        guest::information(abi::InformationKind::kProcessor, i, guest::kNativeMachine);
    if (counters) {
      json.begin_object().member("index", i).member("apic_id", (*counters)[0]);
      json.member("switches", (*counters)[1]).member("interrupts", (*counters)[2]);
      json.member("calls", (*counters)[3]);
      json.member("idle_ticks", (*counters)[4]).end_object();
    }
  }
  json.end_array().end_object().end_line();
  output.flush();
  native::exit(same ? 0 : 1);
}
