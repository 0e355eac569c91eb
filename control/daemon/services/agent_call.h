#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/protocol.h"
#include "agent/wire.h"
#include "control/daemon/api_error.h"
#include "control/daemon/services/service_context.h"
#include "control/ensemble/v1/files.pb.h"

namespace ensemble::control {

// Why an agent could not do what was asked, from the body of its kFailed: the code fits the errno,
// `otherwise` where there is none or no better one. `field` and `value` are of the request.
ApiError agent_failure(const agent::FrameHeader& header, std::string_view body,
                       const std::string& reason, const std::string& field,
                       const std::string& value,
                       grpc::StatusCode otherwise = grpc::FAILED_PRECONDITION);

// An absolute path in a device, of at most 4095 bytes without NUL.
ApiResult<void> check_device_path(const std::string& field, const std::string& path);

// Reads one of the entries in a kEntry's body; false: there is none.
bool read_entry(agent::BodyReader& body, v1::FileEntry& entry);

// What is asked of an agent that answers at once.
struct AgentQuestion {
  std::string device;
  const char* verb;
  agent::FrameType type;
  std::string body;
  // Of an error.
  const char* reason;
  std::string path;
};
struct AgentAnswer {
  std::vector<v1::FileEntry> entries;
  // Of kDone.
  std::uint64_t size = 0;
};

// Asks, and calls `done` once: an agent that does not answer within 10 s is given up.
void ask_agent(ServiceContext& context, const AgentQuestion& question,
               std::function<void(ApiResult<AgentAnswer> answer)> done);

}  // namespace ensemble::control
