#include "guest-kernel/linux/server/ipc/pseudo_terminal.h"

#include <asm/fcntl.h>

#include <algorithm>
#include <array>

#include "guest-kernel/linux/server/ipc/process_groups.h"

namespace linux_server {
namespace {

constinit std::array<PseudoTerminal*, PseudoTerminal::kMaximum> terminals = {};

// A program's end.
class PseudoTerminalFile final : public TerminalFile {
 public:
  PseudoTerminalFile(Node& node, std::uint32_t flags, PseudoTerminal& terminal)
      : TerminalFile(node, flags, terminal, Reference<Counted>(&terminal)), terminal_(terminal) {
    terminal.count_file(true);
  }
  ~PseudoTerminalFile() override { terminal_.count_file(false); }

 private:
  PseudoTerminal& terminal_;
};

}  // namespace

PseudoTerminal::PseudoTerminal(std::uint32_t number) : number_(number) {
  set_window({0, 0, 0, 0});
  termios settings = discipline().settings();
  settings.c_cflag = B38400 | CS8 | CREAD;
  discipline().set_settings(settings, false);
  terminals[number] = this;
}

PseudoTerminal::~PseudoTerminal() {
  terminals[number_] = nullptr;
}

Reference<PseudoTerminal> PseudoTerminal::make() {
  const auto free = std::find(terminals.begin(), terminals.end(), nullptr);
  return Reference<PseudoTerminal>(
      free == terminals.end()
          ? nullptr
          : new PseudoTerminal(static_cast<std::uint32_t>(free - terminals.begin())));
}

PseudoTerminal* PseudoTerminal::find(std::uint32_t number) {
  PseudoTerminal* const found = number < kMaximum ? terminals[number] : nullptr;
  return found != nullptr && !found->master_closed_ ? found : nullptr;
}

std::size_t PseudoTerminal::write(std::span<const std::byte> bytes) {
  std::array<char, 256> chunk;
  std::size_t size = 0;
  std::size_t taken = 0;
  std::size_t room = output_.room();
  const auto flush = [this, &chunk, &size] {
    const bool all = output_.write(std::as_bytes(std::span(chunk).first(size))) == size;
    size = 0;
    return all;
  };
  for (const std::byte byte : bytes) {
    std::array<char, 2> out;
    const std::size_t count = discipline().transform_output(static_cast<char>(byte), out);
    if (count > room) {
      break;
    }
    std::copy_n(out.begin(), count, chunk.begin() + size);
    size += count;
    room -= count;
    ++taken;
    if (size + out.size() > chunk.size() && !flush()) {
      break;
    }
  }
  flush();
  changed().wake(kReadable);
  return taken;
}

bool PseudoTerminal::echo(char byte) {
  return output_.write(std::as_bytes(std::span(&byte, 1))) == 1;
}

std::size_t PseudoTerminal::type(std::span<const std::byte> bytes) {
  std::size_t taken = 0;
  while (taken < bytes.size() && discipline().has_room()) {
    const TerminalSignal signal = discipline().receive(static_cast<char>(bytes[taken++]), *this);
    if (signal != TerminalSignal::kNone) {
      send_signal(signal);
    }
  }
  if (taken != 0) {  // else two who wait to write would wake each other for ever
    changed().wake();
  }
  return taken;
}

File* PseudoTerminal::make_file(Node& node, std::uint32_t flags) {
  return new PseudoTerminalFile(node, flags, *this);
}

void PseudoTerminal::count_file(bool opened) {
  files_ += opened ? 1 : -1;
  was_opened_ = was_opened_ || opened;
  changed().wake();
}

void PseudoTerminal::close_master() {
  master_closed_ = true;
  const std::uint32_t leader = session();
  if (leader != 0) {
    send_signal_to_group(leader, kSignalHangUp);
    send_signal_to_group(leader, kSignalContinue);
    leave_session();
  }
  changed().wake();
}

Result<Reference<File>> open_pseudo_terminal(Node& node, std::uint32_t number, std::uint32_t flags,
                                             const Process& opener) {
  PseudoTerminal* const terminal = PseudoTerminal::find(number);
  if (terminal == nullptr || terminal->is_locked()) {
    return fail(EIO);
  }
  const Reference<File> file(terminal->make_file(node, flags & ~std::uint32_t{O_NOCTTY}));
  if (!file) {
    return fail(ENOMEM);
  }
  if ((flags & O_NOCTTY) == 0) {
    terminal->offer_to(opener);
  }
  return file;
}

}  // namespace linux_server
