#include "files/safe_path.hpp"

#include <gtest/gtest.h>

#include "support/errors.hpp"

namespace switchyard {
namespace {

TEST(SafePath, AcceptsPlainNames) {
  for (const std::string name : {"shard-00000.bin", "..a", ".hidden", "a b"}) {
    EXPECT_EQ(require_base_name(name, "MANIFEST"), name);
  }
  EXPECT_EQ(require_base_name(std::string(255, 'x'), "MANIFEST").size(), 255u);
}

TEST(SafePath, RefusesWhateverLeavesTheDirectory) {
  const std::string with_nul("a\0b", 3);
  for (const std::string& name :
       {std::string(), std::string("."), std::string(".."), std::string("../a"),
        std::string("/etc/passwd"), std::string("a/b"), std::string("a/"), with_nul,
        std::string(256, 'x'), std::string(4096, 'x')}) {
    EXPECT_TRUE(test::fails_with(ExitCode::unsafe_path, "run/MANIFEST names",
                                 [&] { require_base_name(name, "run/MANIFEST"); }));
  }
}

}  // namespace
}  // namespace switchyard
