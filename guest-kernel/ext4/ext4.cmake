# The ext4 file system, kept by Debian's libext2fs in a domain of its own.
guest_program(ext4 STACK_SIZE 65536
  SOURCES
    ${CMAKE_CURRENT_LIST_DIR}/block_cache.cc
    ${CMAKE_CURRENT_LIST_DIR}/checksum.cc
    ${CMAKE_CURRENT_LIST_DIR}/format.cc
    ${CMAKE_CURRENT_LIST_DIR}/guest_disk.cc
    ${CMAKE_CURRENT_LIST_DIR}/heap.cc
    ${CMAKE_CURRENT_LIST_DIR}/journal.cc
    ${CMAKE_CURRENT_LIST_DIR}/journal_commit.cc
    ${CMAKE_CURRENT_LIST_DIR}/library_io.cc
    ${CMAKE_CURRENT_LIST_DIR}/library_runtime.cc
    ${CMAKE_CURRENT_LIST_DIR}/main.cc
    ${CMAKE_CURRENT_LIST_DIR}/missing_calls.cc
    ${CMAKE_CURRENT_LIST_DIR}/service.cc
    ${CMAKE_CURRENT_LIST_DIR}/volume.cc
    ${CMAKE_CURRENT_LIST_DIR}/volume_attributes.cc
    ${CMAKE_CURRENT_LIST_DIR}/volume_entries.cc
    ${CMAKE_CURRENT_LIST_DIR}/volume_files.cc
    ${CMAKE_CURRENT_LIST_DIR}/volume_names.cc
    ${CMAKE_CURRENT_LIST_DIR}/volume_ranges.cc
  LIBRARIES /usr/lib/x86_64-linux-gnu/libext2fs.a /usr/lib/x86_64-linux-gnu/libcom_err.a guest_lib)
guest_boot_file(file-systems/ext4 ext4)
