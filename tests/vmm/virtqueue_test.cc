#include "vmm/virtqueue.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <thread>

#include "tests/vmm/driver_queue.h"

namespace ensemble::vmm {
namespace {

constexpr uint64_t kMemory = 16 << 20;
constexpr uint64_t kRing = 0x200000;
constexpr uint64_t kData = 0x400000;
constexpr uint16_t kSize = 8;

class VirtqueueTest : public testing::Test {
 protected:
  void enable(Virtqueue::Options options = {.event_index = false, .indirect = true}) {
    const auto enabled = queue_.enable(kSize, driver_.addresses(), options);
    ASSERT_TRUE(enabled) << enabled.error().message();
  }

  // The chain that is available.
  DescriptorChain pop() {
    auto chain = queue_.pop();
    EXPECT_TRUE(chain) << chain.error().message();
    EXPECT_TRUE(chain->has_value());
    return **std::move(chain);
  }

  std::string pop_error() {
    const auto chain = queue_.pop();
    return chain ? "accepted" : chain.error().message();
  }

  GuestMemory memory_ = GuestMemory::create(kMemory).value();
  DriverQueue driver_{memory_, kRing, kSize};
  Virtqueue queue_{memory_, 256};
};

TEST_F(VirtqueueTest, IsEmptyWhenDisabled) {
  EXPECT_FALSE(queue_.pop()->has_value());
  EXPECT_FALSE(queue_.take_interrupt_need());
  EXPECT_FALSE(queue_.request_notifications());
  queue_.suppress_notifications();
}

TEST_F(VirtqueueTest, ChecksItsSetup) {
  const auto error = [this](uint16_t size, VirtqueueAddresses addresses) {
    const auto enabled = queue_.enable(size, addresses, {});
    EXPECT_FALSE(queue_.enabled());
    return enabled ? "accepted" : enabled.error().message();
  };
  const VirtqueueAddresses good = driver_.addresses();
  EXPECT_EQ(error(0, good), "a queue of 0 descriptors; expected a power of two up to 256");
  EXPECT_EQ(error(12, good), "a queue of 12 descriptors; expected a power of two up to 256");
  EXPECT_EQ(error(512, good), "a queue of 512 descriptors; expected a power of two up to 256");
  EXPECT_EQ(error(8, {kRing + 8, good.available, good.used}),
            "the descriptor table at 0x200008 is not aligned to 16 bytes");
  EXPECT_EQ(error(8, {kRing, kRing + 1, good.used}),
            "the available ring at 0x200001 is not aligned to 2 bytes");
  EXPECT_EQ(error(8, {kRing, good.available, kRing + 2}),
            "the used ring at 0x200002 is not aligned to 4 bytes");
  EXPECT_NE(error(8, {kMemory - 16, good.available, good.used}).find("the descriptor table"),
            std::string::npos);
  EXPECT_NE(error(8, {kRing, ~uint64_t{1}, good.used}).find("the available ring"),
            std::string::npos);
  EXPECT_NE(error(8, {kRing, good.available, 0xD0000000}).find("the used ring"), std::string::npos);
}

TEST_F(VirtqueueTest, CarriesData) {
  enable();
  memory_.write(kData, std::as_bytes(std::span("hello", 5))).value();
  memory_.write(kData + 0x100, std::as_bytes(std::span(" world", 6))).value();
  driver_.offer_chain({{kData, 5, false},
                       {kData + 0x50, 0, false},
                       {kData + 0x100, 6, false},
                       {kData + 0x200, 3, true},
                       {kData + 0x300, 10, true}});
  DescriptorChain chain = pop();
  EXPECT_EQ(queue_.in_flight(), 1);
  EXPECT_EQ(chain.readable_size(), 11U);
  EXPECT_EQ(chain.writable_size(), 13U);
  char text[20] = {};
  EXPECT_EQ(chain.read(3, std::as_writable_bytes(std::span(text))), 8U);
  EXPECT_STREQ(text, "lo world");
  EXPECT_EQ(chain.read(11, std::as_writable_bytes(std::span(text))), 0U);
  EXPECT_EQ(chain.write(1, std::as_bytes(std::span("abcdef", 6))), 6U);
  EXPECT_EQ(chain.write(12, std::as_bytes(std::span("xyz", 3))), 1U);
  queue_.push(std::move(chain), 13);
  const auto used = driver_.take_used();
  ASSERT_TRUE(used);
  EXPECT_EQ(used->head, 0U);
  EXPECT_EQ(used->length, 13U);
  EXPECT_EQ(memory_.load<char>(kData + 0x201).value(), 'a');
  EXPECT_EQ(memory_.load<char>(kData + 0x300).value(), 'c');
  EXPECT_EQ(memory_.load<char>(kData + 0x309).value(), 'x');
  EXPECT_EQ(queue_.in_flight(), 0);
}

TEST_F(VirtqueueTest, CountsWhatWaitsAndWhatIsDone) {
  EXPECT_EQ(queue_.waiting(), 0);
  enable();
  driver_.offer_chain({{kData, 4, true}});
  driver_.offer_chain({{kData, 4, true}});
  EXPECT_EQ(queue_.waiting(), 2);
  DescriptorChain chain = pop();
  EXPECT_EQ(queue_.waiting(), 1);
  EXPECT_EQ(queue_.completed(), 0U);
  queue_.push(std::move(chain), 4);
  queue_.put_back(pop());
  EXPECT_EQ(queue_.waiting(), 1);
  EXPECT_EQ(queue_.completed(), 1U);
  // An index that no driver may have.
  memory_.store<uint16_t>(driver_.addresses().available + 2, 60'000).value();
  EXPECT_EQ(queue_.waiting(), kSize);
  queue_.reset();
  EXPECT_EQ(queue_.waiting(), 0);
  EXPECT_EQ(queue_.completed(), 1U);
}

TEST_F(VirtqueueTest, FollowsIndirectTables) {
  enable();
  const std::vector<DriverQueue::Buffer> buffers = {{kData, 16, false}, {kData + 64, 32, true}};
  driver_.offer(driver_.write_indirect(kData + 0x1000, buffers));
  DescriptorChain chain = pop();
  EXPECT_EQ(chain.readable_size(), 16U);
  EXPECT_EQ(chain.writable_size(), 32U);
  queue_.push(std::move(chain), 0);
  // A direct descriptor, then an indirect table.
  const uint16_t table = driver_.write_indirect(kData + 0x1000, buffers);
  driver_.set_descriptor(7, {kData + 128, 8, DriverQueue::kNext, table});
  driver_.offer(7);
  EXPECT_EQ(pop().readable_size(), 24U);
}

TEST_F(VirtqueueTest, WrapsAround) {
  enable();
  for (int i = 0; i < 70'000; ++i) {
    driver_.offer_chain({{kData, 4, true}});
    queue_.push(pop(), 4);
    ASSERT_TRUE(driver_.take_used()) << i;
  }
  EXPECT_FALSE(queue_.pop()->has_value());
}

TEST_F(VirtqueueTest, LostChainsGoBackToTheDriver) {
  enable();
  driver_.offer_chain({{kData, 4, true}});
  driver_.offer_chain({{kData, 4, true}});
  {
    DescriptorChain first = pop();
    first = pop();
    EXPECT_EQ(queue_.in_flight(), 1);
  }
  EXPECT_EQ(queue_.in_flight(), 0);
  EXPECT_EQ(driver_.take_used()->length, 0U);
  EXPECT_EQ(driver_.take_used()->length, 0U);
}

TEST_F(VirtqueueTest, ChainsPutBackComeAgain) {
  enable();
  driver_.offer_chain({{kData, 4, true}});
  queue_.put_back(pop());
  EXPECT_EQ(queue_.in_flight(), 0);
  EXPECT_EQ(driver_.used_index(), 0);
  EXPECT_EQ(pop().writable_size(), 4U);
}

TEST_F(VirtqueueTest, ChainsOfAnEarlierLifeGoNowhere) {
  enable();
  driver_.offer_chain({{kData, 4, true}});
  DescriptorChain chain = pop();
  driver_.offer_chain({{kData, 4, true}});
  DescriptorChain other = pop();
  queue_.reset();
  enable();
  queue_.push(std::move(chain), 4);
  queue_.put_back(std::move(other));
  EXPECT_EQ(driver_.used_index(), 0);
  EXPECT_EQ(queue_.in_flight(), 0);
}

TEST_F(VirtqueueTest, NeverClaimsMoreWrittenThanTheChainHolds) {
  enable();
  driver_.offer_chain({{kData, 4, true}});
  queue_.push(pop(), 1000);
  EXPECT_EQ(driver_.take_used()->length, 4U);
}

// What a hostile driver can do to the ring, and what comes of it.

TEST_F(VirtqueueTest, RejectsTooManyAvailable) {
  enable();
  driver_.set_available_index(kSize + 1);
  EXPECT_EQ(pop_error(), "the available index 9 is 9 ahead in a queue of 8");
}

TEST_F(VirtqueueTest, RejectsHeadsOutsideTheTable) {
  enable();
  driver_.offer(kSize);
  EXPECT_EQ(pop_error(), "descriptor 8 made available in a queue of 8");
}

TEST_F(VirtqueueTest, RejectsHeadsInUse) {
  enable();
  const uint16_t head = driver_.write_chain(std::vector<DriverQueue::Buffer>{{kData, 4, true}});
  driver_.offer(head);
  const DescriptorChain chain = pop();
  driver_.offer(head);
  EXPECT_EQ(pop_error(), "descriptor 0 made available while it is in use");
}

TEST_F(VirtqueueTest, RejectsLoops) {
  enable();
  driver_.set_descriptor(0, {kData, 4, DriverQueue::kNext, 1});
  driver_.set_descriptor(1, {kData, 4, DriverQueue::kNext, 0});
  driver_.offer(0);
  EXPECT_EQ(pop_error(), "a chain longer than the queue's 8 descriptors");
}

TEST_F(VirtqueueTest, RejectsLoopsInAnIndirectTable) {
  enable();
  driver_.offer(
      driver_.write_indirect(kData, std::vector<DriverQueue::Buffer>(2, {kData, 4, false})));
  memory_.store(kData + 16, DriverQueue::Descriptor{kData, 4, DriverQueue::kNext, 0}).value();
  EXPECT_EQ(pop_error(), "a chain longer than the queue's 8 descriptors");
}

TEST_F(VirtqueueTest, RejectsNextOutsideTheTable) {
  enable();
  driver_.set_descriptor(0, {kData, 4, DriverQueue::kNext, kSize});
  driver_.offer(0);
  EXPECT_EQ(pop_error(), "descriptor 8 named as the next one in a table of 8");
}

TEST_F(VirtqueueTest, RejectsNextOutsideTheIndirectTable) {
  enable();
  memory_.store(kData, DriverQueue::Descriptor{kData, 4, DriverQueue::kNext, 1}).value();
  driver_.set_descriptor(0, {kData, 16, DriverQueue::kIndirect, 0});
  driver_.offer(0);
  EXPECT_EQ(pop_error(), "descriptor 1 named as the next one in a table of 1");
}

TEST_F(VirtqueueTest, RejectsBadIndirectTables) {
  struct Case {
    DriverQueue::Descriptor descriptor;
    const char* message;
  };
  const Case cases[] = {
      {{kData, 0, DriverQueue::kIndirect, 0},
       "an indirect table of 0 bytes; expected 1 to 8 times 16"},
      {{kData, 24, DriverQueue::kIndirect, 0},
       "an indirect table of 24 bytes; expected 1 to 8 times 16"},
      {{kData, 16 * 9, DriverQueue::kIndirect, 0},
       "an indirect table of 144 bytes; expected 1 to 8 times 16"},
      {{kData, 16, DriverQueue::kIndirect | DriverQueue::kNext, 1},
       "an indirect descriptor with a next one"},
  };
  for (const Case& each : cases) {
    driver_ = DriverQueue(memory_, kRing, kSize);
    enable();
    driver_.set_descriptor(0, each.descriptor);
    driver_.offer(0);
    EXPECT_EQ(pop_error(), each.message);
    queue_.reset();
  }
  driver_ = DriverQueue(memory_, kRing, kSize);
  enable();
  driver_.set_descriptor(0, {kMemory - 8, 16, DriverQueue::kIndirect, 0});
  driver_.offer(0);
  EXPECT_NE(pop_error().find("an indirect table: "), std::string::npos);
}

TEST_F(VirtqueueTest, RejectsNestedIndirectTables) {
  enable();
  memory_.store(kData, DriverQueue::Descriptor{kData, 16, DriverQueue::kIndirect, 0}).value();
  driver_.set_descriptor(0, {kData, 16, DriverQueue::kIndirect, 0});
  driver_.offer(0);
  EXPECT_EQ(pop_error(), "an indirect descriptor within an indirect table");
  memory_.store(kData, DriverQueue::Descriptor{kData, 16, DriverQueue::kNext, 1}).value();
  memory_.store(kData + 16, DriverQueue::Descriptor{kData, 16, DriverQueue::kIndirect, 0}).value();
  driver_.set_descriptor(0, {kData, 32, DriverQueue::kIndirect, 0});
  EXPECT_EQ(pop_error(), "an indirect descriptor within an indirect table");
}

TEST_F(VirtqueueTest, RejectsIndirectTablesThatWereNotNegotiated) {
  enable({.event_index = false, .indirect = false});
  driver_.set_descriptor(0, {kData, 16, DriverQueue::kIndirect, 0});
  driver_.offer(0);
  EXPECT_EQ(pop_error(), "an indirect descriptor although the feature was not negotiated");
}

TEST_F(VirtqueueTest, RejectsReadableAfterWritable) {
  enable();
  driver_.offer_chain({{kData, 4, true}, {kData, 4, false}});
  EXPECT_EQ(pop_error(), "a buffer to read after one to write");
}

TEST_F(VirtqueueTest, RejectsBuffersOutsideMemory) {
  for (const bool writable : {false, true}) {
    for (const auto& [address, length] : {std::pair<uint64_t, uint32_t>{kMemory - 2, 4},
                                          {kMemory, 1},
                                          {~uint64_t{0}, 1},
                                          {~uint64_t{0} - 3, 8},
                                          {0xD0000000, 4},
                                          {0, 0xFFFFFFFF}}) {
      driver_ = DriverQueue(memory_, kRing, kSize);
      queue_.reset();
      enable();
      driver_.offer_chain({{address, length, writable}});
      EXPECT_NE(pop_error().find(writable ? "a buffer to write: " : "a buffer to read: "),
                std::string::npos)
          << address;
      EXPECT_EQ(queue_.in_flight(), 0);
    }
  }
}

TEST_F(VirtqueueTest, RejectsMoreThan4GiB) {
  auto large = GuestMemory::create(uint64_t{4} << 30).value();
  DriverQueue driver(large, kRing, kSize);
  Virtqueue queue(large, kSize);
  queue.enable(kSize, driver.addresses(), {}).value();
  driver.offer_chain({{1 << 20, 0x80000000, true}, {1 << 20, 0x80000000, true}});
  EXPECT_EQ(queue.pop().error().message(), "a chain of more than 4 GiB");
}

TEST_F(VirtqueueTest, ModuleFilesCanBeReadButNotWritten) {
  const uint64_t file_address = uint64_t{1} << 36;
  memory_.map_file("module", file_address, memory_.gather().value(), 4096).value();
  enable();
  driver_.offer_chain({{file_address, 4, false}});
  EXPECT_EQ(pop().readable_size(), 4U);
  driver_.offer_chain({{file_address, 4, true}});
  EXPECT_NE(pop_error().find("a buffer to write: "), std::string::npos);
}

// Notifications and interrupts.

TEST_F(VirtqueueTest, FlagsSuppressInterruptsAndNotifications) {
  enable();
  driver_.offer_chain({{kData, 4, true}});
  EXPECT_FALSE(queue_.take_interrupt_need());
  queue_.push(pop(), 4);
  EXPECT_TRUE(queue_.take_interrupt_need());
  EXPECT_FALSE(queue_.take_interrupt_need());
  driver_.set_available_flags(1);
  driver_.offer_chain({{kData, 4, true}});
  queue_.push(pop(), 4);
  EXPECT_FALSE(queue_.take_interrupt_need());
  queue_.suppress_notifications();
  EXPECT_EQ(driver_.used_flags(), 1);
  EXPECT_FALSE(queue_.request_notifications());
  EXPECT_EQ(driver_.used_flags(), 0);
  driver_.offer_chain({{kData, 4, true}});
  EXPECT_TRUE(queue_.request_notifications());
}

TEST_F(VirtqueueTest, EventIndexesSuppressInterruptsAndNotifications) {
  enable({.event_index = true, .indirect = false});
  const auto push_one = [this] {
    driver_.offer_chain({{kData, 4, true}});
    queue_.push(pop(), 4);
  };
  driver_.set_used_event(1);  // An interrupt after the second.
  push_one();
  EXPECT_FALSE(queue_.take_interrupt_need());
  push_one();
  EXPECT_TRUE(queue_.take_interrupt_need());
  driver_.set_used_event(5);
  push_one();
  push_one();
  EXPECT_FALSE(queue_.take_interrupt_need());
  push_one();
  push_one();
  push_one();
  EXPECT_TRUE(queue_.take_interrupt_need());
  EXPECT_FALSE(queue_.request_notifications());
  EXPECT_EQ(driver_.available_event(), 7);
  queue_.suppress_notifications();
  EXPECT_EQ(driver_.used_flags(), 0);
  driver_.offer_chain({{kData, 4, true}});
  EXPECT_TRUE(queue_.request_notifications());
}

// Saved state.

TEST_F(VirtqueueTest, SavesAndRestores) {
  enable({.event_index = true, .indirect = true});
  for (int i = 0; i < 3; ++i) {
    driver_.offer_chain({{kData, 4, true}});
  }
  queue_.push(pop(), 4);
  const DescriptorChain in_flight = pop();
  StateWriter writer;
  queue_.save(writer);

  Virtqueue restored(memory_, 256);
  StateReader reader(writer.data());
  ASSERT_TRUE(restored.restore(reader));
  ASSERT_TRUE(reader.finish());
  auto again = restored.pop();
  ASSERT_TRUE(again && again->has_value());
  restored.push(**std::move(again), 3);
  EXPECT_EQ(driver_.used_index(), 2);
  EXPECT_TRUE(restored.pop()->has_value());
  StateWriter twice;
  restored.save(twice);
  EXPECT_EQ(twice.data().size(), writer.data().size());
}

TEST_F(VirtqueueTest, RestoresOnlyWhatIsSound) {
  StateWriter disabled;
  queue_.save(disabled);
  enable();
  StateReader reader(disabled.data());
  ASSERT_TRUE(queue_.restore(reader));
  EXPECT_FALSE(queue_.enabled());

  enable();
  StateWriter writer;
  queue_.save(writer);
  StateReader cut(std::span(writer.data()).first(writer.data().size() - 1));
  EXPECT_FALSE(queue_.restore(cut));
  auto wrong_size = writer.data();
  wrong_size[1] = std::byte{7};
  StateReader wrong(wrong_size);
  EXPECT_NE(queue_.restore(wrong).error().message().find("a queue of 7 descriptors"),
            std::string::npos);
  EXPECT_FALSE(queue_.enabled());
}

// A driver on another thread: every chain arrives once, in order, with its contents.
TEST_F(VirtqueueTest, WorksBesideItsDriver) {
  for (const bool event_index : {false, true}) {
    constexpr uint32_t kCount = 10'000;
    driver_ = DriverQueue(memory_, kRing, kSize);
    driver_.set_available_index(0);
    memory_.store<uint16_t>(driver_.addresses().used + 2, 0).value();
    queue_.reset();
    enable({.event_index = event_index, .indirect = true});
    std::thread guest([this] {
      uint32_t offered = 0;
      for (uint32_t returned = 0; returned < kCount;) {
        if (offered < kCount && offered - returned < kSize) {
          const uint64_t address = kData + 64 * (offered % kSize);
          memory_.store<uint32_t>(address, offered).value();
          driver_.offer_chain({{address, 4, false}});
          ++offered;
        }
        while (driver_.take_used()) {
          ++returned;
        }
        std::this_thread::yield();
      }
    });
    uint32_t expected = 0;
    while (expected < kCount) {
      auto chain = queue_.pop();
      ASSERT_TRUE(chain) << chain.error().message();
      if (!chain->has_value()) {
        queue_.request_notifications();
        std::this_thread::yield();
        continue;
      }
      uint32_t value = 0;
      (*chain)->read(0, std::as_writable_bytes(std::span(&value, 1)));
      ASSERT_EQ(value, expected);
      queue_.push(**std::move(chain), 0);
      queue_.take_interrupt_need();
      ++expected;
    }
    guest.join();
  }
}

}  // namespace
}  // namespace ensemble::vmm
