#include "device-model/profile.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "device-model/profile_json.h"
#include "device-model/profile_loader.h"

namespace ensemble::device {
namespace {

const std::vector<std::filesystem::path> kBuiltIn = {ENSEMBLE_TEST_PROFILES_DIRECTORY};

Profile load(const std::string& name) {
  auto profile = load_profile(name, kBuiltIn);
  EXPECT_TRUE(profile) << profile.error().message();
  return profile.value_or(Profile{});
}

// "chip@address" of every chip.
std::set<std::string> placed_chips(const Profile& profile) {
  std::set<std::string> chips;
  for (const Chip* chip : profile.chips()) {
    chips.insert(fmt::format("{}@{:02x}", chip->model->name, chip->address));
  }
  return chips;
}

// What the product's sensors measure together.
std::set<std::string_view> measures(const Profile& profile) {
  std::set<std::string_view> all;
  for (const Chip& sensor : profile.sensors) {
    all.insert(sensor.model->measures.begin(), sensor.model->measures.end());
  }
  return all;
}

std::vector<std::string_view> buttons(const Profile& profile) {
  std::vector<std::string_view> names;
  for (const Button& button : profile.buttons) {
    names.push_back(button.name);
  }
  return names;
}

TEST(BuiltInProfile, Phone) {
  const Profile phone = load("phone");
  EXPECT_EQ(phone.name, "phone");
  EXPECT_EQ(phone.screen->width, 1080U);
  EXPECT_EQ(phone.screen->height, 2400U);
  EXPECT_EQ(phone.screen->shape, ScreenShape::kRectangle);
  EXPECT_EQ(phone.screen->density, 420U);
  EXPECT_EQ(phone.screen->minimum_refresh, 60U);
  EXPECT_EQ(phone.screen->maximum_refresh, 120U);
  EXPECT_EQ(phone.screen->width_millimetres(), 65U);
  EXPECT_EQ(phone.screen->height_millimetres(), 145U);
  EXPECT_EQ(phone.battery->capacity, 4'600'000U);
  EXPECT_EQ(phone.battery->energy, 17'800'000U);
  EXPECT_EQ(buttons(phone), (std::vector<std::string_view>{"power", "volume-up", "volume-down"}));
  EXPECT_TRUE(phone.touch);
  EXPECT_FALSE(phone.crown);
  EXPECT_FALSE(phone.keyboard_dock);
  EXPECT_TRUE(phone.gnss);
  EXPECT_EQ(phone.domains.isolation, Isolation::kIsolated);
  EXPECT_EQ(placed_chips(phone),
            (std::set<std::string>{"bmi160@68", "ak09912@0c", "stk3310@48", "bmp380@77",
                                   "max17047@36", "bq24190@6a", "drv2605l@5a"}));
  EXPECT_EQ(measures(phone),
            (std::set<std::string_view>{"acceleration", "angular-velocity", "magnetic-field",
                                        "pressure", "temperature", "illuminance", "proximity"}));
}

TEST(BuiltInProfile, Tablet) {
  const Profile tablet = load("tablet");
  EXPECT_EQ(tablet.screen->width, 2560U);
  EXPECT_EQ(tablet.screen->height, 1600U);
  EXPECT_EQ(tablet.screen->density, 276U);
  EXPECT_EQ(tablet.screen->minimum_refresh, 60U);
  EXPECT_EQ(tablet.screen->maximum_refresh, 60U);
  EXPECT_EQ(tablet.battery->capacity, 7'000'000U);
  EXPECT_EQ(tablet.battery->energy, 27'000'000U);
  EXPECT_TRUE(tablet.keyboard_dock);
  EXPECT_FALSE(tablet.gnss);
  EXPECT_FALSE(tablet.haptics);
  const auto chips = placed_chips(tablet);
  for (const char* chip : {"bmc150@10", "ak09912@0c", "ltr559@23", "max17047@36", "bq24190@6a"}) {
    EXPECT_TRUE(chips.contains(chip)) << chip;
  }
  for (const char* measure :
       {"acceleration", "angular-velocity", "magnetic-field", "illuminance"}) {
    EXPECT_TRUE(measures(tablet).contains(measure)) << measure;
  }
}

TEST(BuiltInProfile, Watch) {
  const Profile watch = load("watch");
  EXPECT_EQ(watch.screen->width, 450U);
  EXPECT_EQ(watch.screen->shape, ScreenShape::kRound);
  EXPECT_EQ(watch.screen->density, 320U);
  EXPECT_EQ(watch.screen->minimum_refresh, 1U);
  EXPECT_EQ(watch.screen->maximum_refresh, 60U);
  EXPECT_EQ(watch.battery->capacity, 306'000U);
  EXPECT_TRUE(watch.crown);
  EXPECT_EQ(buttons(watch), (std::vector<std::string_view>{"side"}));
  EXPECT_EQ(watch.domains.isolation, Isolation::kPacked);
  const auto chips = placed_chips(watch);
  for (const char* chip :
       {"lsm6dso@6b", "lps22hb@5c", "max30102@57", "ltr559@23", "max17047@36", "drv2605l@5a"}) {
    EXPECT_TRUE(chips.contains(chip)) << chip;
  }
  for (const char* measure : {"acceleration", "angular-velocity", "magnetic-field", "pressure",
                              "illuminance", "heart-rate"}) {
    EXPECT_TRUE(measures(watch).contains(measure)) << measure;
  }
}

TEST(ChipCatalogue, NamesAndBindingsAreUnique) {
  std::set<std::string_view> names;
  std::set<std::string_view> bindings;
  for (const ChipModel* const model : chip_catalogue()) {
    const ChipModel& chip = *model;
    EXPECT_TRUE(names.insert(chip.name).second) << chip.name;
    EXPECT_TRUE(bindings.insert(chip.compatible).second) << chip.compatible;
    EXPECT_FALSE(chip.addresses.empty()) << chip.name;
    EXPECT_EQ(chip.role == ChipRole::kSensor, !chip.measures.empty()) << chip.name;
    EXPECT_EQ(find_chip(chip.name), &chip);
  }
  EXPECT_EQ(find_chip("z80"), nullptr);
}

TEST(ProfileJson, HoldsEveryPart) {
  const auto watch = to_json(load("watch"));
  EXPECT_EQ(watch["name"], "watch");
  EXPECT_EQ(watch["memory_mib"], 256);
  EXPECT_EQ(watch["screen"]["shape"], "round");
  EXPECT_EQ(watch["screen"]["refresh_hz"]["min"], 1);
  EXPECT_EQ(watch["battery"]["capacity_mah"], 306);
  EXPECT_EQ(watch["battery"]["fuel_gauge"]["address"], 0x36);
  EXPECT_EQ(watch["input"]["crown"]["steps"], 24);
  EXPECT_EQ(watch["input"]["buttons"][0]["key_code"], 0x244);
  EXPECT_EQ(watch["sensors"].size(), 5U);
  EXPECT_EQ(watch["domains"]["isolation"], "packed");
  EXPECT_FALSE(watch.contains("gnss"));
  const auto phone = to_json(load("phone"));
  EXPECT_EQ(phone["gnss"]["rate_hz"], 1);
  EXPECT_EQ(phone["haptics"]["chip"], "drv2605l");
  EXPECT_EQ(phone["battery"]["charger"]["compatible"], "ti,bq24190");
  EXPECT_EQ(phone["buses"]["i2c0"]["clock_hz"], 400'000);
}

TEST(ProfileJson, ShowsDomainGroups) {
  const auto profile = parse_profile(
      "extends: phone\ndomains: {isolation: packed, groups: {io: [console, block]}}\n", "g.yaml",
      kBuiltIn);
  ASSERT_TRUE(profile) << profile.error().message();
  EXPECT_EQ(to_json(*profile)["domains"]["groups"]["io"][1], "block");
}

}  // namespace
}  // namespace ensemble::device
