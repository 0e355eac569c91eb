add_library(guest_native STATIC ${CMAKE_CURRENT_LIST_DIR}/native.cc)
target_link_libraries(guest_native PUBLIC guest_lib)

guest_program(devices STACK_SIZE 16384
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/devices.cc ${CMAKE_CURRENT_LIST_DIR}/tree_json.cc
  LIBRARIES guest_native /usr/lib/x86_64-linux-gnu/libfdt.a guest_lib)
guest_program(smp-test SOURCES ${CMAKE_CURRENT_LIST_DIR}/smp_test.cc LIBRARIES guest_native)
guest_program(ipc-bench
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/ipc_bench.cc ${CMAKE_CURRENT_LIST_DIR}/echo.S
  LIBRARIES guest_native)
foreach(name devices smp-test ipc-bench)
  guest_boot_file(bin/${name} ${name})
endforeach()
