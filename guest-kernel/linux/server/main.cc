#include <cstddef>
#include <new>

#include "guest-kernel/lib/program.h"
#include "guest-kernel/linux/server/server.h"

namespace linux_server {
namespace {

alignas(Server) std::byte server_memory[sizeof(Server)];

}  // namespace

Server& server() {
  return *std::launder(reinterpret_cast<Server*>(server_memory));
}

}  // namespace linux_server

extern "C" void program_main(guest::StartInfo& info) {
  auto* server = new (linux_server::server_memory) linux_server::Server(info);
  server->start();
  server->run();
}
