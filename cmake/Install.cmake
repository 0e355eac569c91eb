# What an installation holds. Programs find the rest by their own place: see control/installation.h.
# The component `runtime` is the package ensemble, `development` is ensemble-dev.
include(GNUInstallDirs)
set(ensemble_data ${CMAKE_INSTALL_DATADIR}/ensemble)

# Only targets of the directories that have been added: the daemon and its client need gRPC, which the
# thread sanitizer's build goes without.
foreach(program ensemble ensemble-vmm ensemble-client ensembled)
  if(TARGET ${program})
    install(TARGETS ${program} RUNTIME COMPONENT runtime)
  endif()
endforeach()

install(DIRECTORY profiles/ DESTINATION ${ensemble_data}/profiles COMPONENT runtime
  FILES_MATCHING PATTERN "*.yaml")

if(ENSEMBLE_GUEST)
  # The kernel is no program of the host: it is not executable, and debuggers take it from a build.
  install(CODE "
    set(kernel \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/${ensemble_data}/nucleus.elf\")
    file(MAKE_DIRECTORY \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/${ensemble_data}\")
    execute_process(COMMAND_ERROR_IS_FATAL ANY COMMAND \"${CMAKE_OBJCOPY}\" --strip-all
      \"${CMAKE_BINARY_DIR}/guest-kernel/nucleus.elf\" \"\${kernel}\")
    file(CHMOD \"\${kernel}\" PERMISSIONS OWNER_READ OWNER_WRITE GROUP_READ WORLD_READ)"
    COMPONENT runtime)
  install(FILES
    ${CMAKE_BINARY_DIR}/guest-kernel/boot.pkg
    ${CMAKE_BINARY_DIR}/guest-kernel/boot-agent.pkg
    ${CMAKE_BINARY_DIR}/guest-kernel/boot-disk.pkg
    ${CMAKE_BINARY_DIR}/guest-kernel/rootfs.cpio
    DESTINATION ${ensemble_data} COMPONENT runtime)
endif()

install(DIRECTORY docs/ DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT runtime
  FILES_MATCHING PATTERN "*.md")
install(FILES README.md DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT runtime)

# Users start the daemon with `systemctl --user enable --now ensembled.socket`.
install(FILES packaging/ensembled.socket packaging/ensembled.service
  DESTINATION lib/systemd/user COMPONENT runtime)
