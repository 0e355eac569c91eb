#pragma once

#include <cstdint>

// Addresses that the nucleus, every domain and the tools agree on.
namespace abi {

inline constexpr std::uint64_t kPageSize = 4096;
inline constexpr std::uint64_t kLargePageSize = 2 * 1024 * 1024;

// First address past what a domain may map. The last page below the canonical hole stays unmapped,
// so that no `syscall` can have a non-canonical return address.
inline constexpr std::uint64_t kUserEnd = 0x7fff'ffff'f000;
// Lowest address that a domain may map.
inline constexpr std::uint64_t kUserStart = 0x1'0000;

// One page-table subtree (512 GiB) that all domains share. A domain cannot map anything in it.
inline constexpr std::uint64_t kSharedStart = 0x4000'0000'0000;
inline constexpr std::uint64_t kSharedEnd = 0x4080'0000'0000;

// Readable and executable in every domain. A system call is `call kSystemCallEntry`; the entry
// holds the instruction by which this machine enters ring 0 (`syscall` or `int3`), followed by
// `ret`.
inline constexpr std::uint64_t kEntryPage = kSharedStart;
inline constexpr std::uint64_t kSystemCallEntry = kEntryPage;
// A `syscall` instruction that is not the nucleus's own continues here in ring 3, with rcx = return
// address, r11 = flags, all else as it was. It jumps to the address that the domain keeps at
// kForeignHandler; a domain that has mapped nothing there takes a page fault.
inline constexpr std::uint64_t kForeignEntry = kEntryPage + 0x80;
inline constexpr std::uint64_t kForeignHandler = 0x3fff'ffff'f000;

// Readable in every domain: struct TimePage (time_page.h).
inline constexpr std::uint64_t kTimePage = kSharedStart + 0x1000;

}  // namespace abi
