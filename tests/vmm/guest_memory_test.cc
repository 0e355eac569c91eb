#include "vmm/guest_memory.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <csignal>
#include <limits>

#include "test_support.h"

namespace ensemble::vmm {
namespace {

constexpr uint64_t kMebibyte = 1024 * 1024;
constexpr uint64_t kGibibyte = 1024 * kMebibyte;
constexpr uint64_t kSize = 16 * kMebibyte;
constexpr uint64_t kModuleAddress = 0x10'0000'0000;

TEST(GuestMemory, RefusesImpossibleSizes) {
  for (uint64_t size : {uint64_t{0}, 14 * kMebibyte, 17 * kMebibyte, 32 * kGibibyte + 2 * kMebibyte,
                        std::numeric_limits<uint64_t>::max()}) {
    EXPECT_TRUE(contains(error_of(GuestMemory::create(size)), "multiple of 2 MiB")) << size;
  }
}

TEST(GuestMemory, ReadsAsZeroAndKeepsWhatIsWritten) {
  const GuestMemory memory = take(GuestMemory::create(kSize));
  EXPECT_EQ(take(memory.load<uint64_t>(kSize - 8)), 0u);
  take(memory.store<uint32_t>(0x1001, 0x12345678));
  EXPECT_EQ(take(memory.load<uint32_t>(0x1001)), 0x12345678u);
  EXPECT_EQ(take(memory.load<uint8_t>(0x1002)), 0x56);
}

TEST(GuestMemory, ChecksEveryRange) {
  const GuestMemory memory = take(GuestMemory::create(kSize));
  const uint64_t highest = std::numeric_limits<uint64_t>::max();
  EXPECT_TRUE(memory.writable_span(0, kSize));
  EXPECT_TRUE(memory.writable_span(kSize - 1, 1));
  EXPECT_TRUE(memory.readable_span(kSize - 1, 0));
  for (const auto& [address, size] :
       std::vector<std::pair<uint64_t, uint64_t>>{{kSize, 0},
                                                  {kSize, 1},
                                                  {kSize - 1, 2},
                                                  {0, kSize + 1},
                                                  {1, kSize},
                                                  {highest, 1},
                                                  {highest, 2},
                                                  {1, highest},
                                                  {highest, highest},
                                                  {4 * kGibibyte, 1}}) {
    EXPECT_FALSE(memory.writable_span(address, size)) << address << " " << size;
    EXPECT_TRUE(contains(error_of(memory.readable_span(address, size)), "guest address"));
  }
  EXPECT_FALSE(memory.load<uint64_t>(kSize - 7));
  EXPECT_FALSE(memory.store<uint64_t>(kSize - 7, 1));
}

TEST(GuestMemory, LeavesTheHoleBelow4GiBOpen) {
  const GuestMemory memory = take(GuestMemory::create(3 * kGibibyte + 2 * kMebibyte));
  ASSERT_EQ(memory.slots().size(), 2u);
  EXPECT_EQ(memory.slots()[0].size, 3 * kGibibyte);
  EXPECT_EQ(memory.slots()[1].guest_address, 4 * kGibibyte);
  EXPECT_EQ(memory.slots()[1].size, 2 * kMebibyte);
  EXPECT_FALSE(memory.load<uint8_t>(3 * kGibibyte));
  EXPECT_FALSE(memory.load<uint8_t>(4 * kGibibyte - 1));
  EXPECT_FALSE(memory.load<uint16_t>(3 * kGibibyte - 1)) << "crosses into the hole";
  take(memory.store<uint8_t>(4 * kGibibyte, 7));
  EXPECT_EQ(take(memory.load<uint8_t>(4 * kGibibyte)), 7);
  EXPECT_EQ(take(memory.load<uint8_t>(0)), 0);
  EXPECT_EQ(take(GuestMemory::create(3 * kGibibyte)).slots().size(), 1u);
}

TEST(GuestMemory, GivesPagesBackToTheHost) {
  GuestMemory memory = take(GuestMemory::create(kSize));
  const std::vector<std::byte> ones(2 * kMebibyte, std::byte{1});
  const auto fill = [&] { take(memory.write(kSize / 4 - kMebibyte, ones)); };
  fill();
  const uint64_t before = take(memory.touched_bytes());
  // Across the border of the memfd, and with a part of a page at either end.
  const auto bytes = take(memory.writable_span(kSize / 4 - kMebibyte + 1, ones.size() - 2));
  take(memory.discard(bytes));
  EXPECT_LE(take(memory.touched_bytes()) + ones.size() - 2 * 4096, before);
  EXPECT_EQ(bytes.front(), std::byte{1});
  EXPECT_EQ(bytes.back(), std::byte{1});
  EXPECT_EQ(bytes[4095], std::byte{0});
  EXPECT_EQ(bytes[bytes.size() - 4096], std::byte{0});
  take(memory.discard(take(memory.writable_span(0, 4095))));
  take(memory.discard(take(memory.writable_span(100, 4096))));
  // The same once all of it is in the memfd.
  fill();
  take(memory.gather());
  take(memory.discard(bytes));
  EXPECT_EQ(take(memory.touched_bytes()), uint64_t{2} * 4096);
  EXPECT_EQ(bytes[4095], std::byte{0});
  EXPECT_EQ(bytes[bytes.size() - 4096], std::byte{0});
}

TEST(GuestMemory, GivesBackNothingButItsRam) {
  const GuestMemory memory = take(GuestMemory::create(kSize));
  std::vector<std::byte> others(3 * 4096, std::byte{1});
  EXPECT_TRUE(contains(error_of(memory.discard(others)), "are not RAM"));
  EXPECT_EQ(others[4096], std::byte{1});
  const auto bytes = take(memory.writable_span(0, kSize));
  EXPECT_FALSE(memory.discard({bytes.data() + 4096, kSize}));
  EXPECT_FALSE(memory.discard({bytes.data() + 4096, std::numeric_limits<uint64_t>::max()}));
}

TEST(GuestMemory, AClonesDiscardLeavesTheOriginalAlone) {
  GuestMemory memory = take(GuestMemory::create(kSize));
  take(memory.store<uint64_t>(0x3000, 1));
  const GuestMemory clone = take(GuestMemory::clone(take(memory.gather()), kSize));
  take(clone.store<uint64_t>(0x3000, 2));
  take(clone.discard(take(clone.writable_span(0x3000, 4096))));
  EXPECT_EQ(take(memory.load<uint64_t>(0x3000)), 1u);
  EXPECT_EQ(take(clone.load<uint64_t>(0x3000)), 1u);
  EXPECT_EQ(take(clone.touched_bytes()), 0u);
}

TEST(GuestMemory, AtomicAccessesAreAligned) {
  const GuestMemory memory = take(GuestMemory::create(kSize));
  take(memory.store_atomic<uint16_t>(0x2000, 0xabcd));
  EXPECT_EQ(take(memory.load_atomic<uint16_t>(0x2000)), 0xabcd);
  EXPECT_TRUE(contains(error_of(memory.load_atomic<uint16_t>(0x2001)), "not aligned to 2"));
  EXPECT_TRUE(contains(error_of(memory.store_atomic<uint32_t>(0x2002, 1)), "not aligned to 4"));
  EXPECT_FALSE(memory.load_atomic<uint64_t>(kSize));
  EXPECT_FALSE(memory.store_atomic<uint64_t>(kSize, 1));
}

TEST(GuestMemory, CountsTouchedPagesExactly) {
  const GuestMemory memory = take(GuestMemory::create(kSize));
  EXPECT_EQ(take(memory.touched_bytes()), 0u);
  take(memory.store<uint8_t>(0x5000, 1));
  take(memory.store<uint8_t>(0x5fff, 1));
  EXPECT_EQ(take(memory.touched_bytes()), 4096u);
  take(memory.store<uint8_t>(3 * kMebibyte, 1));
  EXPECT_EQ(take(memory.touched_bytes()), 8192u);
}

TEST(GuestMemory, CountsTouchedPagesOfTheUpperPart) {
  const GuestMemory memory = take(GuestMemory::create(kSize));
  take(memory.store<uint8_t>(8 * kMebibyte, 1));
  // One page, or the large page that the host has given.
  const uint64_t touched = take(memory.touched_bytes());
  EXPECT_TRUE(touched == 4096u || touched == 2 * kMebibyte) << touched;
}

TEST(GuestMemory, StartsAtALargePageOfTheHost) {
  const GuestMemory memory = take(GuestMemory::create(kSize));
  EXPECT_EQ(reinterpret_cast<uintptr_t>(memory.slots().front().host) % (2 * kMebibyte), 0u);
}

TEST(GuestMemory, GathersAllInItsFile) {
  GuestMemory memory = take(GuestMemory::create(kSize));
  for (uint64_t address = 0; address < kSize; address += kMebibyte) {
    take(memory.store<uint64_t>(address + 8, address + 1));
  }
  EXPECT_GE(take(memory.gather()), 0);
  EXPECT_EQ(take(memory.gather()), take(memory.gather()));
  const uint64_t touched = take(memory.touched_bytes());
  EXPECT_GE(touched, 16 * 4096u);
  for (uint64_t address = 0; address < kSize; address += kMebibyte) {
    EXPECT_EQ(take(memory.load<uint64_t>(address + 8)), address + 1);
  }
  take(memory.store<uint64_t>(kSize - 8, 1));
  const GuestMemory clone = take(GuestMemory::clone(take(memory.gather()), kSize));
  EXPECT_EQ(take(clone.load<uint64_t>(kSize - 8)), 1u);
}

TEST(GuestMemory, ClonesCopyOnWrite) {
  GuestMemory original = take(GuestMemory::create(kSize));
  take(original.store<uint32_t>(0x3000, 1));
  take(original.store<uint32_t>(kSize - 0x1000, 3));
  GuestMemory clone = take(GuestMemory::clone(take(original.gather()), kSize));
  EXPECT_EQ(take(clone.load<uint32_t>(kSize - 0x1000)), 3u);
  EXPECT_TRUE(contains(error_of(clone.gather()), "not in one file"));
  EXPECT_EQ(take(clone.load<uint32_t>(0x3000)), 1u);
  EXPECT_EQ(take(clone.touched_bytes()), 0u);
  take(clone.store<uint32_t>(0x3000, 2));
  EXPECT_EQ(take(original.load<uint32_t>(0x3000)), 1u);
  EXPECT_EQ(take(clone.touched_bytes()), 4096u);
}

TEST(GuestMemory, RefusesToCloneWhatIsNoMemoryOfThatSize) {
  GuestMemory original = take(GuestMemory::create(kSize));
  EXPECT_TRUE(contains(error_of(GuestMemory::clone(take(original.gather()), 2 * kSize)),
                       "holds 16777216 bytes"));
  EXPECT_FALSE(GuestMemory::clone(-1, kSize));
  EXPECT_FALSE(GuestMemory::clone(take(original.gather()), kSize - 1));
}

class MappedFile : public ::testing::Test {
 protected:
  int open(const std::vector<std::byte>& contents) {
    descriptor_ = FileDescriptor(::open(folder_.write("file", contents).c_str(), O_RDONLY));
    return descriptor_.get();
  }

