#include "control/control_groups.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <optional>
#include <sstream>
#include <string_view>

#include "control/small_file.h"
#include "vmm/file_descriptor.h"

namespace ensemble::control {
namespace {

namespace fs = std::filesystem;

// Of the daemon, and before the uid of a device.
constexpr char kDaemonGroup[] = "ensembled";
constexpr std::string_view kDeviceGroup = "ensemble-";
// Where systemd runs what belongs to a service with Delegate= and is not its main process.
constexpr char kControlGroup[] = ".control";
constexpr const char* kControllers[] = {"memory", "cpu", "pids"};
constexpr char kWithSystemd[] =
    "`systemctl --user start ensembled` starts a daemon that has groups of its own";

// Of a device's process beside the guest's memory: itself, queues, page tables, its files' pages.
constexpr std::uint64_t kProcessMemory = std::uint64_t{128} << 20;
constexpr std::uint32_t kProcessThreads = 64;
constexpr std::uint64_t kPeriod = 100'000;  // µs

Result<void> write_file(const std::string& path, const std::string& text) {
  const vmm::FileDescriptor file(::open(path.c_str(), O_WRONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!file || ::write(file.get(), text.data(), text.size()) < 0) {
    return std::unexpected(
        Error::from_errno(fmt::format("cannot write '{}' to '{}'", text, path), errno));
  }
  return {};
}

std::vector<std::string> words_of(const std::string& text) {
  std::istringstream stream(text);
  std::vector<std::string> words;
  for (std::string word; stream >> word;) {
    words.push_back(word);
  }
  return words;
}

// Of mountinfo, which writes blanks and backslashes as \ and three octal digits.
std::string unescape(std::string_view text) {
  constexpr std::size_t kDigits = 3;
  std::string result;
  for (std::size_t at = 0; at < text.size(); ++at) {
    const std::string_view digits = text.substr(at + 1, kDigits);
    if (text[at] == '\\' && digits.size() == kDigits &&
        digits.find_first_not_of("01234567") == std::string_view::npos) {
      result += static_cast<char>((digits[0] - '0') * 64 + (digits[1] - '0') * 8 + digits[2] - '0');
      at += kDigits;
    } else {
      result += text[at];
    }
  }
  return result;
}

// Where a mount of version 2 shows the group `path`; absent: it does not, or it is another file
// system. The line is one of proc(5)'s mountinfo.
std::optional<std::string> shown_at(const std::string& line, const std::string& path) {
  constexpr std::size_t kRoot = 3;
  constexpr std::size_t kMountPoint = 4;
  const std::vector<std::string> words = words_of(line);
  const auto dash = std::ranges::find(words, "-");
  if (words.size() <= kMountPoint || words.end() - dash < 2 || *(dash + 1) != "cgroup2") {
    return std::nullopt;
  }
  const std::string root = unescape(words[kRoot]) == "/" ? "" : unescape(words[kRoot]);
  if (!path.starts_with(root) || (path.size() > root.size() && path[root.size()] != '/')) {
    return std::nullopt;
  }
  const std::string inner = path.substr(root.size());
  return unescape(words[kMountPoint]) + (inner == "/" ? "" : inner);
}

Result<std::vector<std::string>> controllers_in(const std::string& group) {
  const auto text = read_small_file(group + "/cgroup.controllers");
  if (!text) {
    return std::unexpected(text.error());
  }
  std::vector<std::string> found;
  const std::vector<std::string> words = words_of(*text);
  for (const char* const each : kControllers) {
    if (std::ranges::find(words, each) != words.end()) {
      found.emplace_back(each);
    }
  }
  return found;
}

// "+memory +cpu", say.
std::string each_with(char sign, const std::vector<std::string>& controllers) {
  std::string text;
  for (const std::string& each : controllers) {
    text += fmt::format("{}{}{}", text.empty() ? "" : " ", sign, each);
  }
  return text;
}

// What devices left whose end no daemon has seen. Those that run stay.
void remove_empty_groups(const std::string& home) {
  std::error_code failed;
  std::vector<std::string> left;
  for (fs::directory_iterator at(home, failed), end; !failed && at != end; at.increment(failed)) {
    if (at->path().filename().string().starts_with(kDeviceGroup)) {
      left.push_back(at->path().string());
    }
  }
  for (const std::string& each : left) {
    ::rmdir(each.c_str());
  }
}

}  // namespace

Result<std::string> own_group(const GroupFiles& files) {
  constexpr std::string_view kSecondVersion = "0::";
  const auto groups = read_small_file(files.groups);
  const auto mounts = read_small_file(files.mounts);
  if (!groups || !mounts) {
    return std::unexpected(!groups ? groups.error() : mounts.error());
  }
  std::istringstream lines(*groups);
  std::string path;
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with(kSecondVersion)) {
      path = line.substr(kSecondVersion.size());
    }
  }
  if (path.empty()) {
    return fail("this host has control groups of version 1 only");
  }
  if (!path.starts_with('/') || path.starts_with("/..")) {
    return fail("the control group '{}' is outside of what this process sees", path);
  }
  std::istringstream mounted(*mounts);
  for (std::string line; std::getline(mounted, line);) {
    if (auto place = shown_at(line, path)) {
      return *place;
    }
  }
  return fail("control groups of version 2 are not mounted on this host");
}

