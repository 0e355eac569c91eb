// The daemon's end of an agent's stream, with an agent that may do anything.

#include "control/daemon/agent_link.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <array>
#include <chrono>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "vmm/event_loop.h"

namespace ensemble::control {
namespace {

using agent::FrameHeader;
using agent::FrameType;
using testing::HasSubstr;

class AgentLinkTest : public testing::Test {
 protected:
  void SetUp() override {
    auto loop = vmm::EventLoop::create();
    ASSERT_TRUE(loop);
    loop_ = std::move(*loop);
    std::array<int, 2> ends{};
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
    agent_ = vmm::FileDescriptor(ends[1]);
    auto link = AgentLink::create(*loop_, vmm::FileDescriptor(ends[0]), [this](ApiError error) {
      closed_ = std::move(error);
      link_->give_up(*closed_);
      link_.reset();
    });
    ASSERT_TRUE(link) << link.error().message();
    link_ = std::move(*link);
    EXPECT_EQ(receive().type, FrameType::kHello);
  }

  // What one conversation was told.
  struct Heard {
    std::vector<FrameType> frames;
    std::string data;
    int writable = 0;
    std::optional<std::string> broken;
  };

  std::unique_ptr<AgentConversation> begin(FrameType type, Heard& heard) {
    auto begun = link_->begin(
        type, "body",
        {.frame =
             [&heard](const FrameHeader& header, std::string_view body) {
               heard.frames.push_back(header.type);
               heard.data += body;
             },
         .writable = [&heard] { ++heard.writable; },
         .broken = [&heard](const ApiError& error) { heard.broken = error.message(); }});
    EXPECT_TRUE(begun) << begun.error().message();
    return begun ? std::move(*begun) : nullptr;
  }

  void answer(FrameType type, std::uint32_t number, std::uint32_t detail, std::size_t size = 0,
              std::optional<std::uint32_t> claimed = {}) {
    const FrameHeader header{claimed.value_or(static_cast<std::uint32_t>(size)), type, number,
                             detail};
    std::string bytes(reinterpret_cast<const char*>(&header), sizeof header);
    bytes.append(size, 'x');
    for (std::size_t done = 0; done < bytes.size();) {
      const ssize_t count = ::send(agent_.get(), bytes.data() + done, bytes.size() - done,
                                   MSG_DONTWAIT | MSG_NOSIGNAL);
      if (count > 0) {
        done += static_cast<std::size_t>(count);
      } else if (!link_) {
        return;
      }
      run();
    }
    run();
  }

  void greet() { answer(FrameType::kHello, 0, agent::kVersion); }

  void run() {
    while (*loop_->run_once(std::chrono::milliseconds(0)) > 0) {
    }
  }

  // The next frame that the agent gets, without its body; all zeros: none.
  FrameHeader receive() {
    run();
    FrameHeader header{};
    if (::recv(agent_.get(), &header, 1, MSG_DONTWAIT | MSG_PEEK) != 1) {
      return {};
    }
    receive_all(reinterpret_cast<char*>(&header), sizeof header);
    std::string body(header.size, '\0');
    receive_all(body.data(), body.size());
    return header;
  }

  void receive_all(char* bytes, std::size_t size) {
    for (std::size_t done = 0; done < size;) {
      const ssize_t count = ::recv(agent_.get(), bytes + done, size - done, MSG_DONTWAIT);
      done += count > 0 ? static_cast<std::size_t>(count) : 0;
      run();
    }
  }

