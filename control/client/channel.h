#pragma once

#include <grpcpp/channel.h>

#include <memory>

#include "control/client/client.h"

namespace ensemble::control {

// A channel to the daemon there, not connected yet. A token never goes over a network in plain
// text.
std::shared_ptr<grpc::Channel> make_channel(const DaemonAddress& address);

}  // namespace ensemble::control
