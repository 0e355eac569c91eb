#include "tests/nucleus/harness.h"

namespace nucleus_test {
namespace {

std::uint64_t seed = 0x9e37'79b9'7f4a'7c15;

std::uint64_t next() {
  seed ^= seed << 13;
  seed ^= seed >> 7;
  seed ^= seed << 17;
  return seed;
}

std::uint64_t interesting() {
  constexpr std::uint64_t kEdges[] = {0,
                                      1,
                                      2,
                                      3,
                                      0xfff,
                                      0x1000,
                                      0x20'0000,
                                      abi::kSharedStart,
                                      abi::kUserEnd,
                                      0x7fff'ffff'ffff'ffff,
                                      0x8000'0000'0000'0000,
                                      0xffff'8000'0000'0000,
                                      0xffff'ffff'8010'0000,
                                      ~std::uint64_t{0},
                                      ~std::uint64_t{0xfff}};
  const std::uint64_t random = next();
  switch (random % 4) {
    case 0:
      return kEdges[next() % (sizeof(kEdges) / sizeof(kEdges[0]))];
    case 1:
      return next() % 64;
    case 2:
      return next() & ~std::uint64_t{0xfff};
    default:
      return next();
  }
}

}  // namespace

TEST(wild_system_calls_harm_their_own_domain_only) {
  for (unsigned round = 0; round < 4; ++round) {
    const Slot domain = new_domain(64);
    const Slot port = new_slot();
    EXPECT_OK(guest::create_port(port));
    EXPECT_OK(guest::set_fault_port(domain, port));
    EXPECT_OK(guest::copy_capability(domain, 2, port, abi::kAllRights));
    const Memory memory = new_memory(4);
    const Slot region = new_slot();
    EXPECT_OK(guest::carve(region, abi::kComposerMemory, memory.offset, 4 * abi::kPageSize));
    EXPECT_OK(guest::copy_capability(domain, 3, region));
    EXPECT_OK(start_in_domain(
        domain,
        [](std::uint64_t round_seed) {
          guest::SystemCallFrame frame{};
          std::uint64_t random = 88172645463325252ull + round_seed;
          for (int i = 0; i < 300; ++i) {
            const auto step = [&random] {
              random ^= random << 13;
              random ^= random >> 7;
              random ^= random << 17;
              return (random & 3) == 0   ? random
                     : (random & 3) == 1 ? random & 63
                                         : random & ~0xfffull;
            };
            const std::uint64_t number = step() % 31;
            if (number <= 1 || number == 9 || number == 15) {
              continue;
            }
            frame.selector = number;
            frame.slot = step() & ((i & 1) != 0 ? 7 : ~0ull);
            frame.token = step();
            for (unsigned word = 0; word < abi::kMessageWords; ++word) {
              frame.message[word] = step();
            }
            guest::guest_system_call(&frame);
          }
          // Tells the test that it is through.
          asm volatile("ud2");
        },
        round));
    // It ends in a fault, its own or the last instruction's; a call from a thread that it made
    // counts the same.
    const auto fault = guest::Receiver(port).wait();
    EXPECT(fault.has_value());
    discard(domain);
  }
}

TEST(wild_arguments_of_a_privileged_caller_are_survived) {
  // With all authority, but only calls that cannot take the ground from under this thread.
  constexpr abi::SystemCall kCalls[] = {
      abi::SystemCall::kReply,
      abi::SystemCall::kPoll,
      abi::SystemCall::kTimerCreate,
      abi::SystemCall::kThreadRead,
      abi::SystemCall::kInformation,
      abi::SystemCall::kRegionCarve,
      abi::SystemCall::kDomainCreate,
      abi::SystemCall::kPortCreate,
      abi::SystemCall::kInterruptAcknowledge,
  };
  for (int i = 0; i < 300; ++i) {
    guest::SystemCallFrame frame{};
    frame.selector =
        static_cast<std::uint64_t>(kCalls[next() % (sizeof(kCalls) / sizeof(kCalls[0]))]);
    frame.slot = interesting();
    frame.token = interesting();
    for (unsigned word = 0; word < abi::kMessageWords; ++word) {
      frame.message[word] = interesting();
    }
    // Slots that later tests use stay free.
    if (frame.message[0] >= abi::kComposerFirstFree && frame.message[0] < 1024) {
      frame.message[0] = 0;
    }
    guest::guest_system_call(&frame);
  }
}

}  // namespace nucleus_test
