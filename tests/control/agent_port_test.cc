// The port between a device's agent and the host, with a real device. Lane P.

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <chrono>
#include <cstdint>
#include <random>
#include <string>
#include <thread>

#include "tests/control/agent_device.h"
#include "tests/control/controller.h"
#include "tests/control/starved_process.h"

namespace ensemble::control {
namespace {

namespace proto = ensemble::vmm::v1;
using Clock = std::chrono::steady_clock;

#ifdef ENSEMBLE_SANITIZED
constexpr std::size_t kMuch = 16 << 20;
#else
constexpr std::size_t kMuch = 256 << 20;
#endif

class AgentPort : public AgentDevice {
 protected:
  void SetUp() override {
    boot({"/test/port"});
    expect_looked_at_alone(1);
  }

  // The program has looked at the port without a host so often: once in each start.
  void expect_looked_at_alone(int times) const {
    constexpr std::string_view kSaid = "alone: ok";
    const auto count = [&] {
      int found = 0;
      const std::string said = log();
      for (std::size_t at = 0; (at = said.find(kSaid, at)) != std::string::npos; ++at) {
        ++found;
      }
      return found;
    };
    const auto deadline = Clock::now() + kPatience;
    while (count() < times && Clock::now() < deadline) {
      ::poll(nullptr, 0, 5);
    }
    ASSERT_EQ(count(), times);
  }

  // A connection, once the device takes one, that begins with `command`.
  vmm::FileDescriptor connect(const std::string& command) const {
    auto socket = connect_to_agent(folder_);
    EXPECT_TRUE(socket) << socket.error().message();
    const timeval limit{.tv_sec = kPatience.count(), .tv_usec = 0};
    ::setsockopt(socket->get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    ::setsockopt(socket->get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    send(*socket, command + "\n");
    return std::move(*socket);
  }

  static void send(const vmm::FileDescriptor& socket, const std::string& bytes) {
    for (std::size_t done = 0; done < bytes.size();) {
      const ssize_t count =
          ::send(socket.get(), bytes.data() + done, bytes.size() - done, MSG_NOSIGNAL);
      ASSERT_GT(count, 0) << std::strerror(errno);
      done += static_cast<std::size_t>(count);
    }
  }

  static std::string receive(const vmm::FileDescriptor& socket, std::size_t size) {
    std::string bytes(size, '\0');
    const ssize_t count = ::recv(socket.get(), bytes.data(), size, MSG_WAITALL);
    bytes.resize(count < 0 ? 0 : static_cast<std::size_t>(count));
    return bytes;
  }

  static void print_rate(const char* what, Clock::time_point start) {
    const std::chrono::duration<double> time = Clock::now() - start;
    const double rate = static_cast<double>(kMuch) / 1e6 / time.count();
    std::cout << what << ": " << static_cast<int>(rate) << " MB/s\n";
    RecordProperty(what, static_cast<int>(rate));
  }
};

std::string random_text(std::size_t size) {
  std::minstd_rand random(7);
  std::string text(size, '\0');
  for (char& byte : text) {
    byte = static_cast<char>(random());
  }
  return text;
}

TEST_F(AgentPort, CarriesBytesBothWaysUnchanged) {
  const auto socket = connect("echo");
  const std::string text = random_text(3 << 20);
  std::jthread sender([&] { send(socket, text); });
  EXPECT_TRUE(receive(socket, text.size()) == text);
  sender.join();
  const auto start = Clock::now();
  constexpr int kTurns = 100;
  for (int i = 0; i < kTurns; ++i) {
    send(socket, "ping");
    ASSERT_EQ(receive(socket, 4), "ping");
  }
  const auto time = std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - start);
  std::cout << "there and back: " << time.count() / kTurns << " us\n";
}

TEST_F(AgentPort, ServesOneConnectionAfterTheOther) {
  for (int i = 0; i < 5; ++i) {
    const auto socket = connect("echo");
    // What is left unread on both sides must not reach the next one.
    send(socket, "hello" + std::string(100'000, '.'));
    EXPECT_EQ(receive(socket, 5), "hello");
  }
}

TEST_F(AgentPort, AProgramThatClosesItEndsTheConnection) {
  const auto first = connect("close");
  EXPECT_EQ(receive(first, 1), "");
  const auto second = connect("echo");
  send(second, "again");
  EXPECT_EQ(receive(second, 5), "again");
}

TEST_F(AgentPort, TheNextConnectionWaitsForTheLastToEnd) {
  auto first = connect("echo");
  send(first, "1");
  EXPECT_EQ(receive(first, 1), "1");
  const auto second = connect("echo");
  send(second, "2");
  EXPECT_FALSE(readable(second.get(), std::chrono::milliseconds(100)));
  first = {};
  EXPECT_EQ(receive(second, 1), "2");
}

#ifndef ENSEMBLE_SANITIZED  // The sanitizer of undefined behaviour needs descriptors.
TEST_F(AgentPort, WaitsWhileThereIsNoDescriptorForAConnection) {
  std::optional<StarvedProcess> starved(process_.id);
  const auto socket = connect("echo");
  EXPECT_LT(starved->loop_time_in(std::chrono::seconds(1)), std::chrono::milliseconds(100));
  EXPECT_EQ(controller_->state(), proto::STATE_RUNNING);
  starved.reset();
  send(socket, "1");
  EXPECT_EQ(receive(socket, 1), "1");
}
#endif

TEST_F(AgentPort, AHostThatDoesNotReadMakesTheProgramWait) {
  const auto socket = connect("source " + std::to_string(8 << 20));
  ::poll(nullptr, 0, 300);
  EXPECT_EQ(controller_->state(), proto::STATE_RUNNING);
  EXPECT_EQ(receive(socket, 8 << 20), std::string(8 << 20, 'x'));
}

TEST_F(AgentPort, OutlivesAReset) {
  const auto first = connect("echo");
  send(first, "1");
  EXPECT_EQ(receive(first, 1), "1");
  EXPECT_TRUE(controller_->ask([](auto& request) { request.mutable_reset(); }).has_done());
  EXPECT_EQ(receive(first, 1), "");
  expect_looked_at_alone(2);
  const auto second = connect("echo");
  send(second, "2");
  EXPECT_EQ(receive(second, 1), "2");
}

TEST_F(AgentPort, TakesMuchFast) {
  const auto socket = connect("sink " + std::to_string(kMuch));
  const std::string piece(1 << 20, 'x');
  const auto start = Clock::now();
  for (std::size_t sent = 0; sent < kMuch; sent += piece.size()) {
    send(socket, piece);
  }
  EXPECT_EQ(receive(socket, 6), "taken\n");
  print_rate("to the device", start);
}

TEST_F(AgentPort, GivesMuchFast) {
  const auto socket = connect("source " + std::to_string(kMuch));
  const auto start = Clock::now();
  std::size_t got = 0;
  while (got < kMuch) {
    const std::size_t size = receive(socket, 1 << 20).size();
    ASSERT_NE(size, 0U);
    got += size;
  }
  print_rate("from the device", start);
}

}  // namespace
}  // namespace ensemble::control
