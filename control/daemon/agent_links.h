#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "agent/protocol.h"
#include "control/daemon/agent_link.h"
#include "control/daemon/api_error.h"
#include "control/daemon/device_table.h"
#include "vmm/event_loop.h"

namespace ensemble::control {

// The daemon's links to the agents of devices: one for each, made when first wanted. Belongs to the
// event loop's thread.
class AgentLinks {
 public:
  // Both outlive this.
  AgentLinks(vmm::EventLoop& loop, DeviceTable& devices);
  ~AgentLinks();

  // Begins a conversation with the agent of a device that is RUNNING. `verb` says what for, as in
  // "run a program in". `input_ends`: as AgentLink::begin().
  ApiResult<std::unique_ptr<AgentConversation>> begin(const std::string& device,
                                                      std::string_view verb, agent::FrameType type,
                                                      std::string_view body,
                                                      AgentConversation::Handlers handlers,
                                                      bool input_ends = false);

  // Ends a program (of a kRun) that nobody waits for: by SIGHUP, and by SIGKILL when that has not
  // ended it after a while.
  void end_program(std::unique_ptr<AgentConversation> program);

 private:
  // A program that is being ended.
  struct Ending {
    std::unique_ptr<AgentConversation> program;
    std::unique_ptr<LoopTimer> timer;
  };
  struct Entry {
    std::unique_ptr<AgentLink> link;
    std::string name;
    // Set while it is not known yet why the stream ended.
    std::unique_ptr<LoopTimer> ending;
  };

  ApiResult<AgentLink*> link_to(const ManagedDevice& device);
  void link_closed(const std::string& uid, const ApiError& error);
  void device_changed(v1::DeviceEvent::Kind kind, const v1::Device& device);
  void drop(const std::string& uid, const ApiError& error);

  vmm::EventLoop& loop_;
  DeviceTable& devices_;
  std::uint64_t watch_ = 0;
  std::map<std::string, Entry> links_;  // By uid.
  std::uint64_t last_ending_ = 0;
  std::map<std::uint64_t, Ending> endings_;
};

}  // namespace ensemble::control
