#include "device-model/virtio/entropy_device.h"

#include <gtest/gtest.h>

#include "virtio_harness.h"

namespace ensemble::device {
namespace {

using Harness = VirtioHarness;

TEST(EntropyDevice, FillsBuffers) {
  Harness harness(std::make_unique<EntropyDevice>());
  harness.start();
  harness.queue(0).offer_chain({{Harness::kData, 64, true}, {Harness::kData + 0x1000, 64, true}});
  harness.notify(0);
  EXPECT_EQ(harness.wait_for_used(0).length, 128U);
  const std::string zeroes(64, '\0');
  EXPECT_NE(harness.text(Harness::kData, 64), zeroes);
  EXPECT_NE(harness.text(Harness::kData + 0x1000, 64), zeroes);
  EXPECT_NE(harness.text(Harness::kData + 0x1000, 64), harness.text(Harness::kData, 64));
  EXPECT_EQ(harness.text(Harness::kData + 64, 64), zeroes);
}

TEST(EntropyDevice, GivesALimitedAmountPerRequest) {
  Harness harness(std::make_unique<EntropyDevice>());
  harness.start();
  harness.queue(0).offer_chain({{Harness::kData, 1 << 20, true}});
  harness.queue(0).offer_chain({{Harness::kData, 16, false}});
  harness.notify(0);
  EXPECT_EQ(harness.wait_for_used(0).length, EntropyDevice::kMostBytesPerRequest);
  EXPECT_EQ(harness.wait_for_used(0).length, 0U);
  EXPECT_EQ(harness.text(Harness::kData + 4096, 4096), std::string(4096, '\0'));
}

}  // namespace
}  // namespace ensemble::device
