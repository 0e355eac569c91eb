#pragma once

#include <google/protobuf/timestamp.pb.h>

#include "control/daemon/agent_links.h"
#include "control/daemon/console_inputs.h"
#include "control/daemon/device_table.h"
#include "control/daemon/folder_changes.h"
#include "control/daemon/listeners.h"
#include "control/daemon/operations.h"
#include "control/daemon/profile_store.h"
#include "vmm/event_loop.h"

namespace ensemble::control {

// What the services speak for. All of it is used on the loop's thread only; gRPC's threads post to
// the loop. Outlives the services and their calls.
struct ServiceContext {
  vmm::EventLoop& loop;
  DeviceTable& devices;
  Operations& operations;
  ProfileStore& profiles;
  FolderChanges& changes;
  ConsoleInputs& consoles;
  AgentLinks& agents;
  // The daemon is about to end: calls that would wait are to end now.
  Listeners<>& closing;
  google::protobuf::Timestamp start_time;
};

}  // namespace ensemble::control
