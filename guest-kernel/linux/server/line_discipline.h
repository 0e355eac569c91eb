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
  // True if read() would return at once, by VMIN as well.
  bool is_readable() const;
  // Whether a byte more is any use: one that does not fit is dropped.
  bool has_room() const { return size_ + 1 < kCapacity || (canonical() && ready_ == 0); }
  // The same for half of the buffer.
  bool has_much_room() const { return size_ <= kCapacity / 2 || (canonical() && ready_ == 0); }
  bool is_canonical() const { return canonical(); }
  // By VSTOP and VSTART, or tcflow(3).
  bool is_output_stopped() const { return output_stopped_; }
  void stop_output(bool stop) { output_stopped_ = stop; }
  // Moves what can be read into `buffer`: at most one line in canonical mode. 0: end of file, if
  // is_readable() was true.
  std::size_t read(std::span<char> buffer);
  // Bytes that read() could return.
  std::size_t readable_bytes() const;

  // Translates one output byte into `out` (two bytes at most); returns how many.
  std::size_t transform_output(char byte, std::span<char, 2> out) const;

 private:
  // A mark on a byte of the buffer: the end of a line, or an end of file, which is no byte of it.
  enum Mark : std::uint8_t { kNoMark, kLineEnd, kEndOfFile };

  bool canonical() const { return (settings_.c_lflag & ICANON) != 0; }
  bool is_extended() const { return (settings_.c_lflag & IEXTEN) != 0; }
  bool is_control(char byte, unsigned index) const;
  void echo(char byte, EchoSink& sink) const;
  void erase_one(EchoSink& sink);
  void erase_line(EchoSink& sink);
  void append(char byte, Mark mark = kNoMark);
  TerminalSignal signal_of(char byte) const;
  // True if the byte starts or stops the output.
  bool control_output(char byte);
  void receive_canonical(char byte, EchoSink& sink);
  void drop_marks();
  void remove(std::size_t count);

  termios settings_ = {};
  // Complete lines are [0, ready_); what follows is still being edited.
  std::array<char, kCapacity> buffer_ = {};
  std::array<Mark, kCapacity> marks_ = {};
  std::size_t size_ = 0;
  std::size_t ready_ = 0;
  bool takes_literally_ = false;  // the next byte, after VLNEXT
  bool output_stopped_ = false;
};

}  // namespace linux_server