  TemporaryFolder folder_;
  FileDescriptor descriptor_;
  GuestMemory memory_ = take(GuestMemory::create(kSize));
};

TEST_F(MappedFile, IsReadInPlaceAndNeverWritten) {
  const auto contents = bytes_of("the root file system");
  take(memory_.map_file("root", kModuleAddress, open(contents), contents.size()));
  std::vector<std::byte> copy(contents.size());
  take(memory_.read(kModuleAddress, copy));
  EXPECT_EQ(copy, contents);
  EXPECT_EQ(take(memory_.load<uint8_t>(kModuleAddress + 4095)), 0) << "padding of the last page";
  EXPECT_FALSE(memory_.load<uint8_t>(kModuleAddress + 4096));
  EXPECT_TRUE(contains(error_of(memory_.write(kModuleAddress, contents)), "read-only"));
  EXPECT_TRUE(contains(error_of(memory_.writable_span(kModuleAddress, 1)), "lies in root"));
  EXPECT_FALSE(memory_.store_atomic<uint32_t>(kModuleAddress, 1));
  EXPECT_EQ(take(memory_.touched_bytes()), 0u);
}

TEST_F(MappedFile, RefusesWhatCannotBeMapped) {
  const int fd = open(bytes_of("x"));
  EXPECT_TRUE(contains(error_of(memory_.map_file("root", kModuleAddress, fd, 0)), "empty"));
  EXPECT_TRUE(contains(error_of(memory_.map_file("root", kModuleAddress + 1, fd, 1)), "multiple"));
  EXPECT_TRUE(contains(error_of(memory_.map_file("root", kSize - 4096, fd, 1)),
                       "overlaps memory below 3 GiB"));
  EXPECT_FALSE(memory_.map_file("root", ~uint64_t{0xfff}, fd, 4096));
  EXPECT_TRUE(
      contains(error_of(memory_.map_file("root", kModuleAddress, -1, 1)), "cannot map root"));
  take(memory_.map_file("root", kModuleAddress, fd, 1));
  EXPECT_TRUE(
      contains(error_of(memory_.map_file("other", kModuleAddress, fd, 1)), "overlaps root"));
}

TEST_F(MappedFile, ReadsAsZeroAndSaysSoOnceItIsCutOff) {
  const std::vector<std::byte> contents(3 * 4096, std::byte{7});
  EXPECT_EQ(memory_.file_loss_event(), std::nullopt);
  take(memory_.map_file("root FILE", kModuleAddress, open(contents), contents.size()));
  ASSERT_NE(memory_.file_loss_event(), std::nullopt);
  EXPECT_EQ(memory_.lost_file(), std::nullopt);
  ASSERT_EQ(::truncate(folder_.path("file").c_str(), 4096), 0);
  EXPECT_EQ(memory_.lost_file(), "root FILE");
  uint64_t count = 0;
  EXPECT_EQ(::read(*memory_.file_loss_event(), &count, sizeof(count)), -1)
      << "nothing was read yet";
  EXPECT_EQ(take(memory_.load<uint8_t>(kModuleAddress + 2 * 4096)), 0);
  EXPECT_EQ(::read(*memory_.file_loss_event(), &count, sizeof(count)), ssize_t{sizeof(count)});
  EXPECT_EQ(take(memory_.load<uint8_t>(kModuleAddress)), 0) << "all of it is gone";
}

TEST_F(MappedFile, LeavesOtherBusErrorsAsTheyAre) {
  const auto contents = bytes_of("x");
  take(memory_.map_file("root", kModuleAddress, open(contents), contents.size()));
  const FileDescriptor empty(::memfd_create("empty", 0));
  auto* other =
      static_cast<volatile char*>(::mmap(nullptr, 4096, PROT_READ, MAP_SHARED, empty.get(), 0));
  EXPECT_EXIT((void)*other, testing::KilledBySignal(SIGBUS), "");
  EXPECT_EXIT(::raise(SIGBUS), testing::KilledBySignal(SIGBUS), "");
}

TEST(GuestMemory, MovesWithItsMappings) {
  GuestMemory first = take(GuestMemory::create(kSize));
  take(first.store<uint8_t>(0, 9));
  GuestMemory second = std::move(first);
  EXPECT_EQ(take(second.load<uint8_t>(0)), 9);
  first = take(GuestMemory::create(2 * kSize));
  std::swap(first, second);
  EXPECT_EQ(take(first.load<uint8_t>(0)), 9);
  EXPECT_EQ(second.size(), 2 * kSize);
}

}  // namespace
}  // namespace ensemble::vmm
