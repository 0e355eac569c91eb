#include "guest-kernel/linux/server/files/input_file.h"

#include <asm/fcntl.h>

#include <array>
#include <new>

#include "guest-kernel/lib/clock.h"
#include "guest-kernel/lib/device_protocol.h"
#include "guest-kernel/lib/format.h"
#include "guest-kernel/linux/server/server.h"

namespace linux_server {
namespace {

constexpr std::uint32_t kFirstInputDevice = 13 << 8 | 64;

// Those that were opened once.
constinit std::array<InputDevice*, InputDevice::kMost> the_devices{};

// The device at a place in the manifest, which its driver starts now if it has not yet.
Result<InputDevice*> find_device(std::size_t number) {
  if (the_devices[number] != nullptr) {
    return the_devices[number];
  }
  static_cast<void>(server().late_resource(guest::Role::kInput));
  const guest::Resource* const input = server().info().find(guest::Role::kInput, number);
  guest::Message message;
  if (input == nullptr || input->address == 0 || input->size < guest::kInputSharedSize ||
      guest::call(input->slot, message) != guest::Status::kOk ||
      message[0] != static_cast<std::uint64_t>(guest::DeviceStatus::kOk)) {
    return fail(ENODEV);
  }
  auto* const device = new InputDevice(*input, number);
  if (device == nullptr || !device->is_complete()) {
    delete device;
    return fail(ENOMEM);
  }
  device->take_events();
  the_devices[number] = device;
  return device;
}

}  // namespace

InputFile::InputFile(Node& node, std::uint32_t flags, InputDevice& device)
    : File(node, flags), device_(device) {
  device_.add(*this);
}

InputFile::~InputFile() {
  device_.remove(*this);
}

input_event InputFile::event_at(std::uint64_t now, std::uint16_t type, std::uint16_t code,
                                std::int32_t value) const {
  constexpr std::uint64_t kSecond = 1'000'000'000;
  const std::uint64_t time = now + (is_wall_clock_ ? guest::time_page().realtime_offset : 0);
  input_event event{};
  event.time.tv_sec = static_cast<std::int64_t>(time / kSecond);
  event.time.tv_usec = static_cast<std::int64_t>(time % kSecond / 1000);
  event.type = type;
  event.code = code;
  event.value = value;
  return event;
}

void InputFile::add(std::uint64_t now, std::uint16_t type, std::uint16_t code, std::int32_t value) {
  if (is_revoked_) {
    return;
  }
  const bool was_readable = queue_.is_readable();
  queue_.add(event_at(now, type, code, value));
  if (!was_readable && queue_.is_readable()) {
    changed_.wake(kReadable);
  }
}

std::int64_t InputFile::read(Task& task, const UserBuffer& buffer, std::uint64_t /*offset*/) {
  if (buffer.size() != 0 && buffer.size() < sizeof(input_event)) {
    return -EINVAL;
  }
  if (is_revoked_) {
    return -ENODEV;
  }
  if (!queue_.is_readable() && (flags() & O_NONBLOCK) != 0) {
    return -EAGAIN;
  }
  if (buffer.size() == 0) {
    return 0;
  }
  std::uint64_t done = 0;
  while (queue_.is_readable() && done + sizeof(input_event) <= buffer.size()) {
    const input_event event = queue_.front();
    if (buffer.fill(std::as_bytes(std::span(&event, 1)), done) != sizeof event) {
      return done != 0 ? static_cast<std::int64_t>(done) : -EFAULT;
    }
    queue_.pop();
    done += sizeof event;
  }
  return done != 0 ? static_cast<std::int64_t>(done) : task.wait(changed_);
}

std::int64_t InputFile::write(Task& /*task*/, const UserBuffer& buffer, std::uint64_t /*offset*/) {
  if (buffer.size() != 0 && buffer.size() < sizeof(input_event)) {
    return -EINVAL;
  }
  if (is_revoked_) {
    return -ENODEV;
  }
  std::uint64_t done = 0;
  while (done + sizeof(input_event) <= buffer.size()) {
    input_event event;
    if (buffer.take(std::as_writable_bytes(std::span(&event, 1)), done) != sizeof event) {
      return done != 0 ? static_cast<std::int64_t>(done) : -EFAULT;
    }
    // What has been lost is for the device to say.
    if (event.type != EV_SYN || event.code == SYN_REPORT) {
      device_.handle(guest::monotonic_ns(), event.type, event.code, event.value);
    }
    done += sizeof event;
  }
  return static_cast<std::int64_t>(done);
}

std::uint32_t InputFile::readiness() const {
  if (is_revoked_) {
    return kHangUp | kError;
  }
  return (may_write() ? kWritable : 0u) | (queue_.is_readable() ? kReadable : 0u);
}

bool is_input_device(std::uint32_t number) {
  return number >= kFirstInputDevice && number < kFirstInputDevice + InputDevice::kMost;
}

bool add_input_files(Directory& devices) {
  if (server().info().find(guest::Role::kInput) == nullptr) {
    return true;
  }
  NewNode folder;
  folder.mode = kDirectory | 0755;
  const auto made = devices.create("input", folder);
  if (!made) {
    return false;
  }
  for (std::uint32_t number = 0; number < InputDevice::kMost; ++number) {
    if (server().info().find(guest::Role::kInput, number) == nullptr) {
      break;
    }
    std::array<char, 16> name;
    guest::TextWriter text(name);
    text.text("event").decimal(number);
    NewNode device;
    device.mode = kCharacterDevice | 0660;
    device.device_number = kFirstInputDevice + number;
    if (!(*made)->create(text.view(), device)) {
      return false;
    }
  }
  return true;
}

Result<Reference<File>> open_input_file(Node& node, std::uint32_t flags, std::uint32_t number) {
  const auto device = find_device(number - kFirstInputDevice);
  if (!device) {
    return std::unexpected(device.error());
  }
  auto* const file = new InputFile(node, flags, **device);
  return file == nullptr ? Result<Reference<File>>(fail(ENOMEM)) : Reference<File>(file);
}

void take_input_events() {
  for (InputDevice* const device : the_devices) {
    if (device != nullptr) {
      device->take_events();
    }
  }
}

}  // namespace linux_server
