#include "device-model/virtio/input_device.h"

#include <gtest/gtest.h>
#include <linux/input-event-codes.h>

#include <cstring>
#include <optional>
#include <string>
#include <vector>

#include "virtio_harness.h"

namespace ensemble::device {

void PrintTo(const InputEvent& event, std::ostream* out) {
  *out << event.type << '/' << event.code << '=' << event.value;
}

namespace {

using Harness = VirtioHarness;
using Events = std::vector<InputEvent>;

constexpr InputEvent kEnd{EV_SYN, SYN_REPORT, 0};
constexpr InputEvent kDropped{EV_SYN, SYN_DROPPED, 0};

InputDescription description() {
  return {.name = "Test input",
          .serial = "serial-1",
          .bus = 0x19,
          .vendor = 1,
          .product = 2,
          .version = 0x100,
          .properties = {INPUT_PROP_DIRECT},
          .keys = {{.code = KEY_POWER, .name = "power"}, {.code = BTN_TOUCH, .name = {}}},
          .switches = {{.code = SW_DOCK, .name = "dock"}},
          .relative_axes = {REL_WHEEL},
          .absolute_axes = {{.code = ABS_X, .maximum = 99},
                            {.code = ABS_MT_SLOT, .maximum = 1},
                            {.code = ABS_MT_TRACKING_ID, .maximum = 65535},
                            {.code = ABS_MT_POSITION_X, .maximum = 99, .resolution = 17}}};
}

class InputDeviceTest : public testing::Test {
 protected:
  static constexpr std::uint64_t kSize = Harness::kConfiguration + 2;
  static constexpr std::uint64_t kAnswer = Harness::kConfiguration + 8;

  InputDeviceTest() {
    auto made = InputDevice::create(description()).value();
    device_ = made.get();
    harness_.attach(std::move(made));
  }

  // Gives the driver's queue `count` more buffers for events.
  void offer(int count) {
    for (int i = 0; i < count; ++i) {
      harness_.queue(0).offer_chain({{Harness::kData + 8 * offered_, 8, true}});
      offered_ = (offered_ + 1) % Harness::kQueueSize;
    }
    harness_.notify(0);
  }

  // What the device has sent since the last call.
  Events received() {
    Events events;
    while (const auto used = harness_.queue(0).take_used()) {
      EXPECT_EQ(used->length, 8U);
      InputEvent event;
      const std::string text = harness_.text(Harness::kData + 8 * used->head, 8);
      std::memcpy(&event, text.data(), sizeof event);
      events.push_back(event);
    }
    return events;
  }

  void report(const Events& events) {
    const auto done = device_->report(events);
    ASSERT_TRUE(done) << done.error().message();
    harness_.run();
  }

  std::string configuration(std::uint8_t select, std::uint8_t subselect) {
    const std::byte selects[] = {std::byte{select}, std::byte{subselect}};
    harness_.registers().write(kVirtioAddress + Harness::kConfiguration, selects);
    return configuration_bytes(kAnswer, configuration_bytes(kSize, 1)[0]);
  }

  std::string configuration_bytes(std::uint64_t offset, std::size_t size) {
    std::string bytes(size, '\xAA');
    for (char& byte : bytes) {
      harness_.registers().read(kVirtioAddress + offset++,
                                std::as_writable_bytes(std::span(&byte, 1)));
    }
    return bytes;
  }

