#include "control/daemon/log_tail.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <string_view>

#include "vmm/file_descriptor.h"

namespace ensemble::control {
namespace {

constexpr off_t kLookedAt = 65536;
constexpr std::size_t kLongestLine = 1024;

std::string read_end(const std::string& path) {
  const vmm::FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  struct stat status {};
  if (!file || ::fstat(file.get(), &status) != 0) {
    return {};
  }
  const off_t begin = std::max<off_t>(status.st_size - kLookedAt, 0);
  std::string text(static_cast<std::size_t>(status.st_size - begin), '\0');
  const ssize_t got = ::pread(file.get(), text.data(), text.size(), begin);
  text.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
  if (begin > 0) {
    text.erase(0, std::min(text.find('\n'), text.size() - 1) + 1);  // Half a line.
  }
  return text;
}

// The length of the UTF-8 character that `text` begins with; 0: it begins with none.
std::size_t character_length(std::string_view text) {
  const auto byte = [&](std::size_t at) { return static_cast<std::uint8_t>(text[at]); };
  const std::uint8_t first = byte(0);
  if (first < 0x80) {
    return first >= 0x20 && first != 0x7f ? 1 : 0;
  }
  const std::size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || length > text.size()) {
    return 0;
  }
  for (std::size_t at = 1; at < length; ++at) {
    if ((byte(at) & 0xc0) != 0x80) {
      return 0;
    }
  }
  // Neither written longer than needed, nor a surrogate, nor beyond U+10FFFF.
  const bool good = !(first == 0xe0 && byte(1) < 0xa0) && !(first == 0xed && byte(1) >= 0xa0) &&
                    !(first == 0xf0 && byte(1) < 0x90) && !(first == 0xf4 && byte(1) >= 0x90);
  return good ? length : 0;
}

}  // namespace

std::string printable(std::string_view text) {
  std::string clean;
  clean.reserve(text.size());
  while (!text.empty()) {
    const std::size_t length = character_length(text);
    clean += length == 0 ? std::string_view("?") : text.substr(0, length);
    text.remove_prefix(std::max<std::size_t>(length, 1));
  }
  return clean;
}

std::vector<std::string> last_lines(const std::string& path, std::size_t count) {
  const std::string text = read_end(path);
  std::vector<std::string> lines;
  std::string_view rest = text;
  while (rest.ends_with('\n')) {
    rest.remove_suffix(1);
  }
  while (!rest.empty() && lines.size() < count) {
    const std::size_t end = rest.rfind('\n');
    const std::size_t begin = end == std::string_view::npos ? 0 : end + 1;
    lines.push_back(printable(rest.substr(begin).substr(0, kLongestLine)));
    rest = rest.substr(0, begin == 0 ? 0 : end);
  }
  std::ranges::reverse(lines);
  return lines;
}

}  // namespace ensemble::control