Result<std::vector<std::string>> usable_controllers(const std::string& group) {
  auto controllers = controllers_in(group);
  if (!controllers) {
    return controllers;
  }
  if (std::ranges::find(*controllers, kControllers[0]) == controllers->end()) {
    return fail(
        "the control group '{}' has no controller 'memory': those of this host are of version 1, "
        "or are not passed on to it",
        group);
  }
  for (const char* const file : {"", "/cgroup.procs", "/cgroup.subtree_control"}) {
    if (::access((group + file).c_str(), W_OK) != 0) {
      return std::unexpected(
          Error::from_errno("cannot write '" + group + file + "'; " + kWithSystemd, errno));
    }
  }
  return controllers;
}

ProcessLimits limits_for(std::uint64_t memory_bytes, std::uint32_t processors) {
  // An eighth: page tables, and what the host keeps for each page.
  return {.memory_bytes = memory_bytes + memory_bytes / 8 + kProcessMemory,
          .processors = processors + 1,
          .threads = processors + kProcessThreads};
}

Result<DeviceGroups> DeviceGroups::prepare(const GroupFiles& files) {
  const auto own = own_group(files);
  if (!own) {
    return std::unexpected(own.error());
  }
  // Where systemd, or an earlier daemon that started this one, has put it already.
  const bool is_inside = fs::path(*own).filename() == kDaemonGroup;
  DeviceGroups groups;
  groups.home_ = is_inside ? fs::path(*own).parent_path().string() : *own;
  auto controllers = usable_controllers(groups.home_);
  if (!controllers) {
    return std::unexpected(controllers.error());
  }
  groups.controllers_ = std::move(*controllers);
  const std::string daemon = groups.home_ + "/" + kDaemonGroup;
  if (!is_inside) {
    if (::mkdir(daemon.c_str(), 0755) != 0 && errno != EEXIST) {
      return std::unexpected(Error::from_errno("cannot make '" + daemon + "'", errno));
    }
    if (auto moved = write_file(daemon + "/cgroup.procs", "0"); !moved) {
      ::rmdir(daemon.c_str());
      return std::unexpected(moved.error());
    }
  }
  auto enabled =
      write_file(groups.home_ + "/cgroup.subtree_control", each_with('+', groups.controllers_));
  if (!enabled) {
    if (!is_inside) {
      (void)write_file(groups.home_ + "/cgroup.procs", "0");
      ::rmdir(daemon.c_str());
    }
    return enabled.error().error_number() == EBUSY
               ? fail("other processes are in the control group '{}' too; {}", groups.home_,
                      kWithSystemd)
               : Result<DeviceGroups>(std::unexpected(enabled.error()));
  }
  remove_empty_groups(groups.home_);
  return groups;
}

Result<void> DeviceGroups::release(const GroupFiles& files) {
  const auto own = own_group(files);
  if (!own) {
    return std::unexpected(own.error());
  }
  const fs::path path(*own);
  const bool is_inside = path.filename() == kDaemonGroup || path.filename() == kControlGroup;
  const std::string home = is_inside ? path.parent_path().string() : *own;
  const auto controllers = controllers_in(home);
  if (!controllers) {
    return std::unexpected(controllers.error());
  }
  return controllers->empty()
             ? Result<void>()
             : write_file(home + "/cgroup.subtree_control", each_with('-', *controllers));
}

bool DeviceGroups::has(const std::string& controller) const {
  return std::ranges::find(controllers_, controller) != controllers_.end();
}

std::string DeviceGroups::group_of(const std::string& uid) const {
  return fmt::format("{}/{}{}", home_, kDeviceGroup, uid);
}

Result<void> DeviceGroups::hold(const std::string& uid, pid_t process,
                                const ProcessLimits& limits) const {
  if (home_.empty()) {
    return {};
  }
  const std::string group = group_of(uid);
  if (::mkdir(group.c_str(), 0755) != 0 && errno != EEXIST) {
    return std::unexpected(Error::from_errno("cannot make '" + group + "'", errno));
  }
  Result<void> written;
  if (has("memory")) {
    written = write_file(group + "/memory.max", std::to_string(limits.memory_bytes));
  }
  if (written && has("cpu")) {
    written =
        write_file(group + "/cpu.max", fmt::format("{} {}", limits.processors * kPeriod, kPeriod));
  }
  if (written && has("pids")) {
    written = write_file(group + "/pids.max", std::to_string(limits.threads));
  }
  return written ? write_file(group + "/cgroup.procs", std::to_string(process)) : written;
}

void DeviceGroups::forget(const std::string& uid) const {
  if (!home_.empty()) {
    ::rmdir(group_of(uid).c_str());
  }
}

}  // namespace ensemble::control
