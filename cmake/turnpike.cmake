# Compiler settings, and one function per kind of target, so that a folder's list stays one line.

add_library(turnpike_options INTERFACE)
target_include_directories(turnpike_options INTERFACE
  ${PROJECT_SOURCE_DIR}/include ${PROJECT_SOURCE_DIR})
target_compile_options(turnpike_options INTERFACE
  -Wall -Wextra -Wconversion -Wshadow -Wnon-virtual-dtor -Wold-style-cast -Werror
  -fno-omit-frame-pointer -fstack-protector-strong -g1)
target_compile_definitions(turnpike_options INTERFACE TURNPIKE_VERSION="${PROJECT_VERSION}")
if(NOT TURNPIKE_SANITIZE)
  target_compile_definitions(turnpike_options INTERFACE
    $<$<CONFIG:Release,RelWithDebInfo>:_FORTIFY_SOURCE=2>)
endif()
target_link_options(turnpike_options INTERFACE -Wl,-z,relro,-z,now)
if(TURNPIKE_SANITIZE)
  target_compile_options(turnpike_options INTERFACE
    -fsanitize=${TURNPIKE_SANITIZE} -fno-sanitize-recover=all
    # With sanitizers g++ 12 sees uninitialised values in the standard library that are not.
    $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)
  target_link_options(turnpike_options INTERFACE -fsanitize=${TURNPIKE_SANITIZE})
endif()
if(TURNPIKE_FUZZERS)
  target_compile_options(turnpike_options INTERFACE -fsanitize=fuzzer-no-link)
endif()

# turnpike_library(NAME dep...): a static library of every .cc in the current folder; a folder of
# headers only makes an interface library.
function(turnpike_library name)
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cc)
  list(FILTER sources EXCLUDE REGEX "main\\.cc$")
  if(sources)
    add_library(${name} STATIC ${sources})
    target_link_libraries(${name} PUBLIC turnpike_options ${ARGN})
  else()
    add_library(${name} INTERFACE)
    target_link_libraries(${name} INTERFACE turnpike_options ${ARGN})
  endif()
endfunction()

# turnpike_test(NAME dep...): a GoogleTest program of every .cc in tests/<dir of caller>.
function(turnpike_test name)
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cc)
  add_executable(${name} ${sources})
  target_link_libraries(${name} PRIVATE ${ARGN} turnpike_options
    GTest::gtest GTest::gmock GTest::gtest_main Threads::Threads)
  # Only for the files that read the tree: everything else compiles alike in every checkout.
  foreach(source ${sources})
    file(STRINGS ${source} reads_tree REGEX "TURNPIKE_SOURCE_DIR" LIMIT_COUNT 1)
    if(reads_tree)
      set_property(SOURCE ${source} APPEND PROPERTY
        COMPILE_DEFINITIONS TURNPIKE_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
    endif()
  endforeach()
  set_property(GLOBAL APPEND PROPERTY TURNPIKE_TEST_PROGRAMS ${name})
  add_test(NAME ${name} COMMAND ${name})
endfunction()

# turnpike_test_per_srtp_library(NAME dep...): the same test program for every library that SRTP's
# ciphers may come from (SrtpLibrary in include/turnpike/keying.h). A file whose name ends in
# _<library>_test.cc is for that library only.
function(turnpike_test_per_srtp_library name)
  foreach(library kOpenssl kIpsecMb kLibsrtp2)
    string(REGEX REPLACE "^k" "" suffix ${library})
    string(TOLOWER ${suffix} suffix)
    turnpike_test(${name}_${suffix} ${ARGN})
    target_compile_definitions(${name}_${suffix} PRIVATE TURNPIKE_TEST_SRTP_LIBRARY=${library})
    get_target_property(sources ${name}_${suffix} SOURCES)
    foreach(other openssl ipsecmb libsrtp2)
      if(NOT other STREQUAL suffix)
        list(FILTER sources EXCLUDE REGEX "_${other}_test\\.cc$")
      endif()
    endforeach()
    set_property(TARGET ${name}_${suffix} PROPERTY SOURCES ${sources})
  endforeach()
endfunction()
