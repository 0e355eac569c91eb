# The nucleus: one ELF that boots by PVH.
set(nucleus_directory ${CMAKE_CURRENT_SOURCE_DIR}/nucleus)
file(GLOB nucleus_sources CONFIGURE_DEPENDS
  ${nucleus_directory}/*.cc
  ${nucleus_directory}/arch/${CMAKE_SYSTEM_PROCESSOR}/*.cc
  ${nucleus_directory}/arch/${CMAKE_SYSTEM_PROCESSOR}/*.S)

add_executable(nucleus ${nucleus_sources})
target_link_libraries(nucleus PRIVATE ensemble_guest_options)
# Headers of the architecture are included by their bare names.
target_include_directories(nucleus PRIVATE ${nucleus_directory}/arch/${CMAKE_SYSTEM_PROCESSOR})
# Ring 0 is interpreted on some hosts, by an interpreter that knows little more than the base
# instruction set; scripts/check-ring0 verifies the result.
target_compile_options(nucleus PRIVATE
  -O2 -march=x86-64 -mgeneral-regs-only -mno-red-zone -mcmodel=kernel -fno-pic -fno-pie)
target_link_options(nucleus PRIVATE
  -no-pie -static -T ${nucleus_directory}/nucleus.ld -Wl,-z,max-page-size=4096)
set_target_properties(nucleus PROPERTIES
  OUTPUT_NAME nucleus.elf
  RUNTIME_OUTPUT_DIRECTORY ${ENSEMBLE_GUEST_OUTPUT}
  LINK_DEPENDS ${nucleus_directory}/nucleus.ld)

# The image keeps its symbols (the measuring scripts read them); debug information goes beside it.
add_custom_command(TARGET nucleus POST_BUILD
  COMMAND ${CMAKE_OBJCOPY} --only-keep-debug $<TARGET_FILE:nucleus> $<TARGET_FILE:nucleus>.debug
  COMMAND ${CMAKE_OBJCOPY} --strip-debug --add-gnu-debuglink=$<TARGET_FILE:nucleus>.debug
          $<TARGET_FILE:nucleus>
  VERBATIM)
