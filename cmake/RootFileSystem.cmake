# The guest's root file system: Debian's busybox, its applets as links, a few configuration files,
# and whatever targets have added to the global property ENSEMBLE_ROOT_FILES as
# "PATH_IN_ARCHIVE=FILE" (dependencies go to ENSEMBLE_ROOT_DEPENDS).
function(ensemble_add_root_file_system)
  get_property(files GLOBAL PROPERTY ENSEMBLE_ROOT_FILES)
  get_property(depends GLOBAL PROPERTY ENSEMBLE_ROOT_DEPENDS)
  set(output ${CMAKE_BINARY_DIR}/guest-kernel/rootfs.cpio)
  file(GLOB_RECURSE configuration CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/cmake/rootfs/*)
  add_custom_command(
    OUTPUT ${output}
    COMMAND ${PROJECT_SOURCE_DIR}/scripts/make-rootfs ${output} ${files}
    DEPENDS ${PROJECT_SOURCE_DIR}/scripts/make-rootfs ${PROJECT_SOURCE_DIR}/scripts/pack-cpio
      ${configuration} ${depends} /bin/busybox
    VERBATIM)
  add_custom_target(rootfs ALL DEPENDS ${output})
endfunction()
