#pragma once

#include <gtest/gtest.h>
#include <poll.h>

#include <chrono>
#include <cstdint>
#include <string>

#include "control/ensemble/vmm/v1/vmm.pb.h"
#include "control/message_stream.h"
#include "control/served_process.h"
#include "vmm/file_descriptor.h"

namespace ensemble::control {

// How long tests wait for what is to happen.
inline constexpr std::chrono::seconds kPatience{20};

inline bool readable(int descriptor, std::chrono::milliseconds limit) {
  pollfd polled{.fd = descriptor, .events = POLLIN, .revents = 0};
  return ::poll(&polled, 1, static_cast<int>(limit.count())) > 0;
}

// A controller's end of a connection.
class Controller {
 public:
  explicit Controller(const std::string& folder) {
    auto socket = connect_to_process(folder);
    EXPECT_TRUE(socket) << socket.error().message();
    if (socket) {
      socket_ = std::move(*socket);
    }
  }

  int socket() const { return socket_.get(); }

  // The next message; one without a body when the process has closed the socket or is silent.
  ensemble::vmm::v1::FromVmm receive() {
    for (;;) {
      ensemble::vmm::v1::FromVmm message;
      const auto taken = reader_.take(message);
      if (!taken || *taken) {
        return message;
      }
      if (!readable(socket_.get(), kPatience) ||
          reader_.fill(socket_.get()).value() == MessageReader::Input::kEnd) {
        return {};
      }
    }
  }

  // Sends a request and waits for its reply. Events that come before are passed over.
  template <typename Set>
  ensemble::vmm::v1::Reply ask(Set&& set) {
    ensemble::vmm::v1::Request request;
    request.set_id(++last_id_);
    set(request);
    EXPECT_TRUE(write_message(socket_.get(), request));
    for (;;) {
      const ensemble::vmm::v1::FromVmm message = receive();
      if (!message.has_event()) {
        EXPECT_EQ(message.reply().id(), last_id_);
        return message.reply();
      }
    }
  }

  ensemble::vmm::v1::Stopped stopped() {
    for (;;) {
      const ensemble::vmm::v1::FromVmm message = receive();
      if (message.body_case() == ensemble::vmm::v1::FromVmm::BODY_NOT_SET ||
          message.event().has_stopped()) {
        return message.event().stopped();
      }
    }
  }

  ensemble::vmm::v1::State state() {
    return ask([](auto& request) { request.mutable_get_status(); }).status().state();
  }

 private:
  vmm::FileDescriptor socket_;
  MessageReader reader_;
  std::uint64_t last_id_ = 0;
};

}  // namespace ensemble::control
