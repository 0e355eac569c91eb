#include "guest-kernel/ext4/service.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <initializer_list>
#include <utility>

#include "guest-kernel/linux/server/files/disk_gatherer.h"
#include "tests/guest-kernel/ext4/volume_fixture.h"

// What the Linux server asks for: gathered writes come before the request that takes them along.
namespace ext4 {
namespace {

class ServiceTest : public testing::Test {
 protected:
  void SetUp() override {
    disk_.recording = false;
    ASSERT_EQ(ask(Request::kMount)[0], 0u);
    file_ = make("file");
    ASSERT_NE(file_, 0u);
  }

  Service::Words ask(Request request, std::initializer_list<std::uint64_t> arguments = {}) {
    Service::Words words{static_cast<std::uint64_t>(request), static_cast<std::uint64_t>(kNow)};
    std::copy(arguments.begin(), arguments.end(), words.begin() + 2);
    words[6] = std::exchange(gathered_, 0);
    return service_.answer(words);
  }

  std::uint64_t make(std::string_view name) {
    std::memcpy(shared_.data(), name.data(), name.size());
    InodeRecord what{};
    what.mode = 0100644;
    std::memcpy(shared_.data() + kNamesSize, &what, sizeof(what));
    const auto answer = ask(Request::kCreate, {kRootInode, name.size(), 0});
    return answer[0] == 0 ? answer[1] : 0;
  }

  void gather(const GatheredWrite& write, std::string_view bytes) {
    gathered_ = (gathered_ + 7) / 8 * 8;
    std::memcpy(shared_.data() + kGatheredOffset + gathered_, &write, sizeof(write));
    std::memcpy(shared_.data() + kGatheredOffset + gathered_ + sizeof(write), bytes.data(),
                bytes.size());
    gathered_ += sizeof(write) + bytes.size();
  }
  void gather(std::uint64_t offset, std::string_view bytes) {
    gather(
        {static_cast<std::uint32_t>(file_), static_cast<std::uint32_t>(bytes.size()), offset, kNow},
        bytes);
  }

  std::string read(std::uint64_t size) {
    EXPECT_EQ(ask(Request::kRead, {file_, 0, size})[0], 0u);
    return {reinterpret_cast<const char*>(shared_.data()) + kNamesSize, size};
  }

  RecordingDisk disk_{std::size_t{16} * 1024 * 1024};
  std::vector<std::byte> memory_ = std::vector<std::byte>(std::size_t{4} * 1024 * 1024);
  std::vector<std::byte> shared_ = std::vector<std::byte>(kSharedSize);
  Volume volume_{disk_, memory_};
  Service service_{volume_, shared_};
  std::uint64_t file_ = 0;
  std::uint64_t gathered_ = 0;
};

TEST_F(ServiceTest, MakesGatheredWritesInOrderBeforeTheRequest) {
  gather(0, "abcdefg");
  gather(5, "XY");
  gather(4096, "z");
  const auto answer = ask(Request::kGet, {file_});
  EXPECT_EQ(answer[0], 0u);
  EXPECT_EQ(answer[7], 8192u);
  EXPECT_EQ(read_as<InodeRecord>(shared_.data() + kNamesSize).size, 4097u);
  EXPECT_EQ(read(8), std::string("abcdeXY\0", 8));
}

TEST_F(ServiceTest, TakesThemAlongWithACommit) {
  gather(0, "kept");
  EXPECT_EQ(ask(Request::kCommit)[0], 0u);
  RecordingDisk after(disk_.image());
  MountedVolume volume(after);
  ASSERT_EQ(volume.result(), 0);
  EXPECT_NE(tree_of(*volume)["/file"].find("kept"), std::string::npos);
}

TEST_F(ServiceTest, TellsAllLaterCommitsOfOneThatFails) {
  gather({static_cast<std::uint32_t>(file_), 60'000, 0, kNow}, "more than there is room for");
  EXPECT_EQ(ask(Request::kGet, {file_})[0], 0u);
  // The first may be another program's, or nobody's.
  EXPECT_EQ(ask(Request::kCommit)[0], static_cast<std::uint64_t>(EINVAL));
  EXPECT_EQ(ask(Request::kStartCommit, {1})[0], 0u);
  service_.finish_commit();
  EXPECT_EQ(read_as<CommitRecord>(shared_.data() + kCommitRecordOffset).result,
            static_cast<std::uint64_t>(EINVAL));
  EXPECT_EQ(ask(Request::kCommit)[0], static_cast<std::uint64_t>(EINVAL));
}

TEST_F(ServiceTest, TellsOfOneThatFailsAndComesWithTheUnmount) {
  gather({static_cast<std::uint32_t>(file_), 60'000, 0, kNow}, "more than there is room for");
  EXPECT_EQ(ask(Request::kUnmount)[0], static_cast<std::uint64_t>(EINVAL));
}

TEST_F(ServiceTest, UnmountsWithGatheredWrites) {
  gather(0, "kept");
  EXPECT_EQ(ask(Request::kUnmount)[0], 0u);
  RecordingDisk after(disk_.image());
  MountedVolume volume(after);
  ASSERT_EQ(volume.result(), 0);
  EXPECT_NE(tree_of(*volume)["/file"].find("kept"), std::string::npos);
}

// As a file with holes is written on a disk that fills up: each small write that waits for the next
// request is there in the end.
TEST_F(ServiceTest, HasRoomForAllThatIsGathered) {
  constexpr std::uint64_t kStep = 8192;
  linux_server::DiskGatherer gatherer;
  gatherer.use(shared_.data() + kGatheredOffset);
  const auto answer = [&](Request request, std::initializer_list<std::uint64_t> arguments) {
    gathered_ = gatherer.take();
    const auto words = ask(request, arguments);
    gatherer.set_room(words[6]);
    return words;
  };
  answer(Request::kGet, {file_});
  std::uint64_t offset = 0;
  std::uint64_t waited = 0;
  for (bool is_full = false; !is_full; offset += kStep) {
    if (const auto place = gatherer.place(file_, offset, 1); !place.empty()) {
      place[0] = std::byte{'x'};
      gatherer.add(file_, offset, 1, kNow);
      ++waited;
      continue;
    }
    shared_[kNamesSize] = std::byte{'x'};
    const auto words = answer(Request::kWrite, {file_, offset, 1});
    is_full = words[0] != 0 || words[1] != 1;
    ASSERT_LT(offset, std::uint64_t{64} * 1024 * 1024);
  }
  EXPECT_GT(waited, 100u);
  EXPECT_EQ(answer(Request::kCommit, {})[0], 0u);
}

TEST_F(ServiceTest, SaysHowAStartedCommitEnded) {
  gather(0, "bytes");
  EXPECT_EQ(ask(Request::kStartCommit, {7})[0], 0u);
  ASSERT_TRUE(service_.has_started_commit());
  service_.finish_commit();
  EXPECT_FALSE(service_.has_started_commit());
  const auto record = read_as<CommitRecord>(shared_.data() + kCommitRecordOffset);
  EXPECT_EQ(record.number, 7u);
  EXPECT_EQ(record.result, 0u);
}

TEST_F(ServiceTest, SaysWhatThereIsCertainlyRoomFor) {
  StatisticsRecord statistics{};
  volume_.statistics(statistics);
  const std::uint64_t room = ask(Request::kGet, {file_})[6];
  EXPECT_GT(room, std::uint64_t{1} << 20);
  EXPECT_LE(room, statistics.free_blocks * statistics.block_size / 2);
}

}  // namespace
}  // namespace ext4
