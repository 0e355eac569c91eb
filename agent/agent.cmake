# The agent: a static Linux program, built by the host's compiler, in the boot package for agents.
file(GLOB agent_sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/*.cc)
find_library(ENSEMBLE_STATIC_NETTLE libnettle.a REQUIRED)
add_executable(ensemble-agent ${agent_sources})
target_include_directories(ensemble-agent PRIVATE ${PROJECT_SOURCE_DIR})
target_compile_options(ensemble-agent PRIVATE
  -O2 -fno-exceptions -fno-rtti -ffunction-sections -fdata-sections
  -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror)
target_link_options(ensemble-agent PRIVATE -static -s -Wl,--gc-sections)
target_link_libraries(ensemble-agent PRIVATE ${ENSEMBLE_STATIC_NETTLE})
set_target_properties(ensemble-agent PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${GUEST_OUTPUT})
guest_boot_file(bin/ensemble-agent ensemble-agent)
