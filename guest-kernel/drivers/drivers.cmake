add_library(guest_virtio STATIC
  ${CMAKE_CURRENT_LIST_DIR}/driver.cc
  ${CMAKE_CURRENT_LIST_DIR}/virtio_queue.cc
  ${CMAKE_CURRENT_LIST_DIR}/virtio_transport.cc)
target_link_libraries(guest_virtio PUBLIC guest_lib)

guest_program(virtio-console SOURCES ${CMAKE_CURRENT_LIST_DIR}/virtio_console.cc
  LIBRARIES guest_virtio)
guest_program(virtio-block SOURCES ${CMAKE_CURRENT_LIST_DIR}/virtio_block.cc
  LIBRARIES guest_virtio)
guest_program(virtio-entropy SOURCES ${CMAKE_CURRENT_LIST_DIR}/virtio_entropy.cc
  LIBRARIES guest_virtio)
guest_program(virtio-input SOURCES ${CMAKE_CURRENT_LIST_DIR}/virtio_input.cc
  LIBRARIES guest_virtio)
guest_program(virtio-port SOURCES ${CMAKE_CURRENT_LIST_DIR}/virtio_port.cc
  LIBRARIES guest_virtio)
guest_program(serial-16550 SOURCES ${CMAKE_CURRENT_LIST_DIR}/serial_16550.cc
  LIBRARIES guest_virtio)
guest_program(designware-i2c SOURCES ${CMAKE_CURRENT_LIST_DIR}/designware_i2c.cc
  LIBRARIES guest_virtio)
guest_program(cmos-clock SOURCES ${CMAKE_CURRENT_LIST_DIR}/cmos_clock.cc
  LIBRARIES guest_virtio)
# It waits for its registers anyway.
set_source_files_properties(${CMAKE_CURRENT_LIST_DIR}/cmos_clock.cc PROPERTIES COMPILE_OPTIONS -Os)
foreach(name cmos-clock designware-i2c virtio-console virtio-block virtio-entropy virtio-input virtio-port serial-16550)
  guest_boot_file(drivers/${name} ${name})
endforeach()
