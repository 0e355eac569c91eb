#include "control/daemon/log_tail.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <string_view>

#include "control/printable.h"
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

}  // namespace

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
