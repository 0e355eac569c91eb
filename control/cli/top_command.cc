#include "control/cli/top_command.h"

#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "control/cli/metrics_output.h"
#include "control/cli/signals.h"
#include "control/raw_terminal.h"

namespace ensemble::control {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kFailed = 125;
constexpr char kControlC = 0x03;
// The terminal's second screen without a cursor, and back.
constexpr std::string_view kEnterScreen = "\x1b[?1049h\x1b[?25l";
constexpr std::string_view kLeaveScreen = "\x1b[?25h\x1b[?1049l";
constexpr std::string_view kHome = "\x1b[H";
constexpr std::string_view kClearLine = "\x1b[K";
constexpr std::string_view kClearBelow = "\x1b[J";

int complain(const Error& error) {
  fmt::print(stderr, "ensemble: {}\n", error.message());
  return kFailed;
}

// Reads the figures of the selected devices.
class Reader {
 public:
  // Names and digits of IDs are resolved once.
  static Result<Reader> create(Client& client, const Selection& selection) {
    Reader reader(client);
    for (const std::string& name : selection.names) {
      const auto device = client.get("devices/" + short_name(name));
      if (!device) {
        return std::unexpected(device.error());
      }
      reader.by_name_.add_names(device->name());
    }
    reader.takes_filter_ = selection.names.empty() || !selection.filters.empty();
    reader.by_filter_.set_filter(fmt::format("{}", fmt::join(selection.filters, ",")));
    return reader;
  }

  Result<std::vector<v1::DeviceMetrics>> read() const {
    std::vector<v1::DeviceMetrics> all;
    std::set<std::string> seen;
    for (const auto* request : {&by_name_, &by_filter_}) {
      if (request == &by_name_ ? by_name_.names().empty() : !takes_filter_) {
        continue;
      }
      auto metrics = client_->metrics(*request);
      if (!metrics) {
        return metrics;
      }
      for (v1::DeviceMetrics& each : *metrics) {
        if (seen.insert(each.uid()).second) {
          all.push_back(std::move(each));
        }
      }
    }
    return all;
  }

 private:
  explicit Reader(Client& client) : client_(&client) {}

  Client* client_;
  v1::ListDeviceMetricsRequest by_name_;
  v1::ListDeviceMetricsRequest by_filter_;
  bool takes_filter_ = false;
};

// The terminal while it shows the table: its second screen, and keys as they are typed.
class Screen {
 public:
  Screen() : keys_(STDIN_FILENO), has_keys_(::isatty(STDIN_FILENO) == 1) {
    if (has_keys_ && !keys_.enter()) {
      has_keys_ = false;
    }
    (void)write_all(STDOUT_FILENO, kEnterScreen);
  }
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;
  ~Screen() { (void)write_all(STDOUT_FILENO, kLeaveScreen); }

  bool has_keys() const { return has_keys_; }

  // False: the terminal has gone.
  static bool draw(const std::string& text) {
    std::string frame(kHome);
    for (std::size_t begin = 0; begin < text.size();) {
      const std::size_t end = std::min(text.find('\n', begin), text.size());
      frame += text.substr(begin, end - begin);
      frame += kClearLine;
      frame += end + 1 < text.size() ? "\r\n" : "";
      begin = end + 1;
    }
    frame += kClearBelow;
    return write_all(STDOUT_FILENO, frame);
  }

 private:
  RawTerminal keys_;
  bool has_keys_;
};

// The table again and again.
class Live {
 public:
  // `signals` is a signalfd.
  Live(const Reader& reader, bool wide, std::chrono::nanoseconds interval,
       vmm::FileDescriptor signals)
      : reader_(reader), wide_(wide), interval_(interval), signals_(std::move(signals)) {}

  Result<void> run() {
    auto read = reader_.read();
    if (!read) {
      return std::unexpected(read.error());
    }
    Screen screen;
    after_ = std::move(*read);
    while (draw()) {
      switch (wait(screen.has_keys())) {
        case Came::kEnd:
          return {};
        case Came::kResize:
          continue;
        case Came::kTime:
          break;
      }
      auto next = reader_.read();
      if (!next) {
        return std::unexpected(next.error());
      }
      before_ = std::exchange(after_, std::move(*next));
    }
    return {};
  }

 private:
  enum class Came { kTime, kResize, kEnd };

