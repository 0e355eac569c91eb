#include "tests/nucleus/harness.h"

namespace nucleus_test {

TEST(slots_are_checked) {
  Message message;
  EXPECT_EQUAL(guest::call(0, message), Status::kBadCapability);
  EXPECT_EQUAL(guest::call(60'000, message), Status::kBadCapability);
  EXPECT_EQUAL(guest::call(~std::uint64_t{0}, message), Status::kBadCapability);
  EXPECT_EQUAL(guest::call(abi::kSelfSlot, message), Status::kBadCapability);
  EXPECT_EQUAL(guest::create_port(0), Status::kBadCapability);
  EXPECT_EQUAL(guest::create_port(abi::kSelfSlot), Status::kSlotInUse);
  EXPECT_EQUAL(guest::delete_capability(abi::kSelfSlot, 0), Status::kBadCapability);
}

TEST(a_copy_never_has_more_rights) {
  const Slot port = new_slot();
  const Slot weak = new_slot();
  const Slot weaker = new_slot();
  EXPECT_OK(guest::create_port(port));
  EXPECT_OK(guest::copy_capability(abi::kSelfSlot, weak, port, abi::kRightSignal));
  Message message;
  EXPECT_EQUAL(guest::call(weak, message), Status::kNoRight);
  EXPECT_EQUAL(guest::Receiver(weak).poll().error(), Status::kNoRight);
  EXPECT_OK(guest::copy_capability(abi::kSelfSlot, weaker, weak, abi::kAllRights));
  EXPECT_EQUAL(guest::Receiver(weaker).poll().error(), Status::kNoRight);
}

TEST(a_badge_is_given_once) {
  const Slot port = new_slot();
  const Slot badged = new_slot();
  EXPECT_OK(guest::create_port(port));
  EXPECT_OK(guest::copy_capability(abi::kSelfSlot, badged, port, abi::kAllRights, 5));
  EXPECT_EQUAL(guest::copy_capability(abi::kSelfSlot, new_slot(), badged, abi::kAllRights, 6),
               Status::kNoRight);
  EXPECT_EQUAL(
      guest::copy_capability(abi::kSelfSlot, new_slot(), abi::kComposerMemory, abi::kAllRights, 6),
      Status::kNoRight);
}

TEST(an_object_ends_with_its_last_name) {
  const Slot port = new_slot();
  const Slot copy = new_slot();
  EXPECT_OK(guest::create_port(port));
  EXPECT_OK(guest::copy_capability(abi::kSelfSlot, copy, port));
  EXPECT_OK(guest::delete_capability(abi::kSelfSlot, port));
  EXPECT_EQUAL(guest::Receiver(copy).poll().error(), Status::kWouldBlock);
  EXPECT_OK(guest::delete_capability(abi::kSelfSlot, copy));
  EXPECT_EQUAL(guest::Receiver(copy).poll().error(), Status::kBadCapability);
}

TEST(domains_live_within_their_quota) {
  const Slot domain = new_slot();
  EXPECT_EQUAL(guest::create_domain(domain, 64, std::uint64_t{1} << 31), Status::kNoMemory);
  EXPECT_EQUAL(guest::create_domain(domain, 17, 16), Status::kBadArgument);
  EXPECT_EQUAL(guest::create_domain(domain, 131'072, 16), Status::kBadArgument);
  EXPECT_EQUAL(guest::create_domain(domain, 64, 1), Status::kNoMemory);
  // Room for the top-level table and three more tables, not for a fifth address.
  EXPECT_OK(guest::create_domain(domain, 16, 6));
  const Memory memory = new_memory(1);
  unsigned mapped = 0;
  while (mapped < 100 &&
         guest::map(domain, 0x1000'0000 + mapped * 0x80'0000'0000, abi::kComposerMemory,
                    memory.offset, abi::kPageSize, abi::kRightRead) == Status::kOk) {
    ++mapped;
  }
  EXPECT(mapped >= 1 && mapped < 3);
  EXPECT_OK(guest::end_domain(domain));
  EXPECT_EQUAL(guest::map(domain, 0x1000'0000, abi::kComposerMemory, 0, abi::kPageSize, 1),
               Status::kBadState);
}

TEST(ending_domains_leaves_nothing_behind) {
  const auto before = guest::information(abi::InformationKind::kMachine, 0, abi::kComposerMachine);
  EXPECT(before.has_value());
  std::uint64_t pages = 0;
  const Slot domain = new_slot();
  for (int i = 0; i < 20; ++i) {
    EXPECT_OK(guest::create_domain(domain, 256, 32));
    const Slot port = 5;
    EXPECT_OK(guest::map(domain, 0x1000'0000, abi::kComposerMemory, 0, 16 * abi::kPageSize, 3));
    EXPECT_OK(guest::create_thread(
        guest::kNoSlot, domain,
        {.entry = 0x1234, .stack = 0, .argument = 0, .priority = 1, .processor = 0}));
    EXPECT_OK(guest::copy_capability(domain, port, abi::kComposerTimePage));
    EXPECT_OK(guest::end_domain(domain));
    EXPECT_OK(guest::delete_capability(abi::kSelfSlot, domain));
    if (i == 1) {
      pages = (*guest::information(abi::InformationKind::kMachine, 0, abi::kComposerMachine))[2];
    }
  }
  const auto after = guest::information(abi::InformationKind::kMachine, 0, abi::kComposerMachine);
  EXPECT(after.has_value());
  EXPECT_EQUAL((*after)[2], pages);
}

TEST(authorities_are_separate) {
  EXPECT_EQUAL(guest::start_processor(abi::kComposerInterrupts, 1).error(), Status::kBadCapability);
  EXPECT_EQUAL(guest::write_port(abi::kComposerMachine, 0x80, 1, 0), Status::kBadCapability);
  const Slot ports = new_slot();
  EXPECT_OK(guest::carve(ports, abi::kComposerPorts, 0x80, 2));
  EXPECT_OK(guest::write_port(ports, 0x80, 1, 0));
  EXPECT_EQUAL(guest::write_port(ports, 0x81, 2, 0), Status::kBadArgument);
  EXPECT_EQUAL(guest::write_port(ports, 0x82, 1, 0), Status::kBadArgument);
  EXPECT_EQUAL(guest::write_port(ports, 0x80, 3, 0), Status::kBadArgument);
  const Slot machine = new_slot();
  EXPECT_OK(
      guest::copy_capability(abi::kSelfSlot, machine, abi::kComposerMachine, abi::kRightRead));
  EXPECT_EQUAL(guest::start_processor(machine, 1).error(), Status::kNoRight);
}

}  // namespace nucleus_test
