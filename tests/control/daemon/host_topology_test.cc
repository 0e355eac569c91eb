#include "control/daemon/host_topology.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>

#include "tests/control/temporary_directory.h"
#include "vmm/file_descriptor.h"

namespace ensemble::control {
namespace {

class HostFiles : public testing::Test {
 protected:
  void write(const std::string& name, const std::string& text) {
    const std::filesystem::path path = directory_.path(name);
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path) << text;
  }
  void add_processor(int number, int socket, int core) {
    const std::string folder = "sys/devices/system/cpu/cpu" + std::to_string(number) + "/topology/";
    write(folder + "physical_package_id", std::to_string(socket) + "\n");
    write(folder + "core_id", std::to_string(core) + "\n");
  }

  TemporaryDirectory directory_;
};

TEST_F(HostFiles, TellOfSocketsCoresAndThreads) {
  for (int i = 0; i < 16; ++i) {
    add_processor(i, i / 8, i % 4);
  }
  write("sys/devices/system/cpu/cpu16/online", "0\n");  // Off line.
  write("sys/devices/system/cpu/cpufreq/x", "");
  write("sys/devices/system/node/node0/cpulist", "");
  write("sys/devices/system/node/node1/cpulist", "");
  write("proc/meminfo", "MemTotal:       1024 kB\nMemFree: 1 kB\n");
  const v1::HostTopology topology = topology_by_system(directory_.path(""));
  EXPECT_EQ(topology.source(), v1::HostTopology::SOURCE_SYSTEM);
  EXPECT_EQ(topology.sockets(), 2U);
  EXPECT_EQ(topology.cores_per_socket(), 4U);
  EXPECT_EQ(topology.threads_per_core(), 2U);
  EXPECT_EQ(topology.memory_nodes(), 2U);
  EXPECT_EQ(topology.memory_bytes(), 1U << 20);
}

TEST_F(HostFiles, ThatAreMissingOrOddTellNothing) {
  write("sys/devices/system/cpu/cpu0/topology/physical_package_id", "-1\n");
  write("sys/devices/system/cpu/cpu0/topology/core_id", "0\n");
  const v1::HostTopology topology = topology_by_system(directory_.path(""));
  EXPECT_EQ(topology.sockets(), 0U);
  EXPECT_EQ(topology.threads_per_core(), 0U);
  EXPECT_EQ(topology.memory_bytes(), 0U);
}

TEST(LibvirtTopology, CountsSocketsOfAllNodes) {
  const auto parsed = parse_libvirt_topology("2 1 8 2 4096");
  ASSERT_TRUE(parsed) << parsed.error().message();
  EXPECT_EQ(parsed->source(), v1::HostTopology::SOURCE_LIBVIRT);
  EXPECT_EQ(parsed->sockets(), 2U);
  EXPECT_EQ(parsed->cores_per_socket(), 8U);
  EXPECT_EQ(parsed->threads_per_core(), 2U);
  EXPECT_EQ(parsed->memory_bytes(), 4U << 20);
  for (const char* const bad : {"", "1 1 1", "1 0 1 1 5", "a b c d e", "1 1 1 1 -"}) {
    const auto refused = parse_libvirt_topology(bad);
    ASSERT_FALSE(refused) << bad;
    EXPECT_THAT(refused.error().message(), testing::HasSubstr("no answer about a host"));
  }
}

TEST(LibvirtTopology, AsksADaemonThatRunsOnly) {
  const TemporaryDirectory runtime;
  std::filesystem::create_directory(runtime.path("libvirt"));
  const std::string place = runtime.path("libvirt/libvirt-sock");
  std::ofstream(place) << "no socket";
  EXPECT_NE(libvirt_daemon_socket(runtime.path("")), place);
  std::filesystem::remove(place);
  const vmm::FileDescriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, place.c_str(), sizeof address.sun_path - 1);
  ASSERT_EQ(::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  const std::string folder = std::filesystem::path(place).parent_path().parent_path().string();
  EXPECT_EQ(libvirt_daemon_socket(folder), place);
}

}  // namespace
}  // namespace ensemble::control
