#pragma once

#include <asm/termbits.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace linux_server {

// Where a terminal's echo goes. Returns false where there is no room: the byte is dropped.
class EchoSink {
 public:
  virtual bool echo(char byte) = 0;

 protected:
  ~EchoSink() = default;
};

// What an input byte means beyond being data.
enum class TerminalSignal : std::uint8_t { kNone, kInterrupt, kQuit, kSuspend };

// The input side of a terminal, as termios(3) describes it: line editing, echo, end of file and the
// characters that send signals; and the output side's post-processing.
class LineDiscipline {
 public:
  static constexpr std::size_t kCapacity = 4096;

  LineDiscipline();

  const termios& settings() const { return settings_; }
  // New settings; `flush` drops input that was not read yet.
  void set_settings(const termios& settings, bool flush);

  // Takes one byte from the device. Returns the signal that it stands for.
  TerminalSignal receive(char byte, EchoSink& sink);
  // True if read() would return at once.
  bool is_readable() const;
  // Moves what can be read into `buffer`: at most one line in canonical mode. 0: end of file, if
  // is_readable() was true.
  std::size_t read(std::span<char> buffer);
  // Bytes that read() could return.
  std::size_t readable_bytes() const;

  // Translates one output byte into `out` (two bytes at most); returns how many.
  std::size_t transform_output(char byte, std::span<char, 2> out) const;

 private:
  bool canonical() const { return (settings_.c_lflag & ICANON) != 0; }
  bool is_control(char byte, unsigned index) const;
  void echo(char byte, EchoSink& sink) const;
  void erase_one(EchoSink& sink);
  void append(char byte);
  void end_line();

  termios settings_ = {};
  // Complete lines are [0, ready_); what follows is still being edited. An end of file is a line
  // with no bytes, kept as a count since it may follow a complete line.
  std::array<char, kCapacity> buffer_ = {};
  std::size_t size_ = 0;
  std::size_t ready_ = 0;
  std::size_t ends_of_file_ = 0;
};

}  // namespace linux_server
