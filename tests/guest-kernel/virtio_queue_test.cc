#include "guest-kernel/drivers/virtio_queue.h"

#include <gtest/gtest.h>

#include <array>
#include <cstring>

namespace driver {
namespace {

constexpr std::uint16_t kSize = 8;
constexpr std::uint64_t kPhysical = 0x10'0000;

// The device's side of the queue's memory.
class VirtioQueueTest : public testing::Test {
 protected:
  std::uint16_t load16(std::uint64_t physical) const {
    std::uint16_t value;
    std::memcpy(&value, memory_.data() + (physical - kPhysical), sizeof(value));
    return value;
  }
  template <typename T>
  void store(std::uint64_t physical, T value) {
    std::memcpy(memory_.data() + (physical - kPhysical), &value, sizeof(value));
  }
  std::uint16_t available_index() const { return load16(queue_.driver_area() + 2); }
  std::uint16_t available_head(std::uint16_t index) const {
    return load16(queue_.driver_area() + 4 + 2u * (index % kSize));
  }
  void use(std::uint32_t head, std::uint32_t length) {
    store(queue_.device_area() + 4 + 8u * (used_ % kSize), head);
    store(queue_.device_area() + 8 + 8u * (used_ % kSize), length);
    store(queue_.device_area() + 2, ++used_);
  }
  bool add(std::uint16_t cookie, std::size_t buffers = 1) {
    std::array<VirtioQueue::Buffer, kSize + 1> chain;
    for (std::size_t i = 0; i < buffers; ++i) {
      chain[i] = {0x1000 * (i + 1), 100, i != 0};
    }
    return queue_.add(std::span(chain).first(buffers), cookie);
  }

  alignas(16) std::array<std::byte, VirtioQueue::memory_size(kSize)> memory_{};
  VirtioQueue queue_{memory_, kPhysical, kSize};
  std::uint16_t used_ = 0;
};

TEST_F(VirtioQueueTest, ChainsGoAndComeBack) {
  EXPECT_TRUE(add(7, 3));
  EXPECT_EQ(available_index(), 1u);
  const std::uint16_t head = available_head(0);
  EXPECT_EQ(load16(queue_.descriptors() + 16u * head + 12), 1u);  // NEXT, device reads
  const std::uint16_t second = load16(queue_.descriptors() + 16u * head + 14);
  EXPECT_EQ(load16(queue_.descriptors() + 16u * second + 12), 3u);  // NEXT, device writes
  EXPECT_FALSE(queue_.take());
  use(head, 150);
  const auto used = queue_.take();
  ASSERT_TRUE(used);
  EXPECT_EQ(used->cookie, 7u);
  EXPECT_EQ(used->length, 150u);
  EXPECT_EQ(queue_.outstanding(), 0u);
}

TEST_F(VirtioQueueTest, DescriptorsRunOutAndReturn) {
  for (std::uint16_t round = 0; round < 20000; ++round) {
    ASSERT_TRUE(add(1, 3));
    ASSERT_TRUE(add(2, 5));
    ASSERT_FALSE(add(3, 1));
    const std::uint16_t base = static_cast<std::uint16_t>(available_index() - 2);
    // The device may finish in any order.
    use(available_head(static_cast<std::uint16_t>(base + 1)), 0);
    use(available_head(base), 0);
    ASSERT_EQ(queue_.take()->cookie, 2u);
    ASSERT_EQ(queue_.take()->cookie, 1u);
  }
  EXPECT_FALSE(add(1, 0));
  EXPECT_FALSE(add(1, kSize + 1));
}

TEST_F(VirtioQueueTest, DeviceCannotClaimMoreThanItWasGiven) {
  ASSERT_TRUE(add(1, 2));
  use(available_head(0), 0xffff'ffff);
  EXPECT_EQ(queue_.take()->length, 100u);
}

TEST_F(VirtioQueueTest, WrongHeadBreaksTheQueue) {
  ASSERT_TRUE(add(1));
  use(kSize, 0);
  EXPECT_FALSE(queue_.take());
  EXPECT_TRUE(queue_.broken());
}

TEST_F(VirtioQueueTest, HeadThatIsNotOutBreaksTheQueue) {
  ASSERT_TRUE(add(1));
  use(available_head(0), 0);
  ASSERT_TRUE(queue_.take());
  ASSERT_TRUE(add(2));
  use(available_head(1) ^ 1u, 0);
  EXPECT_FALSE(queue_.take());
  EXPECT_TRUE(queue_.broken());
}

TEST_F(VirtioQueueTest, UsedIndexThatRunsAheadBreaksTheQueue) {
  ASSERT_TRUE(add(1));
  store<std::uint16_t>(queue_.device_area() + 2, 5);
  EXPECT_FALSE(queue_.take());
  EXPECT_TRUE(queue_.broken());
}

TEST_F(VirtioQueueTest, NotifiesByFlag) {
  ASSERT_TRUE(add(1));
  EXPECT_TRUE(queue_.needs_notification());
  EXPECT_FALSE(queue_.needs_notification());
  store<std::uint16_t>(queue_.device_area(), 1);  // NO_NOTIFY
  ASSERT_TRUE(add(2));
  EXPECT_FALSE(queue_.needs_notification());
}

TEST_F(VirtioQueueTest, NotifiesByEventIndex) {
  queue_.use_event_index(true);
  const std::uint64_t event = queue_.device_area() + 4 + 8u * kSize;
  store<std::uint16_t>(event, 0);
  ASSERT_TRUE(add(1));
  EXPECT_TRUE(queue_.needs_notification());
  ASSERT_TRUE(add(2));
  EXPECT_FALSE(queue_.needs_notification());
  store<std::uint16_t>(event, 2);
  ASSERT_TRUE(add(3));
  EXPECT_TRUE(queue_.needs_notification());
}

TEST_F(VirtioQueueTest, InterruptsAreAskedForByEventIndex) {
  queue_.use_event_index(true);
  const std::uint64_t event = queue_.driver_area() + 4 + 2u * kSize;
  ASSERT_TRUE(add(1));
  ASSERT_TRUE(add(2));
  EXPECT_TRUE(queue_.enable_interrupt(2));
  EXPECT_EQ(load16(event), 1u);
  queue_.disable_interrupt();
  EXPECT_EQ(load16(event), 0xffffu);
  use(available_head(0), 0);
  EXPECT_FALSE(queue_.enable_interrupt());
  EXPECT_TRUE(queue_.enable_interrupt(2));
}

TEST_F(VirtioQueueTest, InterruptsAreAskedForByFlag) {
  queue_.disable_interrupt();
  EXPECT_EQ(load16(queue_.driver_area()), 1u);
  EXPECT_TRUE(queue_.enable_interrupt());
  EXPECT_EQ(load16(queue_.driver_area()), 0u);
}

}  // namespace
}  // namespace driver
