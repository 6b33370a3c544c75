#include "control/zone/message.h"

#include <algorithm>

namespace turnpike::zone {
namespace {

/// What may be told to the other end. Its place in the list is its number on the wire, plus one.
constexpr std::array<Reason, 6> kTellable{Reason::kRefusedThere,  Reason::kOtherVersion,
                                          Reason::kWrongZone,     Reason::kWrongRole,
                                          Reason::kWrongPassword, Reason::kAfterWrongPassword};

void put(std::string& to, std::uint64_t value, unsigned bytes) {
  for (unsigned i = bytes; i-- > 0;) to += static_cast<char>((value >> (8 * i)) & 0xff);
}

void put(std::string& to, const auto& bytes) {
  for (const std::uint8_t byte : bytes) to += static_cast<char>(byte);
}

void put_text(std::string& to, std::string_view text) {
  const std::string_view kept = text.substr(0, kNameBytesMax);
  put(to, kept.size(), 1);
  to += kept;
}

std::string framed(MessageType type, std::string_view body) {
  std::string bytes;
  put(bytes, static_cast<std::uint8_t>(type), 1);
  put(bytes, body.size(), 2);
  bytes += body;
  return bytes;
}

/// Reads from the front; every read after a failed one fails.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : bytes_(bytes) {}

  std::uint64_t number(std::size_t size) {
    std::uint64_t value = 0;
    for (const char c : take(size)) value = value << 8 | static_cast<unsigned char>(c);
    return value;
  }

  void fill(auto& array) {
    const std::string_view bytes = take(array.size());
    std::transform(bytes.begin(), bytes.end(), array.begin(),
                   [](char c) { return static_cast<std::uint8_t>(c); });
  }

  std::string text() {
    const std::size_t size = number(1);
    if (size > kNameBytesMax) ok_ = false;
    const std::string_view bytes = take(size);
    const bool printable =
        std::all_of(bytes.begin(), bytes.end(), [](char c) { return c >= 0x20 && c <= 0x7e; });
    if (!printable) ok_ = false;
    return std::string(bytes);
  }

  bool ok() const { return ok_; }
  bool at_end() const { return ok_ && bytes_.empty(); }

 private:
  std::string_view take(std::size_t size) {
    if (!ok_ || bytes_.size() < size) {
      ok_ = false;
      return {};
    }
    const std::string_view taken = bytes_.substr(0, size);
    bytes_.remove_prefix(size);
    return taken;
  }

  std::string_view bytes_;
  bool ok_ = true;
};

}  // namespace

std::optional<Frame> first_message(std::string_view bytes, bool& bad) {
  bad = false;
  if (bytes.empty()) return std::nullopt;
  Reader header(bytes.substr(0, kMessageHeaderBytes));
  const auto type = header.number(1);
  bad = type < 1 || type > static_cast<std::uint64_t>(MessageType::kRefusal);
  if (bad || bytes.size() < kMessageHeaderBytes) return std::nullopt;
  const std::size_t size = header.number(2);
  bad = size > kMessageBodyBytesMax;
  if (bad || bytes.size() < kMessageHeaderBytes + size) return std::nullopt;
  return Frame{static_cast<MessageType>(type), bytes.substr(kMessageHeaderBytes, size),
               kMessageHeaderBytes + size};
}

std::string write(const Hello& hello) {
  std::string body;
  put(body, hello.version, 2);
  put(body, static_cast<std::uint8_t>(hello.purpose), 1);
  put(body, static_cast<std::uint8_t>(hello.role), 1);
  put(body, hello.epoch, 8);
  put(body, hello.nonce);
  for (const std::string* text : {&hello.zone, &hello.node, &hello.user}) put_text(body, *text);
  return framed(MessageType::kHello, body);
}

std::string write(const Proof& proof) {
  std::string body;
  put(body, proof.tag);
  return framed(MessageType::kProof, body);
}

std::string write(const Refused& refused) {
  const auto found = std::find(kTellable.begin(), kTellable.end(), refused.reason);
  const auto place = found == kTellable.end() ? 0 : found - kTellable.begin();
  std::string body;
  put(body, static_cast<std::uint64_t>(place) + 1, 1);
  return framed(MessageType::kRefusal, body);
}

std::optional<Hello> read_hello(std::string_view body) {
  Reader reader(body);
  Hello hello;
  hello.version = static_cast<std::uint16_t>(reader.number(2));
  if (!reader.ok()) return std::nullopt;
  if (hello.version != kProtocolVersion) return hello;
  const auto purpose = reader.number(1);
  const auto role = reader.number(1);
  hello.epoch = reader.number(8);
  reader.fill(hello.nonce);
  for (std::string* text : {&hello.zone, &hello.node, &hello.user}) *text = reader.text();
  const bool known = purpose >= 1 && purpose <= kPurposeCount && (role == 1 || role == 2);
  if (!known || !reader.at_end()) return std::nullopt;
  hello.purpose = static_cast<Purpose>(purpose);
  hello.role = static_cast<Role>(role);
  return hello;
}

std::optional<Proof> read_proof(std::string_view body) {
  Reader reader(body);
  Proof proof;
  reader.fill(proof.tag);
  if (!reader.at_end()) return std::nullopt;
  return proof;
}

std::optional<Refused> read_refusal(std::string_view body) {
  Reader reader(body);
  const auto code = reader.number(1);
  if (!reader.at_end()) return std::nullopt;
  const bool known = code >= 1 && code <= kTellable.size();
  return Refused{known ? kTellable[code - 1] : Reason::kRefusedThere};
}

}  // namespace turnpike::zone
