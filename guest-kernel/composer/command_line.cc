#include "guest-kernel/composer/command_line.h"

#include <optional>

namespace composer {
namespace {

constexpr std::string_view kBlanks = " \t\n";
constexpr std::string_view kVirtioDevice = "virtio_mmio.device=";

// Takes the digits at the start of `text` off it; with a K, M or G after them. "0x": hexadecimal.
std::optional<std::uint64_t> take_number(std::string_view& text) {
  std::uint64_t base = 10;
  if (text.starts_with("0x")) {
    base = 16;
    text.remove_prefix(2);
  }
  std::uint64_t value = 0;
  std::size_t digits = 0;
  for (; digits < text.size(); ++digits) {
    const char c = text[digits];
    std::uint64_t digit = base;
    if (c >= '0' && c <= '9') {
      digit = static_cast<std::uint64_t>(c - '0');
    } else if (base == 16 && (c | 0x20) >= 'a' && (c | 0x20) <= 'f') {
      digit = static_cast<std::uint64_t>((c | 0x20) - 'a') + 10;
    }
    if (digit >= base) {
      break;
    }
    if (value > (~std::uint64_t{0} - digit) / base) {
      return std::nullopt;
    }
    value = value * base + digit;
  }
  if (digits == 0) {
    return std::nullopt;
  }
  text.remove_prefix(digits);
  if (!text.empty() && (text.front() == 'K' || text.front() == 'k')) {
    value <<= 10;
    text.remove_prefix(1);
  }
  return value;
}

bool take(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) {
    return false;
  }
  text.remove_prefix(prefix.size());
  return true;
}

const char* read_virtio_device(std::string_view whole, Machine& machine) {
  constexpr const char* kExpected = "the command line's virtio_mmio.device is not SIZE@ADDRESS:GSI";
  Device device;
  device.path = whole;
  std::string_view text = whole;
  const auto size = take_number(text);
  if (!size || !take(text, "@")) {
    return kExpected;
  }
  const auto address = take_number(text);
  if (!address || !take(text, ":")) {
    return kExpected;
  }
  const auto gsi = take_number(text);
  if (!gsi || *gsi > 255) {
    return kExpected;
  }
  device.size = *size;
  device.address = *address;
  device.has_interrupt = true;
  device.gsi = static_cast<std::uint32_t>(*gsi);
  device.trigger = abi::InterruptTrigger::kLevelHigh;
  return machine.devices.push_back(device) == nullptr ? "the command line has more than 28 devices"
                                                      : nullptr;
}

const char* read_word(std::string_view word, std::uint64_t& processors, Machine& machine) {
  if (take(word, kVirtioDevice)) {
    return read_virtio_device(word, machine);
  }
  if (take(word, "console=")) {
    machine.prefer_serial = word.starts_with("ttyS0");
  } else if (take(word, "tsc_khz=")) {
    const auto value = take_number(word);
    if (!value || !word.empty() || *value == 0 || *value > 100'000'000) {
      return "the command line's tsc_khz is no number from 1 to 100000000";
    }
    machine.tsc_frequency = *value * 1000;
  } else if (take(word, "cpus=")) {
    const auto value = take_number(word);
    if (!value || !word.empty() || *value == 0 || *value > kMaximumProcessors) {
      return "the command line's cpus is no number from 1 to 8";
    }
    processors = *value;
  } else if (word == "milestones") {
    machine.print_milestones = true;
  }
  return nullptr;
}

// Splits `line` into NUL-terminated words in `out`, which is longer. QEMU appends its devices to
// whatever the command line ends with, so these are taken out here.
const char* split_arguments(std::string_view line, std::span<char> out, Machine& machine) {
  std::size_t size = 0;
  while (!line.empty()) {
    const std::size_t begin = line.find_first_not_of(kBlanks);
    if (begin == std::string_view::npos) {
      break;
    }
    line.remove_prefix(begin);
    if (line.starts_with(kVirtioDevice)) {
      const std::string_view word = line.substr(0, line.find_first_of(kBlanks));
      line.remove_prefix(word.size());
      if (const char* wrong = read_virtio_device(word.substr(kVirtioDevice.size()), machine)) {
        return wrong;
      }
      continue;
    }
    bool quoted = false;
    while (!line.empty() && (quoted || kBlanks.find(line.front()) == std::string_view::npos)) {
      if (line.front() == '"') {
        quoted = !quoted;
      } else {
        out[size++] = line.front();
      }
      line.remove_prefix(1);
    }
    out[size++] = '\0';
    ++machine.argument_count;
  }
  machine.arguments = {out.data(), size};
  return nullptr;
}

// Takes the next word off `line`; empty at its end.
std::string_view take_word(std::string_view& line) {
  const std::size_t start = line.find_first_not_of(kBlanks);
  line.remove_prefix(start == std::string_view::npos ? line.size() : start);
  const std::string_view word = line.substr(0, line.find_first_of(kBlanks));
  line.remove_prefix(word.size());
  return word;
}

}  // namespace

const char* read_announced_devices(std::string_view line, Machine& machine) {
  for (std::string_view word = take_word(line); !word.empty(); word = take_word(line)) {
    if (take(word, kVirtioDevice)) {
      if (const char* wrong = read_virtio_device(word, machine)) {
        return wrong;
      }
    }
  }
  return nullptr;
}

const char* read_command_line(std::string_view line, std::span<char> arguments, Machine& machine) {
  Device serial;
  serial.path = "serial@3f8";
  serial.compatible = "ns16550a";
  serial.address = 0x3f8;
  serial.size = 8;
  serial.io_space = true;
  serial.has_interrupt = true;
  serial.gsi = 4;
  machine.devices.push_back(serial);
  std::uint64_t processors = 1;
  for (std::string_view word = take_word(line); !word.empty(); word = take_word(line)) {
    if (word == "--") {
      if (arguments.size() <= line.size()) {
        return "the command is too long";
      }
      if (const char* wrong = split_arguments(line, arguments, machine)) {
        return wrong;
      }
      break;
    }
    if (const char* wrong = read_word(word, processors, machine)) {
      return wrong;
    }
  }
  for (std::uint32_t id = 0; id < processors; ++id) {
    machine.apic_ids.push_back(id);
  }
  return nullptr;
}

}  // namespace composer
