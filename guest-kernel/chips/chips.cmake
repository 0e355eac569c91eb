# Chips on I²C buses: what composer, Linux server and drivers know of them, and the drivers' program.
set(chip_sources ${CMAKE_CURRENT_LIST_DIR})
file(GLOB chip_files CONFIGURE_DEPENDS ${chip_sources}/*.cc)
list(REMOVE_ITEM chip_files ${chip_sources}/main.cc)
add_library(guest_chips STATIC ${chip_files})
target_link_libraries(guest_chips PUBLIC guest_lib)

guest_program(chip-driver SOURCES ${chip_sources}/main.cc LIBRARIES guest_chips guest_virtio)
guest_boot_file(drivers/chip chip-driver)
