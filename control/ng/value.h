// The value of an NG message: what bencode and JSON can hold. Dictionaries keep the order
// in which they were filled, because peers do not sort either.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace turnpike::ng {

class Value {
 public:
  using List = std::vector<Value>;
  using Dict = std::vector<std::pair<std::string, Value>>;

  Value() : data_(std::string{}) {}
  Value(std::string text) : data_(std::move(text)) {}         // NOLINT(*-explicit-*)
  Value(std::string_view text) : data_(std::string(text)) {}  // NOLINT
  Value(const char* text) : data_(std::string(text)) {}       // NOLINT
  Value(std::int64_t number) : data_(number) {}               // NOLINT
  Value(List list) : data_(std::move(list)) {}                // NOLINT
  Value(Dict dict) : data_(std::move(dict)) {}                // NOLINT

  const std::string* as_string() const { return std::get_if<std::string>(&data_); }
  const std::int64_t* as_integer() const { return std::get_if<std::int64_t>(&data_); }
  const List* as_list() const { return std::get_if<List>(&data_); }
  const Dict* as_dict() const { return std::get_if<Dict>(&data_); }
  List* as_list() { return std::get_if<List>(&data_); }
  Dict* as_dict() { return std::get_if<Dict>(&data_); }

  bool operator==(const Value&) const = default;

 private:
  std::variant<std::string, std::int64_t, List, Dict> data_;
};

}  // namespace turnpike::ng
