#include "device-model/network/user_network.h"

#include <spdlog/spdlog.h>
#include <sys/epoll.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <limits>
#include <utility>

namespace ensemble::device {
namespace {

// libslirp's answer when it waits for no time: an upper bound of its own.
constexpr std::uint32_t kNoTimeout = 1000;

constexpr std::array<std::pair<int, std::uint32_t>, 5> kEvents{{{SLIRP_POLL_IN, EPOLLIN},
                                                                {SLIRP_POLL_OUT, EPOLLOUT},
                                                                {SLIRP_POLL_PRI, EPOLLPRI},
                                                                {SLIRP_POLL_ERR, EPOLLERR},
                                                                {SLIRP_POLL_HUP, EPOLLHUP}}};

std::uint32_t to_epoll(int events) {
  std::uint32_t result = 0;
  for (const auto& [slirp, epoll] : kEvents) {
    result |= (events & slirp) != 0 ? epoll : 0;
  }
  return result;
}

int from_epoll(std::uint32_t events) {
  int result = 0;
  for (const auto& [slirp, epoll] : kEvents) {
    result |= (events & epoll) != 0 ? slirp : 0;
  }
  return result;
}

in_addr address(std::uint32_t value) {
  return {.s_addr = htonl(value)};
}

constexpr std::size_t kIp = 14;  // An IPv4 header's place in a frame.

std::byte byte_of(std::span<const std::byte> frame, std::size_t offset) {
  return offset < frame.size() ? frame[offset] : std::byte{0};
}

bool is_ipv4(std::span<const std::byte> frame) {
  constexpr std::size_t kType = 12;
  return byte_of(frame, kType) == std::byte{8} && byte_of(frame, kType + 1) == std::byte{0};
}

// A part of an IPv4 packet (RFC 791, 3.1).
bool is_fragment(std::span<const std::byte> frame) {
  constexpr std::size_t kOffset = kIp + 6;
  constexpr std::byte kMoreAndOffset{0x3F};
  return is_ipv4(frame) && ((byte_of(frame, kOffset) & kMoreAndOffset) != std::byte{0} ||
                            byte_of(frame, kOffset + 1) != std::byte{0});
}

// Whether libslirp may open a socket for a frame: anything of IPv4 but the later part of a TCP
// connection.
bool may_open_socket(std::span<const std::byte> frame) {
  constexpr std::size_t kProtocol = kIp + 9, kTcpFlags = 13;
  constexpr std::byte kTcp{6}, kSynchronize{2};
  if (!is_ipv4(frame)) {
    return false;
  }
  const std::size_t tcp =
      kIp + 4 * std::to_integer<std::size_t>(byte_of(frame, kIp) & std::byte{15});
  return byte_of(frame, kProtocol) != kTcp ||
         (byte_of(frame, tcp + kTcpFlags) & kSynchronize) != std::byte{0};
}

SlirpConfig configuration(std::uint16_t mtu) {
  SlirpConfig config{};
  config.version = 1;
  config.in_enabled = true;
  config.vnetwork = address(0x0A000200);
  config.vnetmask = address(0xFFFFFF00);
  config.vhost = address(0x0A000202);
  config.vnameserver = address(0x0A000203);
  config.vdhcp_start = address(0x0A00020F);
  config.if_mtu = mtu;
  config.if_mru = mtu;
  // Without IPv6, whose router advertisements would wake an idle guest.
  config.in6_enabled = false;
  return config;
}

}  // namespace

const SlirpCb& UserNetwork::callbacks() {
  static const SlirpCb callbacks = [] {
    SlirpCb result{};
    result.send_packet = [](const void* frame, std::size_t size, void* self) {
      static_cast<UserNetwork*>(self)->queue_frame({static_cast<const std::byte*>(frame), size});
      return static_cast<ssize_t>(size);
    };
    // A guest may cause any number of these.
    result.guest_error = [](const char* message, void*) { spdlog::debug("libslirp: {}", message); };
    result.clock_get_ns = [](void*) -> std::int64_t {
      return std::chrono::nanoseconds(std::chrono::steady_clock::now().time_since_epoch()).count();
    };
    // Only IPv6 has timers; others go by the time limit of a poll.
    result.timer_new = [](SlirpTimerCb, void*, void*) -> void* { return nullptr; };
    result.timer_free = [](void*, void*) {};
    result.timer_mod = [](void*, std::int64_t, void*) {};
    // One that libslirp waits for nothing of is open all the same, and missing from plan().
    result.register_poll_fd = [](int fd, void* self) {
      static_cast<UserNetwork*>(self)->open_.insert(fd);
    };
    result.unregister_poll_fd = [](int fd, void* self) {
      static_cast<UserNetwork*>(self)->open_.erase(fd);
    };
    result.notify = [](void*) {};
    return result;
  }();
  return callbacks;
}

Result<std::unique_ptr<UserNetwork>> UserNetwork::create(vmm::EventLoop& loop) {
  const auto slirp = SlirpLibrary::load();
  if (!slirp) {
    return std::unexpected(slirp.error());
  }
  std::unique_ptr<UserNetwork> network(new UserNetwork(**slirp));
  if (auto started = network->start(loop); !started) {
    return std::unexpected(started.error().with_context("cannot start a user-mode network"));
  }
  return network;
}

Result<void> UserNetwork::start(vmm::EventLoop& loop) {
  sockets_ = vmm::FileDescriptor(::epoll_create1(EPOLL_CLOEXEC));
  if (!sockets_) {
    return std::unexpected(Error::from_errno("cannot create an epoll instance", errno));
  }
  auto watch = loop.watch(sockets_.get(), EPOLLIN, [this](std::uint32_t) { run(); });
  if (!watch) {
    return std::unexpected(watch.error());
  }
  watch_ = *std::move(watch);
  auto timer = vmm::Timer::create(loop, [this] { run(); });
  if (!timer) {
    return std::unexpected(timer.error());
  }
  timer_ = *std::move(timer);
  const SlirpConfig config = configuration(kMtu);
  network_ = slirp_.create(&config, &callbacks(), this);
  return network_ != nullptr ? Result<void>() : fail("libslirp refuses its settings");
}

UserNetwork::~UserNetwork() {
  if (network_ != nullptr) {
    slirp_.destroy(network_);
  }
}

void UserNetwork::set_readable_handler(std::function<void()> readable) {
  readable_ = std::move(readable);
}

void UserNetwork::send(std::span<const std::byte> frame) {
  // libslirp puts packets together from any number of parts, and bounds neither memory nor time.
  if (is_fragment(frame) ||
      (std::max(plans_of_.size(), open_.size()) >= kMostSockets && may_open_socket(frame))) {
    return;
  }
  slirp_.input(network_, reinterpret_cast<const std::uint8_t*>(frame.data()),
               static_cast<int>(frame.size()));
}

void UserNetwork::flush() {
  run();
}

std::size_t UserNetwork::receive(std::span<std::byte> buffer) {
  if (frames_.empty()) {
    guest_waits_ = true;
    return 0;
  }
  const std::vector<std::byte> frame = std::move(frames_.front());
  frames_.pop_front();
  queued_bytes_ -= frame.size();
  std::ranges::copy(frame, buffer.begin());
  if (held_back_ && queued_bytes_ < kMostQueuedBytes / 4) {
    plan();
  }
  return frame.size();
}

void UserNetwork::queue_frame(std::span<const std::byte> frame) {
  if (frame.size() > kLargestHeader + kMtu || queued_bytes_ + frame.size() > kMostQueuedBytes) {
    return;
  }
  frames_.emplace_back(frame.begin(), frame.end());
  queued_bytes_ += frame.size();
}

// Lets libslirp do what its sockets, its timers and the guest's frames have made possible.
void UserNetwork::run() {
  if (!held_back_) {
    collect_ready();
  }
  slirp_.handle_polls(
      network_, 0,
      [](int index, void* self) {
        const auto& polled = static_cast<UserNetwork*>(self)->polled_;
        const auto at = static_cast<std::size_t>(index);
        return at < polled.size() ? polled[at].ready : 0;
      },
      this);
  plan();
  if (guest_waits_ && !frames_.empty() && readable_) {
    guest_waits_ = false;
    readable_();
  }
}

void UserNetwork::collect_ready() {
  constexpr int kAtOnce = 64;
  std::array<epoll_event, kAtOnce> events;
  const int count = ::epoll_wait(sockets_.get(), events.data(), kAtOnce, 0);
  for (int i = 0; i < count; ++i) {
    const epoll_event& event = events[static_cast<std::size_t>(i)];
    if (event.data.u64 < polled_.size()) {
      polled_[event.data.u64].ready = from_epoll(event.events);
    }
  }
}

// Asks libslirp which sockets and what time it waits for.
void UserNetwork::plan() {
  held_back_ = queued_bytes_ > kMostQueuedBytes / 2;
  polled_.clear();
  ++plan_;
  std::uint32_t timeout = std::numeric_limits<std::uint32_t>::max();
  slirp_.fill_polls(
      network_, &timeout,
      [](int fd, int events, void* self) {
        return static_cast<UserNetwork*>(self)->poll_later(fd, events);
      },
      this);
  forget_closed();
  (void)watch_.set_events(held_back_ ? 0U : std::uint32_t{EPOLLIN});
  if (timeout < kNoTimeout) {
    timer_->arm(std::chrono::milliseconds(timeout));
  } else {
    timer_->disarm();
  }
}

// A descriptor that was closed has left sockets_ by itself, and another may have its number.
int UserNetwork::poll_later(int fd, int events) {
  epoll_event event = {.events = to_epoll(events), .data = {.u64 = polled_.size()}};
  if (::epoll_ctl(sockets_.get(), EPOLL_CTL_MOD, fd, &event) != 0 &&
      ::epoll_ctl(sockets_.get(), EPOLL_CTL_ADD, fd, &event) != 0) {
    spdlog::debug("cannot wait for a guest's socket: {}", std::strerror(errno));
  }
  plans_of_[fd] = plan_;
  polled_.push_back({.fd = fd, .ready = 0});
  return static_cast<int>(polled_.size()) - 1;
}

void UserNetwork::forget_closed() {
  std::erase_if(plans_of_, [this](const auto& entry) {
    if (entry.second == plan_) {
      return false;
    }
    ::epoll_ctl(sockets_.get(), EPOLL_CTL_DEL, entry.first, nullptr);
    return true;
  });
}

}  // namespace ensemble::device
