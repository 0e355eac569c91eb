#include "vmm/bus.h"

#include <gtest/gtest.h>

#include <limits>
#include <thread>

#include "test_support.h"

namespace ensemble::vmm {
namespace {

class Recorder final : public BusDevice {
 public:
  Recorder(std::string name, DeviceLock& lock) : name_(std::move(name)), lock_(lock) {}

  std::string_view name() const override { return name_; }
  void read(uint64_t offset, std::span<std::byte> data) override {
    EXPECT_TRUE(lock_.held_by_this_thread());
    last_offset = offset;
    data[0] = std::byte{0x42};
    ++reads;
  }
  void write(uint64_t offset, std::span<const std::byte> data) override {
    EXPECT_TRUE(lock_.held_by_this_thread());
    last_offset = offset;
    last_data.assign(data.begin(), data.end());
    ++writes;
  }

  uint64_t last_offset = 0;
  std::vector<std::byte> last_data;
  int reads = 0;
  int writes = 0;

 private:
  std::string name_;
  DeviceLock& lock_;
};

class BusTest : public ::testing::Test {
 protected:
  std::vector<std::byte> read(uint64_t address, size_t size) {
    std::vector<std::byte> data(size);
    bus.read(address, data);
    return data;
  }

  DeviceLock lock;
  Bus bus{"device registers", lock};
  Recorder first{"first", lock};
  Recorder second{"second", lock};
};

TEST_F(BusTest, LeadsAccessesToTheirDevice) {
  take(bus.insert(0x1000, 0x100, first));
  take(bus.insert(0x1100, 0x100, second));
  EXPECT_EQ(read(0x10ff, 1)[0], std::byte{0x42});
  EXPECT_EQ(first.last_offset, 0xffu);
  bus.write(0x1104, bytes_of("abcd"));
  EXPECT_EQ(second.last_offset, 4u);
  EXPECT_EQ(second.last_data, bytes_of("abcd"));
  EXPECT_EQ(read(0x1100, 2)[1], std::byte{0xff}) << "what the device leaves arrives as ones";
  EXPECT_EQ(bus.unclaimed_accesses(), 0u);
}

TEST_F(BusTest, AnswersForNobody) {
  take(bus.insert(0x1000, 0x100, first));
  for (uint64_t address : {uint64_t{0}, uint64_t{0xfff}, uint64_t{0x10fe}, uint64_t{0x1100},
                           std::numeric_limits<uint64_t>::max()}) {
    EXPECT_EQ(read(address, 4), std::vector<std::byte>(4, std::byte{0xff})) << address;
    bus.write(address, bytes_of("abcd"));
  }
  EXPECT_EQ(first.reads + first.writes, 0) << "an access that leaves the range is nobody's";
  EXPECT_EQ(bus.unclaimed_accesses(), 10u);
}

TEST_F(BusTest, RefusesOverlapAndNamesBoth) {
  take(bus.insert(0x1000, 0x100, first));
  for (const auto& [base, size] : std::vector<std::pair<uint64_t, uint64_t>>{
           {0x1000, 1}, {0x10ff, 1}, {0xfff, 2}, {0, 0x2000}, {0x1080, 0x1000}}) {
    const std::string error = error_of(bus.insert(base, size, second));
    EXPECT_TRUE(contains(error, "second")) << base;
    EXPECT_TRUE(contains(error, "overlaps first at 0x1000")) << base;
  }
  take(bus.insert(0xff0, 0x10, second));
}

TEST_F(BusTest, RefusesEmptyAndOverflowingRanges) {
  EXPECT_FALSE(bus.insert(0x1000, 0, first));
  EXPECT_FALSE(bus.insert(std::numeric_limits<uint64_t>::max(), 2, first));
  take(bus.insert(std::numeric_limits<uint64_t>::max(), 1, first));
  EXPECT_EQ(read(std::numeric_limits<uint64_t>::max(), 1)[0], std::byte{0x42});
}

TEST_F(BusTest, KeepsAccessesOfThreadsApart) {
  take(bus.insert(0, 8, first));
  constexpr int kAccesses = 2000;
  const auto access = [&] {
    for (int i = 0; i < kAccesses; ++i) {
      bus.write(0, bytes_of("abcd"));
    }
  };
  std::thread other(access);
  access();
  other.join();
  EXPECT_EQ(first.writes, 2 * kAccesses);
}

}  // namespace
}  // namespace ensemble::vmm
