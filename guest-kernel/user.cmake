# The guest's ring 3: library, composer, drivers, native tools, Linux server and shim, boot package.
set(GUEST_OUTPUT ${CMAKE_BINARY_DIR}/guest-kernel)
set(GUEST_SOURCE ${CMAKE_CURRENT_LIST_DIR})
file(MAKE_DIRECTORY ${GUEST_OUTPUT})

add_library(guest_user_options INTERFACE)
target_include_directories(guest_user_options INTERFACE ${PROJECT_SOURCE_DIR})
# No program uses vector registers, so any may run as a bare thread.
target_compile_options(guest_user_options INTERFACE
  -O2 -g -ffreestanding -fpie -fvisibility=hidden -fno-stack-protector -fcf-protection=none
  -fno-asynchronous-unwind-tables -ffunction-sections -fdata-sections -mgeneral-regs-only
  -march=x86-64 -Wall -Wextra -Wpedantic -Wshadow -Werror
  $<$<COMPILE_LANGUAGE:CXX>:-Wconversion -fno-exceptions -fno-rtti -fno-threadsafe-statics>)
target_link_options(guest_user_options INTERFACE
  -nostdlib -Wl,--gc-sections,--build-id=none,-z,norelro,-z,max-page-size=4096)

add_library(guest_lib STATIC
  ${GUEST_SOURCE}/lib/abort.cc
  ${GUEST_SOURCE}/lib/crt0.S
  ${GUEST_SOURCE}/lib/cpio.cc
  ${GUEST_SOURCE}/lib/elf.cc
  ${GUEST_SOURCE}/lib/format.cc
  ${GUEST_SOURCE}/lib/json_writer.cc
  ${GUEST_SOURCE}/lib/memory.cc
  ${GUEST_SOURCE}/lib/page_allocator.cc
  ${GUEST_SOURCE}/lib/system_call.cc
  ${GUEST_SOURCE}/lib/system_call.S)
target_link_libraries(guest_lib PUBLIC guest_user_options)
# What memcpy is made of must not become a call of memcpy.
set_source_files_properties(${GUEST_SOURCE}/lib/memory.cc PROPERTIES
  COMPILE_OPTIONS "-fno-tree-loop-distribute-patterns")

# The executable NAME.elf with its symbols, and NAME without them: the file that is shipped.
function(guest_executable name script)
  set_target_properties(${name} PROPERTIES
    RUNTIME_OUTPUT_DIRECTORY ${GUEST_OUTPUT} SUFFIX .elf LINK_DEPENDS ${script})
  target_link_options(${name} PRIVATE -Wl,-T,${script})
  add_custom_command(TARGET ${name} POST_BUILD
    COMMAND ${CMAKE_STRIP} -s -o ${GUEST_OUTPUT}/${name} $<TARGET_FILE:${name}>
    BYPRODUCTS ${GUEST_OUTPUT}/${name} VERBATIM)
endfunction()

# guest_program(NAME [STACK_SIZE BYTES] SOURCES … [LIBRARIES …]): a position-independent program.
function(guest_program name)
  cmake_parse_arguments(PARSE_ARGV 1 program "" "STACK_SIZE" "SOURCES;LIBRARIES")
  if(NOT program_STACK_SIZE)
    set(program_STACK_SIZE 8192)
  endif()
  add_executable(${name} ${program_SOURCES})
  target_link_libraries(${name} PRIVATE guest_lib ${program_LIBRARIES})
  target_link_options(${name} PRIVATE -static-pie
    -Wl,--no-dynamic-linker,-z,text,--defsym=stack_size=${program_STACK_SIZE})
  guest_executable(${name} ${GUEST_SOURCE}/lib/program.ld)
endfunction()

# Puts a program's shipped file into the boot package, or the root file system, under PATH.
function(guest_boot_file path target)
  set_property(GLOBAL APPEND PROPERTY GUEST_BOOT_FILES ${path}=${GUEST_OUTPUT}/${target}:755)
  set_property(GLOBAL APPEND PROPERTY GUEST_BOOT_DEPENDS ${target} ${GUEST_OUTPUT}/${target})
endfunction()

include(${GUEST_SOURCE}/composer/composer.cmake)
include(${GUEST_SOURCE}/drivers/drivers.cmake)
include(${GUEST_SOURCE}/chips/chips.cmake)
include(${GUEST_SOURCE}/ext4/ext4.cmake)
include(${GUEST_SOURCE}/tools/tools.cmake)
include(${GUEST_SOURCE}/linux/linux.cmake OPTIONAL)
include(${PROJECT_SOURCE_DIR}/agent/agent.cmake)

get_property(boot_files GLOBAL PROPERTY GUEST_BOOT_FILES)
# The Linux server is given the archive from the first tool on: they come last.
set(boot_tools ${boot_files})
list(FILTER boot_tools INCLUDE REGEX "^bin/")
set(boot_tools_without_agent ${boot_tools})
list(FILTER boot_tools_without_agent EXCLUDE REGEX "^bin/ensemble-agent=")
list(FILTER boot_files EXCLUDE REGEX "^bin/")
get_property(boot_depends GLOBAL PROPERTY GUEST_BOOT_DEPENDS)
# Boot packages are copied into the machine: one without a disk is spared what keeps file systems,
# and one without an agent what an agent needs.
set(boot_files_without_agent ${boot_files})
list(FILTER boot_files_without_agent EXCLUDE REGEX "^drivers/virtio-port=")
set(boot_files_without_disk ${boot_files_without_agent})
list(FILTER boot_files_without_disk EXCLUDE REGEX "^file-systems/")
function(boot_package name)
  add_custom_command(
    OUTPUT ${GUEST_OUTPUT}/${name}
    COMMAND ${PROJECT_SOURCE_DIR}/scripts/pack-cpio -o ${GUEST_OUTPUT}/${name}
      --prefix ${GUEST_OUTPUT}/composer ${ARGN}
    DEPENDS ${PROJECT_SOURCE_DIR}/scripts/pack-cpio composer ${GUEST_OUTPUT}/composer
      ${boot_depends}
    VERBATIM)
endfunction()
boot_package(boot.pkg ${boot_files_without_disk} ${boot_tools_without_agent})
boot_package(boot-disk.pkg ${boot_files_without_agent} ${boot_tools_without_agent})
boot_package(boot-agent.pkg ${boot_files} ${boot_tools})
add_custom_target(boot_package ALL DEPENDS
  ${GUEST_OUTPUT}/boot.pkg ${GUEST_OUTPUT}/boot-disk.pkg ${GUEST_OUTPUT}/boot-agent.pkg)

include(${PROJECT_SOURCE_DIR}/tests/guest-kernel/probe/probe.cmake)
