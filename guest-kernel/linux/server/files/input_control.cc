#include <asm/ioctl.h>
#include <linux/input.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <span>

#include "guest-kernel/lib/clock.h"
#include "guest-kernel/lib/format.h"
#include "guest-kernel/linux/server/files/input_codes.h"
#include "guest-kernel/linux/server/files/input_file.h"
#include "guest-kernel/linux/server/process.h"

// The requests of an evdev file: linux/input.h.
namespace linux_server {
namespace {

// A request without the size of its answer.
constexpr std::uint64_t without_size(std::uint64_t request) {
  return request & ~(std::uint64_t{_IOC_SIZEMASK} << _IOC_SIZESHIFT);
}

template <typename T>
std::int64_t give(Task& task, std::uint64_t address, const T& value) {
  return task.process->space().write_value(address, value) ? 0 : -EFAULT;
}

// As much as `size` holds. Returns how much.
std::int64_t give_part(Task& task, std::uint64_t address, std::size_t size,
                       std::span<const std::byte> bytes) {
  const std::span<const std::byte> part = bytes.first(std::min(size, bytes.size()));
  if (!task.process->space().write(address, part)) {
    return -EFAULT;
  }
  return static_cast<std::int64_t>(part.size());
}

// `count` bits, in whole words of 64.
std::int64_t give_bits(Task& task, std::uint64_t address, std::size_t size, std::size_t count,
                       std::span<const std::uint8_t> bits) {
  std::array<std::uint8_t, guest::kInputCodeBytes> words{};
  const std::size_t length = (count + 63) / 64 * 8;
  std::copy_n(bits.begin(), std::min(length, bits.size()), words.begin());
  return give_part(task, address, size, std::as_bytes(std::span(words)).first(length));
}

std::int64_t give_text(Task& task, std::uint64_t address, std::size_t size, std::string_view text) {
  std::array<char, guest::kInputTextSize> terminated{};
  std::memcpy(terminated.data(), text.data(), std::min(text.size(), terminated.size() - 1));
  return give_part(
      task, address, size,
      std::as_bytes(std::span(terminated)).first(std::min(text.size() + 1, terminated.size())));
}

std::int64_t give_codes(Task& task, std::uint64_t address, std::size_t size,
                        const InputDevice& device, std::uint64_t type) {
  const std::size_t count = input_code_count(type);
  return count == 0 ? -EINVAL
                    : give_bits(task, address, size, count, device.description().codes[type]);
}

std::int64_t give_axis(Task& task, std::uint64_t address, std::size_t size,
                       const InputDevice& device, std::uint16_t axis) {
  if (!device.has_type(EV_ABS)) {
    return -EINVAL;
  }
  const guest::InputAxisRange& range = device.description().axes[axis];
  const input_absinfo information{
      device.axis_value(axis), range.minimum, range.maximum, range.fuzz, range.flat,
      range.resolution};
  const std::int64_t given =
      give_part(task, address, size, std::as_bytes(std::span(&information, 1)));
  return std::min<std::int64_t>(given, 0);
}

}  // namespace

std::int64_t InputFile::control(Task& task, std::uint64_t request, std::uint64_t argument) {
  if (is_revoked_) {
    return -ENODEV;
  }
  switch (request) {
    case EVIOCGVERSION:
      return give(task, argument, std::uint32_t{EV_VERSION});
    case EVIOCGID: {
      const guest::InputDescription& device = device_.description();
      return give(task, argument,
                  input_id{device.bus, device.vendor, device.product, device.version});
    }
    case EVIOCGREP:
    case EVIOCSREP:
      return -ENOSYS;  // no device of ours repeats keys by itself
    case EVIOCGEFFECTS:
      return give(task, argument, std::uint32_t{0});
    case EVIOCGRAB:
      return grab(argument != 0);
    case EVIOCREVOKE:
      return argument != 0 ? -EINVAL : revoke();
    case EVIOCSCLOCKID:
      return set_clock(task, argument);
    default:
      return control_sized(task, request, argument).value_or(-EINVAL);
  }
}

// Requests that say how large the answer may be. Nothing: it is none of them.
std::optional<std::int64_t> InputFile::control_sized(Task& task, std::uint64_t request,
                                                     std::uint64_t argument) {
  const std::size_t size = _IOC_SIZE(request);
  const guest::InputDescription& device = device_.description();
  switch (without_size(request)) {
    case EVIOCGPROP(0):
      return give_bits(task, argument, size, INPUT_PROP_MAX, device.properties);
    case EVIOCGMTSLOTS(0):
      return give_contacts(task, argument, size);
    case EVIOCGKEY(0):
      return give_state(task, argument, size, EV_KEY);
    case EVIOCGLED(0):
      return give_state(task, argument, size, EV_LED);
    case EVIOCGSND(0):
      return give_state(task, argument, size, EV_SND);
    case EVIOCGSW(0):
      return give_state(task, argument, size, EV_SW);
    case EVIOCGNAME(0):
      return give_text(task, argument, size, guest::text_of(device.name));
    case EVIOCGUNIQ(0):
      return give_text(task, argument, size, guest::text_of(device.serial));
    case EVIOCGPHYS(0): {
      std::array<char, 32> place;
      guest::TextWriter text(place);
      text.text("virtio-input").decimal(device_.number()).text("/input0");
      return give_text(task, argument, size, text.view());
    }
    default:
      break;
  }
  const std::uint64_t number = _IOC_NR(request);
  if (_IOC_TYPE(request) != 'E' || _IOC_DIR(request) != _IOC_READ) {
    return std::nullopt;
  }
  if ((number & ~std::uint64_t{EV_MAX}) == _IOC_NR(EVIOCGBIT(0, 0))) {
    return give_codes(task, argument, size, device_, number & EV_MAX);
  }
  if ((number & ~std::uint64_t{ABS_MAX}) == _IOC_NR(EVIOCGABS(0))) {
    return give_axis(task, argument, size, device_, static_cast<std::uint16_t>(number & ABS_MAX));
  }
  return std::nullopt;
}

std::int64_t InputFile::grab(bool wanted) {
  if (wanted) {
    if (device_.grabber != nullptr) {
      return -EBUSY;
    }
    device_.grabber = this;
    return 0;
  }
  if (device_.grabber != this) {
    return -EINVAL;
  }
  device_.grabber = nullptr;
  return 0;
}

std::int64_t InputFile::revoke() {
  is_revoked_ = true;
  if (device_.grabber == this) {
    device_.grabber = nullptr;
  }
  changed_.wake();
  return 0;
}

std::int64_t InputFile::set_clock(Task& task, std::uint64_t address) {
  constexpr std::uint32_t kWallClock = 0;
  constexpr std::uint32_t kMonotonicClock = 1;
  constexpr std::uint32_t kBootClock = 7;  // the monotonic one: there is no suspending
  const auto clock = task.process->space().read_value<std::uint32_t>(address);
  if (!clock) {
    return -EFAULT;
  }
  if (*clock != kWallClock && *clock != kMonotonicClock && *clock != kBootClock) {
    return -EINVAL;
  }
  if (is_wall_clock_ != (*clock == kWallClock)) {
    is_wall_clock_ = *clock == kWallClock;
    queue_.drop_all(event_at(guest::monotonic_ns(), EV_SYN, SYN_DROPPED, 0));
  }
  return 0;
}

// struct input_mt_request_layout: an axis, and room for its value of each contact.
std::int64_t InputFile::give_contacts(Task& task, std::uint64_t address, std::size_t size) const {
  const auto axis = task.process->space().read_value<std::uint32_t>(address);
  if (!axis) {
    return -EFAULT;
  }
  if (device_.slot_count() == 0 || *axis < InputDevice::kFirstContactAxis ||
      *axis > InputDevice::kLastContactAxis || size < sizeof(std::uint32_t)) {
    return -EINVAL;
  }
  const std::size_t room = size / sizeof(std::int32_t) - 1;
  for (std::size_t slot = 0; slot < std::min(room, device_.slot_count()); ++slot) {
    const std::int32_t value = device_.slot_value(slot, static_cast<std::uint16_t>(*axis));
    if (give(task, address + (slot + 1) * sizeof value, value) != 0) {
      return -EFAULT;
    }
  }
  return 0;
}

// Events that the state has in it already are not told any more.
std::int64_t InputFile::give_state(Task& task, std::uint64_t address, std::size_t size,
                                   std::uint16_t type) {
  const InputDevice::CodeBits none{};
  const InputDevice::CodeBits& state = type == EV_KEY  ? device_.keys()
                                       : type == EV_SW ? device_.switches()
                                                       : none;
  queue_.drop(type);
  const std::int64_t given = give_bits(task, address, size, input_code_count(type), state);
  if (given < 0) {
    queue_.drop_all(event_at(guest::monotonic_ns(), EV_SYN, SYN_DROPPED, 0));
  }
  return given;
}

}  // namespace linux_server
