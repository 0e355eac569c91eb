#pragma once

#include <cstdint>

#include "guest-kernel/abi/layout.h"

// Where things lie in a Linux process, and what its shim and the server keep in its pages. The shim
// trusts these pages; the server never reads them back.
namespace shim {

// The shim's code: read and execute.
inline constexpr std::uint64_t kCode = 0x3fff'f000'0000;
inline constexpr std::uint64_t kCodeSize = 0x1'0000;

// The process block: one large page, writable, that holds from its top down the process page (with
// the handler's address at its start), the first thread's page, a spare range and the stack.
inline constexpr std::uint64_t kBlock = abi::kSharedStart - abi::kLargePageSize;
inline constexpr std::uint64_t kProcessPage = abi::kForeignHandler;
inline constexpr std::uint64_t kThreadPage = kProcessPage - abi::kPageSize;
inline constexpr std::uint64_t kBlockPages =
    0x4000;  // bytes at the block's end that are the shim's
inline constexpr std::uint64_t kStackTop = abi::kSharedStart - kBlockPages;
inline constexpr std::uint64_t kStackSize = 8 * 1024 * 1024;

// The process's capability slots.
inline constexpr std::uint64_t kServerPort = 2;

struct ProcessPage {
  std::uint64_t handler;  // at abi::kForeignHandler
  std::uint32_t process_id;
  std::uint32_t parent_id;
  char system_name[6][65];  // struct new_utsname
  // The heap: the shim moves the break up to the limit by itself, and tells the server where it is
  // when it asks for more.
  std::uint64_t heap_end;
  std::uint64_t heap_limit;
  std::uint32_t has_rdrand;
  std::uint32_t executable_size;
  char executable[512];  // what /proc/self/exe leads to; empty: too long
};
static_assert(sizeof(ProcessPage) <= abi::kPageSize);

// At the thread's GS base; its stack for calls is the rest of the page. thread.S knows the offsets
// of the first three.
struct ThreadPage {
  std::uint64_t stack_top;    // 0x00
  std::uint64_t user_stack;   // 0x08: rsp during a call
  std::uint64_t user_entry;   // 0x10: where the program starts
  std::uint64_t start_stack;  // 0x18: and with which rsp
  std::uint64_t fs_base;
  std::uint32_t thread_id;
  std::uint32_t reserved;
  std::uint64_t clear_thread_id;  // set_tid_address
  std::uint64_t robust_list;
  std::uint64_t signal_mask;
};

// The start of the shim's code.
struct CodeHeader {
  std::uint64_t handler;     // address that goes into ProcessPage
  std::uint64_t start;       // a thread's entry, rdi = its ThreadPage
  std::uint64_t copy_begin;  // a page fault with rip in [copy_begin, copy_end) …
  std::uint64_t copy_end;
  std::uint64_t copy_fixup;  // … goes on here: the call returns EFAULT
};

}  // namespace shim
