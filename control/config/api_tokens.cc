#include "control/config/api_tokens.h"

#include <algorithm>
#include <sstream>

#include "control/config/identities.h"
#include "control/config/read_file.h"

namespace turnpike::config {
namespace {

constexpr std::size_t kFileBytesMax = 1 << 16;
constexpr std::size_t kTokensMax = 64;
constexpr std::size_t kTokenBytesMin = 24;
constexpr std::size_t kTokenBytesMax = 256;
constexpr std::size_t kNameBytesMax = 64;
constexpr const char* kLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

bool consists_of(const std::string& text, const std::string& characters) {
  return !text.empty() && text.find_first_not_of(characters) == std::string::npos;
}

/// "" or what is wrong with the line.
std::string take_line(const std::string& line, std::vector<api::Token>& tokens) {
  std::istringstream words(line);
  std::string name;
  std::string scope;
  std::string text;
  std::string more;
  words >> name >> scope >> text;
  if (text.empty() || words >> more) return "is not \"NAME SCOPE TOKEN\"";
  if (!consists_of(name, std::string(kLetters) + "-_.@") || name.size() > kNameBytesMax) {
    return "has a name with other characters than letters, digits and -_.@, or a long one";
  }
  if (scope != "read" && scope != "operate") return "has no scope; give read or operate";
  // RFC 6750 section 2.1: b64token.
  if (!consists_of(text, std::string(kLetters) + "-._~+/=") || text.size() < kTokenBytesMin ||
      text.size() > kTokenBytesMax) {
    return "has a token that is not 24 to 256 letters, digits and -._~+/=; make one with "
           "\"openssl rand -hex 32\"";
  }
  for (const api::Token& other : tokens) {
    if (other.name == name) return "has the name of another token";
    if (other.text.reveal() == text) return "has the token of another line";
  }
  tokens.push_back(
      {name, scope == "read" ? api::Scope::kRead : api::Scope::kOperate, Secret(std::move(text))});
  return {};
}

}  // namespace

Result<std::vector<api::Token>> read_tokens_file(const std::string& path) {
  std::string text;
  UnreadableFile why;
  if (!read_private_file(path, kFileBytesMax, "these tokens", text, why)) {
    return Error{path + ": " + why.reason};
  }
  std::vector<api::Token> tokens;
  std::istringstream lines(text);
  std::fill(text.begin(), text.end(), '\0');
  std::size_t number = 0;
  for (std::string line; std::getline(lines, line);) {
    ++number;
    const std::size_t begin = line.find_first_not_of(" \t\r");
    if (begin == std::string::npos || line[begin] == '#') continue;
    std::string complaint = take_line(line, tokens);
    std::fill(line.begin(), line.end(), '\0');
    if (complaint.empty() && tokens.size() > kTokensMax) complaint = "is one token too many";
    if (!complaint.empty()) {
      return Error{path + ": line " + std::to_string(number) + " " + complaint};
    }
  }
  if (tokens.empty()) return Error{path + ": holds no token; add a line \"NAME read TOKEN\""};
  return tokens;
}

pki::Judgement judge_api_files(const ApiSection& api) {
  pki::Judgement judgement;
  if (!api.listen.is_set()) return judgement;
  judgement = judge_tls_files({api.certificate_file, api.private_key_file, api.client_trust_file});
  if (api.tokens_file.empty()) return judgement;
  if (const auto tokens = read_tokens_file(api.tokens_file); !tokens) {
    judgement.mistakes.push_back(tokens.error().message);
  }
  return judgement;
}

}  // namespace turnpike::config
