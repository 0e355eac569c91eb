#pragma once

#include <cstdint>

#include "guest-kernel/linux/server/file.h"
#include "guest-kernel/linux/server/task.h"

namespace linux_server {

// Whom an open file tells that something has arrived, and how: fcntl(2)'s F_SETOWN, F_SETSIG.
struct FileOwner {
  // F_OWNER_TID, F_OWNER_PID, F_OWNER_PGRP
  enum class Kind : std::int32_t { kThread, kProcess, kGroup } kind = Kind::kThread;
  std::uint32_t id = 0;  // 0: nobody
  // Of who said so: it must be allowed to send signals there.
  std::uint32_t real_user = 0;
  std::uint32_t effective_user = 0;
  std::uint32_t signal = 0;  // 0: SIGIO, which tells nothing more
};

// An open file's owner, and with O_ASYNC the signals for it. What happens during a call is told
// once, before the call returns.
class InputSignal final : public Counted, private WaitObserver {
 public:
  explicit InputSignal(File& file) : file_(file) {}
  ~InputSignal() override;

  FileOwner owner;

  // O_ASYNC, set through `descriptor`.
  void start(std::uint32_t descriptor);
  void stop();

 private:
  friend void send_input_signals();
  void woken(std::uint32_t events) override;
  // What is to be told; 0: nothing. POLL_IN, POLL_OUT.
  std::uint32_t take_news();
  void withdraw();

  File& file_;
  std::uint32_t descriptor_ = 0;
  std::uint32_t events_ = 0;
  bool was_writable_ = true;
  bool waits_ = false;  // in the list of those who have news
  InputSignal* next_ = nullptr;
};

// Sends what has become due.
void send_input_signals();

}  // namespace linux_server
