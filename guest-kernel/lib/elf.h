#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

// Reader of ELF64 executables for x86-64 (System V ABI). Every field is untrusted: what a reader
// returns lies within the file and within user addresses.
namespace guest {

struct ElfSegment {
  std::uint64_t address;  // as linked: add the base of a position-independent image
  std::uint64_t memory_size;
  std::uint64_t file_offset;
  std::uint64_t file_size;  // ≤ memory_size
  bool readable;
  bool writable;
  bool executable;
};

enum class ElfError : std::uint8_t {
  kNotElf,
  kWrongMachine,
  kWrongType,
  kBadProgramHeaders,
  kBadSegment,
  kTooManySegments,
  kNoSegment,
  kBadEntry,
};

class ElfImage {
 public:
  static constexpr std::size_t kMaximumSegments = 16;

  // Checks headers and segments: ascending, not overlapping, sizes within the file, offsets
  // congruent to addresses modulo the page size, [0, end) below `address_limit`.
  static std::optional<ElfImage> parse(std::span<const std::byte> file, std::uint64_t address_limit,
                                       ElfError* error = nullptr);

  // The same where only the file's start is at hand, which then has to hold the headers.
  // `file_size` ≥ head.size(): the whole file's.
  static std::optional<ElfImage> parse_head(std::span<const std::byte> head,
                                            std::uint64_t file_size, std::uint64_t address_limit,
                                            ElfError* error = nullptr);

  // PT_LOAD, by address.
  std::span<const ElfSegment> segments() const { return {segments_.data(), segment_count_}; }
  std::uint64_t entry() const { return entry_; }
  bool position_independent() const { return position_independent_; }
  // Page-aligned bounds of all segments.
  std::uint64_t start() const;
  std::uint64_t end() const;
  // Address of the program headers when loaded, or 0 if no segment holds them (AT_PHDR).
  std::uint64_t program_headers_address() const { return program_headers_address_; }
  std::uint16_t program_header_count() const { return program_header_count_; }
  // PT_INTERP without its NUL; empty if there is none.
  std::string_view interpreter() const { return interpreter_; }
  // Descriptor of the first note of that owner and type; empty if there is none.
  std::span<const std::byte> note(std::string_view owner, std::uint32_t type) const;

 private:
  ElfImage() = default;

  std::span<const std::byte> file_;
  std::array<ElfSegment, kMaximumSegments> segments_{};
  std::size_t segment_count_ = 0;
  std::array<std::span<const std::byte>, 4> notes_{};
  std::size_t note_count_ = 0;
  std::uint64_t entry_ = 0;
  std::uint64_t program_headers_address_ = 0;
  std::string_view interpreter_;
  std::uint16_t program_header_count_ = 0;
  bool position_independent_ = false;
};

const char* elf_error_text(ElfError error);

}  // namespace guest
