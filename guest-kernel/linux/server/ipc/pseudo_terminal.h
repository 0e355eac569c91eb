#pragma once

#include <cstdint>
#include <string_view>

#include "guest-kernel/linux/server/ipc/byte_queue.h"
#include "guest-kernel/linux/server/ipc/terminal_file.h"

namespace linux_server {

// A terminal whose other end, the master, is a program's too: pty(7).
class PseudoTerminal : public TerminalLine, public Counted {
 public:
  static constexpr std::uint32_t kMaximum = 256;

  // The lowest free number; null: there is none, or no memory.
  static Reference<PseudoTerminal> make();
  // The one of that number whose master is open; null: none.
  static PseudoTerminal* find(std::uint32_t number);
  ~PseudoTerminal() override;

  std::uint32_t number() const { return number_; }
  bool is_locked() const { return locked_; }
  void set_locked(bool locked) { locked_ = locked; }

  std::size_t write(std::span<const std::byte> bytes) override;
  bool is_writable() const override { return !is_stopped() && output_.room() >= kSpareRoom; }
  void input_taken() override { changed().wake(); }
  void drop_output() override { output_.clear(); }
  bool is_hung_up() const override { return master_closed_; }

  // A program's end; null: no memory.
  File* make_file(Node& node, std::uint32_t flags);
  void count_file(bool opened);

  // The master's side.
  ByteQueue& output() { return output_; }
  // Takes what is typed, as far as there is room; returns how much.
  std::size_t type(std::span<const std::byte> bytes);
  bool has_input_room() { return discipline().has_room(); }
  // Every program's end has been closed, after there was one.
  bool is_abandoned() const { return was_opened_ && files_ == 0; }
  void close_master();

 private:
  // Room below which a writer waits: an echo still fits.
  static constexpr std::size_t kSpareRoom = 256;

  explicit PseudoTerminal(std::uint32_t number);
  bool echo(char byte) override;

  ByteQueue output_{16 * ByteQueue::kPage};
  std::uint32_t number_;
  std::uint32_t files_ = 0;
  bool was_opened_ = false;
  bool locked_ = true;
  bool master_closed_ = false;
};

// /dev/ptmx: a new terminal's master. ENOSPC, ENOMEM.
Result<Reference<File>> open_terminal_master(Node& node, std::uint32_t flags);
// /dev/pts/N. EIO: it is locked, or there is no master any more.
Result<Reference<File>> open_pseudo_terminal(Node& node, std::uint32_t number, std::uint32_t flags,
                                             const Process& opener);

// Adds /dev/pts to /dev. False: no memory.
bool add_terminal_directory(Directory& directory);

}  // namespace linux_server
