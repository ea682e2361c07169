# Writes OUTPUT, a source file whose function FUNCTION returns the bytes of INPUT.
file(READ ${INPUT} bytes HEX)
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${bytes}")
string(REGEX REPLACE "((0x..,)(0x..,)?(0x..,)?(0x..,)?(0x..,)?(0x..,)?(0x..,)?(0x..,)?)" "\\1\n" bytes "${bytes}")

file(CONFIGURE OUTPUT ${OUTPUT} @ONLY CONTENT [[
#include <string_view>

namespace switchyard {

std::string_view @FUNCTION@() {
  static constexpr unsigned char bytes[] = {
@bytes@};
  return {reinterpret_cast<const char*>(bytes), sizeof bytes};
}

}  // namespace switchyard
]])
