#include "guest-kernel/composer/serial_log.h"

#include "guest-kernel/abi/boot_info.h"
#include "guest-kernel/lib/system_call.h"

namespace composer {
namespace {

constexpr std::uint16_t kData = 0x3f8;
constexpr std::uint16_t kLineStatus = 0x3fd;
constexpr std::uint32_t kTransmitterEmpty = 0x20;
constexpr int kPatience = 1000;

void put(char c) {
  for (int i = 0; i < kPatience; ++i) {
    const auto status = guest::read_port(abi::kComposerPorts, kLineStatus, 1);
    if (!status || (*status & kTransmitterEmpty) != 0) {
      break;
    }
  }
  guest::write_port(abi::kComposerPorts, kData, 1, static_cast<unsigned char>(c));
}

}  // namespace

void log_line(std::string_view text) {
  for (const char c : text) {
    put(c);
  }
  put('\r');
  put('\n');
}

}  // namespace composer
