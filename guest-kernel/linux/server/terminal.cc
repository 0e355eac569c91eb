#include "guest-kernel/linux/server/terminal.h"

#include <array>

#include "guest-kernel/lib/console_window.h"
#include "guest-kernel/lib/system_call.h"

namespace linux_server {
namespace {

// Rings of no size are always full and always empty.
constinit guest::ConsoleShared nobody = {};

guest::ConsoleShared& shared_words(const guest::Resource& console) {
  return *reinterpret_cast<guest::ConsoleShared*>(console.address);
}

std::span<std::byte> shared_bytes(const guest::Resource& console, std::uint64_t offset,
                                  std::uint64_t size) {
  return {reinterpret_cast<std::byte*>(console.address + offset), size};
}

// Where the driver says how large the host's terminal is; null: it is none.
constinit const guest::ConsoleWindow* host_window = nullptr;
constinit std::uint32_t known_host_window = 0;

// A program may set another size; the host's counts again when it changes.
void take_window(TerminalLine& line) {
  const std::uint32_t size =
      host_window == nullptr ? 0 : host_window->load(std::memory_order_relaxed);
  if (size != known_host_window && size != 0) {
    known_host_window = size;
    WindowSize changed = line.window();
    changed.columns = static_cast<std::uint16_t>(size);
    changed.rows = static_cast<std::uint16_t>(size >> 16);
    line.set_window(changed);
  }
}

}  // namespace

Terminal::Terminal()
    : driver_(guest::kNoSlot), output_(nobody.output, {}), input_(nobody.input, {}) {}

Terminal::Terminal(const guest::Resource& console)
    : driver_(console.slot),
      output_(shared_words(console).output,
              shared_bytes(console, guest::kConsoleOutputOffset, guest::kConsoleOutputSize)),
      input_(shared_words(console).input,
             shared_bytes(console, guest::kConsoleInputOffset, guest::kConsoleInputSize)) {
  host_window =
      reinterpret_cast<const guest::ConsoleWindow*>(console.address + guest::kConsoleWindowOffset);
  // The console's other end is a terminal of the host, which adds carriage returns, or a file or
  // pipe that wants none.
  termios settings = discipline().settings();
  settings.c_oflag &= ~static_cast<tcflag_t>(ONLCR);
  if (console.value != 0) {
    // Data is neither echoed nor edited, and no byte of it is a signal. Only the end of file, which
    // comes as ^D, keeps its meaning.
    settings.c_lflag &= ~static_cast<tcflag_t>(ECHO | ISIG | IEXTEN);
    settings.c_iflag &= ~static_cast<tcflag_t>(ICRNL | IXON);
    for (const unsigned index : {VERASE, VKILL, VWERASE, VREPRINT, VLNEXT}) {
      settings.c_cc[index] = 0;
    }
  }
  discipline().set_settings(settings, false);
}

TerminalSignal Terminal::take_input() {
  take_window(*this);
  TerminalSignal signal = TerminalSignal::kNone;
  std::byte byte = {};
  while (signal == TerminalSignal::kNone && discipline().has_room() &&
         input_.read({&byte, 1}) == 1) {
    signal = discipline().receive(static_cast<char>(byte), *this);
    if (send_signal(signal)) {
      signal = TerminalSignal::kNone;
    }
  }
  return signal;
}

bool Terminal::wait_for_input() {
  is_full_ = !discipline().has_room();
  return is_full_ || input_.wait_for_bytes();
}

std::size_t Terminal::write(std::span<const std::byte> bytes) {
  if (driver_ == guest::kNoSlot) {
    return bytes.size();
  }
  has_news_ = true;
  std::array<char, 256> chunk;
  std::size_t chunk_size = 0;
  std::size_t room = output_.room();
  std::size_t taken = 0;
  for (const std::byte byte : bytes) {
    std::array<char, 2> out;
    const std::size_t count = discipline().transform_output(static_cast<char>(byte), out);
    if (count > room) {
      break;
    }
    for (std::size_t index = 0; index < count; ++index) {
      chunk[chunk_size++] = out[index];
    }
    room -= count;
    ++taken;
    if (chunk_size + 2 > chunk.size()) {
      output_.write(std::as_bytes(std::span(chunk)).first(chunk_size));
      chunk_size = 0;
    }
  }
  output_.write(std::as_bytes(std::span(chunk)).first(chunk_size));
  return taken;
}

bool Terminal::echo(char byte) {
  has_news_ = true;
  const auto bytes = std::as_bytes(std::span(&byte, 1));
  return output_.write(bytes) == 1;
}

void Terminal::notify_driver() {
  has_news_ = false;
  // Both are asked: each clears its own flag.
  const bool output = output_.consumer_waits();
  const bool input = input_.producer_waits();
  if ((output || input) && driver_ != guest::kNoSlot) {
    guest::signal(driver_);
  }
}

}  // namespace linux_server
