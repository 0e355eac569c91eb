#include "device-model/chips/byte_fifo.h"

#include <gtest/gtest.h>

namespace ensemble::device {
namespace {

constexpr std::uint8_t kEmpty = 0xEE;

std::vector<std::uint8_t> rest(ByteFifo& fifo) {
  std::vector<std::uint8_t> bytes;
  while (!fifo.empty()) {
    bytes.push_back(fifo.pop(kEmpty));
  }
  return bytes;
}

class ByteFifoTest : public testing::Test {
 protected:
  bool push(std::initializer_list<std::uint8_t> frame) {
    return fifo_.push(std::vector<std::uint8_t>(frame));
  }
  Result<void> restore(const vmm::StateWriter& writer, std::uint32_t version = 2) {
    vmm::StateReader reader(writer.data());
    StateFields state(reader, 0, version);
    fifo_.exchange(state);
    return state.finish();
  }
  std::string error(const vmm::StateWriter& writer) {
    const auto restored = restore(writer);
    return restored ? "accepted" : restored.error().message();
  }

  ByteFifo fifo_{8};
};

TEST_F(ByteFifoTest, GivesTheOldestFirst) {
  EXPECT_FALSE(push({1, 2}));
  EXPECT_FALSE(push({3}));
  EXPECT_EQ(fifo_.frames(), 2U);
  EXPECT_EQ(fifo_.pop(kEmpty), 1);
  EXPECT_EQ(fifo_.frames(), 2U) << "one is read in part";
  EXPECT_EQ(rest(fifo_), (std::vector<std::uint8_t>{2, 3}));
  EXPECT_EQ(fifo_.frames(), 0U);
  EXPECT_EQ(fifo_.pop(kEmpty), kEmpty);
}

TEST_F(ByteFifoTest, DropsWholeFramesOfAnyLength) {
  push({1, 2, 3});
  push({4, 5, 6, 7});
  EXPECT_TRUE(push({8, 9}));
  EXPECT_EQ(rest(fifo_), (std::vector<std::uint8_t>{4, 5, 6, 7, 8, 9}));
}

TEST_F(ByteFifoTest, DropsTheRestOfAFrameThatIsBeingRead) {
  push({1, 2, 3, 4});
  push({5, 6, 7, 8});
  fifo_.pop(kEmpty);
  EXPECT_TRUE(push({9, 10, 11, 12}));
  EXPECT_EQ(fifo_.frames(), 2U);
  EXPECT_EQ(rest(fifo_), (std::vector<std::uint8_t>{5, 6, 7, 8, 9, 10, 11, 12}));
}

TEST_F(ByteFifoTest, KeepsFramesInSavedState) {
  push({1, 2, 3});
  push({4, 5, 6, 7});
  fifo_.pop(kEmpty);
  vmm::StateWriter writer;
  StateFields state(writer, 0, 2);
  fifo_.exchange(state);
  fifo_.clear();
  ASSERT_TRUE(restore(writer));
  EXPECT_EQ(fifo_.frames(), 2U);
  EXPECT_TRUE(push({8, 9, 10}));
  EXPECT_EQ(rest(fifo_), (std::vector<std::uint8_t>{4, 5, 6, 7, 8, 9, 10}));
}

TEST_F(ByteFifoTest, ReadsVersionOne) {
  vmm::StateWriter writer;
  writer.bytes(std::as_bytes(std::span("abc", 3)));
  ASSERT_TRUE(restore(writer, 1));
  EXPECT_EQ(rest(fifo_), (std::vector<std::uint8_t>{'a', 'b', 'c'}));
}

TEST_F(ByteFifoTest, RefusesFramesThatCannotBe) {
  vmm::StateWriter many;
  many.bytes(std::as_bytes(std::span("abc", 3)));
  many.u64(4);
  for (int i = 0; i < 4; ++i) {
    many.u64(1);
  }
  EXPECT_NE(error(many).find("4 frames of a FIFO where 0 to 3 were expected"), std::string::npos);
  vmm::StateWriter empty;
  empty.bytes(std::as_bytes(std::span("abc", 3)));
  empty.u64(2);
  empty.u64(3);
  empty.u64(0);
  EXPECT_EQ(error(empty), "a frame of a FIFO is empty");
  vmm::StateWriter long_ones;
  long_ones.bytes(std::as_bytes(std::span("abc", 3)));
  long_ones.u64(1);
  long_ones.u64(4);
  EXPECT_EQ(error(long_ones), "the frames of a FIFO are not as long as its bytes");
  vmm::StateWriter wide;
  wide.bytes(std::as_bytes(std::span("abc", 3)));
  wide.u64(1);
  wide.u64(0x10003);
  EXPECT_EQ(error(wide), "holds 65539 where a number of 16 bits was expected");
}

}  // namespace
}  // namespace ensemble::device
