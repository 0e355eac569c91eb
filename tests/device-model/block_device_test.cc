#include "device-model/virtio/block_device.h"

#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <cstring>
#include <fstream>

#include "temporary_folder.h"
#include "virtio_harness.h"

namespace ensemble::device {
namespace {

using Harness = VirtioHarness;
using Buffer = vmm::DriverQueue::Buffer;

constexpr std::uint32_t kSectors = 64;
constexpr std::uint64_t kHeader = Harness::kData;
constexpr std::uint64_t kStatus = Harness::kData + 0x100;
constexpr std::uint64_t kPayload = Harness::kData + 0x1000;

// Request types and statuses.
constexpr std::uint32_t kIn = 0, kOut = 1, kFlush = 4, kGetId = 8, kDiscard = 11, kZeroes = 13;
constexpr std::uint8_t kOk = 0, kIoError = 1, kUnsupported = 2;

// Sector n is full of the letter 'A' + n % 26.
std::string disk_image() {
  std::string image;
  for (std::uint32_t sector = 0; sector < kSectors; ++sector) {
    image += std::string(512, static_cast<char>('A' + sector % 26));
  }
  return image;
}

class BlockDeviceTest : public testing::Test {
 protected:
  void make_block(BlockDevice::Options options = {}) {
    auto block = BlockDevice::create(path_, std::move(options), harness_.loop());
    ASSERT_TRUE(block) << block.error().message();
    harness_.attach(*std::move(block));
    harness_.start();
  }

  void write_header(std::uint32_t type, std::uint64_t sector) {
    memory().store(kHeader, type).value();
    memory().store(kHeader + 8, sector).value();
    memory().store(kStatus, std::uint8_t{0xEE}).value();
  }

  // Sends a request with `buffers` between header and status; returns the status.
  std::uint8_t request(std::uint32_t type, std::uint64_t sector,
                       const std::vector<Buffer>& buffers = {}) {
    write_header(type, sector);
    std::vector<Buffer> chain = {{kHeader, 16, false}};
    chain.insert(chain.end(), buffers.begin(), buffers.end());
    chain.push_back({kStatus, 1, true});
    harness_.queue(0).offer(harness_.queue(0).write_chain(chain));
    harness_.notify(0);
    used_length_ = harness_.wait_for_used(0).length;
    return memory().load<std::uint8_t>(kStatus).value();
  }

