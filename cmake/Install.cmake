# What an installation holds. Programs find the rest by their own place: see control/installation.h.
# The component `runtime` is the package ensemble, `development` is ensemble-dev.
include(GNUInstallDirs)
set(ensemble_data ${CMAKE_INSTALL_DATADIR}/ensemble)

# Only targets of the directories that have been added: the daemon and its client need gRPC, which the
# thread sanitizer's build goes without.
foreach(program ensemble ensemble-vmm ensemble-libvirt ensemble-client ensembled)
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

# Manual pages and completions, as the programs describe themselves.
if(TARGET ensembled AND NOT CMAKE_CROSSCOMPILING)
  set(texts ${CMAKE_BINARY_DIR}/packaging/texts)
  file(MAKE_DIRECTORY ${texts})
  # Standard places are told as users know them, not as whoever builds has them.
  set(describe ${CMAKE_COMMAND} -E env --unset=ENSEMBLE_SOCKET
    "XDG_RUNTIME_DIR=$XDG_RUNTIME_DIR" "XDG_STATE_HOME=~/.local/state")
  add_custom_command(
    OUTPUT ${texts}/ensemble.1.gz ${texts}/ensembled.8.gz ${texts}/ensemble.bash ${texts}/_ensemble
      ${texts}/ensemble.fish
    COMMAND ${describe} $<TARGET_FILE:ensemble> manual > ensemble.1
    COMMAND ${describe} $<TARGET_FILE:ensembled> --manual > ensembled.8
    COMMAND gzip -9nf ensemble.1 ensembled.8
    COMMAND ${describe} $<TARGET_FILE:ensemble> completion bash > ensemble.bash
    COMMAND ${describe} $<TARGET_FILE:ensemble> completion zsh > _ensemble
    COMMAND ${describe} $<TARGET_FILE:ensemble> completion fish > ensemble.fish
    DEPENDS ensemble ensemble-client ensembled
    WORKING_DIRECTORY ${texts} VERBATIM)
  add_custom_target(installed_texts ALL DEPENDS ${texts}/ensemble.1.gz)
  install(FILES ${texts}/ensemble.1.gz DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 COMPONENT runtime)
  install(FILES ${texts}/ensembled.8.gz DESTINATION ${CMAKE_INSTALL_MANDIR}/man8 COMPONENT runtime)
  # A part of the program that has a page.
  install(CODE "
    set(folder \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_MANDIR}\")
    file(CREATE_LINK ensemble.1.gz \"\${folder}/man1/ensemble-client.1.gz\" SYMBOLIC)"
    COMPONENT runtime)
  # The process of a device parses its few options by itself: this page is written by hand.
  configure_file(packaging/ensemble-vmm.8 ${CMAKE_BINARY_DIR}/packaging/ensemble-vmm.8 @ONLY)
  execute_process(COMMAND gzip -9nf ${CMAKE_BINARY_DIR}/packaging/ensemble-vmm.8
    COMMAND_ERROR_IS_FATAL ANY)
  install(FILES ${CMAKE_BINARY_DIR}/packaging/ensemble-vmm.8.gz
    DESTINATION ${CMAKE_INSTALL_MANDIR}/man8 COMPONENT runtime)
  install(CODE "
    set(folder \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_MANDIR}\")
    file(CREATE_LINK ensemble-vmm.8.gz \"\${folder}/man8/ensemble-libvirt.8.gz\" SYMBOLIC)"
    COMPONENT runtime)
  install(FILES ${texts}/ensemble.bash RENAME ensemble
    DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions COMPONENT runtime)
  install(FILES ${texts}/_ensemble
    DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/vendor-completions COMPONENT runtime)
  install(FILES ${texts}/ensemble.fish
    DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d COMPONENT runtime)
endif()

if(TARGET ensemble_client)
  include(cmake/Development.cmake)
endif()
