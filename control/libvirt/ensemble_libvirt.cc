// ensemble-libvirt: the process of one device that is a domain of libvirt.

#include <fmt/format.h>
#include <libvirt/virterror.h>
#include <unistd.h>

#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>

#include "control/device_process_main.h"
#include "control/libvirt/domain_xml.h"
#include "control/libvirt/libvirt_connection.h"
#include "control/libvirt/libvirt_machine.h"
#include "control/libvirt/runtime_folder.h"
#include "control/libvirt_program.h"

namespace ensemble::control {
namespace {

// What runs devices here, with its versions. The Error says what is missing.
Result<std::string> describe_engine() {
  const auto folder = RuntimeFolder::create();
  if (!folder) {
    return std::unexpected(folder.error());
  }
  const auto connection = connect_to_libvirt({}, (*folder)->path());
  if (!connection) {
    return std::unexpected(connection.error());
  }
  if (auto offered = check_domains(**connection, "qemu"); !offered) {
    return std::unexpected(offered.error());
  }
  unsigned long qemu = 0;
  unsigned long libvirt = 0;
  virConnectGetVersion(connection->get(), &qemu);
  virGetVersion(&libvirt, nullptr, nullptr);
  const auto text = [](unsigned long version) {
    return fmt::format("{}.{}.{}", version / 1'000'000, version / 1000 % 1000, version % 1000);
  };
  return fmt::format("QEMU {}, by libvirt {}", text(qemu), text(libvirt));
}

// What the host of the libvirt daemon at `socket` is made of. No daemon is started for it.
Result<std::string> describe_host(const std::string& socket) {
  virSetErrorFunc(nullptr, [](void*, virErrorPtr) {});
  const std::string uri = "qemu+unix:///" +
                          std::string(socket.starts_with("/run/libvirt/") ? "system" : "session") +
                          "?socket=" + socket;
  const LibvirtConnection connection(virConnectOpenReadOnly(uri.c_str()));
  if (!connection) {
    return std::unexpected(libvirt_error("cannot connect to '" + uri + "'"));
  }
  virNodeInfo node{};
  if (virNodeGetInfo(connection.get(), &node) != 0) {
    return std::unexpected(libvirt_error("cannot ask '" + uri + "' for its host"));
  }
  return fmt::format("{} {} {} {} {}", node.nodes, node.sockets, node.cores, node.threads,
                     node.memory);
}

// The XML of a domain to keep, for the configuration on standard input.
Result<std::string> make_xml(const std::string& name, const std::string& initial_ramdisk) {
  ensemble::vmm::v1::Configuration configuration;
  if (!configuration.ParseFromFileDescriptor(STDIN_FILENO)) {
    return fail("the standard input is no configuration of a device");
  }
  DomainOptions options;
  options.name = name;
  options.initial_ramdisk = initial_ramdisk;
  return domain_xml(configuration, options);
}

// Not by return: libvirt's thread may still use what would be destroyed.
[[noreturn]] void answer(const Result<std::string>& found) {
  const std::string& text = found ? *found : found.error().message();
  for (std::size_t done = 0; done < text.size();) {
    const ssize_t count = ::write(STDOUT_FILENO, text.data() + done, text.size() - done);
    if (count <= 0) {
      ::_exit(EXIT_FAILURE);
    }
    done += static_cast<std::size_t>(count);
  }
  ::_exit(found ? EXIT_SUCCESS : EXIT_FAILURE);
}

}  // namespace
}  // namespace ensemble::control

int main(int count, char** values) {
  using namespace ensemble::control;
  constexpr std::string_view kGuard = "--guard=";
  if (count == 2 && std::string_view(values[1]).starts_with(kGuard)) {
    return guard_folder(values[1] + kGuard.size());
  }
  if (count == 2 && values[1] == kCheckEngineArgument) {
    answer(describe_engine());
  }
  if (count == 3 && values[1] == kDescribeHostArgument) {
    answer(describe_host(values[2]));
  }
  if (count == 4 && values[1] == kDomainXmlArgument) {
    answer(make_xml(values[2], values[3]));
  }
  // Not by return: libvirt's thread still uses what would be destroyed.
  ::_exit(device_process_main(count, values, "ensemble-libvirt", [](const std::string&) {
    const auto engine = std::make_shared<LibvirtEngine>();
    return [engine](const auto& configuration, auto& loop, auto& console, auto* agent) {
      return engine->make(configuration, loop, console, agent);
    };
  }));
}
