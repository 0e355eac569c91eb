# ensemble_test(NAME SOURCES … [LIBRARIES …] [LABELS …])
# A GoogleTest executable whose every case is a CTest test. A case that calls GTEST_SKIP counts as
# skipped. Labels name the lanes: lane-p (needs the host's /dev/kvm), lane-s (also runs on hardware
# KVM), or nothing (needs no KVM).
function(ensemble_test name)
  cmake_parse_arguments(PARSE_ARGV 1 test "" "TIMEOUT" "SOURCES;LIBRARIES;LABELS")
  find_package(GTest REQUIRED)
  include(GoogleTest)
  if(NOT test_TIMEOUT)
    set(test_TIMEOUT 120)
  endif()
  add_executable(${name} ${test_SOURCES})
  target_link_libraries(${name} PRIVATE
    ensemble_host_options ${test_LIBRARIES} GTest::gmock GTest::gtest_main)
  ensemble_precompile(${name} <gtest/gtest.h> <gmock/gmock.h>)
  gtest_discover_tests(${name} DISCOVERY_MODE PRE_TEST PROPERTIES TIMEOUT ${test_TIMEOUT})
  # gtest_discover_tests passes no list on; CTest reads this file after the tests are known.
  file(WRITE ${CMAKE_CURRENT_BINARY_DIR}/${name}_labels.cmake
    "if(${name}_TESTS)\n  set_tests_properties(\${${name}_TESTS} PROPERTIES LABELS \"${test_LABELS}\")\nendif()\n")
  set_property(DIRECTORY APPEND PROPERTY TEST_INCLUDE_FILES
    ${CMAKE_CURRENT_BINARY_DIR}/${name}_labels.cmake)
endfunction()
