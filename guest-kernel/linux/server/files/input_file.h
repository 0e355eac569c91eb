#pragma once

#include <cstdint>
#include <optional>

#include "guest-kernel/linux/server/file.h"
#include "guest-kernel/linux/server/files/input_device.h"
#include "guest-kernel/linux/server/files/input_queue.h"
#include "guest-kernel/linux/server/task.h"

namespace linux_server {

// An open /dev/input/eventN: Linux's evdev.
class InputFile : public File {
 public:
  // `device` outlives this.
  InputFile(Node& node, std::uint32_t flags, InputDevice& device);
  ~InputFile() override;

  bool is_seekable() const override { return false; }
  std::int64_t read(Task& task, const UserBuffer& buffer, std::uint64_t offset) override;
  // The events that a program writes happen as if the device had sent them.
  std::int64_t write(Task& task, const UserBuffer& buffer, std::uint64_t offset) override;
  std::int64_t control(Task& task, std::uint64_t request, std::uint64_t argument) override;
  std::uint32_t readiness() const override;
  WaitQueue* changes() override { return &changed_; }

  // An event at `now`, on the monotonic clock.
  void add(std::uint64_t now, std::uint16_t type, std::uint16_t code, std::int32_t value);

 private:
  friend class InputDevice;

  std::optional<std::int64_t> control_sized(Task& task, std::uint64_t request,
                                            std::uint64_t argument);
  std::int64_t grab(bool wanted);
  std::int64_t revoke();
  std::int64_t set_clock(Task& task, std::uint64_t address);
  std::int64_t give_contacts(Task& task, std::uint64_t address, std::size_t size) const;
  std::int64_t give_state(Task& task, std::uint64_t address, std::size_t size, std::uint16_t type);
  input_event event_at(std::uint64_t now, std::uint16_t type, std::uint16_t code,
                       std::int32_t value) const;

  InputDevice& device_;
  InputFile* next_ = nullptr;  // of the device's
  WaitQueue changed_;
  InputQueue queue_;
  bool is_wall_clock_ = true;
  bool is_revoked_ = false;
};

}  // namespace linux_server
