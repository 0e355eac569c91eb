// Measures a call and its reply: between two domains, and between two threads of one. Prints the
// fewest, the median and the mean TSC ticks per round trip. Where a tick is an instruction (QEMU
// with -icount), so are these.

#include <algorithm>
#include <array>
#include <cstring>

#include "guest-kernel/abi/layout.h"
#include "guest-kernel/lib/clock.h"
#include "guest-kernel/lib/start_info.h"
#include "guest-kernel/tools/native.h"

NATIVE_PROGRAM(8, 64, 64, 2);

extern "C" const char echo_start[];
extern "C" const char echo_end[];

namespace {

constexpr std::size_t kRounds = 1000;
constexpr std::size_t kWarmUp = 50;

enum : guest::Slot {
  kOtherDomain = guest::kNativeFirstFree,
  kOtherPort,
  kOtherThread,
  kOwnPort,
  kOwnThread,
};
// What the echo server's code knows.
constexpr guest::Slot kEchoPort = 16;
constexpr std::uint64_t kEchoAddress = 0x1000'0000;
constexpr std::uint64_t kOtherSlots = 32;
constexpr std::uint64_t kOtherPages = 12;

std::array<std::uint32_t, kRounds> ticks;

void check(const guest::NativeStart& start, guest::Status status, std::string_view what) {
  if (status != guest::Status::kOk) {
    native::fail(start, what, guest::status_name(status));
  }
}

struct Summary {
  std::uint64_t fewest;
  std::uint64_t median;
  std::uint64_t mean;
};

// What reading the TSC twice costs, to be taken off.
std::uint64_t empty_interval() {
  std::uint64_t least = ~std::uint64_t{0};
  for (int i = 0; i < 100; ++i) {
    const std::uint64_t begin = guest::read_tsc();
    least = std::min(least, guest::read_tsc() - begin);
  }
  return least;
}

Summary measure(const guest::NativeStart& start, guest::Slot port) {
  const std::uint64_t empty = empty_interval();
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < kWarmUp + kRounds; ++i) {
    guest::Message message{{i, 1, 2, 3, 4, 5, 6, 7}};
    const std::uint64_t begin = guest::read_tsc();
    const guest::Status status = guest::call(port, message);
    const std::uint64_t end = guest::read_tsc();
    check(start, status, "call");
    if (message[0] != i || message[7] != 7) {
      native::fail(start, "ipc-bench", "the reply's words are not the call's");
    }
    if (i >= kWarmUp) {
      const std::uint64_t interval = end - begin - empty;
      ticks[i - kWarmUp] = static_cast<std::uint32_t>(interval);
      sum += interval;
    }
  }
  std::sort(ticks.begin(), ticks.end());
  return {ticks[0], ticks[kRounds / 2], sum / kRounds};
}

void write_summary(guest::JsonWriter& json, std::string_view name, const Summary& summary) {
  json.key(name).begin_object().member("fewest_ticks", summary.fewest);
  json.member("median_ticks", summary.median).member("mean_ticks", summary.mean);
  json.end_object();
}

// A domain with nothing but the echo server's code, its stack, and a port.
void start_other_domain(const guest::NativeStart& start) {
  const std::uint64_t own = start.free_address;
  check(start,
        guest::map(abi::kSelfSlot, own, guest::kNativeMemory, 0, 2 * abi::kPageSize,
                   abi::kRightRead | abi::kRightWrite),
        "map");
  std::memcpy(reinterpret_cast<void*>(own), echo_start,
              static_cast<std::size_t>(echo_end - echo_start));
  check(start, guest::create_port(kOtherPort), "create a port");
  check(start, guest::create_domain(kOtherDomain, kOtherSlots, kOtherPages), "create a domain");
  check(start, guest::copy_capability(kOtherDomain, kEchoPort, kOtherPort, abi::kRightReceive),
        "copy the port");
  check(start,
        guest::map(kOtherDomain, kEchoAddress, guest::kNativeMemory, 0, abi::kPageSize,
                   abi::kRightRead | abi::kRightExecute),
        "map the code");
  check(start,
        guest::map(kOtherDomain, kEchoAddress + abi::kPageSize, guest::kNativeMemory,
                   abi::kPageSize, abi::kPageSize, abi::kRightRead | abi::kRightWrite),
        "map the stack");
  check(start,
        guest::create_thread(kOtherThread, kOtherDomain,
                             {kEchoAddress, kEchoAddress + 2 * abi::kPageSize, 0,
                              guest::kApplicationPriority, abi::kAnyProcessor, true}),
        "create a thread");
}

extern "C" [[noreturn]] void echo_main() {
  const guest::Receiver receiver(kOwnPort);
  std::uint64_t token = 0;
  guest::Message message;
  for (;;) {
    const auto received = receiver.reply_and_wait(token, message);
    if (!received) {
      guest::exit_thread();
    }
    token = received->token;
    message = received->message;
  }
}

void start_other_thread(const guest::NativeStart& start) {
  const std::uint64_t stack = start.free_address + 4 * abi::kPageSize;
  check(start,
        guest::map(abi::kSelfSlot, stack - abi::kPageSize, guest::kNativeMemory, 2 * abi::kPageSize,
                   abi::kPageSize, abi::kRightRead | abi::kRightWrite),
        "map");
  check(start, guest::create_port(kOwnPort), "create a port");
  check(start,
        guest::create_thread(kOwnThread, abi::kSelfSlot,
                             {reinterpret_cast<std::uint64_t>(&echo_main), stack - 8, 0,
                              guest::kApplicationPriority, abi::kAnyProcessor, true}),
        "create a thread");
}

}  // namespace

extern "C" void program_main(const guest::NativeStart& start) {
  start_other_domain(start);
  const Summary domains = measure(start, kOtherPort);
  start_other_thread(start);
  const Summary threads = measure(start, kOwnPort);
  native::Output output(start);
  guest::JsonWriter json = output.json();
  json.begin_object().member("rounds", kRounds);
  json.member("tsc_frequency", guest::time_page().tsc_frequency);
  write_summary(json, "between_domains", domains);
  write_summary(json, "between_threads", threads);
  json.end_object().end_line();
  output.flush();
  native::exit(0);
}
