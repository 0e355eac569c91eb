#pragma once

#include <grpcpp/security/auth_metadata_processor.h>

#include <expected>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "control/access/role.h"
#include "control/daemon/api_metrics.h"
#include "control/daemon/tcp_options.h"
#include "control/daemon/token_checker.h"

namespace ensemble::control {

// How a call ends whose client does not have the role that its method takes.
grpc::Status role_is_missing(std::string_view path, Role role);

// Judges each call on a TCP port before anything of it is read: who calls, by a bearer token or a
// client's certificate, and whether that role may call this method. A token that is shown decides
// alone. Thread-safe.
class CallerCheck : public grpc::AuthMetadataProcessor {
 public:
  // `metrics`, which may be null, hears of the calls that are refused; it outlives this.
  CallerCheck(const TcpOptions& options, ApiMetrics* metrics);

  bool IsBlocking() const override { return false; }
  grpc::Status Process(const InputMetadata& metadata, grpc::AuthContext* context,
                       OutputMetadata* consumed, OutputMetadata* response) override;

 private:
  std::optional<Role> role_of_certificate(const grpc::AuthContext& context) const;
  std::expected<Role, grpc::Status> find_role(const InputMetadata& metadata,
                                              const grpc::AuthContext& context,
                                              OutputMetadata* consumed);
  grpc::Status judge(std::string_view method, const InputMetadata& metadata,
                     const grpc::AuthContext& context, OutputMetadata* consumed);

  const std::map<std::string, Role> certificate_roles_;
  std::unique_ptr<TokenChecker> tokens_;
  const bool takes_certificates_;
  ApiMetrics* const metrics_;
};

}  // namespace ensemble::control
