#include "guest-kernel/linux/server/files/chip_client.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <string>
#include <vector>

#include "guest-kernel/lib/device_protocol.h"

namespace {

constexpr guest::Slot kControl = 3;
constexpr guest::Slot kDriver = 7;

guest::Status start_status = guest::Status::kOk;
int starts = 0;
int signals = 0;

}  // namespace

namespace guest {

Status call(Slot port, Message& message) {
  EXPECT_EQ(port, kControl);
  EXPECT_EQ(message[0], static_cast<std::uint64_t>(ControlRequest::kStartDriver));
  EXPECT_EQ(message[1], kDriver);
  ++starts;
  message[0] = static_cast<std::uint64_t>(start_status);
  return Status::kOk;
}

Status signal(Slot port) {
  EXPECT_EQ(port, kDriver);
  ++signals;
  return Status::kOk;
}

}  // namespace guest

namespace linux_server {
namespace {

class Question : public ChipQuestion {
 public:
  int error = -1;  // -1: no answer yet
  std::string text;

 private:
  void answered(int its_error, std::string_view its_text) override {
    error = its_error;
    text = its_text;
  }
};

class ChipClientTest : public testing::Test {
 protected:
  ChipClientTest() {
    start_status = guest::Status::kOk;
    starts = signals = 0;
  }

  // The driver's answer to what is asked now.
  void answer(std::string_view text, std::int32_t error = 0) {
    shared_.error = error;
    text.copy(shared_.text.data(), text.size());
    shared_.size = static_cast<std::uint32_t>(text.size());
    shared_.answered = shared_.asked.load();
    client_.look();
  }

  guest::ChipShared shared_{};
  guest::Resource resource_{
      guest::Role::kChip,     0, kDriver, reinterpret_cast<std::uint64_t>(&shared_),
      guest::kChipSharedSize, 0};
  ChipClient client_{resource_, kControl};
  Question first_;
  Question second_;
};

TEST_F(ChipClientTest, StartsTheDriverOnceAndAsksOneAfterTheOther) {
  EXPECT_EQ(client_.ask(first_, 11), 0);
  EXPECT_EQ(client_.ask(second_, 12), 0);
  EXPECT_EQ(starts, 1);
  EXPECT_EQ(signals, 1);
  EXPECT_EQ(shared_.channel, 11U);
  client_.look();
  EXPECT_EQ(first_.error, -1) << "nothing has been answered";
  answer("one");
  EXPECT_EQ(first_.error, 0);
  EXPECT_EQ(first_.text, "one");
  EXPECT_EQ(second_.error, -1);
  EXPECT_EQ(shared_.channel, 12U);
  EXPECT_EQ(signals, 2);
  answer("two");
  EXPECT_EQ(second_.text, "two");
  answer("three");  // to nobody
  EXPECT_EQ(second_.text, "two");
}

TEST_F(ChipClientTest, SaysWhatAChannelIsToBeSetTo) {
  EXPECT_EQ(client_.ask(first_, 11, "12.5"), 0);
  EXPECT_EQ(client_.ask(second_, 11), 0);
  EXPECT_EQ(std::string(shared_.input.data(), shared_.input_size), "12.5");
  answer("", EINVAL);
  EXPECT_EQ(first_.error, EINVAL);
  EXPECT_EQ(shared_.input_size, 0U) << "the next one reads";
  answer("25");
  EXPECT_EQ(second_.text, "25");
  EXPECT_EQ(client_.ask(first_, 11, std::string(shared_.input.size() + 1, '1')), EINVAL);
}

TEST_F(ChipClientTest, CountsEventsOnceItHasADriver) {
  shared_.events[1] = 3;
  EXPECT_EQ(client_.events(1), 0U);
  EXPECT_EQ(client_.ask(first_, 11), 0);
  EXPECT_EQ(client_.events(1), 3U);
  EXPECT_EQ(client_.events(0), 0U);
}

TEST_F(ChipClientTest, TheAnswerToAWithdrawnQuestionIsNobodys) {
  EXPECT_EQ(client_.ask(first_, 11), 0);
  EXPECT_EQ(client_.ask(second_, 12), 0);
  client_.withdraw(first_);
  EXPECT_EQ(signals, 1) << "the driver is asked one thing at a time";
  answer("one");
  EXPECT_EQ(first_.error, -1);
  EXPECT_EQ(second_.error, -1);
  EXPECT_EQ(shared_.channel, 12U);
  client_.withdraw(second_);
  client_.withdraw(second_);
  EXPECT_EQ(client_.ask(first_, 13), 0);
  EXPECT_EQ(client_.ask(second_, 14), 0);
  client_.withdraw(first_);
  answer("two");
  EXPECT_EQ(shared_.channel, 14U);
  answer("four");
  EXPECT_EQ(second_.text, "four");
  EXPECT_EQ(first_.error, -1);
}

TEST_F(ChipClientTest, WhatADriverClaimsIsBounded) {
  EXPECT_EQ(client_.ask(first_, 11), 0);
  shared_.size = ~0U;
  shared_.answered = shared_.asked.load();
  client_.look();
  EXPECT_EQ(first_.text.size(), shared_.text.size());
  for (const auto& [claimed, taken] :
       {std::pair{ENXIO, ENXIO}, std::pair{-1, EIO}, std::pair{1 << 20, EIO}}) {
    EXPECT_EQ(client_.ask(first_, 11), 0);
    answer("", claimed);
    EXPECT_EQ(first_.error, taken);
  }
}

TEST_F(ChipClientTest, AfterAQuestionTookTooLongTheComposerIsAskedForTheDriver) {
  EXPECT_EQ(client_.ask(first_, 11), 0);
  client_.give_up(first_);
  start_status = guest::Status::kBadState;
  EXPECT_EQ(client_.ask(first_, 11), EIO);
  EXPECT_EQ(client_.ask(second_, 12), EIO);
  EXPECT_EQ(starts, 3);
  start_status = guest::Status::kOk;
  EXPECT_EQ(client_.ask(second_, 12), 0);
  EXPECT_EQ(client_.ask(first_, 11), 0);
  EXPECT_EQ(starts, 4);
  answer("late");  // to nobody
  EXPECT_EQ(second_.error, -1);
  answer("two");
  EXPECT_EQ(second_.text, "two");
  EXPECT_EQ(shared_.channel, 11U);
}

TEST_F(ChipClientTest, WithoutADriverThereIsAnError) {
  start_status = guest::Status::kBadState;
  EXPECT_EQ(client_.ask(first_, 11), EIO);
  EXPECT_EQ(signals, 0);
  client_.withdraw(first_);
  start_status = guest::Status::kOk;
  EXPECT_EQ(client_.ask(first_, 11), 0);
  EXPECT_EQ(signals, 1);
}

}  // namespace
}  // namespace linux_server
