#include <atomic>

#include "tests/nucleus/harness.h"

namespace nucleus_test {
namespace {

Slot port;

// Adds 1 to every word of each call, until word 0 is 0.
void add_one_server(std::uint64_t server_port) {
  const guest::Receiver receiver(server_port);
  auto request = receiver.wait();
  while (request.has_value()) {
    Message answer = request->message;
    const bool last = answer[0] == 0;
    for (unsigned i = 0; i < abi::kMessageWords; ++i) {
      ++answer[i];
    }
    answer[7] = request->badge;
    if (last) {
      (void)guest::reply(request->token, answer);
      guest::exit_thread();
    }
    request = receiver.reply_and_wait(request->token, answer);
  }
  guest::exit_thread();
}

void expect_add_one(Slot through, std::uint64_t badge, std::uint64_t first = 10) {
  Message message;
  for (unsigned i = 0; i < abi::kMessageWords; ++i) {
    message[i] = first == 0 ? 0 : first + i;
  }
  EXPECT_OK(guest::call(through, message));
  for (unsigned i = 0; i < 7; ++i) {
    EXPECT_EQUAL(message[i], (first == 0 ? 0 : first + i) + 1);
  }
  EXPECT_EQUAL(message[7], badge);
}

}  // namespace

TEST(a_call_is_answered_with_all_words_and_the_badge) {
  port = new_slot();
  EXPECT_OK(guest::create_port(port));
  const Slot badged = new_slot();
  EXPECT_OK(guest::copy_capability(abi::kSelfSlot, badged, port, abi::kRightCall, 77));
  start_thread(add_one_server, port);
  for (int i = 0; i < 3; ++i) {
    expect_add_one(port, 0);
    expect_add_one(badged, 77);
  }
  expect_add_one(badged, 77, 0);
}

TEST(a_call_waits_for_a_receiver_that_comes_later) {
  // The server has a lower priority than this thread, so the call is queued first.
  start_thread(add_one_server, port, 1);
  expect_add_one(port, 0);
  expect_add_one(port, 0, 0);
}

TEST(a_call_crosses_domains) {
  const Slot domain = new_domain();
  EXPECT_OK(guest::copy_capability(domain, 2, port));
  EXPECT_OK(start_in_domain(domain, add_one_server, 2));
  expect_add_one(port, 0);
  expect_add_one(port, 0);
  discard(domain);
}

namespace {

void take_one_call_and_stay(std::uint64_t server_port) {
  for (;;) {
    (void)guest::Receiver(server_port).wait();
  }
}

Slot doomed_domain;
void end_doomed_domain(std::uint64_t) {
  (void)guest::end_domain(doomed_domain);
  guest::exit_thread();
}

}  // namespace

TEST(a_caller_learns_that_its_server_ended) {
  doomed_domain = new_domain();
  EXPECT_OK(guest::copy_capability(doomed_domain, 2, port));
  EXPECT_OK(start_in_domain(doomed_domain, take_one_call_and_stay, 2, 18));
  start_thread(end_doomed_domain, 0, 10);
  Message message;
  EXPECT_EQUAL(guest::call(port, message), Status::kPeerGone);
}

TEST(nobody_waits_at_a_port_that_nobody_receives_from) {
  static Slot only_calls;
  static std::atomic<std::uint64_t> told;
  const Slot receives = new_slot();
  only_calls = new_slot();
  told = 0;
  EXPECT_OK(guest::create_port(receives));
  EXPECT_OK(guest::copy_capability(abi::kSelfSlot, only_calls, receives, abi::kRightCall));
  start_thread(
      [](std::uint64_t) {
        Message message;
        told = 1 + static_cast<std::uint64_t>(guest::call(only_calls, message));
        guest::exit_thread();
      },
      0);
  EXPECT_EQUAL(told.load(), 0);
  EXPECT_OK(guest::delete_capability(abi::kSelfSlot, receives));
  while (told.load() == 0) {
    guest::yield();
  }
  EXPECT_EQUAL(told.load(), 1 + static_cast<std::uint64_t>(Status::kPeerGone));
  Message message;
  EXPECT_EQUAL(guest::call(only_calls, message), Status::kPeerGone);
  EXPECT_OK(guest::delete_capability(abi::kSelfSlot, only_calls));
}

TEST(only_the_domain_that_took_a_call_can_answer_it_and_once) {
  // A thread calls; this one takes the call and answers twice.
  static Slot client_port;
  client_port = new_slot();
  EXPECT_OK(guest::create_port(client_port));
  start_thread(
      [](std::uint64_t through) {
        Message message;
        (void)guest::call(through, message);
        guest::exit_thread();
      },
      client_port);
  const auto request = guest::Receiver(client_port).wait();
  EXPECT(request.has_value());
  EXPECT_EQUAL(guest::reply(request->token + 1, {}), Status::kNotFound);
  EXPECT_EQUAL(guest::reply(request->token ^ (std::uint64_t{1} << 40), {}), Status::kNotFound);
  EXPECT_EQUAL(guest::reply(~std::uint64_t{0}, {}), Status::kNotFound);
  EXPECT_OK(guest::reply(request->token, {}));
  EXPECT_EQUAL(guest::reply(request->token, {}), Status::kNotFound);
}

TEST(notifications_collect_and_are_received_once) {
  const Slot here = new_slot();
  const Slot first = new_slot();
  const Slot second = new_slot();
  EXPECT_OK(guest::create_port(here));
  EXPECT_OK(guest::copy_capability(abi::kSelfSlot, first, here, abi::kRightSignal, 1));
  EXPECT_OK(guest::copy_capability(abi::kSelfSlot, second, here, abi::kRightSignal, 4));
  EXPECT_OK(guest::signal(first));
  EXPECT_OK(guest::signal(second));
  EXPECT_OK(guest::signal(second));
  const auto received = guest::Receiver(here).wait();
  EXPECT(received.has_value() && received->is_notification());
  EXPECT_EQUAL(received->signals(), 5);
  EXPECT_EQUAL(guest::Receiver(here).poll().error(), Status::kWouldBlock);
}

TEST(a_timer_signals_at_its_deadline_and_not_before) {
  const Slot here = new_slot();
  const Slot signal = new_slot();
  const Slot timer = new_slot();
  EXPECT_OK(guest::create_port(here));
  EXPECT_OK(guest::copy_capability(abi::kSelfSlot, signal, here, abi::kRightSignal, 2));
  EXPECT_OK(guest::create_timer(timer, signal));
  const std::uint64_t deadline = tsc() + 20'000'000;
  EXPECT_OK(guest::arm_timer(timer, deadline));
  const auto received = guest::Receiver(here).wait();
  EXPECT(tsc() >= deadline);
  EXPECT(received.has_value() && received->signals() == 2);
  // A deadline in the past is due at once; a disarmed timer stays silent.
  EXPECT_OK(guest::arm_timer(timer, 1));
  EXPECT(guest::Receiver(here).wait().has_value());
  // The host may take this processor away between the two calls: what was disarmed too late proves
  // nothing.
  std::uint64_t due = 0;
  do {
    static_cast<void>(guest::Receiver(here).poll());
    due = tsc() + 2'000'000;
    EXPECT_OK(guest::arm_timer(timer, due));
    EXPECT_OK(guest::arm_timer(timer, 0));
  } while (tsc() >= due);
  spin(6'000'000);
  EXPECT_EQUAL(guest::Receiver(here).poll().error(), Status::kWouldBlock);
}

TEST(timers_fire_in_the_order_of_their_deadlines) {
  const Slot here = new_slot();
  EXPECT_OK(guest::create_port(here));
  constexpr unsigned kTimers = 5;
  constexpr unsigned kOrder[kTimers] = {3, 0, 4, 1, 2};
  const std::uint64_t start = tsc() + 20'000'000;
  for (unsigned i : kOrder) {
    const Slot signal = new_slot();
    const Slot timer = new_slot();
    EXPECT_OK(guest::copy_capability(abi::kSelfSlot, signal, here, abi::kRightSignal, 1u << i));
    EXPECT_OK(guest::create_timer(timer, signal));
    EXPECT_OK(guest::arm_timer(timer, start + i * 20'000'000));
  }
  std::uint64_t seen = 0;
  while (seen != (1u << kTimers) - 1) {
    const auto received = guest::Receiver(here).wait();
    const std::uint64_t bits = received.has_value() ? received->signals() : 0;
    // Those that come now are all later than those that came before.
    EXPECT(bits != 0 && bits > seen);
    seen |= bits;
  }
}

}  // namespace nucleus_test
