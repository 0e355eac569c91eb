#include "control/daemon/console_inputs.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <utility>
#include <vector>

#include "control/ensemble/vmm/v1/vmm.pb.h"
#include "control/message_stream.h"

namespace ensemble::control {
namespace {

// Most input that waits for a device that does not read it, before typists wait too.
constexpr std::size_t kRoom = 65536;

}  // namespace

class ConsoleInputs::Connection {
 public:
  using Done = std::function<void(ApiResult<void> result)>;

  static Result<std::unique_ptr<Connection>> create(vmm::EventLoop& loop,
                                                    vmm::FileDescriptor socket,
                                                    std::function<void()> closed) {
    std::unique_ptr<Connection> made(new Connection(std::move(socket), std::move(closed)));
    auto watch = loop.watch(made->socket_.get(), EPOLLIN,
                            [raw = made.get()](std::uint32_t events) { raw->handle(events); });
    if (!watch) {
      return std::unexpected(watch.error());
    }
    made->watch_ = std::move(*watch);
    ensemble::vmm::v1::Request request;
    request.set_id(1);
    request.mutable_attach_console();
    if (auto encoded = append_message(made->output_, request); !encoded) {
      return std::unexpected(encoded.error());
    }
    made->write();
    return made;
  }

  ~Connection() { tell_waiting(std::unexpected(gone())); }

  void type(std::string text, Done done) {
    input_ += text;
    waiting_.push_back(std::move(done));
    write();
  }

 private:
  Connection(vmm::FileDescriptor socket, std::function<void()> closed)
      : socket_(std::move(socket)), closed_(std::move(closed)) {}

  static ApiError gone() {
    return ApiError(grpc::UNAVAILABLE, "CONSOLE_GONE", "the device's console is gone");
  }

  void handle(std::uint32_t events) {
    if ((events & EPOLLOUT) != 0) {
      write();
    }
    if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) {
      read();
    }
  }

  // The reply, then output, which is in the log.
  void read() {
    std::array<char, 16384> chunk;
    const ssize_t got = ::recv(socket_.get(), chunk.data(), chunk.size(), MSG_DONTWAIT);
    if (got > 0) {
      is_attached_ = true;
      write();
    } else if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
      const auto closed = closed_;  // It destroys this.
      closed();
    }
  }

  void write() {
    send_some(output_);
    // Input that came before the reply would not be taken for input.
    if (is_attached_) {
      send_some(input_);
    }
    const bool more = !output_.empty() || (is_attached_ && !input_.empty());
    (void)watch_.set_events(EPOLLIN | (more ? EPOLLOUT : 0U));
    if (input_.size() <= kRoom) {
      tell_waiting({});
    }
  }

  void send_some(std::string& text) {
    const ssize_t sent =
        text.empty() ? 0
                     : ::send(socket_.get(), text.data(), text.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    text.erase(0, sent > 0 ? static_cast<std::size_t>(sent) : 0);
  }

  void tell_waiting(const ApiResult<void>& result) {
    for (const Done& done : std::exchange(waiting_, {})) {
      done(result);
    }
  }

  vmm::FileDescriptor socket_;
  std::function<void()> closed_;
  vmm::FdWatch watch_;  // Destroyed before the socket.
  std::string output_;
  std::string input_;
  bool is_attached_ = false;
  std::vector<Done> waiting_;
};

ConsoleInputs::ConsoleInputs(vmm::EventLoop& loop, DeviceTable& devices)
    : loop_(loop), devices_(devices) {}

ConsoleInputs::~ConsoleInputs() = default;

ApiResult<ConsoleInputs::Connection*> ConsoleInputs::connection(const std::string& device) {
  if (const auto found = connections_.find(device); found != connections_.end()) {
    return found->second.get();
  }
  const auto managed = devices_.find(device);
  if (!managed) {
    return std::unexpected(managed.error());
  }
  auto socket = (*managed)->connect_another();
  if (!socket) {
    return std::unexpected(socket.error());
  }
  auto made = Connection::create(loop_, std::move(*socket), [this, device] { close(device); });
  if (!made) {
    return internal(made.error());
  }
  return connections_.emplace(device, std::move(*made)).first->second.get();
}

void ConsoleInputs::type(const std::string& device, std::string text,
                         std::function<void(ApiResult<void> result)> done) {
  auto found = connection(device);
  if (!found) {
    done(std::unexpected(found.error()));
    return;
  }
  (*found)->type(std::move(text), std::move(done));
}

void ConsoleInputs::close(const std::string& device) {
  const auto gone = connections_.extract(device);  // Its waiting ones may come back to this.
}

}  // namespace ensemble::control