  Harness harness_;
  InputDevice* device_ = nullptr;
  std::uint64_t offered_ = 0;
};

TEST_F(InputDeviceTest, TellsWhatItIs) {
  const auto text = [](std::initializer_list<int> bytes) {
    return std::string(bytes.begin(), bytes.end());
  };
  std::string key_bits(BTN_TOUCH / 8 + 1, '\0');
  key_bits[KEY_POWER / 8] = 1 << KEY_POWER % 8;
  key_bits[BTN_TOUCH / 8] = 1 << BTN_TOUCH % 8;
  std::string axis_bits(8, '\0');
  axis_bits[0] = 1;
  axis_bits[5] = static_cast<char>(1 << ABS_MT_SLOT % 8);
  axis_bits[6] = static_cast<char>(1 << ABS_MT_POSITION_X % 8);
  axis_bits[7] = static_cast<char>(1 << ABS_MT_TRACKING_ID % 8);
  const struct {
    std::uint8_t select, subselect;
    std::string answer;
  } cases[] = {
      {0, 0, ""},
      {1, 0, "Test input"},
      {1, 1, ""},
      {2, 0, "serial-1"},
      {3, 0, text({0x19, 0, 1, 0, 2, 0, 0, 1})},
      {0x10, 0, text({1 << INPUT_PROP_DIRECT})},
      {0x11, EV_SYN, ""},
      {0x11, EV_KEY, key_bits},
      {0x11, EV_SW, text({1 << SW_DOCK})},
      {0x11, EV_REL, text({0, 1})},
      {0x11, EV_ABS, axis_bits},
      {0x11, EV_LED, ""},
      {0x12, ABS_MT_POSITION_X,
       text({0, 0, 0, 0, 99, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 17, 0, 0, 0})},
      {0x12, ABS_Y, ""},
      {0x13, 0, ""},
      {0xFF, 0xFF, ""},
  };
  for (const auto& each : cases) {
    EXPECT_EQ(configuration(each.select, each.subselect), each.answer)
        << int{each.select} << '/' << int{each.subselect};
  }
}

TEST_F(InputDeviceTest, SendsReports) {
  harness_.start();
  offer(4);
  EXPECT_EQ(received(), Events());
  report({{EV_KEY, KEY_POWER, 1}});
  EXPECT_EQ(received(), (Events{{EV_KEY, KEY_POWER, 1}, kEnd}));
  report({{EV_REL, REL_WHEEL, -3}, {EV_SW, SW_DOCK, 1}});
  EXPECT_EQ(received(), (Events{{EV_REL, REL_WHEEL, -3}, {EV_SW, SW_DOCK, 1}}));
  offer(4);
  EXPECT_EQ(received(), Events{kEnd});
  EXPECT_GT(harness_.interrupts(), 0U);
}

TEST_F(InputDeviceTest, RefusesWhatItIsNot) {
  const struct {
    InputEvent event;
    const char* message;
  } cases[] = {
      {{EV_KEY, KEY_A, 1}, "'Test input' has no event of type 1 and code 30"},
      {{EV_KEY, KEY_POWER, 2}, "value 2 of key or switch 116 is out of range; it is 0 or 1"},
      {{EV_ABS, ABS_X, 100}, "value 100 of axis 0 is out of range; it is 0 to 99"},
      {{EV_ABS, ABS_MT_SLOT, -1}, "value -1 of axis 47 is out of range; it is 0 to 1"},
      {{EV_SYN, SYN_REPORT, 0}, "'Test input' has no event of type 0 and code 0"},
      {{EV_FF, 0x50, 1}, "'Test input' has no event of type 21 and code 80"},
  };
  harness_.start();
  offer(4);
  for (const auto& each : cases) {
    const Events events{{EV_KEY, KEY_POWER, 1}, each.event};
    const auto done = device_->report(events);
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().message(), each.message);
  }
  EXPECT_FALSE(device_->report(Events(InputDevice::kMostEventsPerReport + 1)));
  EXPECT_EQ(received(), Events());
  EXPECT_FALSE(device_->state().pressed(KEY_POWER));
}

TEST_F(InputDeviceTest, DropsWholeReportsAndThenTellsTheState) {
  harness_.start();
  offer(1);
  report({{EV_KEY, KEY_POWER, 1}});
  EXPECT_EQ(received(), (Events{{EV_KEY, KEY_POWER, 1}}));
  for (int i = 0; i < 2000; ++i) {
    report({{EV_REL, REL_WHEEL, 1}});
  }
  report({{EV_KEY, KEY_POWER, 0}, {EV_ABS, ABS_X, 7}});
  report(
      {{EV_ABS, ABS_MT_SLOT, 1}, {EV_ABS, ABS_MT_TRACKING_ID, 5}, {EV_ABS, ABS_MT_POSITION_X, 9}});
  Events events;
  while (true) {
    offer(8);
    const Events some = received();
    events.insert(events.end(), some.begin(), some.end());
    if (some.size() < 8) {
      break;
    }
  }
  EXPECT_EQ(events, (Events{kEnd,
                            kDropped,
                            {EV_KEY, KEY_POWER, 0},
                            {EV_KEY, BTN_TOUCH, 0},
                            {EV_SW, SW_DOCK, 0},
                            {EV_ABS, ABS_X, 7},
                            {EV_ABS, ABS_MT_SLOT, 0},
                            {EV_ABS, ABS_MT_TRACKING_ID, -1},
                            {EV_ABS, ABS_MT_SLOT, 1},
                            {EV_ABS, ABS_MT_TRACKING_ID, 5},
                            {EV_ABS, ABS_MT_POSITION_X, 9},
                            {EV_ABS, ABS_MT_SLOT, 1},
                            kEnd}));
}

TEST_F(InputDeviceTest, TellsADriverThatStartsWhatIsPressed) {
  report({{EV_KEY, KEY_POWER, 1}});
  report({{EV_REL, REL_WHEEL, 1}});
  harness_.start();
  offer(16);
  const Events events = received();
  ASSERT_GE(events.size(), 3U);
  EXPECT_EQ(events[0], kDropped);
  EXPECT_EQ(events[1], (InputEvent{EV_KEY, KEY_POWER, 1}));
  EXPECT_EQ(events.back(), kEnd);
}

TEST_F(InputDeviceTest, IsSilentAtRest) {
  report({{EV_KEY, KEY_POWER, 1}});
  report({{EV_KEY, KEY_POWER, 0}});
  harness_.start();
  offer(16);
  EXPECT_EQ(received(), Events());
  EXPECT_EQ(harness_.interrupts(), 0U);
}

TEST_F(InputDeviceTest, TakesWhatTheDriverSends) {
  harness_.start();
  harness_.queue(1).offer_chain({{Harness::kData, 8, false}});
  harness_.queue(1).offer_chain({{Harness::kData, 3, true}});
  harness_.notify(1);
  EXPECT_EQ(harness_.wait_for_used(1).length, 0U);
  EXPECT_EQ(harness_.wait_for_used(1).length, 0U);
}

TEST_F(InputDeviceTest, BreaksOnABufferThatIsTooSmall) {
  harness_.start();
  harness_.queue(0).offer_chain({{Harness::kData, 7, true}});
  harness_.notify(0);
  report({{EV_KEY, KEY_POWER, 1}});
  EXPECT_TRUE(harness_.needs_reset());
}

TEST_F(InputDeviceTest, SurvivesSaveAndRestore) {
  harness_.start();
  offer(1);
  report({{EV_KEY, KEY_POWER, 1}, {EV_ABS, ABS_MT_SLOT, 1}, {EV_ABS, ABS_MT_TRACKING_ID, 3}});
  EXPECT_EQ(received().size(), 1U);
  (void)configuration(0x11, EV_ABS);
  const auto state = vmm::save_state(harness_.bus().stateful_components()).value();

  auto made = InputDevice::create(description()).value();
  InputDevice* const other = made.get();
  VirtioMmio copy("virtio-input0", std::move(made), harness_.memory(), harness_.loop(),
                  std::make_unique<vmm::CountingInterruptLine>());
  vmm::Stateful* components[] = {&copy};
  const auto restored = vmm::restore_state(state, components);
  ASSERT_TRUE(restored) << restored.error().message();
  EXPECT_EQ(vmm::save_state(components).value(), state);
  EXPECT_TRUE(other->state().pressed(KEY_POWER));
  EXPECT_TRUE(other->state().touched(1));
  EXPECT_EQ(other->configuration(), device_->configuration());

  harness_.write(Harness::kStatus, 0);  // The rings are the copy's from here on.
  for (std::uint64_t i = 1; i < 8; ++i) {
    harness_.queue(0).offer_chain({{Harness::kData + 8 * i, 8, true}});
  }
  copy.device().queue_notified(0);
  EXPECT_EQ(received(), (Events{{EV_ABS, ABS_MT_SLOT, 1}, {EV_ABS, ABS_MT_TRACKING_ID, 3}, kEnd}));
}

TEST_F(InputDeviceTest, RefusesStateOfAnotherDevice) {
  report({{EV_SW, SW_DOCK, 1}});
  const auto state = vmm::save_state(harness_.bus().stateful_components()).value();
  InputDescription other = description();
  other.switches = {{.code = SW_LID, .name = "lid"}};
  VirtioMmio copy("virtio-input0", InputDevice::create(other).value(), harness_.memory(),
                  harness_.loop(), std::make_unique<vmm::CountingInterruptLine>());
  vmm::Stateful* components[] = {&copy};
  EXPECT_FALSE(vmm::restore_state(state, components));
}

TEST(InputDescription, IsChecked) {
  const struct {
    void (*spoil)(InputDescription&);
    const char* message;
  } cases[] = {
      {[](InputDescription& input) { input.name.assign(129, 'n'); },
       "the name has 129 bytes, but at most 128 can be told"},
      {[](InputDescription& input) { input.keys.push_back({.code = 0x300, .name = {}}); },
       "key 768 is out of range; the highest is 767"},
      {[](InputDescription& input) { input.keys.push_back(input.keys[0]); },
       "key 116 is given twice"},
      {[](InputDescription& input) { input.relative_axes = {16}; },
       "relative axis 16 is out of range; the highest is 15"},
      {[](InputDescription& input) { input.absolute_axes[0].minimum = 100; },
       "axis 0 goes from 100 to 99"},
      {[](InputDescription& input) { input.absolute_axes[1].maximum = 64; },
       "slots go from 0 to 64, but must go from 0 to at most 63"},
      {[](InputDescription& input) { input.absolute_axes.erase(input.absolute_axes.begin() + 1); },
       "axis 57 is of several contacts, but there are no slots for them"},
  };
  for (const auto& each : cases) {
    InputDescription input = description();
    each.spoil(input);
    const auto made = InputDevice::create(input);
    ASSERT_FALSE(made) << each.message;
    EXPECT_EQ(made.error().message(), each.message);
  }
}

}  // namespace
}  // namespace ensemble::device
