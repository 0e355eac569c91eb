#include "device-model/input_devices.h"

#include <gtest/gtest.h>
#include <linux/input-event-codes.h>

#include "device-model/profile_loader.h"

namespace ensemble::device {
namespace {

std::vector<InputDescription> inputs_of(const char* product) {
  return input_devices(load_profile(product, {ENSEMBLE_TEST_PROFILES_DIRECTORY}).value(), "one");
}

TEST(InputDevices, AreThoseOfTheProfile) {
  const struct {
    const char* product;
    std::vector<std::string> names;
  } cases[] = {
      {"phone", {"Ensemble Phone buttons", "Ensemble Phone touch screen"}},
      {"tablet",
       {"Ensemble Tablet buttons", "Ensemble Tablet touch screen",
        "Ensemble Tablet keyboard dock"}},
      {"watch", {"Ensemble Watch buttons", "Ensemble Watch touch screen", "Ensemble Watch crown"}},
  };
  for (const auto& each : cases) {
    std::vector<std::string> names;
    for (const InputDescription& input : inputs_of(each.product)) {
      EXPECT_TRUE(input.check()) << input.check().error().message();
      EXPECT_EQ(input.serial, "one");
      names.push_back(input.name);
    }
    EXPECT_EQ(names, each.names);
  }
}

TEST(InputDevices, TouchScreenHasTheSizeOfTheScreen) {
  const InputDescription touch = inputs_of("phone")[1];
  EXPECT_EQ(touch.properties, std::vector<std::uint16_t>{INPUT_PROP_DIRECT});
  ASSERT_NE(touch.axis(ABS_MT_POSITION_Y), nullptr);
  EXPECT_EQ(touch.axis(ABS_MT_POSITION_X)->maximum, 1079);
  EXPECT_EQ(touch.axis(ABS_MT_POSITION_Y)->maximum, 2399);
  EXPECT_EQ(touch.axis(ABS_Y)->maximum, 2399);
  EXPECT_EQ(touch.axis(ABS_MT_POSITION_X)->resolution, 17);  // 420 per inch.
  EXPECT_EQ(touch.axis(ABS_MT_SLOT)->maximum, 9);
  EXPECT_EQ(touch.axis(ABS_PRESSURE), nullptr);
}

TEST(InputDevices, OfAProductWithoutInputAreNone) {
  EXPECT_TRUE(input_devices(Profile{}, "").empty());
}

}  // namespace
}  // namespace ensemble::device
