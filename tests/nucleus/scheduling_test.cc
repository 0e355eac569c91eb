#include "tests/nucleus/harness.h"

// What fast IPC must not get around: priorities, time slices, suspension.
namespace nucleus_test {
namespace {

volatile std::uint64_t counters[8];

void count(std::uint64_t index) {
  for (;;) {
    counters[index] = counters[index] + 1;
  }
}

Slot new_port() {
  const Slot port = new_slot();
  EXPECT_OK(guest::create_port(port));
  return port;
}

}  // namespace

TEST(an_equal_gets_its_share_though_its_rival_calls_servers) {
  static Slot port;
  port = new_port();
  start_thread(
      [](std::uint64_t) {
        const guest::Receiver receiver(port);
        auto request = receiver.wait();
        for (;;) {
          (void)guest::information(abi::InformationKind::kDomain, 0, abi::kSelfSlot);
          request = receiver.reply_and_wait(request->token, request->message);
        }
      },
      0, 22);
  counters[0] = 0;
  const Slot rival = start_thread(count, 0, 16, 0, false);
  Message message;
  EXPECT_OK(guest::call(port, message));
  const std::uint64_t before = counters[0];
  // Three slices or so; more only because the host may keep this processor for itself meanwhile.
  for (int i = 0; i < 10 && counters[0] == before; ++i) {
    spin(60'000'000);
  }
  EXPECT(counters[0] != before);
  EXPECT_OK(guest::control_thread(rival, abi::ThreadOperation::kEnd));
}

TEST(a_better_thread_woken_by_a_server_runs_before_the_caller) {
  static Slot woken;
  static Slot port;
  woken = new_port();
  port = new_port();
  counters[1] = 0;
  start_thread(
      [](std::uint64_t) {
        (void)guest::Receiver(woken).wait();
        counters[1] = 1;
        guest::exit_thread();
      },
      0, 18);
  start_thread(
      [](std::uint64_t) {
        const guest::Receiver receiver(port);
        auto request = receiver.wait();
        for (;;) {
          (void)guest::signal(woken);
          request = receiver.reply_and_wait(request->token, request->message);
        }
      },
      0, 22);
  Message message;
  EXPECT_OK(guest::call(port, message));
  EXPECT_EQUAL(counters[1], 1);
}

TEST(a_suspended_receiver_takes_no_call) {
  static Slot port;
  port = new_port();
  counters[2] = 0;
  const Slot receiver = start_thread(
      [](std::uint64_t) {
        const guest::Receiver here(port);
        auto request = here.wait();
        for (;;) {
          counters[2] = counters[2] + 1;
          request = here.reply_and_wait(request->token, request->message);
        }
      },
      0, 22);
  EXPECT_OK(guest::control_thread(receiver, abi::ThreadOperation::kSuspend));
  start_thread(
      [](std::uint64_t) {
        Message message;
        (void)guest::call(port, message);
        guest::exit_thread();
      },
      0, 20);
  guest::yield();
  EXPECT_EQUAL(counters[2], 0);
  EXPECT_OK(guest::control_thread(receiver, abi::ThreadOperation::kResume));
  for (int i = 0; i < 1000 && counters[2] == 0; ++i) {
    guest::yield();
  }
  EXPECT_EQUAL(counters[2], 1);
}

TEST(an_equal_started_on_another_processor_gets_its_share) {
  if (processors() < 2) {
    return;
  }
  counters[3] = 0;
  counters[4] = 0;
  const Slot first = start_thread(count, 3, 12, 1, false);
  while (counters[3] == 0) {
    spin(100'000);
  }
  const Slot second = start_thread(count, 4, 12, 1, false);
  for (int i = 0; i < 1000 && counters[4] == 0; ++i) {
    spin(10'000'000);
  }
  EXPECT(counters[4] != 0);
  EXPECT_OK(guest::control_thread(first, abi::ThreadOperation::kEnd));
  EXPECT_OK(guest::control_thread(second, abi::ThreadOperation::kEnd));
}

TEST(a_thread_never_runs_on_two_processors) {
  if (processors() < 2) {
    return;
  }
  static std::uint64_t ticket;
  static volatile std::uint64_t out_of_turn;
  ticket = 0;
  out_of_turn = 0;
  const Slot thread = start_thread(
      [](std::uint64_t) {
        std::uint64_t mine = 0;
        for (;;) {
          const std::uint64_t got = __atomic_fetch_add(&ticket, 1, __ATOMIC_SEQ_CST);
          out_of_turn = out_of_turn + (got != mine ? 1 : 0);
          mine = got + 1;
        }
      },
      0, 14, 1, true);
  const Slot port = new_port();
  const Slot signal = new_slot();
  const Slot timer = new_slot();
  EXPECT_OK(guest::copy_capability(abi::kSelfSlot, signal, port, abi::kRightSignal, 1));
  EXPECT_OK(guest::create_timer(timer, signal));
  for (int i = 0; i < 30; ++i) {
    const std::uint64_t seen = __atomic_load_n(&ticket, __ATOMIC_SEQ_CST);
    int waits = 0;
    while (__atomic_load_n(&ticket, __ATOMIC_SEQ_CST) == seen && ++waits < 100'000) {
      spin(1000);
    }
    EXPECT(waits < 100'000);
    (void)guest::control_thread(thread, abi::ThreadOperation::kSetProcessor, abi::kAnyProcessor);
    EXPECT_OK(guest::arm_timer(timer, tsc() + 400'000));
    EXPECT_OK(guest::control_thread(thread, abi::ThreadOperation::kSuspend));
    EXPECT_OK(guest::control_thread(thread, abi::ThreadOperation::kResume));
    (void)guest::Receiver(port).wait();
    (void)guest::control_thread(thread, abi::ThreadOperation::kSetProcessor, 1);
  }
  EXPECT_OK(guest::control_thread(thread, abi::ThreadOperation::kEnd));
  EXPECT_EQUAL(out_of_turn, 0);
}

TEST(the_bases_of_a_running_thread_are_its_own_affair) {
  if (processors() < 2) {
    return;
  }
  counters[5] = 0;
  const Slot thread = start_thread(count, 5, 12, 1, false);
  while (counters[5] == 0) {
    spin(100'000);
  }
  EXPECT_EQUAL(guest::set_thread_bases(thread, 0x1000, 0), Status::kBadState);
  EXPECT_OK(guest::control_thread(thread, abi::ThreadOperation::kEnd));
}

}  // namespace nucleus_test
