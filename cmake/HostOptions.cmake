# Options of all code that runs on the host. Guest code (guest-kernel/) does not link this.
add_library(ensemble_host_options INTERFACE)
target_include_directories(ensemble_host_options INTERFACE
  ${PROJECT_SOURCE_DIR}
  ${PROJECT_SOURCE_DIR}/vmm/arch/${CMAKE_SYSTEM_PROCESSOR})
# GCC's meaning of -Wconversion is the rule; clang's adds sign conversions, which would need casts.
target_compile_options(ensemble_host_options INTERFACE
  -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror
  $<$<CXX_COMPILER_ID:Clang>:-Wno-sign-conversion>)

if(ENSEMBLE_SANITIZE)
  target_compile_options(ensemble_host_options INTERFACE
    -fsanitize=${ENSEMBLE_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(ensemble_host_options INTERFACE -fsanitize=${ENSEMBLE_SANITIZE})
endif()
if(ENSEMBLE_SANITIZE STREQUAL thread)
  # Fences of the guest's drivers, which single-threaded tests run.
  target_compile_options(ensemble_host_options INTERFACE -Wno-tsan)
endif()
if(ENSEMBLE_FUZZ)
  target_compile_options(ensemble_host_options INTERFACE -fsanitize=fuzzer-no-link)
endif()
if(ENSEMBLE_COVERAGE)
  target_compile_options(ensemble_host_options INTERFACE --coverage -fprofile-update=atomic)
  target_link_options(ensemble_host_options INTERFACE --coverage)
endif()

# The builds that only check the same sources once more get their headers compiled ahead; the release
# and fuzz builds do not, so that a missing include is still found.
if(ENSEMBLE_PRECOMPILE)
  set(ENSEMBLE_COMMON_HEADERS
    <algorithm> <array> <atomic> <chrono> <expected> <filesystem> <fstream> <functional> <map> <memory>
    <mutex> <optional> <span> <string> <string_view> <thread> <vector> <fmt/format.h>)
endif()

# ensemble_precompile(TARGET [HEADER…]): compiles the common headers and the named ones ahead.
function(ensemble_precompile target)
  if(ENSEMBLE_PRECOMPILE)
    # ccache looks into what was compiled ahead only so (and with the sloppiness that scripts/suite.py sets).
    target_compile_options(${target} PRIVATE
      "$<$<AND:$<COMPILE_LANGUAGE:CXX>,$<CXX_COMPILER_ID:GNU>>:-fpch-preprocess>")
    foreach(header IN LISTS ENSEMBLE_COMMON_HEADERS ARGN)
      target_precompile_headers(${target} PRIVATE "$<$<COMPILE_LANGUAGE:CXX>:${header}>")
    endforeach()
  endif()
endfunction()
