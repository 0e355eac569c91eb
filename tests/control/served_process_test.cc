// A served ensemble-vmm: controllers come and go, the device stays. Lane P and lane S.

#include "control/served_process.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <array>
#include <chrono>
#include <cstring>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>

#include "control/console_log.h"
#include "control/ensemble/vmm/v1/vmm.pb.h"
#include "tests/control/controller.h"
#include "tests/control/starved_process.h"
#include "tests/control/temporary_directory.h"
#include "tests/control/test_guests.h"

namespace ensemble::control {
namespace {

namespace proto = ensemble::vmm::v1;
using testing::HasSubstr;
using Clock = std::chrono::steady_clock;

class ServedProcess : public testing::Test {
 protected:
  void SetUp() override {
    auto process = start_served_process(
        {.executable = ENSEMBLE_TEST_VMM, .folder = folder_, .log_level = "warn"});
    ASSERT_TRUE(process) << process.error().message();
    process_ = std::move(*process);
  }

  void TearDown() override {
    if (process_.id > 0) {
      ::kill(process_.id, SIGKILL);
      ::waitpid(process_.id, nullptr, 0);
    }
  }

  static void configure(Controller& controller, const std::string& kernel) {
    const proto::Reply reply = controller.ask([&](proto::Request& request) {
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
    });
    EXPECT_TRUE(reply.has_done()) << reply.failure().message();
  }

  static void start(Controller& controller, const std::string& kernel) {
    configure(controller, kernel);
    EXPECT_TRUE(controller.ask([](auto& request) { request.mutable_start(); }).has_done());
  }

  // Waits for the process to end; its exit status, or none if it does not.
  std::optional<int> end() {
    if (!readable(process_.handle.get(), kPatience)) {
      return std::nullopt;
    }
    int status = 0;
    ::waitpid(process_.id, &status, 0);
    process_.id = -1;
    return status;
  }

