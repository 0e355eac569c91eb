#pragma once

#include <grpcpp/support/server_callback.h>

#include <memory>
#include <string>
#include <string_view>

#include "control/daemon/agent_link.h"
#include "control/daemon/api_error.h"
#include "control/daemon/services/agent_patience.h"
#include "control/daemon/services/service_context.h"
#include "control/ensemble/v1/files.pb.h"

namespace ensemble::control {

// A SHA-256 as bytes.
ApiResult<void> check_digest(const std::string& field, const std::string& digest);

// Files.Push: a file on its way into a device. The next request is read when the last one has gone
// to the agent. All but what gRPC calls runs on the loop. Destroys itself once gRPC has done with
// it.
class PushCall : public grpc::ServerReadReactor<v1::PushRequest> {
 public:
  PushCall(ServiceContext& context, v1::PushResponse* response);

  void enter();

  void OnReadDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

 private:
  void received(bool ok);
  ApiResult<void> start();
  ApiResult<void> take_data();
  void end_of_data();
  void proceed();
  void read();
  void take(const agent::FrameHeader& header, std::string_view body);
  void finish(grpc::Status status);
  void refuse(const ApiResult<void>& result);

  ServiceContext& context_;
  v1::PushResponse* const response_;
  v1::PushRequest request_;
  bool is_reading_ = false;  // The request is gRPC's.
  std::string path_;
  std::uint64_t size_ = 0;
  std::uint64_t left_ = 0;  // bytes that have not come
  std::string data_;
  std::size_t passed_ = 0;  // of the data
  bool ended_ = false;      // No more comes.
  bool finished_ = false;
  AgentPatience patience_{context_.loop,
                          [this](grpc::Status status) { finish(std::move(status)); }};
  std::unique_ptr<AgentConversation> conversation_;
  std::uint64_t closing_id_ = 0;
};

}  // namespace ensemble::control
