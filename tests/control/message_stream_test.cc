#include "control/message_stream.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <thread>

#include "control/ensemble/vmm/v1/vmm.pb.h"
#include "vmm/file_descriptor.h"

namespace ensemble::control {
namespace {

namespace proto = ensemble::vmm::v1;
using Input = MessageReader::Input;

class MessageStream : public testing::Test {
 protected:
  void SetUp() override {
    std::array<int, 2> ends{};
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends.data()), 0);
    left_ = vmm::FileDescriptor(ends[0]);
    right_ = vmm::FileDescriptor(ends[1]);
  }

  static proto::Request configure_request(std::size_t manifest_size) {
    proto::Request request;
    request.set_id(7);
    auto& configuration = *request.mutable_configure()->mutable_configuration();
    configuration.set_name("watch");
    configuration.set_manifest(std::string(manifest_size, '\xd0'));
    return request;
  }

  vmm::FileDescriptor left_;
  vmm::FileDescriptor right_;
  MessageReader reader_;
};

TEST_F(MessageStream, CarriesMessagesLargerThanTheSocketBuffer) {
  const proto::Request sent = configure_request(3 << 20);
  std::thread writer([&] {
    EXPECT_TRUE(write_message(left_.get(), sent));
    EXPECT_TRUE(write_message(left_.get(), sent));
  });
  for (int received = 0; received < 2;) {
    proto::Request request;
    const auto taken = reader_.take(request);
    ASSERT_TRUE(taken) << taken.error().message();
    if (*taken) {
      ++received;
      EXPECT_EQ(request.SerializeAsString(), sent.SerializeAsString());
    } else {
      ASSERT_TRUE(reader_.fill(right_.get()));
    }
  }
  writer.join();
}

TEST_F(MessageStream, WaitsForEveryByteOfAMessage) {
  std::string bytes;
  {
    ASSERT_TRUE(write_message(left_.get(), configure_request(5)));
    std::array<char, 256> chunk;
    const ssize_t count = ::read(right_.get(), chunk.data(), chunk.size());
    ASSERT_GT(count, 0);
    bytes.assign(chunk.data(), static_cast<std::size_t>(count));
  }
  proto::Request request;
  for (std::size_t i = 0; i + 1 < bytes.size(); ++i) {
    reader_.append(std::string_view(&bytes[i], 1));
    EXPECT_EQ(reader_.take(request).value(), false) << i;
  }
  reader_.append(std::string_view(&bytes.back(), 1));
  EXPECT_EQ(reader_.take(request).value(), true);
  EXPECT_EQ(request.id(), 7U);
}

TEST_F(MessageStream, RefusesAnOversizedLength) {
  reader_.append(std::string_view("\xff\xff\xff\x7f", 4));
  proto::Request request;
  const auto taken = reader_.take(request);
  ASSERT_FALSE(taken);
  EXPECT_THAT(taken.error().message(), testing::HasSubstr("2147483647 bytes"));
}

TEST_F(MessageStream, RefusesBytesThatAreNoMessage) {
  reader_.append(std::string_view("\x03\0\0\0\xff\xff\xff", 7));
  proto::Request request;
  const auto taken = reader_.take(request);
  ASSERT_FALSE(taken);
  EXPECT_THAT(taken.error().message(), testing::HasSubstr("no ensemble.vmm.v1.Request"));
}

TEST_F(MessageStream, TellsSilenceFromTheEnd) {
  EXPECT_EQ(reader_.fill(right_.get()).value(), Input::kNothingYet);
  ::shutdown(left_.get(), SHUT_WR);
  EXPECT_EQ(reader_.fill(right_.get()).value(), Input::kEnd);
}

TEST_F(MessageStream, WritingToAClosedPeerIsAnError) {
  ::shutdown(right_.get(), SHUT_RDWR);
  const auto written = write_message(left_.get(), configure_request(1));
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().error_number(), EPIPE);
}

}  // namespace
}  // namespace ensemble::control