  bool draw() const {
    const TerminalSize size = terminal_size(STDOUT_FILENO);
    constexpr unsigned kLeastRows = 3;
    std::string title = metrics_summary(before_, after_) + "; q ends";
    if (size.columns != 0 && title.size() > size.columns) {
      title.resize(size.columns);
    }
    return Screen::draw(
        title + "\n" +
        metrics_table(before_, after_,
                      {.wide = wide_,
                       .colours = colours_wanted(),
                       .columns = size.columns,
                       .rows = size.rows == 0 ? 0 : std::max(size.rows, kLeastRows) - 1}));
  }

  // Until it is time for the next reading, or something else happens.
  Came wait(bool has_keys) {
    if (Clock::now() >= next_) {
      next_ = Clock::now() + interval_;
    }
    for (;;) {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(next_ - Clock::now()).count();
      if (left <= 0) {
        return Came::kTime;
      }
      std::array<pollfd, 2> polled = {
          pollfd{.fd = signals_.get(), .events = POLLIN, .revents = 0},
          pollfd{.fd = has_keys ? STDIN_FILENO : -1, .events = POLLIN, .revents = 0}};
      if (::poll(polled.data(), polled.size(), static_cast<int>(left)) < 0 && errno != EINTR) {
        return Came::kEnd;
      }
      if (polled[0].revents != 0) {
        signalfd_siginfo taken{};
        const bool is_whole = ::read(signals_.get(), &taken, sizeof taken) == sizeof taken;
        return is_whole && taken.ssi_signo == SIGWINCH ? Came::kResize : Came::kEnd;
      }
      if (polled[1].revents != 0 && typed_end()) {
        return Came::kEnd;
      }
    }
  }

  static bool typed_end() {
    std::array<char, 64> keys{};
    const ssize_t count = ::read(STDIN_FILENO, keys.data(), keys.size());
    if (count <= 0) {
      return true;  // The terminal has gone.
    }
    const std::string_view typed(keys.data(), static_cast<std::size_t>(count));
    return std::ranges::any_of(
        typed, [](char key) { return key == 'q' || key == 'Q' || key == kControlC; });
  }

  const Reader& reader_;
  const bool wide_;
  const std::chrono::nanoseconds interval_;
  const vmm::FileDescriptor signals_;
  std::vector<v1::DeviceMetrics> before_;
  std::vector<v1::DeviceMetrics> after_;
  Clock::time_point next_ = Clock::now() + interval_;
};

int print(const std::string& text) {
  return write_all(STDOUT_FILENO, text) ? 0 : kFailed;
}

// One table, of two readings.
int show_once(const Reader& reader, bool wide, std::chrono::nanoseconds interval) {
  const auto before = reader.read();
  if (!before) {
    return complain(before.error());
  }
  if (std::ranges::any_of(*before, &v1::DeviceMetrics::has_monotonic_time)) {
    std::this_thread::sleep_for(interval);
  }
  const auto after = reader.read();
  return after ? print(metrics_table(*before, *after, {.wide = wide, .colours = colours_wanted()}))
               : complain(after.error());
}

bool is_dumb_terminal() {
  const char* terminal = std::getenv("TERM");
  return terminal == nullptr || std::string_view(terminal) == "dumb";
}

}  // namespace

int show_top(Client& client, const Selection& selection, ListFormat format,
             const TopOptions& options) {
  if (!(options.interval >= 0.1 && options.interval <= 60)) {
    return complain(
        Error(fmt::format("--interval is {}, expected 0.1 to 60 seconds", options.interval)));
  }
  const auto interval = std::chrono::duration_cast<std::chrono::nanoseconds>(
      std::chrono::duration<double>(options.interval));
  const bool wide = format == ListFormat::kWide;
  const bool is_live = (format == ListFormat::kTable || wide) && !options.once &&
                       ::isatty(STDOUT_FILENO) == 1 && !is_dumb_terminal();
  // Signals are for this thread, and are taken before gRPC makes others.
  vmm::FileDescriptor signals =
      is_live ? take_signals({SIGINT, SIGTERM, SIGHUP, SIGWINCH}) : vmm::FileDescriptor();
  const auto reader = Reader::create(client, selection);
  if (!reader) {
    return complain(reader.error());
  }
  if (format == ListFormat::kJson || format == ListFormat::kYaml) {
    const auto metrics = reader->read();
    return metrics ? print(list_metrics_as(*metrics, format)) : complain(metrics.error());
  }
  if (!is_live) {
    return show_once(*reader, wide, interval);
  }
  const auto ran = Live(*reader, wide, interval, std::move(signals)).run();
  return ran ? 0 : complain(ran.error());
}

}  // namespace ensemble::control
