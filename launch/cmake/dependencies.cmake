# The compiler and every library; nothing is downloaded.
include(CheckCXXSourceCompiles)
check_cxx_source_compiles("#include <ranges>\n#include <span>\n#include <thread>
  template <class T> concept Any = requires(T x) { x; };
  int main() { std::jthread([](const Any auto&) {}, 1); return std::span<int>().size() > 0; }" SWITCHYARD_HAS_CXX20)
if(NOT SWITCHYARD_HAS_CXX20)
  message(FATAL_ERROR "Switchyard needs a compiler of C++20 and its library, such as GCC 12; found ${CMAKE_CXX_COMPILER_ID} ${CMAKE_CXX_COMPILER_VERSION}")
endif()
find_package(Threads REQUIRED)
find_package(OpenMP REQUIRED COMPONENTS CXX)
find_package(MPI REQUIRED COMPONENTS CXX)
find_package(OpenSSL REQUIRED COMPONENTS Crypto)
find_package(ZLIB REQUIRED)
if(POLICY CMP0167)
  cmake_policy(SET CMP0167 NEW)  # Boost's own configuration, not CMake's former module
endif()
find_package(Boost 1.74 REQUIRED COMPONENTS program_options)
find_package(nlohmann_json REQUIRED)

find_package(dnnl QUIET CONFIG)
if(NOT dnnl_FOUND)
  message(FATAL_ERROR "oneDNN not found: Switchyard needs 2.6, 2.7 or 3.x (launch/install_dependencies.sh; Debian: libdnnl-dev)")
elseif(dnnl_VERSION VERSION_LESS 2.6 OR dnnl_VERSION VERSION_GREATER_EQUAL 4.0)
  message(FATAL_ERROR "Switchyard needs oneDNN 2.6, 2.7 or 3.x; found ${dnnl_VERSION}")
endif()

# libsentencepiece contains an old protobuf of its own; a shared libprotobuf in the same process
# crashes before main. So this program links protobuf statically and hides its symbols (see
# proto/CMakeLists.txt).
set(Protobuf_USE_STATIC_LIBS ON)
find_package(Protobuf 3.21 REQUIRED)

find_library(SENTENCEPIECE_LIBRARY sentencepiece REQUIRED)
find_library(SENTENCEPIECE_TRAIN_LIBRARY sentencepiece_train REQUIRED)
find_path(SENTENCEPIECE_INCLUDE_DIR sentencepiece_processor.h REQUIRED)
add_library(switchyard_sentencepiece INTERFACE IMPORTED)
target_link_libraries(switchyard_sentencepiece INTERFACE ${SENTENCEPIECE_LIBRARY} ${SENTENCEPIECE_TRAIN_LIBRARY})
target_include_directories(switchyard_sentencepiece INTERFACE ${SENTENCEPIECE_INCLUDE_DIR})

# Newer versions return Abseil's Status, which then has to be linked too. A program that uses one tells.
function(check_sentencepiece result)
  set(CMAKE_REQUIRED_LIBRARIES switchyard_sentencepiece)
  check_cxx_source_compiles("#include <sentencepiece_trainer.h>
    int main() { return sentencepiece::SentencePieceProcessor().status().ToString().empty(); }" ${result})
endfunction()
check_sentencepiece(SWITCHYARD_SENTENCEPIECE_LINKS)
if(NOT SWITCHYARD_SENTENCEPIECE_LINKS)
  find_package(absl QUIET CONFIG)
  if(TARGET absl::status)
    target_link_libraries(switchyard_sentencepiece INTERFACE absl::status)
  endif()
  check_sentencepiece(SWITCHYARD_SENTENCEPIECE_LINKS_WITH_ABSEIL)
  if(NOT SWITCHYARD_SENTENCEPIECE_LINKS_WITH_ABSEIL)
    unset(SWITCHYARD_SENTENCEPIECE_LINKS CACHE)  # the next time may find Abseil
    unset(SWITCHYARD_SENTENCEPIECE_LINKS_WITH_ABSEIL CACHE)
    message(FATAL_ERROR "no program can be linked with SentencePiece; if its version uses Abseil, that is needed too (launch/install_dependencies.sh; Debian: libabsl-dev)")
  endif()
endif()
