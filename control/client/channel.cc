#include "control/client/channel.h"

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
  return grpc::experimental::CreateCustomChannelWithInterceptors(
      target, credentials, grpc::ChannelArguments(), std::move(interceptors));
}

bool is_loopback(const std::string& address) {
  return address.starts_with("127.") || address.starts_with("[::1]:") ||
         address.starts_with("localhost:");
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
  return open(address.tcp, credentials_for(address), address.token);
}

}  // namespace ensemble::control
