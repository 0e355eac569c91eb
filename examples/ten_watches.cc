// Boots ten watches, runs a command in each, copies a file out of each and checks it. It needs a
// daemon: `ensembled &`. Exit code 0: all were as they should be.

#include <cstdio>
#include <string>

#include "control/client/client.h"
#include "control/daemon_paths.h"

using ensemble::Result;
using ensemble::control::Client;
namespace v1 = ensemble::v1;

namespace {

constexpr int kCount = 10;

// A new watch that runs, by its name: "devices/watch-3".
Result<std::string> boot(Client& client) {
  v1::CreateDeviceRequest request;
  (*request.mutable_device()->mutable_labels())["example"] = "ten-watches";
  request.mutable_device()->mutable_spec()->set_profile("watch");
  request.mutable_device()->mutable_spec()->set_memory_bytes(64 << 20);
  const auto device = client.create(request);
  if (!device) {
    return std::unexpected(device.error());
  }
  const auto started = client.start(device->name());
  return started ? Result<std::string>(device->name()) : std::unexpected(started.error());
}

// What the command prints; it must succeed.
Result<std::string> run(Client& client, const std::string& device, const std::string& script) {
  v1::RunRequest::Begin begin;
  begin.set_name(device);
  for (const char* const word : {"sh", "-c", script.c_str()}) {
    begin.add_command(word);
  }
  const auto program = client.run(begin);
  std::string output;
  for (;;) {
    const auto response = program->read();
    if (!response) {
      return std::unexpected(response.error());
    }
    output += response->standard_output();
    if (response->has_ended()) {
      return response->ended().has_exit_code() && response->ended().exit_code() == 0
                 ? Result<std::string>(output)
                 : ensemble::fail("'{}' failed", script);
    }
  }
}

Result<std::string> pull(Client& client, const std::string& device, const std::string& path) {
  v1::PullRequest request;
  request.set_name(device);
  request.set_path(path);
  std::string contents;
  const auto pulled = client.pull(request, [&contents](const v1::PullResponse& response) {
    contents += response.data();
    return true;
  });
  return pulled ? Result<std::string>(contents) : std::unexpected(pulled.error());
}

Result<void> exercise(Client& client, const std::string& device) {
  const auto said = run(client, device, "uname -s; echo 'from " + device + "' > /tmp/note");
  if (!said || *said != "Linux\n") {
    return said ? ensemble::fail("it said '{}'", *said) : std::unexpected(said.error());
  }
  const auto note = pull(client, device, "/tmp/note");
  if (!note || *note != "from " + device + "\n") {
    return note ? ensemble::fail("its note is '{}'", *note) : std::unexpected(note.error());
  }
  return {};
}

}  // namespace

int main() {
  Client client(ensemble::control::daemon_socket());
  int bad = 0;
  for (int i = 0; i < kCount; ++i) {
    const auto device = boot(client);
    if (!device) {
      std::fprintf(stderr, "%s\n", device.error().message().c_str());
      return 1;
    }
    auto done = exercise(client, *device);
    const auto removed = client.remove(*device, true);
    done = done ? removed : done;
    std::printf("%s: %s\n", device->c_str(), done ? "good" : done.error().message().c_str());
    bad += done ? 0 : 1;
  }
  return bad == 0 ? 0 : 1;
}
