#include "guest-kernel/linux/server/files/chip_client.h"

#include <asm/errno.h>

#include <algorithm>

#include "guest-kernel/lib/device_protocol.h"
#include "guest-kernel/lib/system_call.h"

namespace linux_server {

bool ChipClient::start() {
  if (shared_ == nullptr || is_unsure_) {
    guest::Message message{
        {static_cast<std::uint64_t>(guest::ControlRequest::kStartDriver), resource_->slot}};
    if (guest::call(control_, message) != guest::Status::kOk ||
        message[0] != static_cast<std::uint64_t>(guest::Status::kOk) ||
        resource_->size < guest::kChipSharedSize) {
      return false;
    }
    shared_ = reinterpret_cast<guest::ChipShared*>(resource_->address);
    is_unsure_ = false;
  }
  return true;
}

int ChipClient::ask(ChipQuestion& question, std::uint32_t channel, std::string_view input) {
  if (input.size() > question.input_.size()) {
    return EINVAL;
  }
  if (!start()) {
    return EIO;
  }
  question.channel_ = channel;
  question.input_size_ = static_cast<std::uint32_t>(input.size());
  std::copy(input.begin(), input.end(), question.input_.begin());
  question.next_ = nullptr;
  ChipQuestion** end = &first_;
  while (*end != nullptr) {
    end = &(*end)->next_;
  }
  *end = &question;
  ask_next();
  return 0;
}

void ChipClient::ask_next() {
  if (is_asking_ || first_ == nullptr) {
    return;
  }
  is_asking_ = true;
  is_withdrawn_ = false;
  shared_->channel = first_->channel_;
  shared_->input_size = first_->input_size_;
  shared_->input = first_->input_;
  shared_->asked.store(++asked_, std::memory_order_release);
  guest::signal(resource_->slot);
}

void ChipClient::withdraw(ChipQuestion& question) {
  is_withdrawn_ = is_withdrawn_ || (is_asking_ && first_ == &question);
  for (ChipQuestion** at = &first_; *at != nullptr; at = &(*at)->next_) {
    if (*at == &question) {
      *at = question.next_;
      return;
    }
  }
}

void ChipClient::give_up(ChipQuestion& question) {
  withdraw(question);
  is_unsure_ = true;
}

void ChipClient::look() {
  if (!is_asking_ || shared_->answered.load(std::memory_order_acquire) != asked_) {
    return;
  }
  is_asking_ = false;
  if (!is_withdrawn_) {
    ChipQuestion& question = *first_;
    first_ = question.next_;
    // The driver may write while this reads.
    const std::int32_t error = std::atomic_ref(shared_->error).load(std::memory_order_relaxed);
    const std::size_t size = std::min<std::size_t>(
        std::atomic_ref(shared_->size).load(std::memory_order_relaxed), shared_->text.size());
    constexpr std::int32_t kMostErrno = 4095;
    question.answered(error < 0 || error > kMostErrno ? EIO : error, {shared_->text.data(), size});
  }
  ask_next();
}

}  // namespace linux_server
