// The protocol ensemble.vmm.v1 against a real ensemble-vmm process. Lane P and lane S.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <chrono>

#include "control/ensemble/vmm/v1/vmm.pb.h"
#include "control/message_stream.h"
#include "control/vmm_child.h"
#include "tests/control/test_guests.h"

namespace ensemble::control {
namespace {

namespace proto = ensemble::vmm::v1;
using testing::HasSubstr;
using Clock = std::chrono::steady_clock;

bool wait_readable(int descriptor, Clock::time_point deadline) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now());
  pollfd polled{.fd = descriptor, .events = POLLIN, .revents = 0};
  return left.count() > 0 && ::poll(&polled, 1, static_cast<int>(left.count())) > 0;
}

class VmmProtocol : public testing::Test {
 protected:
  void SetUp() override {
    auto child = VmmChild::spawn({.executable = ENSEMBLE_TEST_VMM, .log_level = "off"});
    ASSERT_TRUE(child) << child.error().message();
    child_.emplace(std::move(*child));
  }

  // The next message; one without a body when the process has closed its socket or says nothing.
  proto::FromVmm receive() {
    const auto deadline = Clock::now() + std::chrono::seconds(20);
    for (;;) {
      proto::FromVmm message;
      const auto taken = reader_.take(message);
      if (!taken || *taken) {
        return message;
      }
      if (!wait_readable(child_->control(), deadline) ||
          reader_.fill(child_->control()).value() == MessageReader::Input::kEnd) {
        return {};
      }
    }
  }

  // Sends a request and waits for its reply; keeps the events that come before.
  proto::Reply ask(proto::Request request) {
    request.set_id(++last_id_);
    EXPECT_TRUE(write_message(child_->control(), request));
    for (;;) {
      const proto::FromVmm message = receive();
      if (message.has_event()) {
        events_.push_back(message.event());
      } else {
        EXPECT_EQ(message.reply().id(), last_id_);
        return message.reply();
      }
    }
  }

  proto::Event next_event() {
    if (!events_.empty()) {
      const proto::Event event = events_.front();
      events_.erase(events_.begin());
      return event;
    }
    return receive().event();
  }

