#include "device-model/virtio/balloon_device.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/device-model/virtio_harness.h"
#include "vmm/state.h"

namespace ensemble::device {
namespace {

using Harness = VirtioHarness;
using Statistic = BalloonDevice::Statistic;
using testing::HasSubstr;

constexpr std::uint64_t kStatisticsFeature = 1 << 1;
constexpr std::uint64_t kOutOfMemoryFeature = 1 << 2;
constexpr std::uint64_t kPoisonFeature = 1 << 4;
constexpr std::uint64_t kReportingFeature = 1 << 5;
constexpr std::uint64_t kUsual = Harness::kVersion1 | kStatisticsFeature | kReportingFeature;
// Fields of the configuration space.
constexpr std::uint64_t kTarget = Harness::kConfiguration;
constexpr std::uint64_t kActual = Harness::kConfiguration + 4;
constexpr std::uint64_t kPoison = Harness::kConfiguration + 12;

constexpr std::uint64_t kPage = BalloonDevice::kPageBytes;
// The queue's buffers, and two places for pages: in the memfd, and in anonymous memory.
constexpr std::uint64_t kNumbers = Harness::kData;
constexpr std::uint64_t kInFile = 0x20'0000 - 64 * kPage;
constexpr std::uint64_t kAnonymous = 0xA0'0000;

class BalloonDeviceTest : public testing::Test {
 protected:
  void SetUp() override {
    auto device = std::make_unique<BalloonDevice>(harness_.memory());
    balloon_ = device.get();
    harness_.attach(std::move(device));
  }

  void fill(std::uint64_t address, std::uint64_t size) {
    harness_.set_text(address, std::string(size, 'x'));
  }
  bool is_zero(std::uint64_t address, std::uint64_t size) {
    return harness_.text(address, size) == std::string(size, '\0');
  }
  bool is_full(std::uint64_t address, std::uint64_t size) {
    return harness_.text(address, size) == std::string(size, 'x');
  }
  std::uint64_t resident() { return harness_.memory().touched_bytes().value(); }

  void give_pages(std::uint16_t queue, const std::vector<std::uint32_t>& pages) {
    harness_.memory().write(kNumbers, std::as_bytes(std::span(pages))).value();
    harness_.queue(queue).offer_chain(
        {{kNumbers, static_cast<std::uint32_t>(4 * pages.size()), false}});
    harness_.notify(queue);
  }

  void tell_statistics(std::initializer_list<std::pair<std::uint16_t, std::uint64_t>> statistics) {
    std::string bytes;
    for (const auto& [tag, value] : statistics) {
      bytes.append(reinterpret_cast<const char*>(&tag), sizeof(tag));
      bytes.append(reinterpret_cast<const char*>(&value), sizeof(value));
    }
    harness_.set_text(kNumbers, bytes);
    harness_.queue(2).offer_chain({{kNumbers, static_cast<std::uint32_t>(bytes.size()), false}});
    harness_.notify(2);
  }

