#include "control/api/page.h"

#include <algorithm>
#include <array>

#include "control/api/embedded_files.h"

namespace turnpike::api {
namespace {

constexpr std::array kFiles = {
    PageFile{"/", "text/html; charset=utf-8", embedded::kConsoleHtml},
    PageFile{"/console.js", "text/javascript; charset=utf-8", embedded::kConsoleJs},
    PageFile{"/api.js", "text/javascript; charset=utf-8", embedded::kApiJs},
    PageFile{"/call.js", "text/javascript; charset=utf-8", embedded::kCallJs},
    PageFile{"/view.js", "text/javascript; charset=utf-8", embedded::kViewJs},
    PageFile{"/console.css", "text/css; charset=utf-8", embedded::kConsoleCss},
    PageFile{"/icon.svg", "image/svg+xml", embedded::kIconSvg},
};

}  // namespace

const PageFile* find_page_file(std::string_view path) {
  const auto* const found = std::find_if(
      kFiles.begin(), kFiles.end(), [path](const PageFile& file) { return file.path == path; });
  return found == kFiles.end() ? nullptr : found;
}

Response page_response(const PageFile& file) {
  return {200,
          std::string(file.content_type),
          std::string(file.text),
          {{"content-security-policy",
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
            "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"},
           {"referrer-policy", "no-referrer"},
           {"cross-origin-opener-policy", "same-origin"},
           {"cross-origin-resource-policy", "same-origin"}}};
}

std::string openapi_text() {
  return std::string(embedded::kOpenapiJson);
}

}  // namespace turnpike::api
