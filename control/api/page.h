// The files that the build has put into the program: the console and the description of the API.
#pragma once

#include <string>
#include <string_view>

#include "control/api/http_server.h"

namespace turnpike::api {

struct PageFile {
  std::string_view path;  ///< "/console.js"
  std::string_view content_type;
  std::string_view text;
};

/// Null when the console has no such file. They hold nothing secret.
const PageFile* find_page_file(std::string_view path);
/// With headers that keep a browser from running or loading anything else
/// (Content-Security-Policy).
Response page_response(const PageFile& file);

/// OpenAPI 3.1, as docs/openapi.json.
std::string openapi_text();

}  // namespace turnpike::api
