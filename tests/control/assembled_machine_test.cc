// The devices of a whole machine, saved and restored into one that is made alike. Lanes P and S.

#include "control/assembled_machine.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "control/device_configuration.h"
#include "control/installation.h"
#include "device-model/machine_layout.h"
#include "device-model/profile_loader.h"
#include "tests/control/temporary_directory.h"
#include "tests/control/test_guests.h"

namespace ensemble::control {
namespace {

// Nobody at the other end.
class IdlePort final : public device::PortBackend {
 public:
  void set_handlers(Handlers) override {}
  void admit() override {}
  bool connected() const override { return false; }
  void disconnect() override {}
  std::size_t write(std::span<const std::byte> data) override { return data.size(); }
  std::size_t read(std::span<std::byte>) override { return 0; }
};

struct Instance {
  explicit Instance(const ensemble::vmm::v1::Configuration& configuration) {
    int ends[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
    peer = vmm::FileDescriptor(ends[1]);
    console = ConsolePort::create(*loop, vmm::FileDescriptor(ends[0])).value();
    auto made = AssembledMachine::create(configuration, *loop, *console, &port);
    if (made) {
      machine = *std::move(made);
    } else {
      ADD_FAILURE() << made.error().message();
    }
  }

  std::uint32_t read(std::uint64_t address) {
    std::uint32_t value = 0;
    machine->machine().mmio_bus().read(address, std::as_writable_bytes(std::span(&value, 1)));
    return value;
  }
  void write(std::uint64_t address, std::uint32_t value) {
    machine->machine().mmio_bus().write(address, std::as_bytes(std::span(&value, 1)));
  }
  std::uint8_t in(std::uint64_t port_number) {
    std::uint8_t value = 0;
    machine->machine().port_bus().read(port_number, std::as_writable_bytes(std::span(&value, 1)));
    return value;
  }
  void out(std::uint64_t port_number, std::uint8_t value) {
    machine->machine().port_bus().write(port_number, std::as_bytes(std::span(&value, 1)));
  }

  std::unique_ptr<vmm::EventLoop> loop = vmm::EventLoop::create().value();
  vmm::FileDescriptor peer;
  std::unique_ptr<ConsolePort> console;
  IdlePort port;
  std::unique_ptr<AssembledMachine> machine;
};

class AssembledMachineTest : public testing::Test {
 protected:
  void SetUp() override {
    if (::access("/dev/kvm", R_OK | W_OK) != 0) {
      GTEST_SKIP() << "lane P/S: /dev/kvm is missing or not accessible";
    }
  }

  // Each has a disk of its own.
  ensemble::vmm::v1::Configuration configuration(const std::string& name) {
    const std::string folder = folder_.path(std::to_string(disks_++));
    std::filesystem::create_directory(folder);
    std::ofstream(folder + "/disk").close();
    std::filesystem::resize_file(folder + "/disk", 1 << 20);
    const auto profile = device::load_profile(name, {ENSEMBLE_TEST_PROFILES});
    EXPECT_TRUE(profile);
    DeviceOptions options;
    options.name = "probe";
    options.cpus = 1;
    options.memory = 64 << 20;
    options.kernel = guest("halt");
    options.disk = folder + "/disk";
    options.agent = true;
    auto made = make_configuration(options, *profile, InstallationFiles("/nonexistent"));
    EXPECT_TRUE(made) << made.error().message();
    return *made;
  }

  TemporaryDirectory folder_;
  unsigned disks_ = 0;
};

// What a guest may do, the same to each machine; what it reads is the same too.
template <typename... Instances>
void drive(unsigned seed, Instances&... instances) {
  std::mt19937 random(seed);
  const auto same = [](const std::vector<std::uint32_t>& values) {
    EXPECT_EQ(values, std::vector<std::uint32_t>(values.size(), values.front()));
  };
  for (unsigned step = 0; step < 2000; ++step) {
    const auto value = static_cast<std::uint32_t>(random() >> random() % 32);
    const bool reads = random() % 2 == 0;
    std::uint64_t address = 0;
    switch (random() % 4) {
      case 0:
        address =
            device::kVirtioAddress + random() % 10 * device::kVirtioStride + random() % 0x48 * 4;
        break;
      case 1:
        address = device::kGpioAddress + random() % 0x100 * 4;
        break;
      case 2:
        address = device::kI2cAddress + random() % 0x40 * 4;
        break;
      default:
        if (reads) {
          same({instances.in(device::kSerialPort + value % 8)...});
        } else {
          (instances.out(device::kSerialPort + value % 8, static_cast<std::uint8_t>(value >> 8)),
           ...);
        }
        continue;
    }
    if (reads) {
      same({instances.read(address)...});
    } else {
      (instances.write(address, value), ...);
    }
  }
}

TEST_F(AssembledMachineTest, DevicesGoOnInAnotherMachine) {
  for (const char* const name : {"phone", "tablet", "watch"}) {
    Instance original(configuration(name));
    Instance copy(configuration(name));
    ASSERT_TRUE(original.machine && copy.machine);
    drive(1, original);
    const auto state = original.machine->save_devices();
    ASSERT_TRUE(state) << state.error().message();
    const auto restored = copy.machine->restore_devices(*state);
    ASSERT_TRUE(restored) << restored.error().message();
    drive(2, original, copy);
  }
}

TEST_F(AssembledMachineTest, RefusesTheStateOfAnotherMachineAndDamage) {
  Instance phone(configuration("phone"));
  Instance watch(configuration("watch"));
  ASSERT_TRUE(phone.machine && watch.machine);
  auto state = phone.machine->save_devices().value();
  const auto other = watch.machine->restore_devices(state);
  ASSERT_FALSE(other);
  EXPECT_NE(other.error().message().find("belongs to no component of this machine"),
            std::string::npos);
  EXPECT_FALSE(phone.machine->restore_devices(std::span(state).first(state.size() / 2)));
  state[state.size() / 2] ^= std::byte{1};
  EXPECT_FALSE(phone.machine->restore_devices(state));
}

TEST_F(AssembledMachineTest, DevicesAreSavedOnlyWhilePaused) {
  Instance watch(configuration("watch"));
  ASSERT_TRUE(watch.machine);
  ASSERT_TRUE(watch.machine->start());
  const auto refused = watch.machine->save_devices();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message(), "devices can be saved only while the machine is paused");
  ASSERT_TRUE(watch.machine->pause());
  EXPECT_TRUE(watch.machine->save_devices());
}

}  // namespace
}  // namespace ensemble::control
