#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "vmm/error.h"
#include "vmm/event_loop.h"
#include "vmm/file_descriptor.h"

namespace ensemble::device {

// Where a console's output goes and its input comes from. All calls come with the device lock held,
// and none blocks. Neither side buffers without bound: what is not taken waits in the guest.
class ConsoleBackend {
 public:
  virtual ~ConsoleBackend() = default;

  // Takes output; returns how many bytes. After taking fewer than given it calls the writable
  // handler once there is room again.
  virtual std::size_t write(std::span<const std::byte> data) = 0;

  // Gives input; returns how many bytes. After giving none it calls the readable handler once there
  // are some.
  virtual std::size_t read(std::span<std::byte> data) = 0;

  // Set by the console device, which the backend does not outlive.
  virtual void set_handlers(std::function<void()> writable, std::function<void()> readable) = 0;
};

// A console on file descriptors: a terminal, pipe, socket or file.
class FileConsoleBackend final : public ConsoleBackend {
 public:
  struct Options {
    // Sees all input before the guest does and may change it in place; returns how many bytes
    // remain. For escape keys. Absent: input passes unchanged.
    std::function<std::size_t(std::span<std::byte> data)> input_filter;
    // What the guest receives once when the input ends: "\x04" ends a terminal's input.
    std::string at_end_of_input;
  };

  // Reads `input` and writes `output` (either may be -1: none). They stay the caller's, and may be
  // shared with other processes: their flags are left alone. `loop` outlives the backend.
  static Result<std::unique_ptr<FileConsoleBackend>> create(vmm::EventLoop& loop, int input,
                                                            int output, Options options);

  std::size_t write(std::span<const std::byte> data) override;
  std::size_t read(std::span<std::byte> data) override;
  void set_handlers(std::function<void()> writable, std::function<void()> readable) override;

  // Whether the input has ended or the output was hung up (what is written then is dropped).
  bool input_ended() const { return input_ended_; }
  bool output_lost() const { return output_lost_; }

 private:
  FileConsoleBackend(vmm::EventLoop& loop, Options options)
      : loop_(loop), options_(std::move(options)) {}

  std::size_t filter(std::span<std::byte> data) const;
  void wait_for_input();
  std::size_t end_input(std::span<std::byte> data);
  void wait_for_output();

  vmm::EventLoop& loop_;
  const Options options_;
  vmm::FileDescriptor input_;
  vmm::FileDescriptor output_;
  bool input_ended_ = false;
  bool output_lost_ = false;
  std::function<void()> on_writable_;
  std::function<void()> on_readable_;
  // Destroyed before the descriptors.
  vmm::FdWatch input_watch_;
  vmm::FdWatch output_watch_;
};

}  // namespace ensemble::device
