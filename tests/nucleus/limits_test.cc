#include "tests/nucleus/harness.h"

// What a domain may not do to others, whatever it does to itself.
namespace nucleus_test {
namespace {

std::uint64_t used_kernel_memory() {
  return (*guest::information(abi::InformationKind::kDomain, 0, abi::kSelfSlot))[0];
}

// What a thread of a child domain, whose fault port is this one's, found: it says so by where it
// faults.
constexpr std::uint64_t kRefused = 0x777'0000;
constexpr std::uint64_t kAllowed = 0x666'0000;

std::uint64_t verdict_of(void (*entry)(std::uint64_t)) {
  const Slot domain = new_domain();
  const Slot port = new_slot();
  EXPECT_OK(guest::create_port(port));
  EXPECT_OK(guest::set_fault_port(domain, port));
  EXPECT_OK(start_in_domain(domain, entry, 0));
  const auto fault = guest::Receiver(port).wait();
  EXPECT(fault.has_value());
  discard(domain);
  return fault->message[2];
}

void say(Status status) {
  *reinterpret_cast<volatile char*>(status == Status::kNoRight ? kRefused : kAllowed) = 1;
}

constexpr std::uint64_t kSpread = 0x20'0000'0000;

// Maps a page in each of `count` times 2 MiB; returns how many it could.
std::uint64_t spread(Slot domain, const Memory& memory, std::uint64_t count) {
  std::uint64_t done = 0;
  while (done < count &&
         guest::map(domain, kSpread + done * abi::kLargePageSize, abi::kComposerMemory,
                    memory.offset, abi::kPageSize, abi::kRightRead) == Status::kOk) {
    ++done;
  }
  return done;
}

}  // namespace

TEST(a_domain_without_the_right_makes_no_bare_thread) {
  EXPECT_EQUAL(verdict_of([](std::uint64_t) {
                 say(guest::create_thread(guest::kNoSlot, abi::kSelfSlot,
                                          {.entry = 0x123'4000,
                                           .stack = 0,
                                           .argument = 0,
                                           .priority = 1,
                                           .processor = abi::kAnyProcessor,
                                           .bare = true}));
               }),
               kRefused);
}

TEST(a_domain_gives_no_higher_priority_than_it_may) {
  EXPECT_EQUAL(verdict_of([](std::uint64_t) {
                 say(guest::create_thread(guest::kNoSlot, abi::kSelfSlot,
                                          {.entry = 0x123'4000,
                                           .stack = 0,
                                           .argument = 0,
                                           .priority = 31,
                                           .processor = 0,
                                           .bare = false}));
               }),
               kRefused);
}

TEST(a_domain_that_nobody_names_ends_once) {
  const std::uint64_t before = used_kernel_memory();
  const Slot domain = new_slot();
  EXPECT_OK(guest::create_domain(domain, 16, 8));
  EXPECT_OK(guest::delete_capability(domain, abi::kSelfSlot));
  EXPECT_OK(guest::delete_capability(abi::kSelfSlot, domain));
  EXPECT_EQUAL(used_kernel_memory(), before);
}

TEST(domains_that_end_in_a_chain_need_no_stack) {
  const std::uint64_t before = used_kernel_memory();
  Slot previous = guest::kNoSlot;
  const Slot slots[] = {new_slot(), new_slot()};
  for (unsigned i = 0; i < 150; ++i) {
    const Slot domain = slots[i % 2];
    EXPECT_OK(guest::create_domain(domain, 16, 3));
    if (previous != guest::kNoSlot) {
      EXPECT_OK(guest::copy_capability(domain, 2, previous));
      EXPECT_OK(guest::delete_capability(abi::kSelfSlot, previous));
    }
    EXPECT_OK(guest::delete_capability(domain, abi::kSelfSlot));
    previous = domain;
  }
  EXPECT_OK(guest::delete_capability(abi::kSelfSlot, previous));
  EXPECT_EQUAL(used_kernel_memory(), before);
}

TEST(a_domain_ends_with_the_one_that_paid_for_it) {
  // The child makes a grandchild that would live on; its thread would fault to our port.
  const Slot child = new_domain();
  const Slot port = new_slot();
  EXPECT_OK(guest::create_port(port));
  EXPECT_OK(guest::set_fault_port(child, port));
  EXPECT_OK(start_in_domain(
      child,
      [](std::uint64_t) {
        (void)guest::create_domain(5, 16, 4);
        (void)guest::create_thread(guest::kNoSlot, 5,
                                   {.entry = 0x123'4000,
                                    .stack = 0,
                                    .argument = 0,
                                    .priority = 1,
                                    .processor = 0,
                                    .bare = false});
        say(Status::kOk);
      },
      0));
  EXPECT(guest::Receiver(port).wait().has_value());
  discard(child);
  for (int i = 0; i < 100; ++i) {
    guest::yield();
  }
  spin(1'000'000);
  EXPECT_EQUAL(guest::Receiver(port).poll().error(), Status::kWouldBlock);
}

TEST(unmapping_what_is_not_mapped_is_quick) {
  const std::uint64_t start = tsc();
  EXPECT_OK(guest::unmap(abi::kSelfSlot, 0x100'0000'0000, 0x3e00'0000'0000));
  const std::uint64_t ticks = tsc() - start;
  report("  ticks", ticks);
  // Walking each empty GiB took seconds where ring 0 is interpreted.
  EXPECT(ticks < 1'000'000'000);
}

TEST(ports_next_to_a_capabilitys_are_out_of_reach) {
  const Slot ports = new_slot();
  EXPECT_OK(guest::carve(ports, abi::kComposerPorts, 0, 1));
  EXPECT_EQUAL(guest::read_port(ports, 0x3f8, 4).error(), Status::kBadArgument);
}

TEST(large_tables_do_not_drain_the_pool) {
  const Slot domain = new_slot();
  for (int i = 0; i < 300; ++i) {
    EXPECT_OK(guest::create_domain(domain, 1024, 8));
    EXPECT_OK(guest::end_domain(domain));
    EXPECT_OK(guest::delete_capability(abi::kSelfSlot, domain));
  }
}

TEST(tables_that_unmapping_has_emptied_serve_again) {
  constexpr std::uint64_t kQuota = 24;
  const Memory memory = new_memory(1);
  const Slot domain = new_slot();
  EXPECT_OK(guest::create_domain(domain, 16, kQuota));
  for (int round = 0; round < 20; ++round) {
    EXPECT_EQUAL(spread(domain, memory, kQuota / 2), kQuota / 2);
    EXPECT_OK(guest::unmap(domain, kSpread, kQuota / 2 * abi::kLargePageSize));
  }
  // And they are empty: what is not mapped again can be unmapped and mapped.
  EXPECT_EQUAL(spread(domain, memory, 1), 1);
  EXPECT_OK(guest::map(domain, kSpread + abi::kPageSize, abi::kComposerMemory, memory.offset,
                       abi::kPageSize, abi::kRightRead));
  discard(domain);
}

TEST(one_of_many_that_share_a_quota_leaves_some_to_the_others) {
  const Memory memory = new_memory(1);
  const Slot hog = new_slot();
  const Slot other = new_slot();
  EXPECT_OK(guest::create_domain(hog, 16, 0));
  EXPECT_OK(guest::create_domain(other, 16, 0));
  const auto own = guest::information(abi::InformationKind::kDomain, 0, abi::kSelfSlot);
  EXPECT(own.has_value());
  const std::uint64_t pages = (*own)[1] / abi::kPageSize;
  const std::uint64_t most = spread(hog, memory, pages);
  EXPECT(most <= pages / 4);
  EXPECT(most > pages / 8 || pages < 64);
  const auto told = guest::information(abi::InformationKind::kDomain, 0, hog);
  EXPECT(told.has_value() && (*told)[4] >= most);
  EXPECT_EQUAL(spread(other, memory, 8), 8);
  discard(hog);
  discard(other);
}

}  // namespace nucleus_test
