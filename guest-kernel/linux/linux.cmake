# The Linux personality: the shim, which is mapped into every Linux process, and the server.
set(GUEST_LINUX ${CMAKE_CURRENT_LIST_DIR})

add_executable(linux-shim
  ${GUEST_LINUX}/shim/entry.S
  ${GUEST_LINUX}/shim/shim.cc
  ${GUEST_LINUX}/shim/signals.cc
  ${GUEST_SOURCE}/lib/memory.cc
  ${GUEST_SOURCE}/lib/system_call.cc
  ${GUEST_SOURCE}/lib/system_call.S)
target_link_libraries(linux-shim PRIVATE guest_user_options)
target_compile_options(linux-shim PRIVATE -fno-pie)
target_link_options(linux-shim PRIVATE -static -no-pie -Wl,-T,${GUEST_LINUX}/shim/shim.ld
  -Wl,-e,shim_handler)
set_target_properties(linux-shim PROPERTIES
  RUNTIME_OUTPUT_DIRECTORY ${GUEST_OUTPUT} SUFFIX .elf LINK_DEPENDS ${GUEST_LINUX}/shim/shim.ld)
set(GUEST_SHIM_IMAGE ${GUEST_OUTPUT}/linux-shim.bin)
add_custom_command(OUTPUT ${GUEST_SHIM_IMAGE}
  COMMAND ${CMAKE_OBJCOPY} -O binary -j .image $<TARGET_FILE:linux-shim> ${GUEST_SHIM_IMAGE}
  DEPENDS linux-shim VERBATIM)

# The vDSO behind it, which is position-independent without relocations.
add_executable(linux-vdso ${GUEST_LINUX}/shim/vdso.cc)
target_link_libraries(linux-vdso PRIVATE guest_user_options)
target_compile_options(linux-vdso PRIVATE -fno-pie -fPIC)
target_link_options(linux-vdso PRIVATE -shared -Wl,-T,${GUEST_LINUX}/shim/vdso.ld
  -Wl,--hash-style=both,-soname,linux-vdso.so.1,-z,noexecstack)
set_target_properties(linux-vdso PROPERTIES
  RUNTIME_OUTPUT_DIRECTORY ${GUEST_OUTPUT} SUFFIX .elf LINK_DEPENDS ${GUEST_LINUX}/shim/vdso.ld)
set(GUEST_VDSO_IMAGE ${GUEST_OUTPUT}/linux-vdso.so)
add_custom_command(OUTPUT ${GUEST_VDSO_IMAGE}
  COMMAND ${CMAKE_STRIP} -s -o ${GUEST_VDSO_IMAGE} $<TARGET_FILE:linux-vdso>
  DEPENDS linux-vdso VERBATIM)

# Names of the system calls, from the kernel's own list.
set(GUEST_CALL_NAMES ${GUEST_OUTPUT}/include/system_call_names.inc)
file(MAKE_DIRECTORY ${GUEST_OUTPUT}/include)
add_custom_command(OUTPUT ${GUEST_CALL_NAMES}
  COMMAND ${CMAKE_COMMAND} -DOUTPUT=${GUEST_CALL_NAMES} -P ${GUEST_LINUX}/call_names.cmake
  DEPENDS ${GUEST_LINUX}/call_names.cmake VERBATIM)

file(GLOB server_sources CONFIGURE_DEPENDS
  ${GUEST_LINUX}/server/*.cc ${GUEST_LINUX}/server/files/*.cc ${GUEST_LINUX}/server/calls/*.cc
  ${GUEST_LINUX}/server/ipc/*.cc)
set_source_files_properties(${GUEST_LINUX}/server/shim_image.S PROPERTIES
  COMPILE_DEFINITIONS "SHIM_IMAGE=\"${GUEST_SHIM_IMAGE}\";VDSO_IMAGE=\"${GUEST_VDSO_IMAGE}\""
  OBJECT_DEPENDS "${GUEST_SHIM_IMAGE};${GUEST_VDSO_IMAGE}")
guest_program(linux-server STACK_SIZE 65536
  SOURCES ${server_sources} ${GUEST_LINUX}/server/shim_image.S ${GUEST_CALL_NAMES}
  LIBRARIES guest_chips)
target_include_directories(linux-server PRIVATE ${GUEST_OUTPUT}/include)
# new returns null where memory runs out, and its callers look.
target_compile_options(linux-server PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-fcheck-new>)
# What is called seldom is built to be small: the boot package with the disk's file system has to fit
# beside the composer (composer/address_map.h).
set(server_seldom
  calls/advice_calls calls/attribute_calls calls/extended_attribute_calls calls/message_calls
  calls/message_queue_calls calls/mount_calls calls/schedule_calls calls/semaphore_calls
  calls/shared_memory_calls credentials files/chip_files files/disk_nodes files/host_port
  files/input_control files/input_device files/inotify_file files/proc_files files/process_directory
  files/process_text ipc/pseudo_terminal_nodes native_program process_timers root_archive)
list(TRANSFORM server_seldom PREPEND ${GUEST_LINUX}/server/)
list(TRANSFORM server_seldom APPEND .cc)
set_source_files_properties(${server_seldom} PROPERTIES COMPILE_OPTIONS -Os)
guest_boot_file(linux/server linux-server)
