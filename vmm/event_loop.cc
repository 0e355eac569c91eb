#include "vmm/event_loop.h"

#include <array>
#include <cerrno>
#include <utility>

namespace ensemble::vmm {
namespace {

constexpr uint64_t kWakeId = 0;
constexpr size_t kEventsAtOnce = 32;

}  // namespace

FdWatch::FdWatch(FdWatch&& other) noexcept
    : loop_(std::exchange(other.loop_, nullptr)), fd_(other.fd_), id_(other.id_) {}

FdWatch& FdWatch::operator=(FdWatch&& other) noexcept {
  std::swap(loop_, other.loop_);
  std::swap(fd_, other.fd_);
  std::swap(id_, other.id_);
  return *this;
}

FdWatch::~FdWatch() {
  if (loop_ != nullptr) {
    loop_->unwatch(fd_, id_);
  }
}

Result<void> FdWatch::set_events(uint32_t events) {
  if (loop_ == nullptr) {
    return fail("no descriptor is watched");
  }
  epoll_event event = {.events = events, .data = {.u64 = id_}};
  if (::epoll_ctl(loop_->epoll_.get(), EPOLL_CTL_MOD, fd_, &event) != 0) {
    return std::unexpected(Error::from_errno("cannot change the events of a descriptor", errno));
  }
  return {};
}

Result<std::unique_ptr<EventLoop>> EventLoop::create() {
  FileDescriptor epoll(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll) {
    return std::unexpected(Error::from_errno("cannot create an epoll instance", errno));
  }
  auto wake = EventFd::create();
  if (!wake) {
    return std::unexpected(wake.error());
  }
  epoll_event event = {.events = EPOLLIN, .data = {.u64 = kWakeId}};
  if (::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, wake->fd(), &event) != 0) {
    return std::unexpected(Error::from_errno("cannot watch the event loop's eventfd", errno));
  }
  return std::unique_ptr<EventLoop>(new EventLoop(std::move(epoll), std::move(*wake)));
}

EventLoop::EventLoop(FileDescriptor epoll, EventFd wake)
    : epoll_(std::move(epoll)), wake_(std::move(wake)) {}

EventLoop::~EventLoop() = default;

Result<FdWatch> EventLoop::watch(int fd, uint32_t events, Handler handler) {
  uint64_t id = 0;
  {
    const std::lock_guard guard(mutex_);
    id = next_id_++;
    handlers_.emplace(id, std::make_shared<Handler>(std::move(handler)));
  }
  epoll_event event = {.events = events, .data = {.u64 = id}};
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) {
    const int error = errno;
    const std::lock_guard guard(mutex_);
    handlers_.erase(id);
    return std::unexpected(Error::from_errno("cannot watch a descriptor", error));
  }
  return FdWatch(this, fd, id);
}

void EventLoop::unwatch(int fd, uint64_t id) {
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
  std::shared_ptr<Handler> dropped;  // Destroyed after mutex_ is released.
  const std::lock_guard guard(mutex_);
  if (auto found = handlers_.find(id); found != handlers_.end()) {
    dropped = std::move(found->second);
    handlers_.erase(found);
  }
}

void EventLoop::post(std::function<void()> function) {
  {
    const std::lock_guard guard(mutex_);
    posted_.push_back(std::move(function));
  }
  wake_.signal();
}

void EventLoop::stop() {
  stopping_.store(true);
  wake_.signal();
}

Result<void> EventLoop::run() {
  while (!stopping_.exchange(false)) {
    if (auto ran = run_once(std::chrono::milliseconds(-1)); !ran) {
      return std::unexpected(ran.error());
    }
  }
  return {};
}

int EventLoop::run_posted() {
  std::vector<std::function<void()>> functions;
  {
    const std::lock_guard guard(mutex_);
    functions.swap(posted_);
  }
  for (auto& function : functions) {
    const std::lock_guard guard(device_lock_);
    function();
    function = nullptr;
  }
  return static_cast<int>(functions.size());
}

Result<int> EventLoop::run_once(std::chrono::milliseconds timeout) {
  std::array<epoll_event, kEventsAtOnce> events;
  const int ready = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()),
                                 static_cast<int>(timeout.count()));
  if (ready < 0) {
    if (errno == EINTR) {
      return 0;
    }
    return std::unexpected(Error::from_errno("cannot wait for events", errno));
  }
  int ran = 0;
  for (int i = 0; i < ready; ++i) {
    const epoll_event& event = events[static_cast<size_t>(i)];
    if (event.data.u64 == kWakeId) {
      wake_.drain();
      ran += run_posted();
      continue;
    }
    // Looked up under the device lock, so that a watch which another holder of the lock has
    // destroyed since epoll_wait is not called.
    const std::lock_guard guard(device_lock_);
    std::shared_ptr<Handler> handler;
    {
      const std::lock_guard handlers_guard(mutex_);
      // Copied, since epoll_event is packed.
      if (auto found = handlers_.find(uint64_t{event.data.u64}); found != handlers_.end()) {
        handler = found->second;
      }
    }
    if (handler) {
      (*handler)(event.events);
      ++ran;
    }
  }
  return ran;
}

}  // namespace ensemble::vmm
