#include "control/ng/message.h"

#include <algorithm>
#include <utility>

namespace turnpike::ng {

std::optional<Encoding> encoding_of(char first) {
  if (first == 'd') return Encoding::kBencode;
  if (first == '{') return Encoding::kJson;
  return std::nullopt;
}

MessageReader::Progress MessageReader::read(std::string_view bytes) {
  if (std::holds_alternative<std::monostate>(reader_)) {
    if (bytes.empty()) return Progress::kNeedsMore;
    const auto encoding = encoding_of(bytes.front());
    if (!encoding) return Progress::kFailed;
    if (*encoding == Encoding::kJson) {
      reader_.emplace<JsonReader>(limits_);
    } else {
      reader_.emplace<BencodeReader>(limits_);
    }
  }
  if (auto* json = std::get_if<JsonReader>(&reader_)) return json->read(bytes);
  return std::get<BencodeReader>(reader_).read(bytes);
}

std::size_t MessageReader::offset() const {
  if (const auto* json = std::get_if<JsonReader>(&reader_)) return json->offset();
  const auto* bencode = std::get_if<BencodeReader>(&reader_);
  return bencode == nullptr ? 0 : bencode->offset();
}

Value::Dict MessageReader::take() {
  auto* json = std::get_if<JsonReader>(&reader_);
  Value value = json != nullptr ? json->take() : std::get<BencodeReader>(reader_).take();
  return std::move(*value.as_dict());  // both begin with a dictionary, and that is what they end
}

ParseFault MessageReader::fault() const {
  if (const auto* json = std::get_if<JsonReader>(&reader_)) return json->fault();
  const auto* bencode = std::get_if<BencodeReader>(&reader_);
  return bencode == nullptr ? ParseFault::kNotADictionary : bencode->fault();
}

std::string MessageReader::error_text() const {
  return std::string(info_of(fault()).words) + " at byte " + std::to_string(offset());
}

Encoding MessageReader::encoding() const {
  return std::holds_alternative<JsonReader>(reader_) ? Encoding::kJson : Encoding::kBencode;
}

WholeMessage read_whole(std::string_view bytes, MessageLimits limits) {
  MessageReader reader(limits);
  const auto progress = reader.read(bytes);
  WholeMessage message;
  message.encoding = reader.encoding();
  if (progress == ReadProgress::kFailed) {
    message.fault = reader.fault();
  } else if (progress == ReadProgress::kNeedsMore) {
    message.fault = ParseFault::kIncomplete;
  } else {
    std::string_view rest = bytes.substr(reader.offset());
    if (message.encoding == Encoding::kJson) {
      rest.remove_prefix(std::min(rest.find_first_not_of(kJsonSpace), rest.size()));
    }
    if (!rest.empty()) message.fault = ParseFault::kTrailingBytes;
  }
  if (message.fault == ParseFault::kNone) {
    message.dict = reader.take();
  } else {
    message.error =
        std::string(info_of(message.fault).words) + " at byte " + std::to_string(reader.offset());
  }
  return message;
}

void append_message(Encoding encoding, const Value::Dict& dict, std::string& out) {
  if (encoding == Encoding::kJson) return append_json(dict, out);
  append_bencode(dict, out);
}

}  // namespace turnpike::ng
