#include "control/daemon/host_topology.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <set>
#include <sstream>
#include <string_view>
#include <utility>

#include "control/libvirt_program.h"
#include "control/small_file.h"

namespace ensemble::control {
namespace {

namespace fs = std::filesystem;

// The number in a file; absent: it is missing or holds none.
std::optional<std::uint64_t> number_in(const fs::path& path) {
  const auto text = read_small_file(path.string());
  if (!text || text->empty() || text->find_first_not_of("0123456789\n") != std::string::npos) {
    return std::nullopt;
  }
  return std::strtoull(text->c_str(), nullptr, 10);
}

// The directories NAME0, NAME1, … in a folder.
std::vector<fs::path> numbered(const fs::path& folder, std::string_view name) {
  std::vector<fs::path> found;
  std::error_code failed;
  for (fs::directory_iterator at(folder, failed), end; !failed && at != end; at.increment(failed)) {
    const std::string file = at->path().filename().string();
    if (file.size() > name.size() && file.starts_with(name) &&
        file.find_first_not_of("0123456789", name.size()) == std::string::npos) {
      found.push_back(at->path());
    }
  }
  return found;
}

std::uint64_t total_memory(const std::string& root) {
  constexpr std::string_view kKey = "MemTotal:";
  const auto text = read_small_file(root + "/proc/meminfo");
  const std::size_t at = text ? text->find(kKey) : std::string::npos;
  return at == std::string::npos
             ? 0
             : std::strtoull(text->c_str() + at + kKey.size(), nullptr, 10) << 10;
}

std::uint32_t quotient(std::size_t all, std::size_t parts) {
  return parts == 0 ? 0 : static_cast<std::uint32_t>((all + parts - 1) / parts);
}

bool is_socket(const std::string& path) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0 && S_ISSOCK(status.st_mode);
}

}  // namespace

v1::HostTopology topology_by_system(const std::string& root) {
  std::set<std::uint64_t> sockets;
  std::set<std::pair<std::uint64_t, std::uint64_t>> cores;
  std::size_t threads = 0;
  for (const fs::path& processor : numbered(root + "/sys/devices/system/cpu", "cpu")) {
    const auto socket = number_in(processor / "topology/physical_package_id");
    const auto core = number_in(processor / "topology/core_id");
    if (socket && core) {  // Those that are off line have none.
      sockets.insert(*socket);
      cores.emplace(*socket, *core);
      ++threads;
    }
  }
  v1::HostTopology topology;
  topology.set_source(v1::HostTopology::SOURCE_SYSTEM);
  topology.set_sockets(static_cast<std::uint32_t>(sockets.size()));
  topology.set_cores_per_socket(quotient(cores.size(), sockets.size()));
  topology.set_threads_per_core(quotient(threads, cores.size()));
  topology.set_memory_nodes(
      static_cast<std::uint32_t>(numbered(root + "/sys/devices/system/node", "node").size()));
  topology.set_memory_bytes(total_memory(root));
  return topology;
}

Result<v1::HostTopology> parse_libvirt_topology(const std::string& text) {
  std::istringstream stream(text);
  std::uint32_t nodes = 0;
  std::uint32_t sockets = 0;
  std::uint32_t cores = 0;
  std::uint32_t threads = 0;
  std::uint64_t memory_kib = 0;
  if (!(stream >> nodes >> sockets >> cores >> threads >> memory_kib) || nodes == 0 ||
      sockets == 0 || cores == 0 || threads == 0 || memory_kib > UINT64_MAX >> 10) {
    return fail("'{}' is no answer about a host", text.substr(0, 100));
  }
  v1::HostTopology topology;
  topology.set_source(v1::HostTopology::SOURCE_LIBVIRT);
  topology.set_memory_nodes(nodes);
  topology.set_sockets(sockets * nodes);  // libvirt counts those of a node.
  topology.set_cores_per_socket(cores);
  topology.set_threads_per_core(threads);
  topology.set_memory_bytes(memory_kib << 10);
  return topology;
}

std::optional<std::string> libvirt_daemon_socket(const std::string& runtime) {
  std::vector<std::string> places;
  for (const char* const name : {"libvirt-sock", "virtqemud-sock"}) {
    if (!runtime.empty()) {
      places.push_back(fmt::format("{}/libvirt/{}", runtime, name));
    }
    places.push_back(fmt::format("/run/libvirt/{}-ro", name));
  }
  for (const std::string& place : places) {
    if (is_socket(place)) {
      return place;
    }
  }
  return std::nullopt;
}

HostTopology::~HostTopology() {
  *alive_ = false;
  if (thread_.joinable()) {
    thread_.join();
  }
}

void HostTopology::ask(vmm::EventLoop& loop, const std::string& program, Done done) {
  const char* const runtime = std::getenv("XDG_RUNTIME_DIR");
  const auto socket = libvirt_daemon_socket(runtime == nullptr ? "" : runtime);
  if (!socket) {
    done(topology_by_system());
    return;
  }
  waiting_.push_back(std::move(done));
  if (waiting_.size() > 1) {
    return;
  }
  if (thread_.joinable()) {
    thread_.join();  // It has answered.
  }
  thread_ = std::thread([this, &loop, program, socket = *socket, alive = alive_] {
    auto answer = describe_libvirt_host(program, socket);
    loop.post([this, alive, answer = std::move(answer)] {
      if (*alive) {
        finish(answer);
      }
    });
  });
}

void HostTopology::finish(const Result<std::string>& answer) {
  const auto parsed = answer ? parse_libvirt_topology(*answer)
                             : Result<v1::HostTopology>(std::unexpected(answer.error()));
  if (!parsed) {
    spdlog::warn("libvirt does not describe the host: {}", parsed.error().message());
  }
  const v1::HostTopology topology = parsed ? *parsed : topology_by_system();
  const std::list<Done> waiting = std::exchange(waiting_, {});
  for (const Done& done : waiting) {
    done(topology);
  }
}

}  // namespace ensemble::control
