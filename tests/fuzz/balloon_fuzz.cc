// Lets a hostile driver loose on a memory balloon. Nothing may crash, hang, or give back anything
// but the guest's RAM: a file that is mapped for the guest keeps its contents.

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <span>

#include "device-model/virtio/balloon_device.h"
#include "tests/fuzz/hostile_driver.h"

namespace ensemble::device {
namespace {

constexpr std::uint64_t kModule = 0x1'0000'0000;
constexpr std::uint64_t kModuleBytes = 2 << 20;

int module_file() {
  static const int file = [] {
    const int made = ::memfd_create("module", MFD_CLOEXEC);
    const std::vector<std::byte> bytes(kModuleBytes, std::byte{0x5A});
    if (::write(made, bytes.data(), bytes.size()) != std::ssize(bytes)) {
      std::abort();
    }
    return made;
  }();
  return file;
}

void run(FuzzInput input) {
  constexpr std::uint64_t kFeatures = 0x36;
  HostileDriver driver(kFeatures);
  driver.memory().map_file("module", kModule, module_file(), kModuleBytes).value();
  auto device = std::make_unique<BalloonDevice>(driver.memory());
  BalloonDevice& balloon = *device;
  driver.attach(std::move(device));
  while (!input.empty()) {
    switch (input.take<std::uint8_t>() % 8) {
      case 0: {
        // Page numbers, among them the module's.
        const auto first = static_cast<std::uint32_t>(input.take<std::uint16_t>());
        for (std::uint32_t i = 0; i < 16; ++i) {
          driver.memory()
              .store(HostileDriver::kBuffers + 4 * i,
                     first + i + ((i & 1) != 0 ? static_cast<std::uint32_t>(kModule >> 12) : 0))
              .value();
        }
        driver.queue(0).offer_chain({{HostileDriver::kBuffers, 64, false}});
        driver.notify(0);
        break;
      }
      case 1:
        balloon.set_target(input.take<std::uint64_t>());
        break;
      case 2:
        balloon.request_statistics();
        break;
      default:
        driver.step(input);
        break;
    }
  }
  const auto module = driver.memory().readable_span(kModule, kModuleBytes).value();
  for (std::size_t at = 0; at < module.size(); at += BalloonDevice::kPageBytes) {
    if (module[at] != std::byte{0x5A}) {
      std::abort();
    }
  }
}

}  // namespace
}  // namespace ensemble::device

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  ensemble::device::run(ensemble::device::FuzzInput(std::span(data, size)));
  return 0;
}
