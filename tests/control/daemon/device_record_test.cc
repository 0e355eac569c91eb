#include "control/daemon/device_record.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace ensemble::control {
namespace {

using testing::HasSubstr;

TEST(DeviceRecord, KnowsWhatAnIdIs) {
  for (const char* good : {"a", "phone-1", "x--y", "a1"}) {
    EXPECT_TRUE(is_device_id(good)) << good;
  }
  EXPECT_TRUE(is_device_id(std::string(63, 'a')));
  for (const char* bad : {"", "1a", "A", "a-", "-a", "a b", "a/b", "a_b", "\xc3\xa9"}) {
    EXPECT_FALSE(is_device_id(bad)) << bad;
  }
  EXPECT_FALSE(is_device_id(std::string(64, 'a')));
}

TEST(DeviceRecord, JudgesASpec) {
  v1::DeviceSpec spec;
  EXPECT_THAT(check_spec(spec).error().message(), HasSubstr("device.spec.profile"));
  spec.set_profile("phone");
  EXPECT_TRUE(check_spec(spec));
  spec.set_processors(1000);
  EXPECT_THAT(check_spec(spec).error().message(),
              HasSubstr("device.spec.processors is '1000', expected"));
  spec.set_processors(2);
  spec.set_memory_bytes(12345);
  EXPECT_THAT(check_spec(spec).error().message(), HasSubstr("a multiple of 2 MiB"));
  spec.set_memory_bytes(64 << 20);
  spec.set_disk("relative.img");
  EXPECT_THAT(check_spec(spec).error().message(), HasSubstr("device.spec.disk"));
  spec.clear_disk();
  spec.add_command(std::string(200'000, 'x'));
  EXPECT_THAT(check_spec(spec).error().message(), HasSubstr("at most 256 words"));
  spec.clear_command();
  (*spec.mutable_environment())["A=B"] = "c";
  EXPECT_THAT(check_spec(spec).error().message(), HasSubstr("device.spec.environment"));
}

TEST(DeviceRecord, JudgesLabels) {
  google::protobuf::Map<std::string, std::string> labels;
  labels["suite"] = "nightly-2.1";
  labels["example.org/owner"] = "";
  EXPECT_TRUE(check_labels(labels));
  labels["bad key"] = "x";
  EXPECT_EQ(check_labels(labels).error().code(), grpc::INVALID_ARGUMENT);
  labels.erase("bad key");
  labels["tier"] = "-x";
  EXPECT_THAT(check_labels(labels).error().message(), HasSubstr("device.labels[tier] is '-x'"));
}

TEST(DeviceRecord, MakesUidsThatDiffer) {
  const std::string uid = new_uid();
  EXPECT_EQ(uid.size(), 32U);
  EXPECT_NE(uid, new_uid());
}

}  // namespace
}  // namespace ensemble::control
