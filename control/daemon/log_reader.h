#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>

#include "vmm/file_descriptor.h"

namespace ensemble::control {

// A piece of a log: a piece of a console's output, or lines of a process's log.
struct LogPiece {
  // CLOCK_REALTIME, in nanoseconds; 0: not known.
  std::uint64_t time_ns = 0;
  std::string data;
};

// Reads a console's log (ConsoleLog) while its device goes on writing it: first what is kept, then,
// whenever there is more, that. Follows the files as they take each other's places.
class ConsoleLogReader {
 public:
  // `path` as that of the ConsoleLog. There need be no file yet.
  explicit ConsoleLogReader(std::string path);

  // The next piece; none: there is no more for now.
  std::optional<LogPiece> next();
  // As many pieces as there are, together at most 64 KiB, as one with the time of the first.
  std::optional<LogPiece> next_pieces();

  // Goes on behind all pieces but those that hold the last `bytes` bytes, or the last `lines`
  // lines. Only before the first next().
  void skip_to_last_bytes(std::uint64_t bytes);
  void skip_to_last_lines(std::uint64_t lines);

 private:
  bool open_next();
  bool has_newer() const;
  std::optional<LogPiece> parse();
  std::optional<LogPiece> read_piece();
  void fill();

  std::string path_;
  vmm::FileDescriptor file_;
  ino_t inode_ = 0;
  bool is_older_ = false;  // The file is PATH.1: PATH comes behind it.
  // What the file has from `offset_` on, as far as it was read, and how much of it was parsed.
  std::string buffer_;
  std::size_t parsed_ = 0;
  off_t offset_ = 0;
  std::uint64_t drop_ = 0;        // Bytes of output that next() leaves out.
  std::optional<LogPiece> held_;  // Read by next_pieces() and not yet given out.
};

// Reads a text file that only grows.
class TextLogReader {
 public:
  explicit TextLogReader(std::string path) : path_(std::move(path)) {}

  // At most 64 KiB; none: there is no more for now.
  std::optional<LogPiece> next();
  // Only before the first next().
  void skip_to_last_lines(std::uint64_t lines);

 private:
  std::string path_;
  vmm::FileDescriptor file_;
  off_t offset_ = 0;
};

}  // namespace ensemble::control
