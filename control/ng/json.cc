// Text is read in units (a run of plain characters, an escape, one UTF-8 sequence), everything else
// in tokens. Each is taken whole or not at all, so that reading can go on when more bytes have come
// and a fault is found at the same byte however the bytes arrived.
#include "control/ng/json.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

namespace turnpike::ng {
namespace {

constexpr std::string_view kNumberBytes = "+-.0123456789eE";
constexpr std::size_t kEscapeBytes = 6;  // \uXXXX
constexpr std::string_view kReplacement = "\xef\xbf\xbd";
constexpr char32_t kHighSurrogate = 0xd800;
constexpr char32_t kLowSurrogate = 0xdc00;
constexpr char32_t kSurrogatesEnd = 0xe000;

bool is_plain(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return byte >= 0x20 && byte < 0x80 && c != '"' && c != '\\';
}

/// Bytes of the UTF-8 sequence that begins with `lead` (RFC 3629 section 4); 0: none does.
std::size_t sequence_size(char lead) {
  const auto byte = static_cast<unsigned char>(lead);
  if (byte < 0x80) return 1;
  if (byte < 0xc2 || byte > 0xf4) return 0;
  return byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4;
}

/// Of a sequence as long as its first byte says: no surrogates, nothing in a longer form than
/// needed, nothing beyond U+10FFFF.
bool is_sequence(std::string_view bytes) {
  const auto at = [bytes](std::size_t i) { return static_cast<unsigned char>(bytes[i]); };
  for (std::size_t i = 1; i < bytes.size(); ++i) {
    if ((at(i) & 0xc0) != 0x80) return false;
  }
  if (bytes.size() == 3) {
    return !(at(0) == 0xe0 && at(1) < 0xa0) && !(at(0) == 0xed && at(1) >= 0xa0);
  }
  if (bytes.size() == 4) {
    return !(at(0) == 0xf0 && at(1) < 0x90) && !(at(0) == 0xf4 && at(1) >= 0x90);
  }
  return true;
}

void append_utf8(char32_t point, std::string& out) {
  const auto put = [&out](char32_t byte) { out += static_cast<char>(byte); };
  if (point < 0x80) return put(point);
  if (point < 0x800) {
    put(0xc0 | (point >> 6));
  } else if (point < 0x10000) {
    put(0xe0 | (point >> 12));
    put(0x80 | ((point >> 6) & 0x3f));
  } else {
    put(0xf0 | (point >> 18));
    put(0x80 | ((point >> 12) & 0x3f));
    put(0x80 | ((point >> 6) & 0x3f));
  }
  put(0x80 | (point & 0x3f));
}

/// Of "\uXXXX"; unset: that is no such escape.
std::optional<char32_t> code_unit(std::string_view escape) {
  char32_t unit = 0;
  if (!escape.starts_with("\\u")) return std::nullopt;
  for (const char c : escape.substr(2, 4)) {
    unit <<= 4;
    if (c >= '0' && c <= '9') {
      unit |= static_cast<char32_t>(c - '0');
    } else if ((c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F')) {
      unit |= static_cast<char32_t>((c | 0x20) - 'a' + 10);
    } else {
      return std::nullopt;
    }
  }
  return unit;
}

void append(const Value& value, std::string& out);

void append_escaped(char c, std::string& out) {
  constexpr std::string_view kHex = "0123456789abcdef";
  const auto byte = static_cast<unsigned char>(c);
  if (c == '"' || c == '\\') {
    out += '\\';
    out += c;
  } else if (c == '\n') {
    out += "\\n";
  } else if (c == '\r') {
    out += "\\r";
  } else {
    out += "\\u00";
    out += kHex[byte >> 4];
    out += kHex[byte & 0xf];
  }
}

void append(std::string_view text, std::string& out) {
  out += '"';
  while (!text.empty()) {
    const auto run = std::find_if_not(text.begin(), text.end(), is_plain) - text.begin();
    out += text.substr(0, static_cast<std::size_t>(run));
    text.remove_prefix(static_cast<std::size_t>(run));
    if (text.empty()) break;
    std::size_t size = sequence_size(text.front());
    if (size == 1) {
      append_escaped(text.front(), out);
    } else if (size == 0 || size > text.size() || !is_sequence(text.substr(0, size))) {
      out += kReplacement;
      size = 1;
    } else {
      out += text.substr(0, size);
    }
    text.remove_prefix(size);
  }
  out += '"';
}

void append(const Value::List& list, std::string& out) {
  out += '[';
  for (const Value& item : list) {
    if (&item != &list.front()) out += ',';
    append(item, out);
  }
  out += ']';
}

void append(const Value& value, std::string& out) {
  if (const auto* text = value.as_string()) {
    append(std::string_view(*text), out);
  } else if (const auto* number = value.as_integer()) {
    out += std::to_string(*number);
  } else if (const auto* list = value.as_list()) {
    append(*list, out);
  } else if (const auto* dict = value.as_dict()) {
    append_json(*dict, out);
  }
}

}  // namespace

JsonReader::Progress JsonReader::read(std::string_view bytes) {
  for (;;) {
    if (offset_ >= limits_.bytes_max) return fail(ParseFault::kTooLong);
    if (offset_ >= bytes.size()) return Progress::kNeedsMore;
    const std::size_t before = offset_;
    const Progress progress =
        expects_ == Expects::kText ? read_text(bytes.substr(offset_)) : read_token(bytes);
    if (progress != Progress::kNeedsMore || offset_ == before) return progress;
  }
}

JsonReader::Progress JsonReader::fail(ParseFault fault) {
  fault_ = fault;
  open_.clear();
  return Progress::kFailed;
}

JsonReader::Progress JsonReader::advance(std::size_t size, Expects next) {
  if (!fits(size)) return fail(ParseFault::kTooLong);
  offset_ += size;
  expects_ = next;
  return Progress::kNeedsMore;
}

// kNeedsMore with the offset moved on means: this token is done, the object is not.
JsonReader::Progress JsonReader::read_token(std::string_view bytes) {
  const std::string_view rest = bytes.substr(offset_);
  const char first = rest.front();
  if (kJsonSpace.find(first) != std::string_view::npos) return advance(1, expects_);
  if (open_.empty()) {
    return first == '{' ? open(Value::Dict{}) : fail(ParseFault::kNotADictionary);
  }
  switch (expects_) {
    case Expects::kKeyOrEnd:
      if (first == '}') return close(first);
      [[fallthrough]];
    case Expects::kKey:
      return first == '"' ? begin_text(true) : fail(ParseFault::kKeyNotAString);
    case Expects::kColon:
      if (first == ':') return advance(1, Expects::kValue);
      return fail(first == ',' || first == '}' ? ParseFault::kMissingValue
                                               : ParseFault::kUnexpectedByte);
    case Expects::kCommaOrEnd:
      if (first == ',') return advance(1, in_object() ? Expects::kKey : Expects::kValue);
      return close(first);
    case Expects::kValueOrEnd:
      if (first == ']') return close(first);
      [[fallthrough]];
    default:
      return read_value(rest);
  }
}

JsonReader::Progress JsonReader::read_value(std::string_view rest) {
  switch (rest.front()) {
    case '"':
      return begin_text(false);
    case '{':
      return open(Value::Dict{});
    case '[':
      return open(Value::List{});
    case 't':
      return read_word(rest, "true", 1);
    case 'f':
      return read_word(rest, "false", 0);
    default:
      return kNumberBytes.find(rest.front()) != std::string_view::npos
                 ? read_number(rest)
                 : fail(ParseFault::kUnexpectedByte);
  }
}

JsonReader::Progress JsonReader::read_number(std::string_view rest) {
  const std::string_view few = rest.substr(0, kNumberBytesMax + 1);
  const std::size_t end = few.find_first_not_of(kNumberBytes);
  if (end == std::string_view::npos) {
    if (few.size() <= kNumberBytesMax) return Progress::kNeedsMore;
    return fail(is_canonical_number(few) ? ParseFault::kNumberTooLarge : ParseFault::kBadNumber);
  }
  const ParsedNumber number = parse_number(few.substr(0, end));
  if (number.fault != ParseFault::kNone) return fail(number.fault);
  if (advance(end, Expects::kCommaOrEnd) == Progress::kFailed) return Progress::kFailed;
  return add(Value(number.value));
}

JsonReader::Progress JsonReader::read_word(std::string_view rest, std::string_view word,
                                           std::int64_t value) {
  const std::string_view there = rest.substr(0, word.size());
  if (!word.starts_with(there)) return fail(ParseFault::kUnexpectedByte);
  if (there.size() < word.size()) return Progress::kNeedsMore;
  if (advance(word.size(), Expects::kCommaOrEnd) == Progress::kFailed) return Progress::kFailed;
  return add(Value(value));
}

JsonReader::Progress JsonReader::begin_text(bool is_key) {
  text_.clear();
  text_at_ = offset_;
  text_is_key_ = is_key;
  return advance(1, Expects::kText);
}

JsonReader::Progress JsonReader::read_text(std::string_view rest) {
  rest = rest.substr(0, limits_.bytes_max - offset_);
  const auto run =
      static_cast<std::size_t>(std::find_if_not(rest.begin(), rest.end(), is_plain) - rest.begin());
  if (run > 0) {
    text_ += rest.substr(0, run);
    return advance(run, Expects::kText);
  }
  const char first = rest.front();
  if (first == '"') return end_text();
  if (first == '\\') return read_escape(rest);
  if (static_cast<unsigned char>(first) < 0x20) return fail(ParseFault::kControlCharacter);
  return read_sequence(rest);
}

JsonReader::Progress JsonReader::read_sequence(std::string_view rest) {
  const std::size_t size = sequence_size(rest.front());
  if (size == 0) return fail(ParseFault::kNotUtf8);
  if (!fits(size)) return fail(ParseFault::kTooLong);
  if (rest.size() < size) return Progress::kNeedsMore;
  if (!is_sequence(rest.substr(0, size))) return fail(ParseFault::kNotUtf8);
  text_ += rest.substr(0, size);
  return advance(size, Expects::kText);
}

JsonReader::Progress JsonReader::read_escape(std::string_view rest) {
  constexpr std::string_view kNames = "\"\\/bfnrt";
  constexpr std::string_view kMeanings = "\"\\/\b\f\n\r\t";
  if (!fits(2)) return fail(ParseFault::kTooLong);
  if (rest.size() < 2) return Progress::kNeedsMore;
  if (rest[1] == 'u') return read_unicode_escape(rest);
  const std::size_t name = kNames.find(rest[1]);
  if (name == std::string_view::npos) return fail(ParseFault::kBadEscape);
  text_ += kMeanings[name];
  return advance(2, Expects::kText);
}

JsonReader::Progress JsonReader::read_unicode_escape(std::string_view rest) {
  if (!fits(kEscapeBytes)) return fail(ParseFault::kTooLong);
  if (rest.size() < kEscapeBytes) return Progress::kNeedsMore;
  const auto first = code_unit(rest.substr(0, kEscapeBytes));
  if (!first || (*first >= kLowSurrogate && *first < kSurrogatesEnd)) {
    return fail(ParseFault::kBadEscape);
  }
  if (*first == 0) return fail(ParseFault::kControlCharacter);
  if (*first < kHighSurrogate || *first >= kSurrogatesEnd) {
    append_utf8(*first, text_);
    return advance(kEscapeBytes, Expects::kText);
  }
  if (!fits(2 * kEscapeBytes)) return fail(ParseFault::kTooLong);
  if (rest.size() < 2 * kEscapeBytes) return Progress::kNeedsMore;
  const auto second = code_unit(rest.substr(kEscapeBytes, kEscapeBytes));
  if (!second || *second < kLowSurrogate || *second >= kSurrogatesEnd) {
    return fail(ParseFault::kBadEscape);
  }
  append_utf8(0x10000 + ((*first - kHighSurrogate) << 10) + (*second - kLowSurrogate), text_);
  return advance(2 * kEscapeBytes, Expects::kText);
}

JsonReader::Progress JsonReader::end_text() {
  if (!text_is_key_) {
    advance(1, Expects::kCommaOrEnd);
    return add(Value(std::move(text_)));
  }
  if (!open_.back().keys.insert(text_).second) {
    offset_ = text_at_;
    return fail(ParseFault::kDuplicateKey);
  }
  if (++elements_ > limits_.elements_max) return fail(ParseFault::kTooManyElements);
  open_.back().key = std::move(text_);
  return advance(1, Expects::kColon);
}

JsonReader::Progress JsonReader::open(Value container) {
  if (open_.size() >= limits_.depth_max) return fail(ParseFault::kTooDeep);
  if (++elements_ > limits_.elements_max) return fail(ParseFault::kTooManyElements);
  const bool is_object = container.as_dict() != nullptr;
  open_.push_back({.value = std::move(container), .key = {}, .keys = {}});
  return advance(1, is_object ? Expects::kKeyOrEnd : Expects::kValueOrEnd);
}

JsonReader::Progress JsonReader::close(char bracket) {
  if (bracket != (in_object() ? '}' : ']')) return fail(ParseFault::kUnexpectedByte);
  Value done = std::move(open_.back().value);
  open_.pop_back();
  --elements_;  // add() counts it again
  advance(1, Expects::kCommaOrEnd);
  return add(std::move(done));
}

JsonReader::Progress JsonReader::add(Value value) {
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
  }
  return Progress::kNeedsMore;
}

std::string JsonReader::error_text() const {
  return std::string(info_of(fault_).words) + " at byte " + std::to_string(offset_);
}

Result<Value> decode_json(std::string_view bytes, MessageLimits limits) {
  JsonReader reader(limits);
  const auto progress = reader.read(bytes);
  if (progress == JsonReader::Progress::kFailed) return Error{reader.error_text()};
  const auto at = " at byte " + std::to_string(reader.offset());
  if (progress == JsonReader::Progress::kNeedsMore) {
    return Error{std::string(info_of(ParseFault::kIncomplete).words) + at};
  }
  if (bytes.find_first_not_of(kJsonSpace, reader.offset()) != std::string_view::npos) {
    return Error{std::string(info_of(ParseFault::kTrailingBytes).words) + at};
  }
  return reader.take();
}

void append_json(const Value::Dict& dict, std::string& out) {
  // A description, which may hold keys, is the large part: growing would leave copies of it.
  std::size_t bytes = out.size() + 2;
  for (const auto& [key, value] : dict) {
    const std::string* text = value.as_string();
    bytes += key.size() + (text != nullptr ? 2 * text->size() : 0) + 2 * kNumberBytesMax;
  }
  out.reserve(bytes);
  out += '{';
  for (const auto& [key, value] : dict) {
    if (&key != &dict.front().first) out += ',';
    append(std::string_view(key), out);
    out += ':';
    append(value, out);
  }
  out += '}';
}

std::string encode_json(const Value::Dict& dict) {
  std::string out;
  append_json(dict, out);
  return out;
}

}  // namespace turnpike::ng
