// The grammar, token by token: a token is taken whole or not at all, so that reading can go on
// when more bytes have come.
#include "control/ng/bencode.h"

#include <utility>

namespace turnpike::ng {
namespace {

constexpr std::size_t kUsualKeys = 16;

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

/// With room for an ordinary request: growing a dictionary moves all that is in it.
Value::Dict new_dict() {
  Value::Dict dict;
  dict.reserve(kUsualKeys);
  return dict;
}

void append(const Value& value, std::string& out);

void append(const std::string& text, std::string& out) {
  out += std::to_string(text.size());
  out += ':';
  out += text;
}

void append(const Value::Dict& dict, std::string& out) {
  out += 'd';
  for (const auto& [key, value] : dict) {
    append(key, out);
    append(value, out);
  }
  out += 'e';
}

void append(const Value& value, std::string& out) {
  if (const auto* text = value.as_string()) {
    append(*text, out);
  } else if (const auto* number = value.as_integer()) {
    out += 'i';
    out += std::to_string(*number);
    out += 'e';
  } else if (const auto* list = value.as_list()) {
    out += 'l';
    for (const Value& item : *list) append(item, out);
    out += 'e';
  } else if (const auto* dict = value.as_dict()) {
    append(*dict, out);
  }
}

}  // namespace

BencodeReader::Progress BencodeReader::read(std::string_view bytes) {
  for (;;) {
    if (offset_ >= limits_.bytes_max) return fail(ParseFault::kTooLong);
    if (offset_ >= bytes.size()) return Progress::kNeedsMore;
    const std::size_t before = offset_;
    const Progress progress = read_token(bytes);
    if (progress != Progress::kNeedsMore || offset_ == before) return progress;
  }
}

BencodeReader::Progress BencodeReader::fail(ParseFault fault) {
  fault_ = fault;
  open_.clear();
  return Progress::kFailed;
}

bool BencodeReader::wants_key() const {
  return !open_.empty() && open_.back().value.as_dict() != nullptr && !open_.back().has_key;
}

// kNeedsMore with the offset moved on means: this token is done, the value is not.
BencodeReader::Progress BencodeReader::read_token(std::string_view bytes) {
  const char first = bytes[offset_];
  if (first == 'e') return close();
  if (is_digit(first)) return read_string(bytes);
  if (wants_key()) return fail(ParseFault::kKeyNotAString);
  switch (first) {
    case 'i':
      return read_number(bytes);
    case 'l':
      return open(Value::List{});
    case 'd':
      return open(new_dict());
    default:
      return fail(ParseFault::kUnexpectedByte);
  }
}

BencodeReader::Progress BencodeReader::read_number(std::string_view bytes) {
  const std::string_view rest = bytes.substr(offset_ + 1);
  const std::size_t end = rest.substr(0, kNumberBytesMax + 1).find('e');
  if (end == std::string_view::npos) {
    if (rest.size() <= kNumberBytesMax) return Progress::kNeedsMore;
    return fail(is_canonical_number(rest.substr(0, kNumberBytesMax + 1))
                    ? ParseFault::kNumberTooLarge
                    : ParseFault::kBadNumber);
  }
  const ParsedNumber number = parse_number(rest.substr(0, end));
  if (number.fault != ParseFault::kNone) return fail(number.fault);
  offset_ += end + 2;
  return add(Value(number.value));
}

BencodeReader::Progress BencodeReader::read_string(std::string_view bytes) {
  const std::string_view rest = bytes.substr(offset_);
  std::size_t colon = 0;
  while (colon < rest.size() && is_digit(rest[colon])) ++colon;
  const std::string_view digits = rest.substr(0, colon);
  if (!is_canonical_number(digits)) return fail(ParseFault::kBadNumber);
  const ParsedNumber length = parse_number(digits);
  if (length.fault != ParseFault::kNone ||
      static_cast<std::uint64_t>(length.value) > limits_.bytes_max) {
    return fail(ParseFault::kTooLong);
  }
  if (colon == rest.size()) return Progress::kNeedsMore;
  if (rest[colon] != ':') return fail(ParseFault::kBadNumber);
  const auto size = static_cast<std::size_t>(length.value);
  if (offset_ + colon + 1 + size > limits_.bytes_max) return fail(ParseFault::kTooLong);
  if (rest.size() - colon - 1 < size) return Progress::kNeedsMore;

  std::string text(rest.substr(colon + 1, size));
  if (!wants_key()) {
    offset_ += colon + 1 + size;
    return add(Value(std::move(text)));
  }
  if (++elements_ > limits_.elements_max) return fail(ParseFault::kTooManyElements);
  open_.back().key = std::move(text);
  open_.back().has_key = true;
  offset_ += colon + 1 + size;
  return Progress::kNeedsMore;
}

BencodeReader::Progress BencodeReader::open(Value container) {
  if (open_.size() >= limits_.depth_max) return fail(ParseFault::kTooDeep);
  if (++elements_ > limits_.elements_max) return fail(ParseFault::kTooManyElements);
  open_.push_back({.value = std::move(container), .key = {}});
  ++offset_;
  return Progress::kNeedsMore;
}

BencodeReader::Progress BencodeReader::close() {
  if (open_.empty()) return fail(ParseFault::kUnexpectedByte);
  if (open_.back().has_key) return fail(ParseFault::kMissingValue);
  Value done = std::move(open_.back().value);
  open_.pop_back();
  --elements_;  // add() counts it again
  ++offset_;
  return add(std::move(done));
}

BencodeReader::Progress BencodeReader::add(Value value) {
  if (++elements_ > limits_.elements_max) return fail(ParseFault::kTooManyElements);
  if (open_.empty()) {
    result_ = std::move(value);
    return Progress::kDone;
  }
  Container& parent = open_.back();
  if (auto* list = parent.value.as_list()) {
    list->push_back(std::move(value));
  } else {
    parent.value.as_dict()->emplace_back(std::move(parent.key), std::move(value));
    parent.has_key = false;
  }
  return Progress::kNeedsMore;
}

std::string BencodeReader::error_text() const {
  return std::string(info_of(fault_).words) + " at byte " + std::to_string(offset_);
}

Result<Value> decode_bencode(std::string_view bytes, MessageLimits limits) {
  BencodeReader reader(limits);
  const auto progress = reader.read(bytes);
  if (progress == BencodeReader::Progress::kFailed) return Error{reader.error_text()};
  const auto at = " at byte " + std::to_string(reader.offset());
  if (progress == BencodeReader::Progress::kNeedsMore) {
    return Error{std::string(info_of(ParseFault::kIncomplete).words) + at};
  }
  if (reader.offset() != bytes.size()) {
    return Error{std::string(info_of(ParseFault::kTrailingBytes).words) + at};
  }
  return reader.take();
}

std::string encode_bencode(const Value& value) {
  std::string out;
  append(value, out);
  return out;
}

std::string encode_bencode(const Value::Dict& dict) {
  std::string out;
  append_bencode(dict, out);
  return out;
}

void append_bencode(const Value::Dict& dict, std::string& out) {
  // A description, which may hold keys, is the large part: growing would leave copies of it.
  std::size_t bytes = out.size() + 2;
  for (const auto& [key, value] : dict) {
    const std::string* text = value.as_string();
    bytes += key.size() + (text != nullptr ? text->size() : 0) + 2 * kNumberBytesMax;
  }
  out.reserve(bytes);
  append(dict, out);
}

}  // namespace turnpike::ng