  std::string disk() const {
    std::ifstream file(path_, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  vmm::GuestMemory& memory() { return harness_.memory(); }

  TemporaryFolder folder_;
  std::string path_ = folder_.write("disk.img", disk_image());
  Harness harness_;
  std::uint32_t used_length_ = 0;
};

TEST_F(BlockDeviceTest, DescribesItself) {
  make_block();
  EXPECT_EQ(harness_.read(Harness::kConfiguration), kSectors);
  EXPECT_EQ(harness_.read(Harness::kConfiguration + 4), 0U);
  EXPECT_EQ(harness_.read(Harness::kConfiguration + 12), 126U);
  EXPECT_EQ(harness_.read(Harness::kConfiguration + 20), 512U);
  EXPECT_EQ(harness_.read(Harness::kConfiguration + 36), 1U << 22);
  EXPECT_EQ(harness_.read(Harness::kConfiguration + 56), 1U);
  EXPECT_EQ(harness_.read(Harness::kConfiguration + 60), 0U);
  EXPECT_EQ(harness_.device_features() & 0xFFFFFF, 0b110'0010'0100'0100U);
}

TEST_F(BlockDeviceTest, ReadsSectors) {
  make_block();
  EXPECT_EQ(request(kIn, 1, {{kPayload, 700, true}, {kPayload + 0x1000, 324, true}}), kOk);
  EXPECT_EQ(used_length_, 1025U);
  EXPECT_EQ(harness_.text(kPayload, 700), std::string(512, 'B') + std::string(188, 'C'));
  EXPECT_EQ(harness_.text(kPayload + 0x1000, 324), std::string(324, 'C'));
}

TEST_F(BlockDeviceTest, WritesSectors) {
  make_block();
  harness_.set_text(kPayload, std::string(1024, 'x'));
  EXPECT_EQ(request(kOut, kSectors - 2, {{kPayload, 1000, false}, {kPayload, 24, false}}), kOk);
  EXPECT_EQ(used_length_, 1U);
  std::string expected = disk_image();
  expected.replace(expected.size() - 1024, 1024, 1024, 'x');
  EXPECT_EQ(disk(), expected);
  EXPECT_EQ(request(kFlush, 0), kOk);
}

TEST_F(BlockDeviceTest, AcceptsAnyFraming) {
  make_block();
  // Header in two pieces, data and status in one buffer.
  write_header(kIn, 3);
  harness_.queue(0).offer_chain(
      {{kHeader, 5, false}, {kHeader + 5, 11, false}, {kPayload, 513, true}});
  harness_.notify(0);
  EXPECT_EQ(harness_.wait_for_used(0).length, 513U);
  EXPECT_EQ(harness_.text(kPayload, 513), std::string(512, 'D') + '\0');
  // Header and data in one buffer.
  write_header(kOut, 0);
  harness_.set_text(kHeader + 16, std::string(512, 'y'));
  harness_.queue(0).offer_chain({{kHeader, 528, false}, {kPayload, 1, true}});
  harness_.notify(0);
  harness_.wait_for_used(0);
  EXPECT_EQ(disk().substr(0, 513), std::string(512, 'y') + 'B');
}

TEST_F(BlockDeviceTest, MovesLargeRequestsInSteps) {
  std::ofstream(path_, std::ios::binary) << std::string(4 << 20, 'z');
  make_block();
  EXPECT_EQ(request(kIn, 0, {{kPayload, 3 << 20, true}, {kPayload + (3 << 20), 1 << 20, true}}),
            kOk);
  EXPECT_EQ(harness_.text(kPayload, 4 << 20), std::string(4 << 20, 'z'));
  EXPECT_EQ(request(kIn, 0), kOk);  // Nothing at all is a whole number of sectors.
}

TEST_F(BlockDeviceTest, MovesManySmallBuffers) {
  make_block();
  harness_.set_text(kPayload, std::string(16, 'q'));
  std::vector<Buffer> buffers = {{kHeader, 16, false}};
  for (int i = 0; i < 12; ++i) {
    buffers.push_back({kPayload, 128, false});
  }
  buffers.push_back({kStatus, 1, true});
  write_header(kOut, 8);
  harness_.queue(0).offer(harness_.queue(0).write_chain(buffers));
  harness_.notify(0);
  harness_.wait_for_used(0);
  for (int i = 0; i < 12; ++i) {
    EXPECT_EQ(disk().substr(8 * 512 + 128 * static_cast<std::size_t>(i), 16), std::string(16, 'q'));
  }
}

TEST_F(BlockDeviceTest, TellsItsIdentity) {
  make_block();
  EXPECT_EQ(request(kGetId, 0, {{kPayload, 20, true}}), kOk);
  EXPECT_EQ(used_length_, 21U);
  EXPECT_EQ(harness_.text(kPayload, 20), std::string("disk.img") + std::string(12, '\0'));
  EXPECT_EQ(request(kGetId, 0, {{kPayload, 4, true}}), kOk);
  EXPECT_EQ(harness_.text(kPayload, 4), "disk");
}

TEST_F(BlockDeviceTest, TakesASerial) {
  make_block({.read_only = false, .serial = "a serial that is longer than twenty"});
  EXPECT_EQ(request(kGetId, 0, {{kPayload, 64, true}}), kOk);
  EXPECT_EQ(used_length_, 20U);
  EXPECT_EQ(harness_.text(kPayload, 20), "a serial that is lon");
}

class BlockRangeTest : public BlockDeviceTest {
 protected:
  struct Segment {
    std::uint64_t sector;
    std::uint32_t sectors;
    std::uint32_t flags;
  };

  std::uint8_t range_request(std::uint32_t type, const std::vector<Segment>& segments) {
    if (!segments.empty()) {
      memory().write(kPayload, std::as_bytes(std::span(segments))).value();
    }
    return request(type, 0, {{kPayload, static_cast<std::uint32_t>(16 * segments.size()), false}});
  }
};

TEST_F(BlockRangeTest, DiscardsAndZeroes) {
  make_block();
  std::string expected = disk_image();
  EXPECT_EQ(range_request(kDiscard, {{8, 8, 0}, {20, 1, 0}, {0, 0, 0}}), kOk);
  expected.replace(8 * 512, 8 * 512, 8 * 512, '\0').replace(20 * 512, 512, 512, '\0');
  EXPECT_EQ(disk(), expected);
  EXPECT_EQ(range_request(kZeroes, {{30, 3, 0}, {40, 4, 1}}), kOk);
  expected.replace(30 * 512, 3 * 512, 3 * 512, '\0').replace(40 * 512, 4 * 512, 4 * 512, '\0');
  EXPECT_EQ(disk(), expected);
}

TEST_F(BlockRangeTest, GivesSpaceBackToTheHost) {
  constexpr std::size_t kMebibyte = 1 << 20;
  std::ofstream(path_, std::ios::binary) << std::string(4 * kMebibyte, 'x');
  const auto blocks = [this] {
    struct stat status {};
    EXPECT_EQ(::stat(path_.c_str(), &status), 0);
    return static_cast<std::uint64_t>(status.st_blocks) * 512;
  };
  ASSERT_GE(blocks(), 4 * kMebibyte);
  make_block();
  EXPECT_EQ(range_request(kDiscard, {{0, 2048, 0}}), kOk);
  EXPECT_LE(blocks(), 3 * kMebibyte + 65536);
  EXPECT_EQ(range_request(kZeroes, {{2048, 2048, 1}}), kOk);
  EXPECT_LE(blocks(), 2 * kMebibyte + 65536);
  EXPECT_EQ(range_request(kZeroes, {{4096, 2048, 0}}), kOk);
  EXPECT_GE(blocks(), 2 * kMebibyte) << "zeroes that must not be unmapped keep their space";
  EXPECT_EQ(disk(), std::string(3 * kMebibyte, '\0') + std::string(kMebibyte, 'x'));
}

TEST_F(BlockDeviceTest, HasAsManyQueuesAsItIsTold) {
  make_block({.queues = 3, .serial = {}});
  EXPECT_NE(harness_.device_features() & (1 << 12), 0U);
  EXPECT_EQ(harness_.read(Harness::kConfiguration + 32) >> 16, 3U);
  // The same request in each; the results go to places of their own.
  write_header(kIn, 5);
  for (std::uint16_t queue = 0; queue < 3; ++queue) {
    harness_.queue(queue).offer_chain({{kHeader, 16, false},
                                       {kPayload + queue * 0x1000ULL, 512, true},
                                       {kStatus + queue, 1, true}});
    harness_.write(Harness::kQueueNotify, queue);
  }
  for (std::uint16_t queue = 0; queue < 3; ++queue) {
    EXPECT_EQ(harness_.wait_for_used(queue).length, 513U);
    EXPECT_EQ(harness_.text(kPayload + queue * 0x1000ULL, 512), std::string(512, 'F'));
    EXPECT_EQ(memory().load<std::uint8_t>(kStatus + queue).value(), kOk);
  }
  for (const std::uint16_t queues : {std::uint16_t{0}, std::uint16_t{9}}) {
    const auto refused =
        BlockDevice::create(path_, {.queues = queues, .serial = {}}, harness_.loop());
    ASSERT_FALSE(refused);
    EXPECT_NE(refused.error().message().find("expected 1 to 8"), std::string::npos);
  }
}

TEST_F(BlockRangeTest, ChecksItsRanges) {
  make_block();
  EXPECT_EQ(range_request(kDiscard, {{kSectors, 1, 0}}), kIoError);
  EXPECT_EQ(range_request(kDiscard, {{0, kSectors + 1, 0}}), kIoError);
  EXPECT_EQ(range_request(kDiscard, {{~std::uint64_t{0}, 2, 0}}), kIoError);
  EXPECT_EQ(range_request(kDiscard, {{0, 1, 1}}), kUnsupported);
  EXPECT_EQ(range_request(kZeroes, {{0, 1, 2}}), kUnsupported);
  EXPECT_EQ(range_request(kZeroes, std::vector<Segment>(17, {0, 1, 0})), kIoError);
  EXPECT_EQ(range_request(kZeroes, {}), kIoError);
  EXPECT_EQ(request(kZeroes, 0, {{kPayload, 15, false}}), kIoError);
  EXPECT_EQ(disk(), disk_image());
}

TEST_F(BlockDeviceTest, ChecksItsRequests) {
  make_block();
  const Buffer sector{kPayload, 512, true};
  EXPECT_EQ(request(kIn, kSectors, {sector}), kIoError);
  EXPECT_EQ(used_length_, 0U);
  EXPECT_EQ(request(kIn, kSectors - 1, {sector, sector}), kIoError);
  EXPECT_EQ(request(kIn, ~std::uint64_t{0}, {sector}), kIoError);
  EXPECT_EQ(request(kIn, 0x0080'0000'0000'0000, {sector}), kIoError);
  EXPECT_EQ(request(kIn, 0, {{kPayload, 100, true}}), kIoError);
  EXPECT_EQ(request(kOut, kSectors, {{kPayload, 512, false}}), kIoError);
  EXPECT_EQ(request(kOut, 0, {{kPayload, 511, false}}), kIoError);
  EXPECT_EQ(request(77, 0, {sector}), kUnsupported);
  EXPECT_EQ(disk(), disk_image());
  EXPECT_FALSE(harness_.needs_reset());
}

TEST_F(BlockDeviceTest, AShortHeaderIsAnError) {
  make_block();
  write_header(kIn, 0);
  harness_.queue(0).offer_chain({{kHeader, 15, false}, {kStatus, 1, true}});
  harness_.notify(0);
  harness_.wait_for_used(0);
  EXPECT_EQ(memory().load<std::uint8_t>(kStatus).value(), kIoError);
}

TEST_F(BlockDeviceTest, NoPlaceForAStatusBreaksTheDevice) {
  make_block();
  harness_.queue(0).offer_chain({{kHeader, 16, false}});
  harness_.notify(0);
  EXPECT_TRUE(harness_.needs_reset());
  EXPECT_EQ(harness_.broken(), "a block request without a byte for its status");
}

TEST_F(BlockDeviceTest, ReadOnlyDisksStayAsTheyAre) {
  ASSERT_EQ(::chmod(path_.c_str(), 0444), 0);
  make_block({.read_only = true, .serial = ""});
  EXPECT_NE(harness_.device_features() & (1 << 5), 0U);
  EXPECT_EQ(harness_.device_features() & (1 << 13), 0U);
  EXPECT_EQ(request(kOut, 0, {{kPayload, 512, false}}), kIoError);
  EXPECT_EQ(request(kDiscard, 0, {{kPayload, 16, false}}), kIoError);
  EXPECT_EQ(request(kIn, 0, {{kPayload, 512, true}}), kOk);
  EXPECT_EQ(disk(), disk_image());
}

TEST_F(BlockDeviceTest, AFileThatShrinksIsAnIoError) {
  make_block();
  std::filesystem::resize_file(path_, 512);
  EXPECT_EQ(request(kIn, 8, {{kPayload, 512, true}}), kIoError);
}

TEST_F(BlockDeviceTest, ManyRequestsAtOnce) {
  make_block();
  for (std::uint32_t i = 0; i < 4; ++i) {
    const std::uint64_t base = Harness::kData + 0x10000 * i;
    memory().store(base, kIn).value();
    memory().store(base + 8, std::uint64_t{i}).value();
    harness_.queue(0).offer_chain(
        {{base, 16, false}, {base + 0x1000, 512, true}, {base + 0x100, 1, true}});
  }
  harness_.notify(0);
  for (std::uint32_t i = 0; i < 4; ++i) {
    EXPECT_EQ(harness_.wait_for_used(0).length, 513U);
    EXPECT_EQ(harness_.text(Harness::kData + 0x10000 * i + 0x1000, 1),
              std::string(1, static_cast<char>('A' + i)));
  }
}

TEST_F(BlockDeviceTest, AResetDropsWhatIsUnderWay) {
  make_block();
  for (int round = 0; round < 50; ++round) {
    write_header(kIn, 0);
    for (int i = 0; i < 5; ++i) {
      harness_.queue(0).offer_chain(
          {{kHeader, 16, false}, {kPayload, kSectors * 512, true}, {kStatus, 1, true}});
    }
    harness_.write(Harness::kQueueNotify, 0);
    harness_.loop().run_once(std::chrono::milliseconds(0)).value();
    harness_.start();
    harness_.run();
    ASSERT_EQ(harness_.queue(0).used_index(), 0);
  }
  EXPECT_EQ(request(kIn, 2, {{kPayload, 512, true}}), kOk);
  EXPECT_EQ(harness_.text(kPayload, 1), "C");
}

TEST_F(BlockDeviceTest, RequestsInFlightAreDoneAgainAfterARestore) {
  make_block({.read_only = true, .serial = ""});
  write_header(kIn, 5);
  harness_.queue(0).offer_chain({{kHeader, 16, false}, {kPayload, 512, true}, {kStatus, 1, true}});
  harness_.write(Harness::kQueueNotify, 0);
  // The request is taken, and its completion waits for the event loop.
  harness_.loop().run_once(std::chrono::milliseconds(0)).value();
  const auto state = vmm::save_state(harness_.bus().stateful_components()).value();
  harness_.wait_for_used(0);
  memory().store<std::uint16_t>(harness_.queue(0).addresses().used + 2, 0).value();
  harness_.set_text(kPayload, std::string(512, '?'));
  auto again = BlockDevice::create(path_, {.read_only = true, .serial = ""}, harness_.loop());
  VirtioMmio copy("virtio-block0", *std::move(again), memory(), harness_.loop(),
                  std::make_unique<vmm::CountingInterruptLine>());
  vmm::Stateful* components[] = {&copy};
  const auto restored = vmm::restore_state(state, components);
  ASSERT_TRUE(restored) << restored.error().message();
  EXPECT_EQ(vmm::save_state(components).value(), state);
  for (int i = 0; i < 1000 && harness_.queue(0).used_index() == 0; ++i) {
    harness_.loop().run_once(std::chrono::milliseconds(10)).value();
  }
  EXPECT_EQ(harness_.text(kPayload, 512), std::string(512, 'F'));
}

// A file system that cannot give space back, mounted on a folder while this exists.
class RamFileSystem {
 public:
  explicit RamFileSystem(std::string folder) : folder_(std::move(folder)) {
    mounted_ = ::mount("none", folder_.c_str(), "ramfs", 0, nullptr) == 0;
  }
  ~RamFileSystem() {
    if (mounted_) {
      ::umount2(folder_.c_str(), MNT_DETACH);
    }
  }
  bool mounted() const { return mounted_; }

 private:
  std::string folder_;
  bool mounted_ = false;
};

TEST_F(BlockDeviceTest, DiscardsChangeNothingWhereTheFileSystemCannotDoThem) {
  const TemporaryFolder place;
  const RamFileSystem file_system(place.path());
  if (!file_system.mounted()) {
    GTEST_SKIP() << "only root may mount a file system";
  }
  path_ = place.write("disk.img", disk_image());
  make_block();
  const auto set_range = [this](std::uint64_t sector, std::uint32_t count, std::uint32_t flags) {
    memory().store(kPayload, sector).value();
    memory().store(kPayload + 8, count).value();
    memory().store(kPayload + 12, flags).value();
  };
  set_range(4, 8, 0);
  EXPECT_EQ(request(kDiscard, 0, {{kPayload, 16, false}}), kOk);
  EXPECT_EQ(disk(), disk_image());
  // What must read as zero does, whatever the file system can.
  set_range(4, 8, 1);
  EXPECT_EQ(request(kZeroes, 0, {{kPayload, 16, false}}), kOk);
  std::string expected = disk_image();
  expected.replace(std::size_t{4} * 512, std::size_t{8} * 512, std::size_t{8} * 512, '\0');
  EXPECT_EQ(disk(), expected);
}

TEST_F(BlockDeviceTest, ADiskOfAnotherSizeIsNotRestored) {
  make_block({.read_only = true, .serial = ""});
  const auto state = vmm::save_state(harness_.bus().stateful_components()).value();
  const auto other = folder_.write("other.img", std::string(512, 'x'));
  auto device = BlockDevice::create(other, {.read_only = true, .serial = ""}, harness_.loop());
  VirtioMmio copy("virtio-block0", *std::move(device), memory(), harness_.loop(),
                  std::make_unique<vmm::CountingInterruptLine>());
  vmm::Stateful* components[] = {&copy};
  EXPECT_NE(vmm::restore_state(state, components)
                .error()
                .message()
                .find("the disk had 64 sectors when it was saved, and has 1 now"),
            std::string::npos);
}

TEST_F(BlockDeviceTest, RefusesBadDisks) {
  const auto error = [this](const std::string& path, bool read_only = false) {
    const auto block =
        BlockDevice::create(path, {.read_only = read_only, .serial = ""}, harness_.loop());
    return block ? "accepted" : block.error().message();
  };
  EXPECT_EQ(error("/nonexistent/disk"),
            "cannot open disk /nonexistent/disk: No such file or directory");
  const std::string odd = folder_.write("odd", "xyz");
  EXPECT_EQ(error(odd), "cannot use disk " + odd +
                            ": it has 3 bytes; expected a multiple of 512, at least one");
  const std::string empty = folder_.write("empty", "");
  EXPECT_NE(error(empty).find("it has 0 bytes"), std::string::npos);
  EXPECT_NE(error("/dev/null").find("it is neither a file nor a block device"), std::string::npos);
  EXPECT_NE(error(folder_.path()).find("cannot open disk"), std::string::npos);
  EXPECT_NE(error(folder_.path(), true).find("it is neither a file nor a block device"),
            std::string::npos);
}

TEST_F(BlockDeviceTest, ADiskHasOneWriterOrManyReaders) {
  const auto open = [this](bool read_only) { return DiskFile::open(path_, read_only); };
  {
    const auto writer = open(false);
    ASSERT_TRUE(writer);
    EXPECT_EQ(open(false).error().message(),
              "cannot use disk " + path_ + ": another device uses it");
    EXPECT_FALSE(open(true));
  }
  const auto reader = open(true);
  ASSERT_TRUE(reader);
  EXPECT_TRUE(open(true));
  EXPECT_FALSE(open(false));
}

}  // namespace
}  // namespace ensemble::device
