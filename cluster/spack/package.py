# Switchyard for Spack:
#   spack repo create mine && mkdir -p mine/packages/switchyard && cp cluster/spack/package.py mine/packages/switchyard/
#   spack repo add mine && spack dev-build --source-path "$PWD" switchyard@main
# Not tried: no Spack where this was written. Protocol Buffers is the version that the program is tested with.
from spack.package import *


class Switchyard(CMakePackage):
    """Trains Switch Transformers (sparse mixtures of experts) on CPU clusters with MPI and oneDNN."""

    version("main")

    variant("tests", default=False, description="Build the tests")

    depends_on("cxx", type="build")
    depends_on("cmake@3.25:", type="build")
    depends_on("ninja", type="build")
    depends_on("mpi@3:")
    depends_on("onednn@2.6:3")
    depends_on("protobuf@3.21:3.21 ~shared")
    depends_on("boost@1.74: +program_options")
    depends_on("sentencepiece@0.1.97:")
    depends_on("nlohmann-json@3.11:")
    depends_on("openssl@3:")
    depends_on("zlib-api")
    depends_on("gnuplot", type="run")
    depends_on("googletest@1.12: +gmock", when="+tests", type="build")
    depends_on("benchmark@1.7:", when="+tests", type="build")

    conflicts("%gcc@:11", msg="Switchyard needs a C++20 compiler; it is tested with GCC 12 and 14")

    def cmake_args(self):
        return [
            self.define("CMAKE_UNITY_BUILD", True),
            self.define("CMAKE_DISABLE_FIND_PACKAGE_GTest", not self.spec.satisfies("+tests")),
        ]
