#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "guest-kernel/composer/memory.h"
#include "guest-kernel/lib/elf.h"
#include "guest-kernel/lib/start_info.h"

namespace composer {

// A program in the boot package: linked by lib/program.ld, so it has two segments, with the stack
// between them.
struct Program {
  guest::ElfImage image;
  std::span<const std::byte> file;
  std::uint64_t package_offset;  // of the file in the boot package; a multiple of the page size

  const guest::ElfSegment& text() const { return image.segments()[0]; }
  const guest::ElfSegment& data() const { return image.segments()[1]; }
  // What lies between the segments, less the unmapped page below the stack.
  std::uint64_t stack_size() const;
};

// Finds `name` in the boot package's archive, which starts at `archive_offset` of the package; its
// image ends below `limit`.
// nullopt: not there, or not such a program; `reason` then says which.
std::optional<Program> find_program(std::span<const std::byte> archive,
                                    std::uint64_t archive_offset, std::string_view name,
                                    std::uint64_t limit, const char*& reason);

// A program's memory: [stack][data and bss][StartInfo page][extra], one block that is mapped as one
// piece, so that the stack ends where the data starts.
struct Instance {
  Block block;
  std::uint64_t base = 0;           // where the image is loaded
  std::uint64_t block_address = 0;  // where the block is, in the program's domain
  std::uint64_t stack_size = 0;
  std::uint64_t info_offset = 0;  // in the block
  std::uint64_t extra_offset = 0;

  guest::StartInfo& info() const {
    return *reinterpret_cast<guest::StartInfo*>(block.bytes.data() + info_offset);
  }
  std::uint64_t address_of(std::uint64_t offset) const { return block_address + offset; }
  std::uint64_t physical_of(std::uint64_t offset) const { return block.physical + offset; }
};

// Takes memory for a program that will be loaded at `base`, with `extra` bytes after the StartInfo;
// all ends below `base` + `limit`.
std::optional<Instance> make_instance(Memory& memory, const Program& program, std::uint64_t base,
                                      std::uint64_t extra, std::uint64_t limit);

// Fills the data; `again` zeroes first what an earlier run left in stack, bss and StartInfo. The
// extra part is left alone.
void fill_instance(const Program& program, const Instance& instance, bool again);

// Maps text (in place, from the boot package) and block into `domain`.
guest::Status map_instance(guest::Slot domain, const Program& program, const Instance& instance);

}  // namespace composer
