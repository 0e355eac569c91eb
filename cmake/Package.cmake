# Debian packages: `cpack -G DEB` in a build tree, or scripts/package. Each has the copyright and the
# changelog that Debian's policy wants, and says which complaints of lintian it answers for.
set(ENSEMBLE_MAINTAINER "Ensemble maintainers <maintainers@ensemble.example>"
  CACHE STRING "Who answers for the Debian packages: NAME <ADDRESS>")

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_VENDOR Ensemble)
set(CPACK_PACKAGE_CONTACT ${ENSEMBLE_MAINTAINER})
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS
  OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
set(CPACK_COMPONENTS_ALL runtime)
if(TARGET ensemble_client)
  list(APPEND CPACK_COMPONENTS_ALL development)
endif()
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_MAINTAINER ${ENSEMBLE_MAINTAINER})
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)

set(CPACK_DEBIAN_RUNTIME_PACKAGE_NAME ensemble)
set(CPACK_DEBIAN_RUNTIME_PACKAGE_SECTION otherosfs)
set(CPACK_DEBIAN_RUNTIME_PACKAGE_SHLIBDEPS ON)
# Loaded only where a device has a user-mode network, so no program shows it.
set(CPACK_DEBIAN_RUNTIME_PACKAGE_DEPENDS "libslirp0 (>= 4.7.0)")
# What hosts without KVM run devices on: [qemu] of scripts/packages.
set(CPACK_DEBIAN_RUNTIME_PACKAGE_RECOMMENDS "libvirt-daemon-driver-qemu, qemu-system-x86")
set(CPACK_COMPONENT_RUNTIME_DESCRIPTION "simulated phones, tablets and watches on KVM
Ensemble runs one small operating-system kernel and one unmodified Linux
program as a phone, a tablet, a watch, or a device described in a page of
YAML. It is a virtual machine monitor for Linux/KVM and a microkernel, both
written for each other. Where KVM cannot be used, QEMU runs the devices.
.
This package has the command line, the daemon that keeps devices and serves
them over gRPC, the guest's kernel and the profiles of products.")

set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_NAME ensemble-dev)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_DEPENDS "libfmt-dev, libgrpc++-dev, libprotobuf-dev")
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_RECOMMENDS "cmake, g++ (>= 4:12)")
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_SUGGESTS "ensemble, protobuf-compiler-grpc, python3-grpcio")
set(CPACK_COMPONENT_DEVELOPMENT_DESCRIPTION "C++ client library of Ensemble's daemon
Ensemble runs one small operating-system kernel and one unmodified Linux
program as a phone, a tablet, a watch, or a device described in a page of
YAML. Its daemon keeps devices and serves them over gRPC.
.
This package has the C++ client of that API as a CMake package, the files that
describe the API, of which clients in other languages are made, and examples.")

file(READ packaging/changelog changelog LIMIT 80)
if(NOT changelog MATCHES "^ensemble \\(${PROJECT_VERSION}\\) ")
  message(FATAL_ERROR "packaging/changelog does not begin with version ${PROJECT_VERSION}")
endif()

# ensemble_add_documents(COMPONENT PACKAGE): changelog, copyright and lintian's overrides of a package.
function(ensemble_add_documents component package)
  set(directory ${CMAKE_BINARY_DIR}/packaging/${package})
  file(MAKE_DIRECTORY ${directory})
  # The package's own name, and no time: the same sources make the same file.
  file(READ packaging/changelog text)
  string(REGEX REPLACE "(^|\n)ensemble \\(" "\\1${package} (" text "${text}")
  file(CONFIGURE OUTPUT ${directory}/changelog CONTENT "${text}" @ONLY)
  execute_process(COMMAND gzip -9nf ${directory}/changelog COMMAND_ERROR_IS_FATAL ANY)
  install(FILES ${directory}/changelog.gz packaging/copyright
    DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/${package} COMPONENT ${component})
  if(EXISTS ${PROJECT_SOURCE_DIR}/packaging/${package}.lintian-overrides)
    install(FILES packaging/${package}.lintian-overrides RENAME ${package}
      DESTINATION ${CMAKE_INSTALL_DATADIR}/lintian/overrides COMPONENT ${component})
  endif()
endfunction()
ensemble_add_documents(runtime ensemble)
if(TARGET ensemble_client)
  ensemble_add_documents(development ensemble-dev)
endif()

include(CPack)
