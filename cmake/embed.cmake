# Writes a header with the bytes of text files: cmake -DOUTPUT=… -DNAMES="kA;kB" -DFILES="a;b" -P …
set(text "// Made from files at build time.\n#pragma once\n\n#include <string_view>\n\n")
string(APPEND text "namespace turnpike::api::embedded {\n\n")
foreach(name file IN ZIP_LISTS NAMES FILES)
  file(READ ${file} bytes HEX)
  string(REGEX REPLACE "(................................)" "\\1\n" bytes "${bytes}")
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "'\\\\x\\1'," bytes "${bytes}")
  string(APPEND text "inline constexpr char ${name}Bytes[] = {\n${bytes}'\\0'};\n")
  string(APPEND text
    "inline constexpr std::string_view ${name}{${name}Bytes, sizeof ${name}Bytes - 1};\n\n")
endforeach()
string(APPEND text "}  // namespace turnpike::api::embedded\n")
file(WRITE ${OUTPUT} "${text}")
