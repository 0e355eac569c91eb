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

// Reached only by a call of a pure virtual function, which no object of the server has.
extern "C" void __cxa_pure_virtual() {
  __builtin_trap();
}

extern "C" void program_main(guest::StartInfo& info) {
  auto* server = new (linux_server::server_memory) linux_server::Server(info);
  server->start();
  server->run();
}
