#include "control/client/channel.h"

#include <arpa/inet.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/client_interceptor.h>

#include <utility>
#include <vector>

namespace ensemble::control {
namespace {

using grpc::experimental::InterceptionHookPoints;
using grpc::experimental::InterceptorBatchMethods;

// Puts the token into each call.
class TokenInterceptor : public grpc::experimental::Interceptor {
 public:
  explicit TokenInterceptor(const std::string& token) : token_(token) {}

  void Intercept(InterceptorBatchMethods* methods) override {
    if (methods->QueryInterceptionHookPoint(InterceptionHookPoints::PRE_SEND_INITIAL_METADATA)) {
      methods->GetSendInitialMetadata()->emplace("authorization", "Bearer " + token_);
    }
    methods->Proceed();
  }

 private:
  const std::string& token_;
};

class TokenInterceptors : public grpc::experimental::ClientInterceptorFactoryInterface {
 public:
  explicit TokenInterceptors(std::string token) : token_(std::move(token)) {}
  grpc::experimental::Interceptor* CreateClientInterceptor(
      grpc::experimental::ClientRpcInfo*) override {
    return new TokenInterceptor(token_);
  }

 private:
  const std::string token_;
};

std::shared_ptr<grpc::Channel> open(const std::string& target,
                                    const std::shared_ptr<grpc::ChannelCredentials>& credentials,
                                    const std::string& token) {
  std::vector<std::unique_ptr<grpc::experimental::ClientInterceptorFactoryInterface>> interceptors;
  if (!token.empty()) {
    interceptors.push_back(std::make_unique<TokenInterceptors>(token));
  }
  grpc::ChannelArguments arguments;
  // A proxy of the environment would be shown what is meant for this host alone.
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  return grpc::experimental::CreateCustomChannelWithInterceptors(target, credentials, arguments,
                                                                 std::move(interceptors));
}

constexpr std::string_view kLocalHost = "localhost:";

// By number only: who resolves names decides where they lead.
bool is_loopback(const std::string& address) {
  in_addr number{};
  const std::string host = address.substr(0, address.rfind(':'));
  return host == "[::1]" || (::inet_pton(AF_INET, host.c_str(), &number) == 1 &&
                             ntohl(number.s_addr) >> 24 == IN_LOOPBACKNET);
}

std::shared_ptr<grpc::ChannelCredentials> credentials_for(const DaemonAddress& address) {
  if (is_loopback(address.tcp) && address.tls_ca.empty() && address.tls_certificate.empty()) {
    return grpc::InsecureChannelCredentials();
  }
  return grpc::SslCredentials({.pem_root_certs = address.tls_ca,
                               .pem_private_key = address.tls_key,
                               .pem_cert_chain = address.tls_certificate});
}

}  // namespace

std::shared_ptr<grpc::Channel> make_channel(const DaemonAddress& address) {
  if (address.tcp.empty()) {
    return open("unix:" + address.socket, grpc::InsecureChannelCredentials(), "");
  }
  DaemonAddress numbered = address;
  if (address.tcp.starts_with(kLocalHost)) {
    numbered.tcp.replace(0, kLocalHost.size(), "127.0.0.1:");
  }
  return open(numbered.tcp, credentials_for(numbered), address.token);
}

}  // namespace ensemble::control
