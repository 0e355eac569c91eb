#include "agent/port.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace ensemble::agent {

Port::Port(Loop& loop, const char* path, Handlers handlers)
    : loop_(loop),
      path_(path),
      handlers_(std::move(handlers)),
      // Not zeroed: pages are touched as bytes come.
      input_(new char[kInputSize]) {}

Port::~Port() {
  loop_.forget(descriptor_);
  ::close(descriptor_);
}

int Port::open() {
  descriptor_ = ::open(path_, O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (descriptor_ < 0) {
    return -errno;
  }
  carried_ = more_ = hung_up_ = false;
  filled_ = sent_ = 0;
  output_.clear();
  // Edge-triggered: without the host, the port tells of its hang-up all the time.
  return loop_.watch(descriptor_, EPOLLIN | EPOLLOUT | EPOLLET, *this) ? 0 : -EMFILE;
}

// The end of a connection that has carried bytes is answered by closing the port: only then is
// there another. One that has carried none gives way to the next by itself.
void Port::reopen() {
  loop_.forget(descriptor_);
  ::close(descriptor_);
  descriptor_ = -1;
  handlers_.disconnected();
  while (open() != 0) {
    ::usleep(100'000);
  }
}

void Port::ready(int /*descriptor*/, std::uint32_t events) {
  if ((events & EPOLLOUT) != 0) {
    const bool was_congested = is_congested();
    flush();
    if (was_congested && !is_congested()) {
      handlers_.drained();
    }
  }
  hung_up_ = (events & EPOLLHUP) != 0;
  read_input();
}

void Port::read_input() {
  more_ = false;
  for (int turn = 0; !more_; ++turn) {
    const std::size_t filled_before = filled_;
    const ssize_t count = ::read(descriptor_, input_.get() + filled_, kInputSize - filled_);
    if (count < 0 && errno == EINTR) {
      continue;
    }
    if (count <= 0) {
      if (count == 0 && carried_) {
        reopen();
      }
      return;
    }
    carried_ = true;
    filled_ += static_cast<std::size_t>(count);
    if (!take_frames()) {
      reopen();
      return;
    }
    // What comes after a read that found less than it had room for is told by another event.
    if (filled_before + static_cast<std::size_t>(count) < kInputSize && !hung_up_) {
      return;
    }
    more_ = turn >= kMostTurns;
  }
}

// False: what came is no frame.
bool Port::take_frames() {
  std::size_t at = 0;
  FrameHeader header{};
  while (filled_ - at >= sizeof header) {
    std::memcpy(&header, input_.get() + at, sizeof header);
    if (header.size > kLargestBody) {
      return false;
    }
    if (filled_ - at - sizeof header < header.size) {
      break;
    }
    handlers_.frame(header, {input_.get() + at + sizeof header, header.size});
    at += sizeof header + header.size;
  }
  std::memmove(input_.get(), input_.get() + at, filled_ - at);
  filled_ -= at;
  return true;
}

void Port::send(FrameType type, std::uint32_t conversation, std::uint32_t detail,
                std::string_view body) {
  const FrameHeader header{static_cast<std::uint32_t>(body.size()), type, conversation, detail};
  output_.append(reinterpret_cast<const char*>(&header), sizeof header);
  output_.append(body);
  flush();
}

void Port::flush() {
  while (sent_ < output_.size()) {
    const ssize_t count = ::write(descriptor_, output_.data() + sent_, output_.size() - sent_);
    if (count < 0 && errno == EINTR) {
      continue;
    }
    if (count <= 0) {
      break;  // told when there is room, or that the host has gone
    }
    sent_ += static_cast<std::size_t>(count);
  }
  if (sent_ == output_.size()) {
    output_.clear();
    sent_ = 0;
  } else if (sent_ > kEnoughOutput) {
    output_.erase(0, sent_);
    sent_ = 0;
  }
}

}  // namespace ensemble::agent
