#include "device-model/virtio/input_controls.h"

#include <gtest/gtest.h>
#include <linux/input-event-codes.h>

#include <algorithm>

#include "device-model/input_devices.h"
#include "device-model/profile_loader.h"
#include "virtio_harness.h"

namespace ensemble::device {
namespace {

// The input devices of a product, on a bus and without a driver.
class Product {
 public:
  explicit Product(const char* name) {
    const Profile profile = load_profile(name, {ENSEMBLE_TEST_PROFILES_DIRECTORY}).value();
    for (const InputDescription& description : input_devices(profile, "test")) {
      auto device = InputDevice::create(description).value();
      devices.push_back(device.get());
      harness_.attach(std::move(device));
      controls.add(*devices.back());
    }
  }

  std::vector<InputDevice*> devices;
  InputControls controls;

 private:
  VirtioHarness harness_;
};

TEST(InputControls, SaysWhatIsWrong) {
  Product phone("phone");
  Product watch("watch");
  const struct {
    Result<void> done;
    const char* message;
  } cases[] = {
      {phone.controls.press("mute", true),
       "the device has no key 'mute'; it has power, volume-up, volume-down"},
      {phone.controls.press("", true),
       "the device has no key ''; it has power, volume-up, volume-down"},
      {phone.controls.touch(0, 1080, 0), "x 1080 is out of range; it is 0 to 1079"},
      {phone.controls.touch(0, 0, 4294967295), "y 4294967295 is out of range; it is 0 to 2399"},
      {phone.controls.touch(10, 0, 0), "contact 10 is out of range; it is 0 to 9"},
      {phone.controls.lift(0), "contact 0 does not touch the screen"},
      {phone.controls.rotate(1), "the device has no crown"},
      {phone.controls.set_switch("lid", true),
       "the device has no switch 'lid'; it has none at all"},
      {watch.controls.rotate(1001), "1001 detents are out of range; a turn has -1000 to 1000"},
  };
  for (const auto& each : cases) {
    ASSERT_FALSE(each.done) << each.message;
    EXPECT_EQ(each.done.error().message(), each.message);
  }
  for (const InputDevice* const device : phone.devices) {
    EXPECT_TRUE(device->state().at_rest());
  }
}

TEST(InputControls, PressesTouchesAndSwitches) {
  Product tablet("tablet");
  ASSERT_EQ(tablet.devices.size(), 3U);
  ASSERT_TRUE(tablet.controls.press("volume-up", true));
  EXPECT_TRUE(tablet.devices[0]->state().pressed(KEY_VOLUMEUP));
  ASSERT_TRUE(tablet.controls.press("volume-up", false));
  EXPECT_TRUE(tablet.devices[0]->state().at_rest());
  ASSERT_TRUE(tablet.controls.set_switch("dock", true));
  EXPECT_EQ(tablet.devices[2]->state().events(),
            (std::vector<InputEvent>{{EV_SW, SW_LID, 0}, {EV_SW, SW_DOCK, 1}}));

  const InputState& screen = tablet.devices[1]->state();
  ASSERT_TRUE(tablet.controls.touch(0, 2559, 1599));
  ASSERT_TRUE(tablet.controls.touch(1, 3, 4));
  EXPECT_TRUE(screen.touched(0) && screen.touched(1) && screen.pressed(BTN_TOUCH));
  ASSERT_TRUE(tablet.controls.touch(1, 5, 4));  // Moves.
  const auto events = screen.events();
  EXPECT_NE(std::ranges::find(events, InputEvent{EV_ABS, ABS_MT_POSITION_X, 2559}), events.end());
  EXPECT_NE(std::ranges::find(events, InputEvent{EV_ABS, ABS_MT_TRACKING_ID, 1}), events.end());
  EXPECT_NE(std::ranges::find(events, InputEvent{EV_ABS, ABS_MT_POSITION_X, 5}), events.end());
  EXPECT_NE(std::ranges::find(events, InputEvent{EV_ABS, ABS_X, 2559}), events.end());
  ASSERT_TRUE(tablet.controls.lift(0));
  EXPECT_TRUE(!screen.touched(0) && screen.touched(1) && screen.pressed(BTN_TOUCH));
  ASSERT_TRUE(tablet.controls.lift(1));
  EXPECT_TRUE(!screen.touched(1) && !screen.pressed(BTN_TOUCH));
}

}  // namespace
}  // namespace ensemble::device
