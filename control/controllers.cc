#include "control/controllers.h"

#include <spdlog/spdlog.h>

#include <utility>

#include "control/peer.h"

namespace ensemble::control {

Result<std::unique_ptr<Controllers>> Controllers::with_one(vmm::EventLoop& loop,
                                                           vmm::FileDescriptor socket,
                                                           Handlers handlers) {
  std::unique_ptr<Controllers> controllers(new Controllers(loop, std::move(handlers)));
  if (auto added = controllers->add(std::move(socket)); !added) {
    return std::unexpected(added.error());
  }
  return controllers;
}

Result<std::unique_ptr<Controllers>> Controllers::listening(vmm::EventLoop& loop,
                                                            vmm::FileDescriptor socket,
                                                            Handlers handlers) {
  std::unique_ptr<Controllers> controllers(new Controllers(loop, std::move(handlers)));
  auto acceptor = Acceptor::create(
      loop, std::move(socket),
      [raw = controllers.get()](vmm::FileDescriptor peer) { raw->accept(std::move(peer)); });
  if (!acceptor) {
    return std::unexpected(acceptor.error());
  }
  controllers->acceptor_ = std::move(*acceptor);
  return controllers;
}

void Controllers::tell(const ensemble::vmm::v1::FromVmm& message) {
  for (const auto& link : links_) {
    link->send(message);
  }
}

void Controllers::flush(std::chrono::milliseconds limit) {
  for (const auto& link : links_) {
    link->flush(limit);
  }
}

Result<void> Controllers::add(vmm::FileDescriptor socket) {
  auto link = FramedSocket::create(
      loop_, std::move(socket),
      {.take =
           [this](FramedSocket& from, MessageReader& reader) {
             ensemble::vmm::v1::Request request;
             auto taken = reader.take(request);
             if (taken && *taken) {
               handlers_.request(from, request);
             }
             return taken;
           },
       .closed = [this](FramedSocket& closed,
                        const std::optional<Error>& error) { link_closed(closed, error); }});
  if (!link) {
    return std::unexpected(link.error());
  }
  links_.push_back(std::move(*link));
  return {};
}

void Controllers::accept(vmm::FileDescriptor socket) {
  if (!is_own_or_root(socket.get())) {
    spdlog::warn("a connection of another user was closed");
    return;
  }
  if (links_.size() >= kMostLinks) {
    spdlog::warn("a connection was closed: there are {} already", links_.size());
    return;
  }
  if (auto added = add(std::move(socket)); !added) {
    spdlog::warn("{}", added.error().message());
  }
}

void Controllers::link_closed(FramedSocket& link, const std::optional<Error>& error) {
  const bool alone = !acceptor_;
  if (error && !alone) {
    spdlog::warn("a controller's connection ended: {}", error->message());
  }
  const std::optional<Error> why = error;
  std::erase_if(links_, [&link](const auto& entry) { return entry.get() == &link; });
  if (alone) {
    handlers_.alone(why);
  }
}

}  // namespace ensemble::control
