#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace linux_server {

inline constexpr std::string_view kRelease = "6.1.0-ensemble";
inline constexpr std::string_view kVersion = "#1 SMP Ensemble";

// struct new_utsname: sysname, nodename, release, version, machine, domainname.
struct SystemName {
  std::array<std::array<char, 65>, 6> fields;
};

const SystemName& system_name();
// The node name: the profile's. Once, at the start.
void set_system_name(std::string_view node);

enum class SystemNameField : std::uint8_t { kNode = 1, kDomain = 5 };
// At most 64 bytes.
void set_system_name_field(SystemNameField field, std::string_view text);

}  // namespace linux_server
