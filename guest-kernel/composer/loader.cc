#include "guest-kernel/composer/loader.h"

#include <algorithm>
#include <cstring>

#include "guest-kernel/abi/boot_info.h"
#include "guest-kernel/abi/layout.h"
#include "guest-kernel/lib/cpio.h"

namespace composer {
namespace {

constexpr std::uint64_t page_up(std::uint64_t value) {
  return (value + abi::kPageSize - 1) & ~(abi::kPageSize - 1);
}

constexpr std::uint64_t page_down(std::uint64_t value) {
  return value & ~(abi::kPageSize - 1);
}

// The shape that lib/program.ld gives a program.
bool has_expected_shape(const guest::ElfImage& image) {
  if (!image.position_independent() || image.segments().size() != 2) {
    return false;
  }
  const guest::ElfSegment& text = image.segments()[0];
  const guest::ElfSegment& data = image.segments()[1];
  return text.address == 0 && text.file_offset == 0 && text.executable && !text.writable &&
         text.file_size == text.memory_size && data.writable && !data.executable &&
         page_down(data.address) >= page_up(text.memory_size) + 2 * abi::kPageSize;
}

// Where the data is in the instance's block.
std::uint64_t data_offset(const Program& program) {
  return program.stack_size() + program.data().address % abi::kPageSize;
}

}  // namespace

std::uint64_t Program::stack_size() const {
  return page_down(data().address) - page_up(text().memory_size) - abi::kPageSize;
}

std::optional<Program> find_program(std::span<const std::byte> archive,
                                    std::uint64_t archive_offset, std::string_view name,
                                    std::uint64_t limit, const char*& reason) {
  const auto entry = guest::find_in_cpio(archive, name);
  if (!entry) {
    reason = "not in the boot package";
    return std::nullopt;
  }
  if ((archive_offset + entry->offset) % abi::kPageSize != 0) {
    reason = "not on a page boundary of the boot package";
    return std::nullopt;
  }
  guest::ElfError error{};
  const auto image = guest::ElfImage::parse(entry->content, limit, &error);
  if (!image) {
    reason = guest::elf_error_text(error);
    return std::nullopt;
  }
  if (!has_expected_shape(*image)) {
    reason = "not linked as a program of the boot package";
    return std::nullopt;
  }
  return Program{*image, entry->content, archive_offset + entry->offset};
}

std::optional<Instance> make_instance(Memory& memory, const Program& program, std::uint64_t base,
                                      std::uint64_t extra, std::uint64_t limit) {
  Instance instance;
  instance.base = base;
  instance.stack_size = program.stack_size();
  instance.block_address = base + page_down(program.data().address) - instance.stack_size;
  instance.info_offset = page_up(data_offset(program) + program.data().memory_size);
  instance.extra_offset = instance.info_offset + abi::kPageSize;
  const auto block = memory.allocate(instance.extra_offset + extra);
  if (!block || block->bytes.size() > base + limit - instance.block_address) {
    return std::nullopt;
  }
  instance.block = *block;
  return instance;
}

void fill_instance(const Program& program, const Instance& instance, bool again) {
  if (again) {
    std::memset(instance.block.bytes.data(), 0, instance.extra_offset);
  }
  std::memcpy(instance.block.bytes.data() + data_offset(program),
              program.file.data() + program.data().file_offset, program.data().file_size);
}

guest::Status map_instance(guest::Slot domain, const Program& program, const Instance& instance) {
  const guest::Status status =
      guest::map(domain, instance.base, abi::kComposerBootPackage, program.package_offset,
                 page_up(program.text().file_size), abi::kRightRead | abi::kRightExecute);
  if (status != guest::Status::kOk) {
    return status;
  }
  return guest::map(domain, instance.block_address, abi::kComposerMemory, instance.block.offset,
                    instance.block.bytes.size(), abi::kRightRead | abi::kRightWrite);
}

}  // namespace composer
