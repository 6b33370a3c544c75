// What turns JSON into tables and words. Private to this folder.
#pragma once

#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "turnpike/result.h"

namespace turnpike::ctl {

using Json = nlohmann::json;
using Row = std::vector<std::string>;

/// A text as printable() makes it, another value as JSON has it.
std::string shown(const Json& value);
std::string shown_or_dash(const Json& value);
std::string number(const Json& value);
/// 75 -> "1:15", 3675 -> "1:01:15", null -> "-".
std::string duration(const Json& value);
std::string ago(const Json& value);
/// Columns as wide as their widest cell.
std::string table(const std::vector<Row>& rows);

template <typename Read>
auto read(const std::string& body, Read use) -> Result<decltype(use(Json()))> {
  try {
    return use(Json::parse(body));
  } catch (const Json::exception&) {
    return Error{"the answer is not what this version expects; is turnpiked of another version?"};
  }
}

}  // namespace turnpike::ctl