  Harness harness_;
  BalloonDevice* balloon_ = nullptr;
};

TEST_F(BalloonDeviceTest, OffersWhatItDoes) {
  EXPECT_EQ(harness_.read(0x08), 5U);
  EXPECT_EQ(harness_.device_features() & 0xFF'FFFF,
            kStatisticsFeature | kOutOfMemoryFeature | kPoisonFeature | kReportingFeature);
}

TEST_F(BalloonDeviceTest, GivesPagesBackToTheHost) {
  harness_.start(kUsual);
  for (const std::uint64_t address : {kInFile, kAnonymous}) {
    fill(address, 64 * kPage);
    fill(kNumbers, kPage);
    const std::uint64_t before = resident();
    std::vector<std::uint32_t> pages;
    for (std::uint32_t i = 0; i < 64; ++i) {
      pages.push_back(static_cast<std::uint32_t>(address / kPage + (i * 37) % 64));
    }
    pages.pop_back();  // Of the place 63 * 37 % 64.
    give_pages(BalloonDevice::kInflateQueue, pages);
    EXPECT_EQ(harness_.wait_for_used(0).length, 0U);
    const std::uint64_t kept = address + 63 * 37 % 64 * kPage;
    EXPECT_TRUE(is_full(kept, kPage));
    EXPECT_LE(resident() + 63 * kPage, before);
    EXPECT_TRUE(is_zero(address, kept - address));
    EXPECT_TRUE(is_zero(kept + kPage, address + 63 * kPage - kept));
  }
  give_pages(BalloonDevice::kDeflateQueue, {kInFile / kPage});
  EXPECT_EQ(harness_.wait_for_used(1).length, 0U);
  fill(kInFile, kPage);
  EXPECT_TRUE(is_full(kInFile, kPage));
  EXPECT_EQ(harness_.broken(), "");
}

TEST_F(BalloonDeviceTest, RefusesPagesThatAreNoRam) {
  for (const std::uint32_t page : {static_cast<std::uint32_t>(Harness::kMemory / kPage), ~0U}) {
    harness_.start(kUsual);
    fill(kAnonymous, kPage);
    give_pages(BalloonDevice::kInflateQueue, {page});
    EXPECT_THAT(harness_.broken(), HasSubstr("a page put into the balloon"));
    EXPECT_TRUE(is_full(kAnonymous, kPage));
  }
}

TEST_F(BalloonDeviceTest, RefusesRequestsThatAreTooLarge) {
  harness_.start(kUsual);
  harness_.queue(0).offer_chain({{kNumbers, 4 * BalloonDevice::kMostPagesPerRequest + 4, false}});
  harness_.notify(0);
  EXPECT_THAT(harness_.broken(), HasSubstr("4100 bytes of page numbers"));
  harness_.start(kUsual);
  harness_.queue(0).offer_chain({{kNumbers, 5, false}});
  harness_.notify(0);
  EXPECT_THAT(harness_.broken(), HasSubstr("expected a multiple of 4"));
}

TEST_F(BalloonDeviceTest, GivesReportedPagesBack) {
  // Linux's number of the queue, and the specification's; without statistics Linux's is 2.
  for (const auto& [features, queue] : std::vector<std::pair<std::uint64_t, std::uint16_t>>{
           {kUsual, 3}, {kUsual, 4}, {Harness::kVersion1 | kReportingFeature, 2}}) {
    harness_.start(features);
    fill(kInFile, 4 * kPage);
    fill(kAnonymous, 4 * kPage);
    const std::uint64_t before = resident();
    // The part of a page at either end stays.
    harness_.queue(queue).offer_chain(
        {{kInFile, 2 * kPage, true}, {kAnonymous + 100, 3 * kPage, true}});
    harness_.notify(queue);
    EXPECT_EQ(harness_.wait_for_used(queue).length, 0U);
    EXPECT_TRUE(is_zero(kInFile, 2 * kPage));
    EXPECT_TRUE(is_full(kInFile + 2 * kPage, 2 * kPage));
    EXPECT_TRUE(is_full(kAnonymous, kPage));
    EXPECT_TRUE(is_zero(kAnonymous + kPage, 2 * kPage));
    EXPECT_TRUE(is_full(kAnonymous + 3 * kPage, kPage));
    EXPECT_LE(resident(), before);
  }
}

TEST_F(BalloonDeviceTest, KeepsReportedPagesThatAreToStayPoisoned) {
  harness_.negotiate(kUsual | kPoisonFeature);
  harness_.start(kUsual | kPoisonFeature);
  harness_.write(kPoison, 0xAAAA'AAAA);
  fill(kAnonymous, kPage);
  harness_.queue(3).offer_chain({{kAnonymous, kPage, true}});
  harness_.notify(3);
  EXPECT_EQ(harness_.wait_for_used(3).length, 0U);
  EXPECT_TRUE(is_full(kAnonymous, kPage));
  harness_.write(kPoison, 0);
  harness_.queue(3).offer_chain({{kAnonymous, kPage, true}});
  harness_.notify(3);
  EXPECT_TRUE(is_zero(kAnonymous, kPage));
}

TEST_F(BalloonDeviceTest, TellsTheTargetAndHearsTheSize) {
  harness_.start(kUsual);
  const std::uint64_t interrupts = harness_.interrupts();
  const std::uint32_t generation = harness_.read(Harness::kGeneration);
  balloon_->set_target(300);
  EXPECT_EQ(harness_.interrupts(), interrupts + 1);
  EXPECT_EQ(harness_.read(Harness::kInterruptStatus) & 2, 2U);
  EXPECT_NE(harness_.read(Harness::kGeneration), generation);
  EXPECT_EQ(harness_.read(kTarget), 300U);
  harness_.write(kActual, 299);
  EXPECT_EQ(balloon_->size(), 299U);
  EXPECT_EQ(harness_.read(kActual), 299U);
  harness_.write(kTarget, 7);
  EXPECT_EQ(harness_.read(kTarget), 300U) << "the target is not the driver's";
  balloon_->set_target(~std::uint64_t{0});
  EXPECT_EQ(harness_.read(kTarget), Harness::kMemory / kPage);
  harness_.start(kUsual);
  EXPECT_EQ(balloon_->size(), 0U);
  EXPECT_EQ(harness_.read(kTarget), Harness::kMemory / kPage);
}

TEST_F(BalloonDeviceTest, AsksForStatistics) {
  harness_.start(kUsual);
  balloon_->request_statistics();  // There is no buffer yet.
  tell_statistics({{4, 1000}, {5, 5000}, {99, 1}});
  const auto value = [&](Statistic which) {
    return balloon_->statistics().at(static_cast<std::size_t>(which));
  };
  EXPECT_EQ(value(Statistic::kFreeMemory), 1000U);
  EXPECT_EQ(value(Statistic::kTotalMemory), 5000U);
  EXPECT_EQ(value(Statistic::kAvailableMemory), std::nullopt);
  EXPECT_FALSE(harness_.queue(2).take_used()) << "the buffer waits with the device";
  balloon_->request_statistics();
  EXPECT_EQ(harness_.wait_for_used(2).length, 0U);
  balloon_->request_statistics();
  EXPECT_FALSE(harness_.queue(2).take_used());
  tell_statistics({{6, 700}});
  EXPECT_EQ(value(Statistic::kAvailableMemory), 700U);
  EXPECT_EQ(value(Statistic::kFreeMemory), std::nullopt);
  harness_.start(kUsual);
  EXPECT_EQ(value(Statistic::kAvailableMemory), std::nullopt);
}

TEST_F(BalloonDeviceTest, LetsOthersWorkBetweenLargeRequests) {
  harness_.start(kUsual);
  std::vector<std::uint32_t> pages(1024);
  for (std::uint32_t i = 0; i < pages.size(); ++i) {
    pages[i] = kAnonymous / kPage + i % 256;
  }
  harness_.memory().write(kNumbers, std::as_bytes(std::span(pages))).value();
  for (int i = 0; i < 3; ++i) {
    harness_.queue(0).offer_chain({{kNumbers, 4096, false}});
  }
  harness_.write(Harness::kQueueNotify, 0);
  bool others = false;
  harness_.loop().post([&] {
    others = true;
    EXPECT_EQ(harness_.queue(0).used_index(), 1) << "one request of 4 MiB in a turn";
  });
  harness_.run();
  EXPECT_TRUE(others);
  EXPECT_EQ(harness_.queue(0).used_index(), 3);
}

TEST_F(BalloonDeviceTest, PagesThatWaitAreTakenOnceAfterARestore) {
  harness_.start(kUsual);
  const std::vector<std::uint32_t> pages{kAnonymous / kPage, kAnonymous / kPage + 1};
  harness_.memory().write(kNumbers, std::as_bytes(std::span(pages))).value();
  fill(kAnonymous, 3 * kPage);
  harness_.queue(0).offer_chain({{kNumbers, 8, false}});
  harness_.write(Harness::kQueueNotify, 0);
  vmm::StateWriter writer;
  harness_.device().save(writer).value();
  harness_.write(Harness::kStatus, 0);
  harness_.run();
  EXPECT_TRUE(is_full(kAnonymous, 3 * kPage)) << "a reset forgets the notification";

  VirtioMmio* const transport =
      harness_.bus().attach(std::make_unique<BalloonDevice>(harness_.memory())).value();
  vmm::StateReader reader(writer.data());
  ASSERT_TRUE(transport->restore(reader, 0));
  EXPECT_EQ(harness_.wait_for_used(0).length, 0U);
  EXPECT_TRUE(is_zero(kAnonymous, 2 * kPage));
  EXPECT_TRUE(is_full(kAnonymous + 2 * kPage, kPage));
  fill(kAnonymous, 2 * kPage);
  harness_.run();
  EXPECT_TRUE(is_full(kAnonymous, 2 * kPage)) << "once";
  EXPECT_EQ(harness_.queue(0).used_index(), 1);
}

TEST_F(BalloonDeviceTest, SavesItsStateAndAsksAgainAfterARestore) {
  harness_.start(kUsual);
  balloon_->set_target(40);
  harness_.write(kActual, 39);
  tell_statistics({{4, 1000}});
  vmm::StateWriter writer;
  harness_.device().save(writer).value();
  const auto saved = writer.data();

  auto device = std::make_unique<BalloonDevice>(harness_.memory());
  BalloonDevice& other = *device;
  VirtioMmio* const transport = harness_.bus().attach(std::move(device)).value();
  vmm::StateReader reader(saved);
  ASSERT_TRUE(transport->restore(reader, 0));
  harness_.run();
  EXPECT_EQ(other.target(), 40U);
  EXPECT_EQ(other.size(), 39U);
  EXPECT_EQ(other.statistics()[4], 1000U) << "the buffer with the device counts as available";
}

}  // namespace
}  // namespace ensemble::device
