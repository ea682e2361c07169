# All dependencies, by their Debian 12 packages; nothing is downloaded.
find_package(Threads REQUIRED)
find_package(OpenMP REQUIRED COMPONENTS CXX)
find_package(MPI REQUIRED COMPONENTS CXX)
find_package(OpenSSL REQUIRED COMPONENTS Crypto)
find_package(ZLIB REQUIRED)
find_package(Boost 1.74 REQUIRED COMPONENTS program_options)
find_package(nlohmann_json REQUIRED)

find_package(dnnl REQUIRED CONFIG)
if(dnnl_VERSION VERSION_LESS 2.6 OR dnnl_VERSION VERSION_GREATER_EQUAL 3.0)
  message(FATAL_ERROR "Switchyard needs oneDNN 2.6 or 2.7 (Debian: libdnnl-dev); found ${dnnl_VERSION}")
endif()

# libsentencepiece contains an old protobuf of its own; a shared libprotobuf in the same process
# crashes before main. So this program links protobuf statically and hides its symbols (see
# proto/CMakeLists.txt).
set(Protobuf_USE_STATIC_LIBS ON)
find_package(Protobuf 3.21 REQUIRED)

find_library(SENTENCEPIECE_LIBRARY sentencepiece REQUIRED)
find_library(SENTENCEPIECE_TRAIN_LIBRARY sentencepiece_train REQUIRED)
find_path(SENTENCEPIECE_INCLUDE_DIR sentencepiece_processor.h REQUIRED)
