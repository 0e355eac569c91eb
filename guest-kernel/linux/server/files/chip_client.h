#pragma once

#include <cstdint>
#include <string_view>

#include "guest-kernel/chips/chip.h"
#include "guest-kernel/lib/chip_protocol.h"
#include "guest-kernel/lib/start_info.h"

namespace linux_server {

// Who wants to know something of a chip. It is asked for at most once at a time.
class ChipQuestion {
 public:
  ChipQuestion() = default;
  ChipQuestion(const ChipQuestion&) = delete;
  ChipQuestion& operator=(const ChipQuestion&) = delete;

  // The driver's answer: an errno, or 0 and a text that is gone when this returns.
  virtual void answered(int error, std::string_view text) = 0;

 protected:
  ~ChipQuestion() = default;

 private:
  friend class ChipClient;

  std::uint32_t channel_ = 0;
  std::uint32_t input_size_ = 0;
  decltype(guest::ChipShared::input) input_{};
  ChipQuestion* next_ = nullptr;  // of those that wait for the same chip
};

// The server's end of a chip's driver, which is started by the first question. Questions are asked
// one after the other; the server never waits for an answer.
class ChipClient {
 public:
  // `control`: the composer's port, for ControlRequest. `chip` outlives this.
  ChipClient(const guest::Resource& chip, guest::Slot control)
      : resource_(&chip), control_(control) {}
  ChipClient(const ChipClient&) = delete;
  ChipClient& operator=(const ChipClient&) = delete;

  // Which chip, as the composer says.
  const guest::Resource& resource() const { return *resource_; }

  // Has `question` answered, at some time unless it is withdrawn. `input`: what the channel is to
  // be set to; empty: it is read. Returns 0, EIO if there is no driver, EINVAL for a text too long.
  int ask(ChipQuestion& question, std::uint32_t channel, std::string_view input = {});
  // How many events of a kind the driver has told of, since it was started first.
  std::uint32_t events(std::size_t kind) const {
    return shared_ == nullptr ? 0 : shared_->events[kind].load(std::memory_order_acquire);
  }
  // It gets no answer any more. One that was not asked may be withdrawn, too.
  void withdraw(ChipQuestion& question);
  // It waited too long. It is withdrawn; the next question is asked only if the composer says that
  // there still is a driver.
  void give_up(ChipQuestion& question);
  // The driver has signalled, or another's has.
  void look();

 private:
  bool start();
  void ask_next();

  const guest::Resource* resource_;
  guest::Slot control_;
  guest::ChipShared* shared_ = nullptr;  // null: the driver has not been started
  ChipQuestion* first_ = nullptr;  // the one that is being asked, while `is_asking_`, and others
  std::uint32_t asked_ = 0;        // requests
  bool is_asking_ = false;
  bool is_unsure_ = false;     // the driver may be gone
  bool is_withdrawn_ = false;  // what is being asked is nobody's question any more
};

}  // namespace linux_server
