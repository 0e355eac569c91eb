#include "control/daemon/log_reader.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <deque>
#include <utility>

#include "control/console_log.h"

namespace ensemble::control {
namespace {

constexpr std::size_t kLargestPiece = 65536;

vmm::FileDescriptor open_file(const std::string& path) {
  return vmm::FileDescriptor(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
}

ino_t inode_of(int file) {
  struct stat status {};
  return ::fstat(file, &status) == 0 ? status.st_ino : 0;
}

// How many bytes to leave out of a log so that only the last `lines` lines remain: where they
// begin.
class LineCounter {
 public:
  explicit LineCounter(std::uint64_t lines) : lines_(lines) {}

  void add(const std::string& data) {
    for (const char letter : data) {
      if (at_line_start_) {
        starts_.push_back(seen_);
        if (starts_.size() > lines_) {
          starts_.pop_front();
        }
      }
      ++seen_;
      at_line_start_ = letter == '\n';
    }
  }
  std::uint64_t begin() const { return starts_.empty() ? seen_ : starts_.front(); }

 private:
  const std::uint64_t lines_;
  std::deque<std::uint64_t> starts_;
  std::uint64_t seen_ = 0;
  bool at_line_start_ = true;
};

}  // namespace

ConsoleLogReader::ConsoleLogReader(std::string path) : path_(std::move(path)) {}

bool ConsoleLogReader::open_next() {
  const bool begins = !file_ && inode_ == 0;
  if (begins) {
    file_ = open_file(path_ + ".1");
    is_older_ = static_cast<bool>(file_);
  }
  if (!is_older_ || !begins) {
    file_ = open_file(path_);
    is_older_ = false;
  }
  offset_ = 0;
  buffer_.clear();
  parsed_ = 0;
  inode_ = file_ ? inode_of(file_.get()) : 0;
  return static_cast<bool>(file_);
}

// Whether PATH is another file than the one that is open.
bool ConsoleLogReader::has_newer() const {
  struct stat status {};
  return ::stat(path_.c_str(), &status) == 0 && status.st_ino != inode_;
}

// A whole piece of what was read, if there is one.
std::optional<LogPiece> ConsoleLogReader::parse() {
  ConsoleLogHeader header{};
  if (buffer_.size() - parsed_ < sizeof header) {
    return std::nullopt;
  }
  std::memcpy(&header, buffer_.data() + parsed_, sizeof header);
  const bool is_header =
      header.size == ~header.check && header.size > 0 && header.size <= kLargestPiece;
  if (!is_header || buffer_.size() - parsed_ < sizeof header + header.size) {
    return std::nullopt;
  }
  LogPiece piece{.time_ns = header.time_ns,
                 .data = buffer_.substr(parsed_ + sizeof header, header.size)};
  parsed_ += sizeof header + header.size;
  return piece;
}

void ConsoleLogReader::fill() {
  offset_ += static_cast<off_t>(parsed_);
  parsed_ = 0;
  buffer_.resize(kLargestPiece + sizeof(ConsoleLogHeader));
  const ssize_t got = ::pread(file_.get(), buffer_.data(), buffer_.size(), offset_);
  buffer_.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
}

std::optional<LogPiece> ConsoleLogReader::read_piece() {
  if (!file_ && !open_next()) {
    return std::nullopt;
  }
  auto piece = parse();
  if (!piece) {
    fill();
    piece = parse();
  }
  while (!piece) {
    // Looked at first: what was written before the files changed places is read then.
    const bool has_newer_file = has_newer();
    fill();
    piece = parse();
    if (!piece && (!has_newer_file || !open_next())) {
      return std::nullopt;
    }
  }
  return piece;
}

std::optional<LogPiece> ConsoleLogReader::next() {
  for (;;) {
    auto piece = held_ ? std::exchange(held_, std::nullopt) : read_piece();
    if (!piece) {
      return std::nullopt;
    }
    const std::uint64_t dropped = std::min<std::uint64_t>(drop_, piece->data.size());
    drop_ -= dropped;
    if (dropped < piece->data.size()) {
      piece->data.erase(0, dropped);
      return piece;
    }
  }
}

std::optional<LogPiece> ConsoleLogReader::next_pieces() {
  auto pieces = next();
  while (pieces && (held_ = next()) && pieces->data.size() + held_->data.size() <= kLargestPiece) {
    pieces->data += held_->data;
    held_.reset();
  }
  return pieces;
}

void ConsoleLogReader::skip_to_last_bytes(std::uint64_t bytes) {
  ConsoleLogReader all(path_);
  std::uint64_t total = 0;
  while (const auto piece = all.next()) {
    total += piece->data.size();
  }
  drop_ = total - std::min(total, bytes);
}

void ConsoleLogReader::skip_to_last_lines(std::uint64_t lines) {
  ConsoleLogReader all(path_);
  LineCounter counter(lines);
  while (const auto piece = all.next()) {
    counter.add(piece->data);
  }
  drop_ = counter.begin();
}

std::optional<LogPiece> TextLogReader::next() {
  if (!file_) {
    file_ = open_file(path_);
  }
  LogPiece piece;
  piece.data.resize(kLargestPiece);
  const ssize_t got =
      file_ ? ::pread(file_.get(), piece.data.data(), piece.data.size(), offset_) : 0;
  if (got <= 0) {
    return std::nullopt;
  }
  offset_ += got;
  piece.data.resize(static_cast<std::size_t>(got));
  return piece;
}

void TextLogReader::skip_to_last_lines(std::uint64_t lines) {
  const vmm::FileDescriptor file = open_file(path_);
  struct stat status {};
  if (!file || ::fstat(file.get(), &status) != 0) {
    return;
  }
  std::string block;
  std::uint64_t ends = 0;
  // From the end, since it may be long. The last byte ends the last line, or is of it.
  for (off_t begin = std::max<off_t>(status.st_size - 1, 0); begin > 0;) {
    block.resize(static_cast<std::size_t>(std::min<off_t>(begin, kLargestPiece)));
    begin -= static_cast<off_t>(block.size());
    if (::pread(file.get(), block.data(), block.size(), begin) !=
        static_cast<ssize_t>(block.size())) {
      return;
    }
    for (std::size_t at = block.size(); at-- > 0;) {
      if (block[at] == '\n' && ++ends == lines) {
        offset_ = begin + static_cast<off_t>(at) + 1;
        return;
      }
    }
  }
}

}  // namespace ensemble::control