  std::string read(const std::string& name) const {
    std::ifstream file(folder_ + name, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  // What the console's log holds, without the headers.
  std::string logged() const {
    const std::string bytes = read(kConsoleLogName);
    std::string text;
    for (std::size_t at = 0; at + sizeof(ConsoleLogHeader) <= bytes.size();) {
      ConsoleLogHeader header{};
      std::memcpy(&header, bytes.data() + at, sizeof header);
      EXPECT_EQ(header.size, ~header.check);
      text += bytes.substr(at + sizeof header, header.size);
      at += sizeof header + header.size;
    }
    return text;
  }

  // Whether the text comes to be in the console's log so often.
  bool log_shows(const std::string& text, int times = 1) const {
    const auto deadline = Clock::now() + kPatience;
    const auto count = [&] {
      int found = 0;
      const std::string log = logged();
      for (std::size_t at = 0; (at = log.find(text, at)) != std::string::npos; at += text.size()) {
        ++found;
      }
      return found;
    };
    while (count() < times) {
      if (Clock::now() > deadline) {
        return false;
      }
      ::poll(nullptr, 0, 10);
    }
    return true;
  }

  const TemporaryDirectory directory_;
  const std::string folder_ = directory_.path("");
  StartedProcess process_;
};

// Reads until the text ends with `end`, or nothing more comes.
std::string read_until(int socket, const std::string& end) {
  std::string text;
  std::array<char, 4096> chunk;
  while (!text.ends_with(end) && readable(socket, kPatience)) {
    const ssize_t got = ::recv(socket, chunk.data(), chunk.size(), 0);
    if (got <= 0) {
      break;
    }
    text.append(chunk.data(), static_cast<std::size_t>(got));
  }
  return text;
}

TEST_F(ServedProcess, OutlivesItsControllers) {
  {
    Controller first(folder_);
    start(first, "loop");
  }
  Controller second(folder_);
  EXPECT_EQ(second.state(), proto::STATE_RUNNING);
  EXPECT_TRUE(second.ask([](auto& request) { request.mutable_pause(); }).has_done());
  Controller third(folder_);
  EXPECT_EQ(third.state(), proto::STATE_PAUSED);
  EXPECT_TRUE(third.ask([](auto& request) { request.mutable_stop(); }).has_done());
  EXPECT_EQ(second.stopped().reason(), proto::STOP_REASON_REQUESTED);
  EXPECT_EQ(end(), 0);
}

TEST_F(ServedProcess, KeepsWhatItPrintedAndHowItStopped) {
  {
    Controller controller(folder_);
    start(controller, "hello");
  }
  EXPECT_EQ(end(), 0);
  proto::Stopped stopped;
  ASSERT_TRUE(stopped.ParseFromString(read(kStoppedName)));
  EXPECT_EQ(stopped.reason(), proto::STOP_REASON_POWER_OFF);
  EXPECT_THAT(logged(), HasSubstr("hello"));
}

TEST_F(ServedProcess, GivesItsConsoleToTheLastThatAsks) {
  Controller controller(folder_);
  start(controller, "echo");
  Controller first(folder_);
  EXPECT_TRUE(first.ask([](auto& request) { request.mutable_attach_console(); }).has_done());
  ASSERT_EQ(::send(first.socket(), "one", 3, 0), 3);
  EXPECT_THAT(read_until(first.socket(), "one"), HasSubstr("one"));

  Controller second(folder_);
  EXPECT_TRUE(second.ask([](auto& request) { request.mutable_attach_console(); }).has_done());
  ASSERT_EQ(::send(second.socket(), "two", 3, 0), 3);
  EXPECT_THAT(read_until(second.socket(), "two"), HasSubstr("two"));
  EXPECT_EQ(read_until(first.socket(), "two"), "");
  EXPECT_TRUE(log_shows("two"));
}

TEST_F(ServedProcess, NeverWaitsForWhoDoesNotReadItsConsole) {
  Controller viewer(folder_);
  EXPECT_TRUE(viewer.ask([](auto& request) { request.mutable_attach_console(); }).has_done());
  Controller controller(folder_);
  start(controller, "flood");
  const auto size = [&] { return read(kConsoleLogName).size(); };
  const auto deadline = Clock::now() + kPatience;
  while (size() < (1 << 20) && Clock::now() < deadline) {
    ::poll(nullptr, 0, 20);
  }
  EXPECT_GE(size(), 1 << 20);
  EXPECT_EQ(controller.state(), proto::STATE_RUNNING);
}

TEST_F(ServedProcess, ResetsWhenAskedTo) {
  Controller controller(folder_);
  start(controller, "echo");
  EXPECT_TRUE(log_shows("ready\n"));
  EXPECT_TRUE(controller.ask([](auto& request) { request.mutable_reset(); }).has_done());
  EXPECT_TRUE(log_shows("ready\n", 2));
  Controller viewer(folder_);
  EXPECT_TRUE(viewer.ask([](auto& request) { request.mutable_attach_console(); }).has_done());
  ASSERT_EQ(::send(viewer.socket(), "again", 5, 0), 5);
  EXPECT_THAT(read_until(viewer.socket(), "again"), HasSubstr("again"));
  EXPECT_EQ(controller.state(), proto::STATE_RUNNING);
}

TEST_F(ServedProcess, MeasuresAMachineThatRuns) {
  Controller controller(folder_);
  start(controller, "loop");
  const auto measure = [&] {
    return controller.ask([](auto& request) { request.mutable_get_measurements(); }).measurements();
  };
  const proto::Measurements first = measure();
  proto::Measurements second = measure();
  const auto deadline = Clock::now() + kPatience;
  while (second.process_time_ns() < first.process_time_ns() + 20'000'000 &&
         Clock::now() < deadline) {
    second = measure();
  }
  EXPECT_EQ(second.version(), 1U);
  EXPECT_GT(second.measured_at_ns(), first.measured_at_ns());
  EXPECT_GE(second.process_time_ns(), first.process_time_ns() + 20'000'000);
  ASSERT_EQ(second.processors_size(), 1);
  EXPECT_GT(second.processors(0).time_ns(), first.processors(0).time_ns());
  EXPECT_LE(second.processors(0).time_ns(), second.process_time_ns() + 1'000'000'000);
  EXPECT_GT(second.exits().at("port_write"), 0U);
  EXPECT_EQ(second.queues_size(), 0);
}

TEST_F(ServedProcess, ClosesAConnectionThatBreaksTheProtocolAndServesTheOthers) {
  Controller good(folder_);
  start(good, "loop");
  const Controller bad(folder_);
  ASSERT_EQ(::send(bad.socket(), "\xff\xff\xff\xff....", 8, 0), 8);
  ASSERT_TRUE(readable(bad.socket(), kPatience));
  char byte = 0;
  EXPECT_LE(::recv(bad.socket(), &byte, 1, 0), 0);
  EXPECT_EQ(good.state(), proto::STATE_RUNNING);
}

#ifndef ENSEMBLE_SANITIZED  // The sanitizer of undefined behaviour needs descriptors.
TEST_F(ServedProcess, WaitsWhileItHasNoDescriptorForAConnection) {
  Controller first(folder_);
  start(first, "halt");
  std::optional<StarvedProcess> starved(process_.id);
  Controller second(folder_);
  EXPECT_LT(starved->loop_time_in(std::chrono::seconds(1)), std::chrono::milliseconds(100));
  EXPECT_EQ(first.state(), proto::STATE_RUNNING);
  starved.reset();
  EXPECT_EQ(second.state(), proto::STATE_RUNNING);
}
#endif

TEST_F(ServedProcess, RefusesMoreConnectionsThanItHasRoomFor) {
  std::vector<Controller> controllers;
  for (int i = 0; i < 16; ++i) {
    controllers.emplace_back(folder_);
    EXPECT_EQ(controllers.back().state(), proto::STATE_EMPTY);
  }
  const Controller one_more(folder_);
  EXPECT_EQ(read_until(one_more.socket(), "."), "");
  EXPECT_EQ(controllers.front().state(), proto::STATE_EMPTY);
}

}  // namespace
}  // namespace ensemble::control
