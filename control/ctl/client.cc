// One request with libcurl.
#include "control/ctl/client.h"

#include <cerrno>
#include <cstring>
#include <memory>

#include <curl/curl.h>

namespace turnpike::ctl {
namespace {

constexpr long kTimeoutSeconds = 10;

std::size_t append(char* bytes, std::size_t size, std::size_t count, void* body) {
  static_cast<std::string*>(body)->append(bytes, size * count);
  return size * count;
}

std::string explain(const std::string& socket_path, CURLcode code, long os_error) {
  const std::string place = " on " + socket_path;
  if (code == CURLE_OPERATION_TIMEDOUT) {
    return "turnpiked does not answer" + place + " in time; its log may say why";
  }
  if (os_error == EACCES) {
    return "no permission to ask" + place + "; join the group that owns the socket or use sudo";
  }
  if (code == CURLE_COULDNT_CONNECT) {
    const std::string reason =
        os_error == 0 ? "no connection" : std::strerror(static_cast<int>(os_error));
    return "turnpiked is not running: nothing answers" + place + " (" + reason +
           "); start it, or name its socket with --socket";
  }
  return std::string("cannot ask turnpiked") + place + ": " + curl_easy_strerror(code);
}

using Curl = std::unique_ptr<CURL, decltype(&curl_easy_cleanup)>;

/// Null: out of memory.
Curl prepare(const std::string& socket_path, const std::string& path, bool post) {
  Curl curl(curl_easy_init(), curl_easy_cleanup);
  if (curl == nullptr) return curl;
  const std::string url = "http://localhost" + path;
  curl_easy_setopt(curl.get(), CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl.get(), CURLOPT_UNIX_SOCKET_PATH, socket_path.c_str());
  curl_easy_setopt(curl.get(), CURLOPT_PROXY, "");
  curl_easy_setopt(curl.get(), CURLOPT_NOSIGNAL, 1L);
  if (post) curl_easy_setopt(curl.get(), CURLOPT_COPYPOSTFIELDS, "");
  return curl;
}

struct Following {
  CURL* curl = nullptr;
  Answer answer{};
  const std::function<bool(const std::string&)>& sink;
  const std::function<bool()>& goes_on;
  bool left = false;
};

std::size_t pass_on(const char* bytes, std::size_t size, std::size_t count, void* user) {
  auto& following = *static_cast<Following*>(user);
  curl_easy_getinfo(following.curl, CURLINFO_RESPONSE_CODE, &following.answer.status);
  const std::string piece(bytes, size * count);
  if (following.answer.status != 200) {
    following.answer.body += piece;
  } else {
    following.left = !following.sink(piece);
  }
  return following.left ? 0 : piece.size();
}

int ask_whether(void* user, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  auto& following = *static_cast<Following*>(user);
  following.left = following.left || !following.goes_on();
  return following.left ? 1 : 0;
}

Result<Answer> request(const std::string& socket_path, const std::string& path, bool post) {
  const Curl curl = prepare(socket_path, path, post);
  if (curl == nullptr) return Error{"out of memory"};
  Answer answer;
  curl_easy_setopt(curl.get(), CURLOPT_TIMEOUT, kTimeoutSeconds);
  curl_easy_setopt(curl.get(), CURLOPT_WRITEFUNCTION, append);
  curl_easy_setopt(curl.get(), CURLOPT_WRITEDATA, &answer.body);
  const CURLcode code = curl_easy_perform(curl.get());
  if (code != CURLE_OK) {
    long os_error = 0;
    curl_easy_getinfo(curl.get(), CURLINFO_OS_ERRNO, &os_error);
    return Error{explain(socket_path, code, os_error)};
  }
  curl_easy_getinfo(curl.get(), CURLINFO_RESPONSE_CODE, &answer.status);
  return answer;
}

}  // namespace

std::string escaped(std::string_view value) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  constexpr std::string_view kMarks = "-._~";
  std::string text;
  for (const char c : value) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                       kMarks.find(c) != std::string_view::npos;
    if (plain) {
      text += c;
    } else {
      text += {'%', kHex[byte >> 4], kHex[byte & 15]};
    }
  }
  return text;
}

Result<Answer> ask(const std::string& socket_path, const std::string& path) {
  return request(socket_path, path, false);
}

Result<Answer> follow(const std::string& socket_path, const std::string& path,
                      const std::function<bool(const std::string&)>& sink,
                      const std::function<bool()>& goes_on) {
  const Curl curl = prepare(socket_path, path, true);
  if (curl == nullptr) return Error{"out of memory"};
  Following following{.curl = curl.get(), .sink = sink, .goes_on = goes_on};
  curl_easy_setopt(curl.get(), CURLOPT_WRITEFUNCTION, pass_on);
  curl_easy_setopt(curl.get(), CURLOPT_WRITEDATA, &following);
  curl_easy_setopt(curl.get(), CURLOPT_NOPROGRESS, 0L);
  curl_easy_setopt(curl.get(), CURLOPT_XFERINFOFUNCTION, ask_whether);
  curl_easy_setopt(curl.get(), CURLOPT_XFERINFODATA, &following);
  const CURLcode code = curl_easy_perform(curl.get());
  if (code != CURLE_OK && !following.left) {
    long os_error = 0;
    curl_easy_getinfo(curl.get(), CURLINFO_OS_ERRNO, &os_error);
    return Error{explain(socket_path, code, os_error)};
  }
  curl_easy_getinfo(curl.get(), CURLINFO_RESPONSE_CODE, &following.answer.status);
  return following.answer;
}

Result<Answer> tell(const std::string& socket_path, const std::string& path) {
  return request(socket_path, path, true);
}

}  // namespace turnpike::ctl
