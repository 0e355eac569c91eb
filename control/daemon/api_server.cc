#include "control/daemon/api_server.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server_builder.h>
#include <grpcpp/server_posix.h>
#include <unistd.h>

#include <utility>

#include "control/daemon/call_timer.h"
#include "control/daemon/caller_check.h"
#include "control/daemon/refused_methods.h"
#include "control/daemon/services/services.h"
#include "control/small_file.h"

namespace ensemble::control {
namespace {

constexpr int kLargestMessage = 4 << 20;
constexpr int kStreamsPerConnection = 1000;
// How long a client may take to begin.
constexpr int kHandshakePatienceMs = 10'000;
// A connection of the TCP port without calls, which may be a stranger's, is closed then.
constexpr int kIdleConnectionMs = 60'000;
// Where certificates are taken, unless options say it.
constexpr std::chrono::minutes kConnectionAge{10};

struct ServiceMaker {
  const char* name;
  std::unique_ptr<grpc::Service> (*make)(ServiceContext& context);
};

constexpr ServiceMaker kServices[] = {
    {"ensemble.v1.Devices", make_devices_service},
    {"ensemble.v1.Operations", make_operations_service},
    {"ensemble.v1.Console", make_console_service},
    {"ensemble.v1.Exec", make_exec_service},
    {"ensemble.v1.Files", make_files_service},
    {"ensemble.v1.Logs", make_logs_service},
    {"ensemble.v1.Profiles", make_profiles_service},
    {"ensemble.v1.Host", make_host_service},
    {"ensemble.v1.Input", make_input_service},
    {"ensemble.v1.Metrics", make_metrics_service},
};

void set_up(grpc::ServerBuilder& builder,
            const std::vector<std::unique_ptr<grpc::Service>>& services, ApiMetrics* metrics) {
  // These are for all servers to come.
  [[maybe_unused]] static const bool kOnce = [] {
    grpc::EnableDefaultHealthCheckService(true);
    grpc::reflection::InitProtoReflectionServerBuilderPlugin();
    return true;
  }();
  for (const auto& service : services) {
    builder.RegisterService(service.get());
  }
  builder.SetMaxReceiveMessageSize(kLargestMessage);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kStreamsPerConnection);
  builder.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, kHandshakePatienceMs);
  builder.SetSyncServerOption(grpc::ServerBuilder::NUM_CQS, 1);
  if (metrics != nullptr) {
    std::vector<std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>> timers;
    timers.push_back(std::make_unique<CallTimer>(*metrics));
    builder.experimental().SetInterceptorCreators(std::move(timers));
  }
}

Result<std::shared_ptr<grpc::ServerCredentials>> tls_credentials(const TcpOptions& options) {
  const auto request = options.client_ca.empty() ? GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE
                       : options.tokens.empty()
                           ? GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY
                           : GRPC_SSL_REQUEST_CLIENT_CERTIFICATE_AND_VERIFY;
  grpc::SslServerCredentialsOptions tls(request);
  grpc::SslServerCredentialsOptions::PemKeyCertPair pair;
  const std::pair<const std::string&, std::string*> files[] = {
      {options.certificate, &pair.cert_chain},
      {options.key, &pair.private_key},
      {options.client_ca, &tls.pem_root_certs}};
  for (const auto& [path, content] : files) {
    if (!path.empty()) {
      auto read = read_small_file(path);
      if (!read) {
        return std::unexpected(read.error());
      }
      *content = std::move(*read);
    }
  }
  tls.pem_key_cert_pairs.push_back(std::move(pair));
  return grpc::SslServerCredentials(tls);
}

// Whether gRPC can make a server of them: tried out of everybody's reach, since it ends the process
// over a bad one that connections are handed over for.
bool is_taken(const std::shared_ptr<grpc::ServerCredentials>& credentials) {
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort("unix-abstract:ensemble-" + std::to_string(::getpid()), credentials,
                           &port);
  return builder.BuildAndStart() != nullptr && port != 0;
}

}  // namespace

ApiServer::ApiServer(ServiceContext& context) {
  for (const ServiceMaker& maker : kServices) {
    services_.push_back(maker.make(context));
  }
}

Result<std::unique_ptr<ApiServer>> ApiServer::for_role(ServiceContext& context, Role role,
                                                       ApiMetrics* metrics) {
  std::unique_ptr<ApiServer> made(new ApiServer(context));
  for (std::size_t i = 0; i < made->services_.size(); ++i) {
    refuse_methods(*made->services_[i], kServices[i].name, role);
  }
  grpc::ServerBuilder builder;
  set_up(builder, made->services_, metrics);
  made->server_ = builder.BuildAndStart();
  if (made->server_ == nullptr) {
    return fail("gRPC does not start");
  }
  return made;
}

Result<std::unique_ptr<ApiServer>> ApiServer::for_port(ServiceContext& context,
                                                       const TcpOptions& options,
                                                       ApiMetrics* metrics) {
  // Without TLS gRPC sees to it that both ends are on this host.
  auto credentials = options.has_tls() ? tls_credentials(options)
                                       : grpc::experimental::LocalServerCredentials(LOCAL_TCP);
  if (!credentials) {
    return std::unexpected(credentials.error());
  }
  (*credentials)->SetAuthMetadataProcessor(std::make_shared<CallerCheck>(options, metrics));
  if (options.has_tls() && !is_taken(*credentials)) {
    return fail(
        "cannot serve TLS on {}: '{}' and '{}' are not a certificate and its key, both in PEM, or "
        "'{}' is not a certificate",
        options.address.text(), options.certificate, options.key, options.client_ca);
  }
  std::unique_ptr<ApiServer> made(new ApiServer(context));
  grpc::ServerBuilder builder;
  set_up(builder, made->services_, metrics);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_IDLE_MS, kIdleConnectionMs);
  if (!options.client_ca.empty()) {
    builder.AddChannelArgument(
        GRPC_ARG_MAX_CONNECTION_AGE_MS,
        static_cast<int>(
            std::chrono::milliseconds(options.connection_age.value_or(kConnectionAge)).count()));
  }
  made->port_ = builder.experimental().AddExternalConnectionAcceptor(
      grpc::ServerBuilder::experimental_type::ExternalConnectionType::FROM_FD, *credentials);
  made->server_ = builder.BuildAndStart();
  if (made->server_ == nullptr) {
    return fail("gRPC does not start");
  }
  return made;
}

void ApiServer::serve(vmm::FileDescriptor socket) {
  if (port_ == nullptr) {
    grpc::AddInsecureChannelFromFd(server_.get(), socket.release());
    return;
  }
  grpc::experimental::ExternalConnectionAcceptor::NewConnectionParameters connection;
  connection.fd = socket.release();
  port_->HandleNewConnection(&connection);
}

void ApiServer::shut_down(std::chrono::system_clock::time_point deadline) {
  server_->Shutdown(deadline);
}

}  // namespace ensemble::control
