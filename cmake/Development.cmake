# The package ensemble-dev: find_package(Ensemble) gives Ensemble::client, the C++ client of the API.
include(CMakePackageConfigHelpers)
# Debian's place for libraries; CPack's prefix is not the one that GNUInstallDirs was asked with.
set(ensemble_libraries lib/${CMAKE_LIBRARY_ARCHITECTURE})
set(ensemble_cmake ${ensemble_libraries}/cmake/Ensemble)
set(ensemble_protos ${ensemble_data}/proto)
# Headers include each other from the root of the sources, generated ones from control/ of it.
set(ensemble_headers ${CMAKE_INSTALL_INCLUDEDIR}/ensemble)

foreach(library client api api_messages daemon_paths)
  set_target_properties(ensemble_${library} PROPERTIES EXPORT_NAME ${library})
  list(APPEND ensemble_archives libensemble_${library}.a)
endforeach()
target_compile_features(ensemble_client PUBLIC cxx_std_23)
target_include_directories(ensemble_client INTERFACE $<INSTALL_INTERFACE:${ensemble_headers}>)
target_include_directories(ensemble_api_messages SYSTEM INTERFACE
  $<INSTALL_INTERFACE:${ensemble_headers}> $<INSTALL_INTERFACE:${ensemble_headers}/control>)

install(TARGETS ensemble_client ensemble_api ensemble_api_messages ensemble_daemon_paths
  EXPORT EnsembleTargets ARCHIVE DESTINATION ${ensemble_libraries} COMPONENT development)
# CMake strips programs only.
install(CODE "
  foreach(archive IN ITEMS ${ensemble_archives})
    execute_process(COMMAND_ERROR_IS_FATAL ANY COMMAND \"${CMAKE_STRIP}\" --strip-debug
      --remove-section=.comment --enable-deterministic-archives
      \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/${ensemble_libraries}/\${archive}\")
  endforeach()"
  COMPONENT development)

configure_package_config_file(packaging/EnsembleConfig.cmake.in
  ${CMAKE_BINARY_DIR}/packaging/EnsembleConfig.cmake
  INSTALL_DESTINATION ${ensemble_cmake} PATH_VARS ensemble_protos NO_CHECK_REQUIRED_COMPONENTS_MACRO)
write_basic_package_version_file(${CMAKE_BINARY_DIR}/packaging/EnsembleConfigVersion.cmake
  COMPATIBILITY SameMinorVersion)
install(EXPORT EnsembleTargets NAMESPACE Ensemble:: DESTINATION ${ensemble_cmake}
  COMPONENT development)
install(FILES ${CMAKE_BINARY_DIR}/packaging/EnsembleConfig.cmake
  ${CMAKE_BINARY_DIR}/packaging/EnsembleConfigVersion.cmake
  DESTINATION ${ensemble_cmake} COMPONENT development)

install(FILES control/client/client.h DESTINATION ${ensemble_headers}/control/client
  COMPONENT development)
install(FILES control/daemon_paths.h DESTINATION ${ensemble_headers}/control COMPONENT development)
install(FILES vmm/error.h DESTINATION ${ensemble_headers}/vmm COMPONENT development)
install(DIRECTORY ${CMAKE_BINARY_DIR}/control/generated/control/ensemble/v1
  DESTINATION ${ensemble_headers}/control/ensemble COMPONENT development
  FILES_MATCHING PATTERN "*.pb.h")
install(DIRECTORY control/proto/ensemble/v1 DESTINATION ${ensemble_protos}/ensemble
  COMPONENT development FILES_MATCHING PATTERN "*.proto")
install(DIRECTORY examples DESTINATION ${CMAKE_INSTALL_DOCDIR}-dev COMPONENT development
  FILES_MATCHING PATTERN "*.cc" PATTERN "*.py" PATTERN "CMakeLists.txt")
