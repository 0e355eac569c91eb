#include "control/daemon/caller_check.h"

#include <fmt/format.h>
#include <grpcpp/security/auth_context.h>

#include <algorithm>

#include "control/daemon/method_roles.h"

namespace ensemble::control {
namespace {

constexpr std::string_view kScheme = "Bearer ";

std::string_view view(grpc::string_ref text) {
  return {text.data(), text.size()};
}

std::unexpected<grpc::Status> unauthenticated(const std::string& message) {
  return std::unexpected(grpc::Status(grpc::UNAUTHENTICATED, message));
}

}  // namespace

grpc::Status role_is_missing(std::string_view path, Role role) {
  return {grpc::PERMISSION_DENIED, fmt::format("{} takes the role {}, and this client is {}",
                                               path.substr(path.find('/') + 1),
                                               to_string(role_for_method(path)), to_string(role))};
}

CallerCheck::CallerCheck(const TcpOptions& options, ApiMetrics* metrics)
    : certificate_roles_(options.certificate_roles),
      tokens_(options.tokens.empty() ? nullptr : std::make_unique<TokenChecker>(options.tokens)),
      takes_certificates_(!options.client_ca.empty()),
      metrics_(metrics) {}

std::optional<Role> CallerCheck::role_of_certificate(const grpc::AuthContext& context) const {
  std::optional<Role> role;
  for (const char* property : {"x509_common_name", "x509_subject_alternative_name"}) {
    for (const grpc::string_ref& name : context.FindPropertyValues(property)) {
      const auto found = certificate_roles_.find(std::string(view(name)));
      if (found != certificate_roles_.end()) {
        role = std::max(role.value_or(Role::kViewer), found->second);
      }
    }
  }
  return role;
}

std::expected<Role, grpc::Status> CallerCheck::find_role(const InputMetadata& metadata,
                                                         const grpc::AuthContext& context,
                                                         OutputMetadata* consumed) {
  const auto [first, last] = metadata.equal_range("authorization");
  if (tokens_ != nullptr && first != last) {
    const std::string_view value = view(first->second);
    if (std::next(first) != last || !value.starts_with(kScheme)) {
      return unauthenticated("the metadata 'authorization' is not one 'Bearer TOKEN'");
    }
    consumed->emplace("authorization", value);
    const auto role =
        tokens_->role_of(value.substr(kScheme.size()), std::chrono::system_clock::now());
    return role ? std::expected<Role, grpc::Status>(*role)
                : unauthenticated(role.error().message());
  }
  if (takes_certificates_) {
    if (const auto role = role_of_certificate(context)) {
      return *role;
    }
    if (!context.FindPropertyValues("x509_pem_cert").empty()) {
      return std::unexpected(grpc::Status(grpc::PERMISSION_DENIED,
                                          "no name in the client's certificate has a role here"));
    }
  }
  return unauthenticated(tokens_ == nullptr ? "this port takes a client's certificate"
                         : takes_certificates_
                             ? "this port takes a bearer token or a client's certificate"
                             : "this port takes a bearer token; `ensemble token create` makes one, "
                               "and ENSEMBLE_TOKEN holds it for `ensemble`");
}

grpc::Status CallerCheck::judge(std::string_view method, const InputMetadata& metadata,
                                const grpc::AuthContext& context, OutputMetadata* consumed) {
  const auto role = find_role(metadata, context, consumed);
  if (!role) {
    return role.error();
  }
  return *role < role_for_method(method) ? role_is_missing(method, *role) : grpc::Status::OK;
}

grpc::Status CallerCheck::Process(const InputMetadata& metadata, grpc::AuthContext* context,
                                  OutputMetadata* consumed, OutputMetadata*) {
  const auto path = metadata.find(":path");
  const std::string_view method = path == metadata.end() ? "" : view(path->second);
  grpc::Status status = judge(method, metadata, *context, consumed);
  if (!status.ok() && metrics_ != nullptr) {
    metrics_->count(method, status.error_code());
  }
  return status;
}

}  // namespace ensemble::control
