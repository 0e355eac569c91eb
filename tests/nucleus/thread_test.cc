#include "tests/nucleus/harness.h"

namespace nucleus_test {
namespace {

volatile std::uint64_t counters[8];

void count(std::uint64_t index) {
  for (;;) {
    counters[index] = counters[index] + 1;
  }
}

}  // namespace

TEST(equals_share_a_processor_by_time) {
  counters[0] = 0;
  counters[1] = 0;
  const Slot first = start_thread(count, 0, 16, 0, false);
  const Slot second = start_thread(count, 1, 16, 0, false);
  for (int i = 0; i < 1000 && (counters[0] == 0 || counters[1] == 0); ++i) {
    spin(40'000'000);
  }
  EXPECT(counters[0] != 0);
  EXPECT(counters[1] != 0);
  EXPECT_OK(guest::control_thread(first, abi::ThreadOperation::kEnd));
  EXPECT_OK(guest::control_thread(second, abi::ThreadOperation::kEnd));
}

TEST(a_higher_priority_runs_at_once) {
  counters[2] = 0;
  start_thread(
      [](std::uint64_t) {
        counters[2] = 1;
        guest::exit_thread();
      },
      0, 25, 0, false);
  EXPECT_EQUAL(counters[2], 1);
}

TEST(a_suspended_thread_can_be_read_changed_and_resumed) {
  counters[3] = 0;
  const Slot thread = start_thread(count, 3, 16, 0, false);
  while (counters[3] == 0) {
    guest::yield();
  }
  EXPECT_EQUAL(guest::read_thread(thread, abi::RegisterGroup::kControl).error(), Status::kBadState);
  EXPECT_OK(guest::control_thread(thread, abi::ThreadOperation::kSuspend));
  const std::uint64_t stopped = counters[3];
  guest::yield();
  EXPECT_EQUAL(counters[3], stopped);
  auto control = guest::read_thread(thread, abi::RegisterGroup::kControl);
  EXPECT(control.has_value());
  // To a function that counts elsewhere; a wild address is refused.
  const auto other = +[](std::uint64_t) {
    for (;;) {
      counters[4] = counters[4] + 1;
    }
  };
  auto words = *control;
  words[0] = 0x8000'0000'0000'0000;
  EXPECT_EQUAL(guest::write_thread(thread, abi::RegisterGroup::kControl, words),
               Status::kBadArgument);
  words = *control;
  words[0] = reinterpret_cast<std::uint64_t>(other);
  words[2] = ~std::uint64_t{0};  // flags that a program may not set are ignored
  EXPECT_OK(guest::write_thread(thread, abi::RegisterGroup::kControl, words));
  counters[4] = 0;
  EXPECT_OK(guest::control_thread(thread, abi::ThreadOperation::kResume));
  for (int i = 0; i < 1000 && counters[4] == 0; ++i) {
    guest::yield();
  }
  EXPECT(counters[4] != 0);
  EXPECT_OK(guest::control_thread(thread, abi::ThreadOperation::kEnd));
  EXPECT_EQUAL(guest::control_thread(thread, abi::ThreadOperation::kResume), Status::kBadState);
}

TEST(a_blocked_wait_can_be_cancelled) {
  static Slot port;
  static volatile std::uint64_t result;
  result = 99;
  port = new_slot();
  EXPECT_OK(guest::create_port(port));
  const Slot thread = start_thread(
      [](std::uint64_t) {
        result = static_cast<std::uint64_t>(guest::Receiver(port).wait().error());
        guest::exit_thread();
      },
      0, 20);
  guest::yield();
  EXPECT_OK(guest::control_thread(thread, abi::ThreadOperation::kCancel));
  for (int i = 0; i < 1000 && result == 99; ++i) {
    guest::yield();
  }
  EXPECT_EQUAL(result, Status::kWouldBlock);
}

namespace {

// Vector registers and FS base that belong to each thread alone. Returns how often they were not.
std::uint64_t check_user_state(std::uint64_t value, int rounds) {
  std::uint64_t wrong = 0;
  asm volatile("movq %0, %%xmm7" ::"r"(value));
  for (int i = 0; i < rounds; ++i) {
    guest::yield();
    std::uint64_t back = 0;
    asm volatile("movq %%xmm7, %0" : "=r"(back));
    wrong += back != value ? 1 : 0;
    std::uint64_t base = 0;
    asm volatile("mov %%fs:0, %0" : "=r"(base));
    wrong += base != value ? 1 : 0;
  }
  return wrong;
}

volatile std::uint64_t state_errors;
volatile std::uint64_t state_done;

void user_state_thread(std::uint64_t block) {
  (void)guest::set_thread_bases(guest::kNoSlot, block, 0);
  state_errors = state_errors + check_user_state(*reinterpret_cast<std::uint64_t*>(block), 50);
  state_done = state_done + 1;
  guest::exit_thread();
}

struct alignas(32) WideRegister {
  std::uint64_t words[4];
};

bool has_wide_registers() {
  std::uint32_t eax = 1;
  std::uint32_t ebx = 0;
  std::uint32_t ecx = 0;
  std::uint32_t edx = 0;
  asm volatile("cpuid" : "+a"(eax), "=b"(ebx), "=c"(ecx), "=d"(edx));
  constexpr std::uint32_t kOsXsave = 1u << 27;
  if ((ecx & kOsXsave) == 0) {
    return false;
  }
  asm volatile("xgetbv" : "=a"(eax), "=d"(edx) : "c"(0));
  return (eax & 4) != 0;
}

// Holds `value` in a register of 32 bytes over calls, and over computing for longer than a slice.
std::uint64_t check_wide_register(std::uint64_t value) {
  const WideRegister in{{value, value + 1, value + 2, value + 3}};
  asm volatile("vmovdqa %0, %%ymm9" ::"m"(in));
  for (int i = 0; i < 20; ++i) {
    guest::yield();
  }
  for (int spin = 0; spin < 40'000'000; ++spin) {
    asm volatile("" ::: "memory");
  }
  WideRegister out{};
  asm volatile("vmovdqa %%ymm9, %0" : "=m"(out));
  std::uint64_t wrong = 0;
  for (int i = 0; i < 4; ++i) {
    wrong += out.words[i] != in.words[i] ? 1 : 0;
  }
  return wrong;
}

void wide_register_thread(std::uint64_t value) {
  state_errors = state_errors + check_wide_register(value);
  state_done = state_done + 1;
  guest::exit_thread();
}

}  // namespace

TEST(each_thread_has_its_own_wide_registers) {
  if (!has_wide_registers()) {
    return;
  }
  state_errors = 0;
  state_done = 0;
  constexpr unsigned kThreads = 3;
  for (unsigned i = 0; i < kThreads; ++i) {
    start_thread(wide_register_thread, 0x2222'0000 + 16 * i, 16, 0, false);
  }
  while (state_done != kThreads) {
    guest::yield();
  }
  EXPECT_EQUAL(state_errors, 0);
}

TEST(each_thread_has_its_own_vector_registers_and_bases) {
  state_errors = 0;
  state_done = 0;
  constexpr unsigned kThreads = 3;
  for (unsigned i = 0; i < kThreads; ++i) {
    const Memory block = new_memory(1);
    *reinterpret_cast<std::uint64_t*>(block.address) = 0x1111'0000 + i;
    start_thread(user_state_thread, reinterpret_cast<std::uint64_t>(block.address), 16, 0, false);
  }
  while (state_done != kThreads) {
    guest::yield();
  }
  EXPECT_EQUAL(state_errors, 0);
  EXPECT_EQUAL(guest::set_thread_bases(guest::kNoSlot, abi::kUserEnd, 0), Status::kBadArgument);
}

TEST(all_processors_run_at_once) {
  const unsigned count_of = processors();
  report("  processors", count_of);
  for (unsigned i = 1; i < count_of; ++i) {
    counters[i] = 0;
    start_thread(count, i, 10, i, false);
  }
  for (unsigned i = 1; i < count_of; ++i) {
    for (int k = 0; k < 20'000 && counters[i] == 0; ++k) {
      spin(1'000'000);
    }
    EXPECT(counters[i] != 0);
    const auto information =
        guest::information(abi::InformationKind::kProcessor, i, abi::kComposerMachine);
    EXPECT(information.has_value() && (*information)[1] >= 1);
  }
  EXPECT_EQUAL(
      guest::information(abi::InformationKind::kProcessor, count_of, abi::kComposerMachine).error(),
      Status::kNotFound);
}

TEST(a_thread_ends_though_it_runs_on_another_processor) {
  if (processors() < 2) {
    return;
  }
  counters[1] = 0;
  const Slot thread = start_thread(count, 1, 12, 1, false);
  while (counters[1] == 0) {
    spin(100'000);
  }
  EXPECT_OK(guest::control_thread(thread, abi::ThreadOperation::kEnd));
  // The lower-priority counter of the test before counts on there.
  const Slot domain = new_domain();
  discard(domain);
}

TEST(processors_call_one_server_at_once) {
  static Slot port;
  static volatile std::uint64_t done;
  port = new_slot();
  done = 0;
  EXPECT_OK(guest::create_port(port));
  constexpr std::uint64_t kCalls = 200;
  const auto server = +[](std::uint64_t) {
    const guest::Receiver receiver(port);
    auto request = receiver.wait();
    for (;;) {
      Message answer = request->message;
      answer[0] *= 2;
      request = receiver.reply_and_wait(request->token, answer);
    }
  };
  const auto client = +[](std::uint64_t seed) {
    bool right = true;
    for (std::uint64_t i = 0; i < kCalls; ++i) {
      Message message;
      message[0] = seed + i;
      right &= guest::call(port, message) == Status::kOk && message[0] == 2 * (seed + i);
    }
    __atomic_fetch_add(&done, right ? 1 : 100, __ATOMIC_SEQ_CST);
    guest::exit_thread();
  };
  start_thread(server, 0, 22);
  start_thread(server, 0, 22);
  const unsigned count_of = processors();
  for (unsigned i = 0; i < count_of; ++i) {
    start_thread(client, i * 1000, 18, i, false);
    start_thread(client, i * 1000 + 500, 18, i, false);
  }
  for (int i = 0; i < 20'000 && done < 2 * count_of; ++i) {
    spin(1'000'000);
    guest::yield();
  }
  EXPECT_EQUAL(done, 2 * count_of);
}

}  // namespace nucleus_test
