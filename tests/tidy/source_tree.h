// The tree's files as the structure test sees them: text, code without comments and strings, paths,
// functions. Hides: reading and a small reader of C++ text. Is not a compiler: it reads what
// clang-format has laid out.
#pragma once

#include <cstddef>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

namespace tidy {

struct SourceFile {
  std::string path;  // from the root of the tree
  std::string text;
  std::string code;  // text with comments and the insides of strings blanked, same offsets
  std::vector<std::string> lines;
};

/// Every text file of the tree, sorted by path; build products and fuzz seeds left out.
const std::vector<SourceFile>& tree();

std::vector<std::string> split_lines(const std::string& text);
std::string without_comments_and_strings(const std::string& text);

bool has_extension(const std::string& path, std::initializer_list<std::string_view> extensions);
bool is_cpp(const std::string& path);
std::string folder_of(const std::string& path);
bool under(const std::string& path, const std::string& folder);
/// Below one of the places; a place that ends in '.' names every file of that stem.
bool under_any(const std::string& path, const std::vector<std::string>& places);
/// "path:line" of an offset into the file.
std::string at(const SourceFile& file, std::size_t offset);

/// A function definition; what lies inside it is not looked at again.
struct Function {
  std::string head;
  std::size_t offset = 0;  // of its opening brace
  std::size_t lines = 0;   // from the brace's line to the closing one's
};

std::vector<Function> functions_of(const SourceFile& file);

}  // namespace tidy
