#include "start_info.h"

#include <cstddef>
#include <cstring>
#include <span>
#include <string_view>

#include "memory_map.h"

namespace ensemble::vmm::arch {
namespace {

// The structures of the PVH boot ABI (Xen, "arch-x86/hvm/start_info.h"), version 1.
struct HvmStartInfo {
  uint32_t magic;
  uint32_t version;
  uint32_t flags;
  uint32_t module_count;
  uint64_t module_list_address;
  uint64_t command_line_address;
  uint64_t rsdp_address;
  uint64_t memory_map_address;
  uint32_t memory_map_entries;
  uint32_t reserved;
};
static_assert(sizeof(HvmStartInfo) == 56);

struct HvmModule {
  uint64_t address;
  uint64_t size;
  uint64_t command_line_address;
  uint64_t reserved;
};
static_assert(sizeof(HvmModule) == 32);

struct HvmMemoryMapEntry {
  uint64_t address;
  uint64_t size;
  uint32_t type;
  uint32_t reserved;
};
static_assert(sizeof(HvmMemoryMapEntry) == 24);

constexpr uint32_t kMagic = 0x336ec578;
constexpr uint32_t kVersion = 1;

// Lays things one after another into the start information area, in a copy.
class Area {
 public:
  Area() : bytes_(kStartInfoEnd - kStartInfoAddress) {}

  // Guest address of `size` bytes, aligned to 8; 0 if the area is full.
  uint64_t reserve(size_t size) {
    const size_t start = (used_ + 7) & ~size_t{7};
    if (start > bytes_.size() || size > bytes_.size() - start) {
      full_ = true;
      return 0;
    }
    used_ = start + size;
    return kStartInfoAddress + start;
  }

  void put(uint64_t guest_address, std::span<const std::byte> data) {
    if (!full_) {
      std::memcpy(bytes_.data() + (guest_address - kStartInfoAddress), data.data(), data.size());
    }
  }

  template <typename T>
  uint64_t add(const std::vector<T>& values) {
    const auto data = std::as_bytes(std::span(values));
    const uint64_t address = reserve(data.size());
    put(address, data);
    return address;
  }

  // With its terminating NUL.
  uint64_t add_string(const std::string& text) {
    const auto data = std::as_bytes(std::span(text.c_str(), text.size() + 1));
    const uint64_t address = reserve(data.size());
    put(address, data);
    return address;
  }

  bool full() const { return full_; }
  std::span<const std::byte> contents() const { return std::span(bytes_).first(used_); }

 private:
  std::vector<std::byte> bytes_;
  size_t used_ = 0;
  bool full_ = false;
};

std::vector<HvmMemoryMapEntry> pvh_memory_map(const GuestMemory& memory) {
  std::vector<HvmMemoryMapEntry> map;
  for (const MapRange& range : memory_map(memory)) {
    map.push_back({range.address, range.size, static_cast<uint32_t>(range.kind), 0});
  }
  return map;
}

}  // namespace

Result<void> write_start_info(const GuestMemory& memory, const std::string& command_line,
                              const std::vector<PlacedModule>& modules, uint64_t rsdp_address) {
  Area area;
  HvmStartInfo info = {};
  const uint64_t info_address = area.reserve(sizeof(info));
  info.magic = kMagic;
  info.version = kVersion;
  info.rsdp_address = rsdp_address;

  const std::vector<HvmMemoryMapEntry> map = pvh_memory_map(memory);
  info.memory_map_address = area.add(map);
  info.memory_map_entries = static_cast<uint32_t>(map.size());

  std::vector<HvmModule> list;
  list.reserve(modules.size());
  for (const PlacedModule& module : modules) {
    list.push_back({module.guest_address, module.size, area.add_string(module.name), 0});
  }
  info.module_list_address = list.empty() ? 0 : area.add(list);
  info.module_count = static_cast<uint32_t>(list.size());
  info.command_line_address = area.add_string(command_line);

  if (area.full()) {
    return fail("the command line and the modules' names do not fit into the {} bytes for them",
                kStartInfoEnd - kStartInfoAddress);
  }
  area.put(info_address, std::as_bytes(std::span(&info, 1)));
  return memory.write(kStartInfoAddress, area.contents());
}

}  // namespace ensemble::vmm::arch
