#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "agent/loop.h"
#include "agent/port.h"
#include "agent/protocol.h"

namespace ensemble::agent {

// One request of the host that takes time. The agent deletes it once it is over.
class Conversation : public Watcher {
 public:
  Conversation(Port& port, std::uint32_t number) : port_(port), number_(number) {}

  std::uint32_t number() const { return number_; }
  bool is_over() const { return over_; }

  // A frame of the host's in it; not kCredit.
  virtual void take(const FrameHeader& header, std::string_view body) = 0;
  // There is credit, and room in the port: sends what waits for that.
  virtual void pump() {}
  // A part of what takes long and waits for nobody; called again while has_work().
  virtual void work() {}
  virtual bool has_work() const { return false; }
  // The process ended with this status of waitpid(2), if it is this one's.
  virtual void child_ended(int /*process*/, int /*status*/) {}
  // Nobody waits for the rest.
  virtual void cancel() { over_ = true; }
  void ready(int /*descriptor*/, std::uint32_t /*events*/) override {}

  void add_credit(std::uint32_t bytes) { credit_ += bytes; }

 protected:
  bool may_send() const { return credit_ != 0 && !port_.is_congested(); }
  bool is_congested() const { return port_.is_congested(); }
  std::uint64_t credit() const { return credit_; }
  void send(FrameType type, std::uint32_t detail, std::string_view body = {}) {
    port_.send(type, number_, detail, body);
  }
  // At most credit() bytes.
  void send_data(Channel channel, std::string_view bytes) {
    credit_ -= bytes.size();
    send(FrameType::kData, channel, bytes);
  }
  // The conversation is over.
  void finish(FrameType type, std::uint32_t detail, std::string_view body = {}) {
    send(type, detail, body);
    over_ = true;
  }
  // `what` could not be done to `path`, as errno says.
  void fail(const std::string& what, std::string_view path, int error);
  // What was asked for makes no sense (0), or is refused with an errno.
  void refuse(std::string_view sentence, int error = 0);

 private:
  Port& port_;
  const std::uint32_t number_;
  std::uint64_t credit_ = kFirstCredit;
  bool over_ = false;
};

}  // namespace ensemble::agent
