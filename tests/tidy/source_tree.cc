#include "tests/tidy/source_tree.h"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <regex>
#include <set>
#include <utility>

namespace tidy {

namespace fs = std::filesystem;

static std::string read_file(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

std::vector<std::string> split_lines(const std::string& text) {
  std::vector<std::string> lines;
  std::size_t begin = 0;
  while (begin < text.size()) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    lines.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return lines;
}

static void blank(std::string& text, std::size_t begin, std::size_t end) {
  for (std::size_t i = begin; i < std::min(end, text.size()); ++i) {
    if (text[i] != '\n') {
      text[i] = ' ';
    }
  }
}

// Where the quoted literal that starts at `begin` ends (one past its closing quote).
static std::size_t end_of_literal(const std::string& text, std::size_t begin) {
  std::size_t i = begin + 1;
  while (i < text.size() && text[i] != text[begin] && text[i] != '\n') {
    i += text[i] == '\\' ? 2 : 1;
  }
  return i + 1;
}

static std::size_t end_of_raw_string(const std::string& text, std::size_t quote) {
  const std::size_t open = text.find('(', quote);
  const std::string close = ")" + text.substr(quote + 1, open - quote - 1) + "\"";
  const std::size_t end = text.find(close, open);
  return end == std::string::npos ? text.size() : end + close.size();
}

static bool is_word(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_';
}

std::string without_comments_and_strings(const std::string& text) {
  std::string code = text;
  std::size_t i = 0;
  while (i < text.size()) {
    const std::string_view here = std::string_view(text).substr(i, 2);
    std::size_t end = i + 1;
    if (here == "//") {
      end = std::min(text.find('\n', i), text.size());
      blank(code, i, end);
    } else if (here == "/*") {
      end = std::min(text.find("*/", i), text.size()) + 2;
      blank(code, i, end);
    } else if (here == "R\"" && (i == 0 || !is_word(text[i - 1]))) {
      end = end_of_raw_string(text, i + 1);
      blank(code, i + 2, end - 1);
    } else if (text[i] == '"' || (text[i] == '\'' && (i == 0 || !is_word(text[i - 1])))) {
      end = end_of_literal(text, i);
      blank(code, i + 1, end - 1);
    }
    i = end;
  }
  return code;
}

bool has_extension(const std::string& path, std::initializer_list<std::string_view> extensions) {
  return std::any_of(extensions.begin(), extensions.end(),
                     [&](std::string_view extension) { return path.ends_with(extension); });
}

bool is_cpp(const std::string& path) {
  return has_extension(path, {".h", ".cc"});
}

const std::vector<SourceFile>& tree() {
  static const std::vector<SourceFile> files = [] {
    const fs::path root = TURNPIKE_SOURCE_DIR;
    const std::set<std::string> skipped = {".git", "build", "run", "__pycache__", "corpus"};
    std::vector<SourceFile> found;
    for (auto it = fs::recursive_directory_iterator(root); it != fs::end(it); ++it) {
      if (it->is_directory() && skipped.contains(it->path().filename().string())) {
        it.disable_recursion_pending();
        continue;
      }
      if (!it->is_regular_file() || it->path().filename() == ".git") {
        continue;
      }
      SourceFile file;
      file.path = fs::relative(it->path(), root).generic_string();
      file.text = read_file(it->path());
      if (file.text.find('\0') != std::string::npos) {
        continue;
      }
      file.code = is_cpp(file.path) ? without_comments_and_strings(file.text) : file.text;
      file.lines = split_lines(file.text);
      found.push_back(std::move(file));
    }
    std::sort(found.begin(), found.end(),
              [](const SourceFile& a, const SourceFile& b) { return a.path < b.path; });
    return found;
  }();
  return files;
}

std::string at(const SourceFile& file, std::size_t offset) {
  const auto end = file.code.begin() + static_cast<std::ptrdiff_t>(offset);
  return file.path + ":" + std::to_string(1 + std::count(file.code.begin(), end, '\n'));
}

bool under(const std::string& path, const std::string& folder) {
  return folder.empty() || path == folder || path.starts_with(folder + "/");
}

bool under_any(const std::string& path, const std::vector<std::string>& places) {
  return std::any_of(places.begin(), places.end(), [&](const std::string& place) {
    // "relay/shard." means every file of that stem, "relay/io" a folder.
    return place.ends_with('.') ? path.starts_with(place) : under(path, place);
  });
}

std::string folder_of(const std::string& path) {
  return fs::path(path).parent_path().string();
}

// What a '{' opens, told from the text before it.
enum class Scope { kNamespaceOrType, kFunction, kOther };

static Scope scope_of(std::string head) {
  static const std::regex template_head(R"(template\s*<[^{}]*?>\s*(?=[\w:]))");
  static const std::regex type(R"(^\s*(?:extern\s*"|(?:inline )?namespace\b|enum\b|class\b|)"
                               R"(struct\b|union\b))");
  head = std::regex_replace(head, template_head, "");
  if (std::regex_search(head, type)) {
    return Scope::kNamespaceOrType;
  }
  return head.find('(') != std::string::npos ? Scope::kFunction : Scope::kOther;
}

static std::string without_directives(const std::string& code) {
  std::string kept = code;
  bool continued = false;
  std::size_t begin = 0;
  for (const std::string& line : split_lines(code)) {
    const bool directive = continued || line.starts_with("#");
    continued = directive && line.ends_with("\\");
    if (directive) {
      blank(kept, begin, begin + line.size());
    }
    begin += line.size() + 1;
  }
  return kept;
}

std::vector<Function> functions_of(const SourceFile& file) {
  const std::string code = without_directives(file.code);
  std::vector<Function> found;
  std::size_t head = 0;
  for (std::size_t i = 0; i < code.size(); ++i) {
    if (code[i] == ';' || code[i] == '}') {
      head = i + 1;
    }
    if (code[i] != '{') {
      continue;
    }
    const std::string before = code.substr(head, i - head);
    head = i + 1;
    const Scope scope = scope_of(before);
    if (scope == Scope::kNamespaceOrType) {
      continue;
    }
    const std::size_t open = i;
    for (std::size_t depth = 1; depth > 0 && ++i < code.size();) {
      depth += code[i] == '{' ? 1U : 0U;
      depth -= code[i] == '}' ? 1U : 0U;
    }
    head = i + 1;
    if (scope == Scope::kFunction) {
      const auto begin = code.begin() + static_cast<std::ptrdiff_t>(open);
      const auto end = code.begin() + static_cast<std::ptrdiff_t>(std::min(i, code.size()));
      found.push_back({before, open, 1 + static_cast<std::size_t>(std::count(begin, end, '\n'))});
    }
  }
  return found;
}

}  // namespace tidy
