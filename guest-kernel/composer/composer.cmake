add_executable(composer
  ${CMAKE_CURRENT_LIST_DIR}/command_line.cc
  ${CMAKE_CURRENT_LIST_DIR}/driver_table.cc
  ${CMAKE_CURRENT_LIST_DIR}/file_system.cc
  ${CMAKE_CURRENT_LIST_DIR}/loader.cc
  ${CMAKE_CURRENT_LIST_DIR}/main.cc
  ${CMAKE_CURRENT_LIST_DIR}/manifest.cc
  ${CMAKE_CURRENT_LIST_DIR}/memory.cc
  ${CMAKE_CURRENT_LIST_DIR}/power.cc
  ${CMAKE_CURRENT_LIST_DIR}/serial_log.cc
  ${CMAKE_CURRENT_LIST_DIR}/server.cc
  ${CMAKE_CURRENT_LIST_DIR}/services.cc
  ${CMAKE_CURRENT_LIST_DIR}/services_start.cc
  ${CMAKE_CURRENT_LIST_DIR}/supervisor.cc
  ${CMAKE_CURRENT_LIST_DIR}/time.cc)
target_link_libraries(composer PRIVATE guest_chips guest_lib /usr/lib/x86_64-linux-gnu/libfdt.a guest_lib)
target_link_options(composer PRIVATE -no-pie)
guest_executable(composer ${CMAKE_CURRENT_LIST_DIR}/composer.ld)
