#pragma once

#include <functional>
#include <list>
#include <optional>
#include <string>
#include <thread>

#include "control/ensemble/v1/host.pb.h"
#include "vmm/event_loop.h"

namespace ensemble::control {

// The processors and the memory of this host by `root`/sys and `root`/proc; "" is the host's own.
// What is not told there is 0.
v1::HostTopology topology_by_system(const std::string& root = {});

// What ensemble-libvirt printed when it was asked for the host's. The Error quotes what is no such
// answer.
Result<v1::HostTopology> parse_libvirt_topology(const std::string& text);

// The socket of a libvirt daemon that runs: this user's in `runtime` ($XDG_RUNTIME_DIR), else the
// system's. Absent: there is none, and none is to be started.
std::optional<std::string> libvirt_daemon_socket(const std::string& runtime);

// Asks a libvirt daemon on a thread of its own: that takes longer than the loop may stop. Belongs
// to the loop's thread.
class HostTopology {
 public:
  using Done = std::function<void(const v1::HostTopology& topology)>;

  // Waits for an answer that is under way.
  ~HostTopology();

  // By libvirt where a daemon of its answers within 2 s, else by the system. `done` is called on
  // the loop, or never when this is destroyed first.
  void ask(vmm::EventLoop& loop, const std::string& program, Done done);

 private:
  void finish(const Result<std::string>& answer);

  std::list<Done> waiting_;
  std::thread thread_;
  // Tells a posted answer that this is gone.
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace ensemble::control
