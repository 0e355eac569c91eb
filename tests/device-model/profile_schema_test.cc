#include "device-model/profile_schema.h"

#include <gtest/gtest.h>

namespace ensemble::device {
namespace {

constexpr const char* kMinimal = "model: Test\ncpus: 2\nmemory: 64 MiB\n";
constexpr const char* kBus = "buses: {i2c0: {clock: 400 kHz}}\n";

Result<Profile> read(const std::string& text) {
  const auto document = parse_yaml(text, "p.yaml");
  return document ? read_profile(*document) : std::unexpected(document.error());
}

// The error of a minimal profile to which `more` is added (as its line 4).
std::string error_of(const std::string& more) {
  const auto profile = read(kMinimal + more);
  return profile ? "accepted" : profile.error().message();
}

TEST(ProfileSchema, AcceptsTheLeast) {
  const auto profile = read(kMinimal);
  ASSERT_TRUE(profile) << profile.error().message();
  EXPECT_EQ(profile->model, "Test");
  EXPECT_EQ(profile->cpus, 2U);
  EXPECT_EQ(profile->memory, 64ULL << 20);
  EXPECT_FALSE(profile->screen || profile->battery || profile->touch || profile->crown);
  EXPECT_TRUE(profile->chips().empty());
}

TEST(ProfileSchema, ReadsTheNetwork) {
  using enum NetworkChoice::Kind;
  EXPECT_EQ(read(kMinimal)->network, NetworkChoice{});
  for (const std::string text : {"none", "user", "tap:tap0", "tap:a.b-c_123456789"}) {
    const auto profile = read(kMinimal + ("network: " + text + "\n"));
    ASSERT_TRUE(profile) << profile.error().message();
    EXPECT_EQ(to_string(profile->network), text);
  }
}

TEST(ProfileSchema, UnknownKeysGetAHint) {
  EXPECT_EQ(error_of("screeen: {}\n"),
            "p.yaml:4:1: unknown key in the profile 'screeen'; did you mean 'screen'? Expected one "
            "of: model, abstract, cpus, memory, screen, battery, input, buses, sensors, haptics, "
            "gnss, network, domains");
  EXPECT_EQ(
      error_of("screen:\n  width: 10 px\n  xyzzyplugh: 5\n"),
      "p.yaml:6:3: unknown key in screen 'xyzzyplugh'; expected one of: width, height, shape, "
      "density, refresh");
  EXPECT_NE(error_of("input: {button: [power]}\n").find("did you mean 'buttons'?"),
            std::string::npos);
}

struct BadInput {
  const char* text;
  const char* message;
};

class BadProfile : public testing::TestWithParam<BadInput> {};

TEST_P(BadProfile, IsRejectedByName) {
  EXPECT_EQ(error_of(GetParam().text), GetParam().message);
}

INSTANTIATE_TEST_SUITE_P(
    Sections, BadProfile,
    testing::Values(
        BadInput{"screen: 5\n",
                 "p.yaml:4:9: expected screen to be a mapping with the keys width, height, shape, "
                 "density, refresh, but found a single value"},
        BadInput{"screen: {width: 100 px}\n", "p.yaml:4:9: screen lacks the key 'height'"},
        BadInput{"screen: {width: 100 dpi, height: 1 px, density: 1 dpi, refresh: 1 Hz}\n",
                 "p.yaml:4:17: expected a number of pixels in px, such as '1080 px', but found "
                 "'100 dpi'"},
        BadInput{"screen: {width: [100], height: 1 px, density: 1 dpi, refresh: 1 Hz}\n",
                 "p.yaml:4:17: expected a number of pixels, such as '1080 px', but found a list"},
        BadInput{"screen: {width: 20000 px, height: 99 px, density: 99 dpi, refresh: 1 Hz}\n",
                 "p.yaml:4:17: '20000 px' is out of range; expected 16 px to 16384 px"},
        BadInput{"screen: {width: 99 px, height: 98 px, shape: round, density: 99 dpi, refresh: 1 "
                 "Hz}\n",
                 "p.yaml:4:9: a round screen is as wide as high, but this one is 99 px by 98 px"},
        BadInput{"screen: {width: 99 px, height: 98 px, shape: rond, density: 99 dpi, refresh: 1 "
                 "Hz}\n",
                 "p.yaml:4:46: unknown shape 'rond'; did you mean 'round'? Expected one of: "
                 "rectangle, round"},
        BadInput{"screen: {width: 99 px, height: 98 px, density: 99 dpi, refresh: 90-60 Hz}\n",
                 "p.yaml:4:65: the range '90-60 Hz' starts above its end"},
        BadInput{"battery: {capacity: 4600 mAh, energy: 178 Wh, voltage: 3-4.4 V}\n",
                 "p.yaml:4:39: energy and capacity do not fit together: 178 Wh from 4600 mAh is "
                 "38.70 V, but the battery's voltage is 3.00 V to 4.40 V"},
        BadInput{"battery: {capacity: 27 Wh, energy: 27 Wh, voltage: 3-4.4 V}\n",
                 "p.yaml:4:21: expected an electric charge in mAh or Ah, such as '4600 mAh', but "
                 "found '27 Wh'"},
        BadInput{"input: {buttons: [power, power]}\n",
                 "p.yaml:4:26: button 'power' is given twice"},
        BadInput{"input: {buttons: power}\n", "p.yaml:4:18: expected a list of buttons"},
        BadInput{"input: {touch: {contacts: 0}}\n",
                 "p.yaml:4:27: expected a whole number from 1 to 32, but found '0'"},
        BadInput{"input: {touch: {contacts: 5}}\n",
                 "p.yaml:4:16: a touch panel needs a screen, but the profile has none"},
        BadInput{"input: {keyboard-dock: yes}\n",
                 "p.yaml:4:24: unknown value 'yes'; expected one of: true, false"},
        BadInput{"network: usr\n",
                 "p.yaml:4:10: unknown network 'usr'; expected one of: none, user, tap:NAME"},
        BadInput{"network: \"tap:\"\n",
                 "p.yaml:4:10: '' is no name of a network interface; expected 1 to 15 letters, "
                 "digits, hyphens, underscores and dots"},
        BadInput{"network: [user]\n",
                 "p.yaml:4:10: expected one of: none, user, tap:NAME, but found a list"},
        BadInput{"gnss: {rate: 100 Hz}\n",
                 "p.yaml:4:14: '100 Hz' is out of range; expected 1 Hz to 50 Hz"},
        BadInput{"buses: [i2c0]\n", "p.yaml:4:8: expected a mapping of names to buses"},
        BadInput{"buses: {I2C: {clock: 400 kHz}}\n",
                 "p.yaml:4:9: 'I2C' is not a name; expected at most 31 lower-case letters, digits "
                 "and hyphens, a letter first"},
        BadInput{"domains: {isolation: none}\n",
                 "p.yaml:4:22: unknown isolation 'none'; expected one of: packed, isolated"},
        BadInput{"domains: {isolation: packed, groups: {a: [x, y], b: [z, x]}}\n",
                 "p.yaml:4:57: service 'x' is already in group 'a'"},
        BadInput{"domains: {isolation: packed, groups: {a: x}}\n",
                 "p.yaml:4:42: expected a list of services"},
        BadInput{"domains: {isolation: packed, groups: {a: [X]}}\n",
                 "p.yaml:4:43: 'X' is not a name; expected at most 31 lower-case letters, digits "
                 "and hyphens, a letter first"}));

TEST(ProfileSchema, ChecksCpusAndMemory) {
  const auto error = [](const char* cpus, const char* memory) {
    const auto profile =
        read(std::string("model: T\ncpus: ") + cpus + "\nmemory: " + memory + "\n");
    return profile ? "accepted" : profile.error().message();
  };
  EXPECT_EQ(error("1", "16 MiB"), "accepted");
  EXPECT_EQ(error("8", "32 GiB"), "accepted");
  EXPECT_EQ(error("0", "1 GiB"), "p.yaml:2:7: expected a whole number from 1 to 8, but found '0'");
  EXPECT_EQ(error("9", "1 GiB"), "p.yaml:2:7: expected a whole number from 1 to 8, but found '9'");
  EXPECT_EQ(error("two", "1 GiB"),
            "p.yaml:2:7: expected a whole number from 1 to 8, but found 'two'");
  EXPECT_EQ(error("1", "8 MiB"), "p.yaml:3:9: '8 MiB' is out of range; expected 16 MiB to 32 GiB");
  EXPECT_EQ(error("1", "33 GiB"),
            "p.yaml:3:9: '33 GiB' is out of range; expected 16 MiB to 32 GiB");
  EXPECT_EQ(error("1", "17 MiB"), "p.yaml:3:9: '17 MiB' is not a multiple of 2 MiB");
  EXPECT_EQ(error("1", "1024"),
            "p.yaml:3:9: expected an amount of memory in KiB or MiB or GiB, such as '512 MiB', but "
            "found '1024'");
}

TEST(ProfileSchema, ChecksModelAndMissingKeys) {
  EXPECT_EQ(read("cpus: 1\nmemory: 1 GiB\n").error().message(),
            "p.yaml:1:1: the profile lacks the key 'model'");
  EXPECT_NE(read("model: " + std::string(200, 'x') + "\ncpus: 1\nmemory: 1 GiB\n")
                .error()
                .message()
                .find("text longer than 128 bytes"),
            std::string::npos);
  EXPECT_NE(read("- a\n").error().message().find("but found a list"), std::string::npos);
}

std::string chip_error(const std::string& sensors) {
  return error_of(kBus + sensors);
}

// The chips of the catalogue that are `wanted`, as messages list them.
template <typename Predicate>
std::string names_of_chips(Predicate wanted) {
  std::string names;
  for (const ChipModel* model : chip_catalogue()) {
    if (wanted(*model)) {
      names += (names.empty() ? "" : ", ") + std::string(model->name);
    }
  }
  EXPECT_NE(names.find("ak09912, bmc150, bmi160"), std::string::npos);
  return names;
}

TEST(ProfileSchema, ChecksChips) {
  EXPECT_EQ(chip_error("sensors:\n  a: {chip: bmi160, bus: i2c0, address: 0x68}\n"), "accepted");
  EXPECT_EQ(chip_error("sensors:\n  a: {chip: bmi161, bus: i2c0, address: 0x68}\n"),
            "p.yaml:6:13: unknown chip 'bmi161'; did you mean 'bmi160'? Expected one of: " +
                names_of_chips([](const ChipModel&) { return true; }));
  EXPECT_EQ(chip_error("sensors:\n  a: {chip: max17047, bus: i2c0, address: 0x36}\n"),
            "p.yaml:6:13: chip 'max17047' is a fuel gauge; expected a sensor: " +
                names_of_chips([](const ChipModel& model) { return !model.measures.empty(); }));
  EXPECT_EQ(chip_error("haptics: {chip: bq24190, bus: i2c0, address: 0x6a}\n"),
            "p.yaml:5:17: chip 'bq24190' is a charger; expected a haptics driver: drv2605l");
  EXPECT_EQ(chip_error("sensors:\n  a: {chip: bmi160, bus: i2c0, address: 0x50}\n"),
            "p.yaml:6:41: chip 'bmi160' cannot be at 0x50; expected one of: 0x68, 0x69");
  EXPECT_EQ(chip_error("sensors:\n  a: {chip: bmi160, bus: i2c0, address: 0x80}\n"),
            "p.yaml:6:41: expected a whole number from 8 to 119, but found '0x80'");
  EXPECT_EQ(chip_error("sensors:\n  a: {chip: bmi160, bus: i2c1, address: 0x68}\n"),
            "p.yaml:6:26: unknown bus 'i2c1'; did you mean 'i2c0'? Expected one of: i2c0");
  EXPECT_EQ(chip_error("sensors:\n  a: {chip: bmi160, bus: i2c0, address: 0x68}\n"
                       "  a: {chip: bmi160, bus: i2c0, address: 0x69}\n"),
            "p.yaml:7:3: key 'a' is given twice; first on line 6");
}

TEST(ProfileSchema, AddressesAreUsedOnce) {
  EXPECT_EQ(chip_error("sensors:\n  a: {chip: lsm6dso, bus: i2c0, address: 0x6a}\n"
                       "battery:\n  capacity: 1000 mAh\n  energy: 3.8 Wh\n  voltage: 3-4.2 V\n"
                       "  charger: {chip: bq24190, bus: i2c0, address: 106}\n"),
            "p.yaml:11:48: address 0x6a on bus 'i2c0' is used twice: by 'a' (p.yaml:6:42) and by "
            "'charger'");
  EXPECT_EQ(error_of("buses: {one: {clock: 100 kHz}, two: {clock: 1 MHz}}\nsensors:\n"
                     "  a: {chip: bmi160, bus: one, address: 0x68}\n"
                     "  b: {chip: bmi160, bus: two, address: 0x68}\n"),
            "accepted");
}

}  // namespace
}  // namespace ensemble::device
