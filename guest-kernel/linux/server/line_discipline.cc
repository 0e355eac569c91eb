#include "guest-kernel/linux/server/line_discipline.h"

#include <algorithm>
#include <utility>

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
  }
  if ((settings_.c_iflag & IXON) == 0) {
    output_stopped_ = false;
  }
  // A line that was being edited becomes readable when editing ends, and stays so.
  if (flush || was_canonical != canonical()) {
    ready_ = size_;
    drop_marks();
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

void LineDiscipline::erase_line(EchoSink& sink) {
  constexpr tcflag_t kVisible = ECHO | ECHOE | ECHOKE;
  if ((settings_.c_lflag & kVisible) == kVisible) {
    while (size_ > ready_) {
      erase_one(sink);
    }
    return;
  }
  size_ = ready_;
  echo(static_cast<char>(settings_.c_cc[VKILL]), sink);
  if ((settings_.c_lflag & ECHOK) != 0) {
    echo('\n', sink);
  }
}

void LineDiscipline::append(char byte, Mark mark) {
  // The last place is kept for the newline, so that a line that is too long can still be ended.
  const std::size_t limit = canonical() && mark == kNoMark ? kCapacity - 1 : kCapacity;
  if (size_ < limit) {
    marks_[size_] = mark;
    buffer_[size_++] = byte;
  }
}

void LineDiscipline::drop_marks() {
  std::size_t kept = 0;
  for (std::size_t index = 0; index < size_; ++index) {
    if (marks_[index] != kEndOfFile) {
      marks_[kept] = kNoMark;
      buffer_[kept++] = buffer_[index];
    }
  }
  size_ = ready_ = kept;
}

TerminalSignal LineDiscipline::signal_of(char byte) const {
  if ((settings_.c_lflag & ISIG) == 0) {
    return TerminalSignal::kNone;
  }
  return is_control(byte, VINTR)   ? TerminalSignal::kInterrupt
         : is_control(byte, VQUIT) ? TerminalSignal::kQuit
         : is_control(byte, VSUSP) ? TerminalSignal::kSuspend
                                   : TerminalSignal::kNone;
}

bool LineDiscipline::control_output(char byte) {
  if ((settings_.c_iflag & IXON) == 0) {
    return false;
  }
  const bool stops = is_control(byte, VSTOP) && !(output_stopped_ && is_control(byte, VSTART));
  if (stops || is_control(byte, VSTART)) {
    output_stopped_ = stops;
    return true;
  }
  if ((settings_.c_iflag & IXANY) != 0) {
    output_stopped_ = false;
  }
  return false;
}

TerminalSignal LineDiscipline::receive(char byte, EchoSink& sink) {
  if ((settings_.c_iflag & ISTRIP) != 0) {
    byte = static_cast<char>(byte & 0x7f);
  }
  if ((settings_.c_iflag & IUCLC) != 0 && is_extended() && byte >= 'A' && byte <= 'Z') {
    byte = static_cast<char>(byte + ('a' - 'A'));
  }
  if (std::exchange(takes_literally_, false)) {
    append(byte);
    ready_ = canonical() ? ready_ : size_;
    echo(byte, sink);
    return TerminalSignal::kNone;
  }
  if (control_output(byte)) {
    return TerminalSignal::kNone;
  }
  if (const TerminalSignal signal = signal_of(byte); signal != TerminalSignal::kNone) {
    if ((settings_.c_lflag & NOFLSH) == 0) {
      size_ = ready_ = 0;
    }
    output_stopped_ = false;
    echo(byte, sink);
    return signal;
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
  if (canonical()) {
    receive_canonical(byte, sink);
    return TerminalSignal::kNone;
  }
  append(byte);
  ready_ = size_;
  echo(byte, sink);
  return TerminalSignal::kNone;
}

void LineDiscipline::receive_canonical(char byte, EchoSink& sink) {
  if (is_control(byte, VERASE)) {
    erase_one(sink);
  } else if (is_control(byte, VKILL)) {
    erase_line(sink);
  } else if (is_extended() && is_control(byte, VWERASE)) {
    while (size_ > ready_ && buffer_[size_ - 1] == ' ') {
      erase_one(sink);
    }
    while (size_ > ready_ && buffer_[size_ - 1] != ' ') {
      erase_one(sink);
    }
  } else if (is_extended() && is_control(byte, VLNEXT)) {
    takes_literally_ = true;
    if ((settings_.c_lflag & (ECHO | ECHOCTL)) == (ECHO | ECHOCTL)) {
      sink.echo('^');
      sink.echo('\b');
    }
  } else if (is_extended() && is_control(byte, VREPRINT)) {
    echo(byte, sink);
    echo('\n', sink);
    for (std::size_t index = ready_; index < size_; ++index) {
      echo(buffer_[index], sink);
    }
  } else if (is_control(byte, VEOF)) {
    append('\0', kEndOfFile);
    ready_ = size_;
  } else if (byte == '\n' || is_control(byte, VEOL) || (is_extended() && is_control(byte, VEOL2))) {
    append(byte, kLineEnd);
    echo(byte, sink);
    ready_ = size_;
  } else {
    append(byte);
    echo(byte, sink);
  }
}

bool LineDiscipline::is_readable() const {
  if (canonical()) {
    return ready_ > 0;
  }
  const std::size_t minimum = settings_.c_cc[VTIME] == 0 ? settings_.c_cc[VMIN] : 1;
  return size_ >= std::max<std::size_t>(minimum, 1);
}

std::size_t LineDiscipline::readable_bytes() const {
  return canonical() ? ready_ : size_;
}

void LineDiscipline::remove(std::size_t count) {
  std::copy(buffer_.data() + count, buffer_.data() + size_, buffer_.data());
  std::copy(marks_.data() + count, marks_.data() + size_, marks_.data());
  size_ -= count;
  ready_ -= std::min(count, ready_);
}

std::size_t LineDiscipline::read(std::span<char> buffer) {
  if (!canonical()) {
    const std::size_t count = std::min(size_, buffer.size());
    std::copy_n(buffer_.data(), count, buffer.data());
    remove(count);
    return count;
  }
  const auto* const end = std::find_if(marks_.begin(), marks_.begin() + ready_,
                                       [](Mark mark) { return mark != kNoMark; });
  const auto length = static_cast<std::size_t>(end - marks_.begin());
  const bool ends_file = length < ready_ && *end == kEndOfFile;
  const std::size_t line = length < ready_ && !ends_file ? length + 1 : length;
  const std::size_t count = std::min(line, buffer.size());
  std::copy_n(buffer_.data(), count, buffer.data());
  remove(count == line && ends_file ? count + 1 : count);
  return count;
}

std::size_t LineDiscipline::transform_output(char byte, std::span<char, 2> out) const {
  const bool processed = (settings_.c_oflag & OPOST) != 0;
  if (processed && byte == '\n' && (settings_.c_oflag & ONLCR) != 0) {
    out[0] = '\r';
    out[1] = '\n';
    return 2;
  }
  if (processed && (settings_.c_oflag & OLCUC) != 0 && byte >= 'a' && byte <= 'z') {
    byte = static_cast<char>(byte - ('a' - 'A'));
  }
  out[0] = processed && byte == '\r' && (settings_.c_oflag & OCRNL) != 0 ? '\n' : byte;
  return 1;
}

}  // namespace linux_server
