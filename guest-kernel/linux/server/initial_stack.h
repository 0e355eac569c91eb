#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "guest-kernel/linux/server/arguments.h"
#include "guest-kernel/linux/server/result.h"

namespace linux_server {

struct AuxiliaryValue {
  std::uint64_t type;
  std::uint64_t value;
};

// What a new program finds on its stack (System V ABI, x86-64 supplement, 3.4.1).
struct InitialStack {
  std::uint64_t pointer = 0;  // rsp, a multiple of 16
  std::uint64_t arguments_start = 0, arguments_end = 0;
  std::uint64_t environment_start = 0, environment_end = 0;
  std::uint64_t auxiliary_start = 0, auxiliary_end = 0;
};

// Writes it into `memory`, whose end is at address `top`. `file`: the program's path; `random`: the
// 16 bytes of AT_RANDOM; `values`: the auxiliary vector but for AT_RANDOM, AT_EXECFN, AT_PLATFORM
// and AT_NULL, which are added. E2BIG: it does not fit.
Result<InitialStack> build_initial_stack(std::span<std::byte> memory, std::uint64_t top,
                                         const Arguments& arguments, const Arguments& environment,
                                         std::string_view file,
                                         std::span<const std::byte, 16> random,
                                         std::span<const AuxiliaryValue> values);

}  // namespace linux_server