  static proto::Request configure(const std::string& kernel) {
    proto::Request request;
    auto& configuration = *request.mutable_configure()->mutable_configuration();
    configuration.set_protocol_version(kProtocolVersion);
    configuration.set_name("probe");
    configuration.set_vcpus(1);
    configuration.set_memory_bytes(32 << 20);
    configuration.set_kernel(guest(kernel));
    proto::Device& serial = *configuration.add_devices();
    serial.set_name("serial");
    serial.set_address(0x3f8);
    serial.set_gsi(4);
    serial.mutable_serial_16550();
    proto::Device& control = *configuration.add_devices();
    control.set_name("machine-control");
    control.set_address(0xd000'0000);
    control.mutable_machine_control();
    return request;
  }

  static proto::Request start() {
    return with([](auto& request) { request.mutable_start(); });
  }
  static proto::Request pause() {
    return with([](auto& request) { request.mutable_pause(); });
  }
  static proto::Request resume() {
    return with([](auto& request) { request.mutable_resume(); });
  }
  static proto::Request stop() {
    return with([](auto& request) { request.mutable_stop(); });
  }

  proto::Status status() {
    return ask(with([](auto& request) { request.mutable_get_status(); })).status();
  }

  // Reads the console until it holds `text`.
  bool console_shows(const std::string& text) {
    const auto deadline = Clock::now() + std::chrono::seconds(20);
    std::array<char, 4096> chunk;
    while (console_.find(text) == std::string::npos) {
      if (!wait_readable(child_->console(), deadline)) {
        return false;
      }
      const ssize_t count = ::recv(child_->console(), chunk.data(), chunk.size(), 0);
      if (count <= 0) {
        return false;
      }
      console_.append(chunk.data(), static_cast<std::size_t>(count));
    }
    return true;
  }

  bool console_is_silent_for(std::chrono::milliseconds time) {
    return !wait_readable(child_->console(), Clock::now() + time);
  }

  void drain_console() {
    std::array<char, 65536> chunk;
    while (::recv(child_->console(), chunk.data(), chunk.size(), MSG_DONTWAIT) > 0) {
    }
  }

  template <typename Fill>
  static proto::Request with(Fill fill) {
    proto::Request request;
    fill(request);
    return request;
  }

  std::optional<VmmChild> child_;
  MessageReader reader_;
  std::uint64_t last_id_ = 0;
  std::vector<proto::Event> events_;
  std::string console_;
};

class VmmProtocolWithKvm : public VmmProtocol {
 protected:
  void SetUp() override {
    if (::access("/dev/kvm", R_OK | W_OK) != 0) {
      GTEST_SKIP() << "needs /dev/kvm";
    }
    VmmProtocol::SetUp();
  }
};

TEST_F(VmmProtocolWithKvm, RunsADeviceToItsEnd) {
  EXPECT_EQ(status().state(), proto::STATE_EMPTY);
  ASSERT_TRUE(ask(configure("hello")).has_done());
  const proto::Status configured = status();
  EXPECT_EQ(configured.state(), proto::STATE_PAUSED);
  EXPECT_EQ(configured.name(), "probe");
  EXPECT_EQ(configured.vcpus(), 1U);
  EXPECT_EQ(configured.memory_bytes(), 32U << 20);
  ASSERT_TRUE(ask(start()).has_done());
  EXPECT_TRUE(console_shows("hello from the guest\n"));
  EXPECT_EQ(next_event().state_changed(), proto::STATE_RUNNING);
  const proto::Event end = next_event();
  EXPECT_EQ(end.stopped().reason(), proto::STOP_REASON_POWER_OFF);
  EXPECT_EQ(end.stopped().exit_code(), 42U);
  EXPECT_EQ(child_->wait(), std::nullopt);
}

TEST_F(VmmProtocolWithKvm, PausesAndResumes) {
  ASSERT_TRUE(ask(configure("flood")).has_done());
  ASSERT_TRUE(ask(start()).has_done());
  ASSERT_TRUE(console_shows("0123456789abcdef"));
  ASSERT_TRUE(ask(pause()).has_done());
  EXPECT_EQ(status().state(), proto::STATE_PAUSED);
  while (!console_is_silent_for(std::chrono::milliseconds(200))) {
    drain_console();  // What was on its way.
  }
  ASSERT_TRUE(ask(resume()).has_done());
  EXPECT_EQ(status().state(), proto::STATE_RUNNING);
  console_.clear();
  EXPECT_TRUE(console_shows("0123456789abcdef"));
  ASSERT_TRUE(ask(stop()).has_done());
}

TEST_F(VmmProtocolWithKvm, StopsWhenAsked) {
  ASSERT_TRUE(ask(configure("loop")).has_done());
  ASSERT_TRUE(ask(start()).has_done());
  ASSERT_TRUE(console_shows("looping"));
  ASSERT_TRUE(ask(stop()).has_done());
  EXPECT_EQ(next_event().state_changed(), proto::STATE_RUNNING);
  EXPECT_EQ(next_event().stopped().reason(), proto::STOP_REASON_REQUESTED);
  EXPECT_EQ(child_->wait(), std::nullopt);
}

TEST_F(VmmProtocolWithKvm, StopsAGuestThatDoesNotHearItsPowerButton) {
  constexpr std::chrono::milliseconds kPatience{300};
  const auto stop_patiently = [&] {
    return with([&](auto& message) {
      message.mutable_stop()->set_patience_ms(static_cast<std::uint32_t>(kPatience.count()));
    });
  };
  const auto press = [&] {
    return ask(with([](auto& message) { message.mutable_press_power_button(); }));
  };
  EXPECT_THAT(press().failure().message(), HasSubstr("not configured"));
  proto::Request request = configure("loop");
  auto& control = *request.mutable_configure()->mutable_configuration()->mutable_devices(1);
  control.set_gsi(9);
  control.mutable_machine_control()->set_power_button(true);
  ASSERT_TRUE(ask(request).has_done());
  EXPECT_THAT(press().failure().message(), HasSubstr("does not run"));
  ASSERT_TRUE(ask(start()).has_done());
  ASSERT_TRUE(console_shows("looping"));
  EXPECT_TRUE(press().has_done());
  const auto asked = Clock::now();
  ASSERT_TRUE(ask(stop_patiently()).has_done());
  EXPECT_EQ(next_event().state_changed(), proto::STATE_RUNNING);
  EXPECT_EQ(next_event().stopped().reason(), proto::STOP_REASON_REQUESTED);
  EXPECT_GE(Clock::now() - asked, kPatience);
  EXPECT_EQ(child_->wait(), std::nullopt);
}

TEST_F(VmmProtocolWithKvm, HasNoPatienceWithoutAPowerButton) {
  ASSERT_TRUE(ask(configure("loop")).has_done());
  ASSERT_TRUE(ask(start()).has_done());
  ASSERT_TRUE(console_shows("looping"));
  EXPECT_THAT(
      ask(with([](auto& message) { message.mutable_press_power_button(); })).failure().message(),
      HasSubstr("has no power button"));
  ASSERT_TRUE(ask(with([](auto& message) {
                message.mutable_stop()->set_patience_ms(600'000);
              })).has_done());
  EXPECT_EQ(next_event().state_changed(), proto::STATE_RUNNING);
  EXPECT_EQ(next_event().stopped().reason(), proto::STOP_REASON_REQUESTED);
}

TEST_F(VmmProtocolWithKvm, StopsBeforeItStarted) {
  ASSERT_TRUE(ask(configure("loop")).has_done());
  ASSERT_TRUE(ask(stop()).has_done());
  EXPECT_EQ(next_event().stopped().reason(), proto::STOP_REASON_REQUESTED);
  EXPECT_EQ(child_->wait(), std::nullopt);
}

TEST_F(VmmProtocolWithKvm, EndsWithItsController) {
  ASSERT_TRUE(ask(configure("loop")).has_done());
  ASSERT_TRUE(ask(start()).has_done());
  EXPECT_EQ(child_->wait(), std::nullopt) << "closing the sockets ends the process";
}

TEST_F(VmmProtocolWithKvm, RefusesASecondConfigurationAndASecondStart) {
  ASSERT_TRUE(ask(configure("loop")).has_done());
  EXPECT_THAT(ask(configure("loop")).failure().message(), HasSubstr("already configured"));
  ASSERT_TRUE(ask(start()).has_done());
  EXPECT_TRUE(ask(start()).has_failure());
  EXPECT_EQ(status().state(), proto::STATE_RUNNING);
}

TEST_F(VmmProtocolWithKvm, ChecksWhereDevicesSit) {
  proto::Request request = configure("hello");
  auto& entropy = *request.mutable_configure()->mutable_configuration()->add_devices();
  entropy.set_name("virtio-entropy");
  entropy.set_address(0xd000'9000);
  entropy.set_gsi(16);
  entropy.mutable_virtio_entropy();
  EXPECT_THAT(ask(request).failure().message(),
              testing::AllOf(HasSubstr("virtio-entropy"), HasSubstr("0xd0009000")));
}

TEST_F(VmmProtocolWithKvm, SetsTheBalloonOfARunningDevice) {
  constexpr std::uint64_t kMebibyte = 1 << 20;
  const auto set = [&](std::uint64_t bytes) {
    return ask(with([&](auto& request) { request.mutable_set_balloon()->set_bytes(bytes); }));
  };
  const auto balloon = [&] {
    return ask(with([](auto& request) { request.mutable_get_measurements(); }))
        .measurements()
        .balloon();
  };
  EXPECT_THAT(set(0).failure().message(), HasSubstr("not configured"));
  proto::Request request = configure("loop");
  auto& device = *request.mutable_configure()->mutable_configuration()->add_devices();
  device.set_name("virtio-balloon");
  device.set_address(0xd000'1000);
  device.set_gsi(16);
  device.mutable_virtio_balloon()->set_target_bytes(33 * kMebibyte);
  EXPECT_THAT(ask(request).failure().message(), HasSubstr("larger than the device's memory"));
  device.mutable_virtio_balloon()->set_target_bytes(kMebibyte);
  ASSERT_TRUE(ask(request).has_done());
  EXPECT_EQ(balloon().target_bytes(), kMebibyte);
  ASSERT_TRUE(ask(start()).has_done());
  EXPECT_TRUE(set(5 * kMebibyte + 1).has_done());
  EXPECT_EQ(balloon().target_bytes(), 5 * kMebibyte);
  EXPECT_EQ(balloon().bytes(), 0U) << "this guest has no driver";
  EXPECT_FALSE(balloon().has_free_bytes());
  EXPECT_THAT(set(33 * kMebibyte).failure().message(),
              HasSubstr("larger than the device's memory"));
  // It outlasts a reset, which makes a new machine.
  ASSERT_TRUE(console_shows("looping"));
  console_.clear();
  ASSERT_TRUE(ask(with([](auto& message) { message.mutable_reset(); })).has_done());
  ASSERT_TRUE(console_shows("looping"));
  EXPECT_EQ(balloon().target_bytes(), 5 * kMebibyte);
}

TEST_F(VmmProtocolWithKvm, RefusesToSetABalloonThatIsNotThere) {
  ASSERT_TRUE(ask(configure("loop")).has_done());
  EXPECT_THAT(ask(with([](auto& request) { request.mutable_set_balloon(); })).failure().message(),
              HasSubstr("has no memory balloon"));
}

TEST_F(VmmProtocolWithKvm, MayBeConfiguredAgainAfterAFailure) {
  proto::Request request = configure("hello");
  request.mutable_configure()->mutable_configuration()->set_vcpus(9);
  EXPECT_TRUE(ask(request).has_failure());
  EXPECT_TRUE(ask(configure("hello")).has_done());
}

TEST_F(VmmProtocol, RefusesAnotherVersion) {
  proto::Request request = configure("hello");
  request.mutable_configure()->mutable_configuration()->set_protocol_version(99);
  EXPECT_THAT(ask(request).failure().message(), HasSubstr("version 99"));
}

TEST_F(VmmProtocol, RefusesToStartWithoutConfiguration) {
  EXPECT_THAT(ask(start()).failure().message(), HasSubstr("not configured"));
  EXPECT_THAT(ask(pause()).failure().message(), HasSubstr("not configured"));
}

TEST_F(VmmProtocol, RefusesAnEmptyRequest) {
  EXPECT_TRUE(ask({}).has_failure());
}

TEST_F(VmmProtocol, RefusesAManifestThatIsNone) {
  proto::Request request = configure("hello");
  request.mutable_configure()->mutable_configuration()->set_manifest("no device tree");
  EXPECT_TRUE(ask(request).has_failure());
}

TEST_F(VmmProtocol, EndsWhenTheControllerBreaksTheProtocol) {
  const std::string_view garbage("\xff\xff\xff\xff garbage");
  ASSERT_GT(::send(child_->control(), garbage.data(), garbage.size(), 0), 0);
  EXPECT_FALSE(receive().has_reply());
  EXPECT_THAT(child_->wait().value_or(""), HasSubstr("exit code 1"));
}

TEST(VmmProcess, RefusesToRunByHand) {
  const std::string command = std::string(ENSEMBLE_TEST_VMM) + " </dev/null 2>/dev/null 3<&- 4<&-";
  const int status = std::system(command.c_str());
  EXPECT_EQ(WEXITSTATUS(status), 125);
}

}  // namespace
}  // namespace ensemble::control
