#include "control/cli/device_commands.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <mutex>
#include <set>
#include <string_view>
#include <thread>

#include "control/engine.h"
#include "control/memory_size.h"

namespace ensemble::control {
namespace {

constexpr int kFailed = 125;
constexpr std::uint32_t kMostAtOnce = 1000;
// Starts that the daemon is asked for at the same time.
constexpr unsigned kStartsAtOnce = 4;
constexpr std::string_view kPrefix = "devices/";

int complain(const Error& error) {
  fmt::print(stderr, "ensemble: {}\n", error.message());
  return kFailed;
}

// False once nobody reads.
bool print(std::string_view text) {
  return std::fwrite(text.data(), 1, text.size(), stdout) == text.size() &&
         std::fflush(stdout) == 0;
}

std::string full_name(const std::string& name) {
  return name.starts_with(kPrefix) ? name : std::string(kPrefix) + name;
}

std::string joined(const std::vector<std::string>& filters) {
  return fmt::format("{}", fmt::join(filters, ","));
}

Result<std::string> absolute(const std::string& path) {
  char* resolved = ::realpath(path.c_str(), nullptr);
  if (resolved == nullptr) {
    return std::unexpected(Error::from_errno("cannot use '" + path + "'", errno));
  }
  std::string text(resolved);
  std::free(resolved);
  return text;
}

Result<v1::RestartPolicy> restart_policy(const std::string& name) {
  if (name == "never") {
    return v1::RESTART_POLICY_NEVER;
  }
  if (name == "on-failure") {
    return v1::RESTART_POLICY_ON_FAILURE;
  }
  return v1::RESTART_POLICY_ALWAYS;
}

Result<void> set_files(const UpOptions& options, v1::DeviceSpec& spec) {
  const auto set = [](const std::optional<std::string>& path, std::string* field) -> Result<void> {
    if (path) {
      auto resolved = absolute(*path);
      if (!resolved) {
        return std::unexpected(resolved.error());
      }
      *field = std::move(*resolved);
    }
    return {};
  };
  auto done = set(options.kernel, spec.mutable_kernel());
  if (done) {
    done = set(options.rootfs, spec.mutable_root_file_system());
  }
  return done ? set(options.disk, spec.mutable_disk()) : done;
}

Result<v1::CreateDeviceRequest> make_request(const UpOptions& options) {
  v1::CreateDeviceRequest request;
  v1::DeviceSpec& spec = *request.mutable_device()->mutable_spec();
  spec.set_profile(options.profile);
  spec.set_processors(options.cpus.value_or(0));
  if (options.memory) {
    const auto memory = parse_memory_size(*options.memory);
    if (!memory) {
      return std::unexpected(memory.error().with_context("--memory"));
    }
    spec.set_memory_bytes(*memory);
  }
  auto engine = parse_engine(options.engine);
  if (!engine) {
    return std::unexpected(engine.error().with_context("--engine"));
  }
  if (engine->engine != Engine::kAutomatic) {
    spec.set_engine(engine->engine == Engine::kLibvirt ? v1::ENGINE_LIBVIRT : v1::ENGINE_ENSEMBLE);
    spec.set_libvirt_uri(engine->libvirt_uri);
  }
  if (auto set = set_files(options, spec); !set) {
    return std::unexpected(set.error());
  }
  spec.mutable_restart()->set_policy(*restart_policy(options.restart));
  for (const std::string& word : options.command) {
    spec.add_command(word);
  }
  for (const std::string& label : options.labels) {
    const std::size_t equals = label.find('=');
    (*request.mutable_device()->mutable_labels())[label.substr(0, equals)] =
        equals == std::string::npos ? "" : label.substr(equals + 1);
  }
  return request;
}

}  // namespace

int DeviceCommands::up(const UpOptions& options) {
  if (options.count < 1 || options.count > kMostAtOnce) {
    return complain(
        Error(fmt::format("--count is {}, expected 1 to {}", options.count, kMostAtOnce)));
  }
  const auto request = make_request(options);
  if (!request) {
    return complain(request.error());
  }
  std::atomic<std::uint32_t> next = 0;
  std::atomic<bool> failed = false;
  std::mutex output;
  const auto work = [&] {
    for (std::uint32_t index = 0; !failed && (index = next++) < options.count;) {
      v1::CreateDeviceRequest one = *request;
      if (options.name) {
        one.set_device_id(options.count == 1 ? *options.name
                                             : fmt::format("{}-{}", *options.name, index + 1));
      }
      auto device = client_.create(one);
      const auto started = device ? client_.start(device->name()) : std::unexpected(device.error());
      const std::lock_guard guard(output);
      if (started) {
        print(short_name(*device) + "\n");
      } else {
        failed = true;
        complain(started.error());
        if (device) {
          fmt::print(stderr, "ensemble: {} is there, but does not run; see `ensemble logs {}`\n",
                     short_name(*device), short_name(*device));
        }
      }
    }
  };
  std::vector<std::thread> workers;
  for (unsigned i = 1; i < std::min(kStartsAtOnce, options.count); ++i) {
    workers.emplace_back(work);
  }
  work();
  for (std::thread& worker : workers) {
    worker.join();
  }
  if (!failed && options.count == 1 && ::isatty(STDERR_FILENO) == 1) {
    fmt::print(stderr, "It runs; `ensemble attach NAME` shows its console.\n");
  }
  return failed ? kFailed : 0;
}

Result<std::vector<v1::Device>> DeviceCommands::find(const Selection& selection) {
  std::vector<v1::Device> devices;
  std::set<std::string> seen;
  const auto add = [&](const v1::Device& device) {
    if (seen.insert(device.uid()).second) {
      devices.push_back(device);
    }
  };
  for (const std::string& name : selection.names) {
    const auto device = client_.get(full_name(name));
    if (!device) {
      return std::unexpected(device.error());
    }
    add(*device);
  }
  if (selection.names.empty() || !selection.filters.empty()) {
    auto listed = client_.list(joined(selection.filters));
    if (!listed) {
      return listed;
    }
    std::ranges::for_each(*listed, add);
  }
  return devices;
}

Result<std::vector<std::string>> DeviceCommands::select(const Selection& selection) {
  std::vector<std::string> names;
  for (const std::string& name : selection.names) {
    names.push_back(full_name(name));
  }
  if (!selection.filters.empty()) {
    const auto listed = client_.list(joined(selection.filters));
    if (!listed) {
      return std::unexpected(listed.error());
    }
    for (const v1::Device& device : *listed) {
      names.push_back(device.name());
    }
    if (names.empty()) {
      return fail("no device matches '{}'; `ensemble ls` shows all", joined(selection.filters));
    }
  }
  if (names.empty()) {
    return fail("name a device, or choose some with --label; `ensemble ls` shows all");
  }
  return names;
}

int DeviceCommands::list(const Selection& selection, bool running_only, ListFormat format) {
  auto devices = find(selection);
  if (!devices) {
    return complain(devices.error());
  }
  if (running_only) {
    std::erase_if(*devices,
                  [](const v1::Device& device) { return device.status().process_id() == 0; });
  }
  const bool for_people = format == ListFormat::kTable || format == ListFormat::kWide;
  if (devices->empty() && for_people && ::isatty(STDERR_FILENO) == 1) {
    fmt::print(stderr, "There is no such device; `ensemble up phone` makes one.\n");
  }
  return print(list_devices_as(*devices, format, colours_wanted())) ? 0 : kFailed;
}

int DeviceCommands::print_names() {
  const auto devices = find({});
  if (!devices) {
    return complain(devices.error());
  }
  std::string names;
  for (const v1::Device& device : *devices) {
    names += short_name(device) + "\n";
  }
  return print(names) ? 0 : kFailed;
}

int DeviceCommands::inspect(const Selection& selection, ListFormat format) {
  auto names = select(selection);
  if (!names) {
    return complain(names.error());
  }
  return list({.names = *names, .filters = {}}, false, format);
}

int DeviceCommands::for_each(const Selection& selection, const Action& action) {
  const auto names = select(selection);
  if (!names) {
    return complain(names.error());
  }
  int exit_code = 0;
  std::set<std::string> seen;
  for (const std::string& name : *names) {
    const auto device = client_.get(name);
    if (device && !seen.insert(device->uid()).second) {
      continue;
    }
    const auto done = device ? action(device->name()) : std::unexpected(device.error());
    if (!done) {
      exit_code = complain(done.error());
    } else if (!print(short_name(*device) + "\n")) {
      return kFailed;
    }
  }
  return exit_code;
}

int DeviceCommands::remove(const Selection& selection, bool force) {
  return for_each(selection, [this, force](const std::string& name) -> Result<void> {
    auto removed = client_.remove(name, force);
    // The daemon's sentence for a device that is active; it knows nothing of options.
    if (!removed && removed.error().message().ends_with("; stop it first")) {
      return fail("{}, or give the option --force", removed.error().message());
    }
    return removed;
  });
}

Result<std::string> DeviceCommands::resolve(const std::string& name) {
  const auto device = client_.get(full_name(name));
  if (!device) {
    return std::unexpected(device.error());
  }
  return device->name();
}

int DeviceCommands::events(const Selection& selection, bool json) {
  const bool colours = colours_wanted();
  const auto watched = client_.watch(joined(selection.filters), [&](const v1::DeviceEvent& event) {
    if (event.kind() == v1::DeviceEvent::KIND_CURRENT && !json) {
      return true;
    }
    return print((json ? event_as_json(event) : describe_event(event, colours)) + "\n");
  });
  return watched ? 0 : complain(watched.error());
}

int DeviceCommands::logs(const std::string& name, bool follow, std::uint32_t lines,
                         bool of_process) {
  const auto resolved = resolve(name);
  if (!resolved) {
    return complain(resolved.error());
  }
  v1::ReadLogsRequest request;
  request.set_name(*resolved);
  request.set_follow(follow);
  request.set_tail_lines(lines);
  request.add_sources(of_process ? v1::LOG_SOURCE_PROCESS : v1::LOG_SOURCE_CONSOLE);
  const auto read =
      client_.read_logs(request, [](const v1::LogChunk& chunk) { return print(chunk.data()); });
  return read ? 0 : complain(read.error());
}

}  // namespace ensemble::control
