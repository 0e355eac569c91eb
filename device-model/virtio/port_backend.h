#pragma once

#include <cstddef>
#include <functional>
#include <span>

namespace ensemble::device {

// The host's end of a port: a stream with at most one other end at a time. All calls come with the
// device lock held, and none blocks. Nothing is buffered: what is not taken waits in the guest, or
// at the other end.
class PortBackend {
 public:
  struct Handlers {
    std::function<void()> connected;
    std::function<void()> disconnected;
    std::function<void()> writable;
    std::function<void()> readable;
  };

  virtual ~PortBackend() = default;

  // The device's, which sets empty ones before it goes. Called from the event loop, never by what
  // is called here.
  virtual void set_handlers(Handlers handlers) = 0;

  // The next other end may come. Once one has, no further one is taken until the next call, even
  // if it goes.
  virtual void admit() = 0;

  // Whether the other end is there.
  virtual bool connected() const = 0;

  // Ends the connection, if there is one; calls no handler.
  virtual void disconnect() = 0;

  // Takes bytes for the other end; returns how many. After taking fewer than given it calls the
  // writable handler once there is room again. Of an other end that is gone, all are taken.
  virtual std::size_t write(std::span<const std::byte> data) = 0;

  // Gives bytes of the other end; returns how many. After giving none it calls the readable handler
  // once there are some, or the disconnected handler when none will come.
  virtual std::size_t read(std::span<std::byte> data) = 0;
};

}  // namespace ensemble::device