  std::unique_ptr<vmm::EventLoop> loop_;
  vmm::FileDescriptor agent_;
  std::unique_ptr<AgentLink> link_;
  std::optional<ApiError> closed_;
};

TEST_F(AgentLinkTest, TellsEachConversationItsFrames) {
  greet();
  Heard first;
  Heard second;
  const auto one = begin(FrameType::kRun, first);
  const auto two = begin(FrameType::kRun, second);
  const std::uint32_t number = receive().conversation;
  answer(FrameType::kData, number, agent::kStandardOutput, 5);
  answer(FrameType::kData, receive().conversation, agent::kStandardOutput, 7);
  answer(FrameType::kEnded, number, 0);
  answer(FrameType::kData, number, agent::kStandardOutput, 5);  // It is over.
  EXPECT_EQ(first.data.size(), 5U);
  EXPECT_EQ(first.frames.back(), FrameType::kEnded);
  EXPECT_EQ(second.data.size(), 7U);
  EXPECT_FALSE(closed_);
}

// One message of the socket, which the device takes as one.
TEST_F(AgentLinkTest, TellsOfACommandWithoutInputAtOnce) {
  greet();
  const auto one = link_->begin(FrameType::kRun, "body", {}, true);
  ASSERT_TRUE(one);
  std::array<char, 256> bytes{};
  const ssize_t count = ::recv(agent_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
  ASSERT_EQ(count, static_cast<ssize_t>(2 * sizeof(FrameHeader) + 4));
  FrameHeader end{};
  std::memcpy(&end, bytes.data() + sizeof(FrameHeader) + 4, sizeof end);
  EXPECT_EQ(end.type, FrameType::kEndOfData);
  EXPECT_EQ(end.detail, agent::kStandardInput);
  EXPECT_EQ(end.size, 0U);
}

TEST_F(AgentLinkTest, CancelsWhatIsDestroyedAndPassesOverItsRest) {
  greet();
  Heard heard;
  auto one = begin(FrameType::kPull, heard);
  const std::uint32_t number = receive().conversation;
  one.reset();
  const FrameHeader cancelled = receive();
  EXPECT_EQ(cancelled.type, FrameType::kCancel);
  EXPECT_EQ(cancelled.conversation, number);
  answer(FrameType::kData, number, agent::kContents, 5);
  EXPECT_TRUE(heard.frames.empty());
  EXPECT_FALSE(closed_);
}

TEST_F(AgentLinkTest, SendsNoMoreThanThereIsCreditAndRoomFor) {
  greet();
  Heard heard;
  const auto one = begin(FrameType::kRun, heard);
  const std::uint32_t number = receive().conversation;
  const std::string piece(agent::kLargestBody, 'y');
  std::size_t sent = 0;
  while (one->may_send()) {
    sent += one->send_data(agent::kStandardInput, piece);
  }
  EXPECT_LE(sent, agent::kFirstCredit);
  std::size_t received = 0;
  for (FrameHeader header; (header = receive()).type == FrameType::kData;) {
    received += header.size;
    run();
    while (one->may_send()) {
      sent += one->send_data(agent::kStandardInput, piece);
    }
  }
  EXPECT_EQ(received, agent::kFirstCredit);
  answer(FrameType::kCredit, number, 10);
  EXPECT_GE(heard.writable, 1);
  EXPECT_EQ(one->send_data(agent::kStandardInput, piece), 10U);
  EXPECT_FALSE(one->may_send());
}

TEST_F(AgentLinkTest, GivesCreditForWhatWasPassedOn) {
  greet();
  Heard heard;
  const auto one = begin(FrameType::kPull, heard);
  receive();
  one->passed_on(agent::kFirstCredit / 4 - 1);
  EXPECT_EQ(receive().size, 0U);
  one->passed_on(1);
  const FrameHeader credit = receive();
  EXPECT_EQ(credit.type, FrameType::kCredit);
  EXPECT_EQ(credit.detail, agent::kFirstCredit / 4);
}

TEST_F(AgentLinkTest, RefusesMoreThanACertainNumber) {
  greet();
  Heard heard;
  std::vector<std::unique_ptr<AgentConversation>> all;
  for (std::size_t i = 0; i < AgentLink::kMostConversations; ++i) {
    all.push_back(begin(FrameType::kRun, heard));
  }
  const auto more = link_->begin(FrameType::kRun, "", {});
  ASSERT_FALSE(more);
  EXPECT_EQ(more.error().code(), grpc::RESOURCE_EXHAUSTED);
  all.pop_back();
  EXPECT_TRUE(begin(FrameType::kRun, heard));
}

class HostileAgent : public AgentLinkTest {
 protected:
  void expect_closed(const Heard& heard, const char* text) {
    ASSERT_TRUE(closed_);
    EXPECT_EQ(closed_->code(), grpc::UNAVAILABLE);
    EXPECT_THAT(closed_->message(), HasSubstr(text));
    EXPECT_EQ(heard.broken, closed_->message());
  }
};

TEST_F(HostileAgent, MayNotSendMoreThanItHasCreditFor) {
  greet();
  Heard heard;
  const auto one = begin(FrameType::kRun, heard);
  const std::uint32_t number = receive().conversation;
  for (std::uint32_t i = 0; i < agent::kFirstCredit / agent::kLargestBody; ++i) {
    answer(FrameType::kData, number, agent::kStandardOutput, agent::kLargestBody);
  }
  EXPECT_FALSE(closed_);
  answer(FrameType::kData, number, agent::kStandardOutput, 1);
  expect_closed(heard, "more than it may");
  EXPECT_FALSE(one->may_send());
}

TEST_F(HostileAgent, MayNotSendFramesThatAreTooLarge) {
  greet();
  Heard heard;
  const auto one = begin(FrameType::kRun, heard);
  answer(FrameType::kData, receive().conversation, 0, 0, agent::kLargestBody + 1);
  expect_closed(heard, "too large");
}

TEST_F(HostileAgent, MustGreetFirst) {
  Heard heard;
  const auto one = begin(FrameType::kRun, heard);
  answer(FrameType::kStarted, receive().conversation, 2);
  expect_closed(heard, "greet");
}

TEST_F(HostileAgent, MustSpeakTheSameVersion) {
  Heard heard;
  const auto one = begin(FrameType::kRun, heard);
  answer(FrameType::kHello, 0, agent::kVersion + 1);
  expect_closed(heard, "version");
}

TEST_F(HostileAgent, MayGoAtAnyTime) {
  greet();
  Heard heard;
  const auto one = begin(FrameType::kRun, heard);
  const FrameHeader half{100, FrameType::kData, 1, 0};
  ASSERT_GT(::send(agent_.get(), &half, 7, 0), 0);
  agent_ = {};
  run();
  expect_closed(heard, "gone");
}

}  // namespace
}  // namespace ensemble::control
