#include "guest-kernel/linux/server/line_discipline.h"

#include <algorithm>
#include <cstring>

namespace linux_server {
namespace {

constexpr char kDelete = 0x7f;
constexpr char control(char letter) {
  return static_cast<char>(letter & 0x1f);
}

bool is_printable(char byte) {
  return static_cast<unsigned char>(byte) >= 0x20 && byte != kDelete;
}

}  // namespace

LineDiscipline::LineDiscipline() {
  settings_.c_iflag = ICRNL | IXON;
  settings_.c_oflag = OPOST | ONLCR;
  settings_.c_cflag = B115200 | CS8 | CREAD | HUPCL | CLOCAL;
  settings_.c_lflag = ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE | IEXTEN;
  settings_.c_cc[VINTR] = control('C');
  settings_.c_cc[VQUIT] = control('\\');
  settings_.c_cc[VERASE] = static_cast<cc_t>(kDelete);
  settings_.c_cc[VKILL] = control('U');
  settings_.c_cc[VEOF] = control('D');
  settings_.c_cc[VMIN] = 1;
  settings_.c_cc[VSTART] = control('Q');
  settings_.c_cc[VSTOP] = control('S');
  settings_.c_cc[VSUSP] = control('Z');
  settings_.c_cc[VREPRINT] = control('R');
  settings_.c_cc[VDISCARD] = control('O');
  settings_.c_cc[VWERASE] = control('W');
  settings_.c_cc[VLNEXT] = control('V');
}

void LineDiscipline::set_settings(const termios& settings, bool flush) {
  const bool was_canonical = canonical();
  settings_ = settings;
  if (flush) {
    size_ = 0;
    ends_of_file_ = 0;
  }
  // A line that was being edited becomes readable when editing ends, and stays so.
  if (flush || (was_canonical && !canonical())) {
    ready_ = size_;
  }
}

bool LineDiscipline::is_control(char byte, unsigned index) const {
  return settings_.c_cc[index] != 0 && static_cast<cc_t>(byte) == settings_.c_cc[index];
}

void LineDiscipline::echo(char byte, EchoSink& sink) const {
  if ((settings_.c_lflag & ECHO) == 0) {
    if (byte == '\n' && (settings_.c_lflag & ECHONL) != 0 && canonical()) {
      sink.echo('\r');
      sink.echo('\n');
    }
    return;
  }
  if (byte == '\n' && (settings_.c_oflag & (OPOST | ONLCR)) == (OPOST | ONLCR)) {
    sink.echo('\r');
    sink.echo('\n');
  } else if (is_printable(byte) || byte == '\n' || byte == '\t' ||
             (settings_.c_lflag & ECHOCTL) == 0) {
    sink.echo(byte);
  } else {
    sink.echo('^');
    sink.echo(static_cast<char>(byte ^ 0x40));
  }
}

void LineDiscipline::erase_one(EchoSink& sink) {
  if (size_ == ready_) {
    return;
  }
  // Bytes of one UTF-8 sequence go together: they made one column.
  char byte = buffer_[--size_];
  while (size_ > ready_ && (static_cast<unsigned char>(byte) & 0xc0) == 0x80) {
    byte = buffer_[--size_];
  }
  if ((settings_.c_lflag & (ECHO | ECHOE)) != (ECHO | ECHOE)) {
    return;
  }
  const int columns = is_printable(byte) ? 1 : 2;
  for (int column = 0; column < columns; ++column) {
    sink.echo('\b');
    sink.echo(' ');
    sink.echo('\b');
  }
}

void LineDiscipline::append(char byte) {
  // The last place is kept for the newline, so that a line that is too long can still be ended.
  const std::size_t limit = canonical() && byte != '\n' ? kCapacity - 1 : kCapacity;
  if (size_ < limit) {
    buffer_[size_++] = byte;
  }
}

void LineDiscipline::end_line() {
  ready_ = size_;
}

TerminalSignal LineDiscipline::receive(char byte, EchoSink& sink) {
  if ((settings_.c_lflag & ISIG) != 0) {
    TerminalSignal signal = TerminalSignal::kNone;
    if (is_control(byte, VINTR)) {
      signal = TerminalSignal::kInterrupt;
    } else if (is_control(byte, VQUIT)) {
      signal = TerminalSignal::kQuit;
    } else if (is_control(byte, VSUSP)) {
      signal = TerminalSignal::kSuspend;
    }
    if (signal != TerminalSignal::kNone) {
      if ((settings_.c_lflag & NOFLSH) == 0) {
        size_ = 0;
        ready_ = 0;
        ends_of_file_ = 0;
      }
      echo(byte, sink);
      return signal;
    }
  }
  if (byte == '\r') {
    if ((settings_.c_iflag & IGNCR) != 0) {
      return TerminalSignal::kNone;
    }
    if ((settings_.c_iflag & ICRNL) != 0) {
      byte = '\n';
    }
  } else if (byte == '\n' && (settings_.c_iflag & INLCR) != 0) {
    byte = '\r';
  }
  if (!canonical()) {
    append(byte);
    ready_ = size_;
    echo(byte, sink);
    return TerminalSignal::kNone;
  }
  if (is_control(byte, VERASE)) {
    erase_one(sink);
  } else if (is_control(byte, VKILL)) {
    while (size_ > ready_) {
      erase_one(sink);
    }
  } else if (is_control(byte, VWERASE)) {
    while (size_ > ready_ && buffer_[size_ - 1] == ' ') {
      erase_one(sink);
    }
    while (size_ > ready_ && buffer_[size_ - 1] != ' ') {
      erase_one(sink);
    }
  } else if (is_control(byte, VEOF)) {
    if (size_ == ready_) {
      ++ends_of_file_;
    } else {
      end_line();
    }
  } else {
    append(byte);
    echo(byte, sink);
    if (byte == '\n' || is_control(byte, VEOL)) {
      end_line();
    }
  }
  return TerminalSignal::kNone;
}

bool LineDiscipline::is_readable() const {
  if (canonical()) {
    return ready_ > 0 || ends_of_file_ > 0;
  }
  return size_ >= std::max<std::size_t>(settings_.c_cc[VMIN], 1) ||
         (settings_.c_cc[VMIN] == 0 && settings_.c_cc[VTIME] == 0);
}

std::size_t LineDiscipline::readable_bytes() const {
  return canonical() ? ready_ : size_;
}

std::size_t LineDiscipline::read(std::span<char> buffer) {
  std::size_t count = std::min(canonical() ? ready_ : size_, buffer.size());
  if (canonical()) {
    if (ready_ == 0) {
      ends_of_file_ -= ends_of_file_ > 0 ? 1 : 0;
      return 0;
    }
    const void* newline = std::memchr(buffer_.data(), '\n', count);
    if (newline != nullptr) {
      count = static_cast<std::size_t>(static_cast<const char*>(newline) - buffer_.data()) + 1;
    }
  }
  std::copy_n(buffer_.data(), count, buffer.data());
  std::copy(buffer_.data() + count, buffer_.data() + size_, buffer_.data());
  size_ -= count;
  ready_ -= std::min(count, ready_);
  return count;
}

std::size_t LineDiscipline::transform_output(char byte, std::span<char, 2> out) const {
  const bool processed = (settings_.c_oflag & OPOST) != 0;
  if (processed && byte == '\n' && (settings_.c_oflag & ONLCR) != 0) {
    out[0] = '\r';
    out[1] = '\n';
    return 2;
  }
  out[0] = processed && byte == '\r' && (settings_.c_oflag & OCRNL) != 0 ? '\n' : byte;
  return 1;
}

}  // namespace linux_server
