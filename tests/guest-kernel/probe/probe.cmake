# Boot packages for tests of composer and drivers: the probe in the server's place, with all drivers
# (probe.pkg), with an entropy driver that dies (crash.pkg); and one without a server (empty.pkg).
guest_program(probe-server STACK_SIZE 16384 SOURCES ${CMAKE_CURRENT_LIST_DIR}/probe_server.cc)
guest_program(crashing-driver SOURCES ${CMAKE_CURRENT_LIST_DIR}/crashing_driver.cc
  LIBRARIES guest_virtio)

# probe_package(NAME PATH=PROGRAM…)
function(probe_package name)
  set(files)
  set(programs)
  foreach(word ${ARGN})
    string(REPLACE "=" ";" parts ${word})
    list(GET parts 0 path)
    list(GET parts 1 program)
    list(APPEND files ${path}=${GUEST_OUTPUT}/${program}:755)
    list(APPEND programs ${program})
  endforeach()
  add_custom_command(
    OUTPUT ${GUEST_OUTPUT}/${name}
    COMMAND ${PROJECT_SOURCE_DIR}/scripts/pack-cpio -o ${GUEST_OUTPUT}/${name}
      --prefix ${GUEST_OUTPUT}/composer ${files}
    DEPENDS ${PROJECT_SOURCE_DIR}/scripts/pack-cpio composer ${programs}
    VERBATIM)
endfunction()

set(probe_drivers drivers/virtio-console=virtio-console drivers/serial-16550=serial-16550)
probe_package(probe.pkg linux/server=probe-server ${probe_drivers}
  drivers/virtio-block=virtio-block drivers/virtio-entropy=virtio-entropy)
probe_package(crash.pkg linux/server=probe-server ${probe_drivers}
  drivers/virtio-entropy=crashing-driver)
probe_package(empty.pkg ${probe_drivers})
add_custom_target(probe_package
  DEPENDS ${GUEST_OUTPUT}/probe.pkg ${GUEST_OUTPUT}/crash.pkg ${GUEST_OUTPUT}/empty.pkg)
