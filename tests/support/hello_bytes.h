// ClientHellos and PROXY headers as bytes, sound ones and others, for tests of who reads them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "turnpike/address.h"

namespace turnpike {

struct HelloSpec {
  std::string name{};                    ///< empty: no such extension
  std::vector<std::string> protocols{};  ///< none: no such extension
  std::vector<std::pair<std::uint16_t, std::vector<std::uint8_t>>> further{};
  std::size_t padding_bytes = 0;  ///< of an extension of that type
  bool extensions = true;
};

class ByteWriter {
 public:
  ByteWriter& number(std::size_t value, int bytes) {
    while (bytes-- > 0) bytes_.push_back(static_cast<std::uint8_t>(value >> (8 * bytes)));
    return *this;
  }
  template <typename Range>
  ByteWriter& vector(const Range& value, int length_bytes) {
    number(value.size(), length_bytes);
    bytes_.insert(bytes_.end(), value.begin(), value.end());
    return *this;
  }
  const std::vector<std::uint8_t>& bytes() const { return bytes_; }

 private:
  std::vector<std::uint8_t> bytes_;
};

/// The handshake message, with its header.
inline std::vector<std::uint8_t> hello_message(const HelloSpec& spec) {
  ByteWriter extensions;
  if (!spec.name.empty()) {
    const ByteWriter name = ByteWriter().number(0, 1).vector(spec.name, 2);
    extensions.number(0, 2).vector(ByteWriter().vector(name.bytes(), 2).bytes(), 2);
  }
  if (!spec.protocols.empty()) {
    ByteWriter list;
    for (const std::string& one : spec.protocols) list.vector(one, 1);
    extensions.number(16, 2).vector(ByteWriter().vector(list.bytes(), 2).bytes(), 2);
  }
  for (const auto& [type, value] : spec.further) extensions.number(type, 2).vector(value, 2);
  if (spec.padding_bytes != 0) {
    extensions.number(21, 2).vector(std::vector<std::uint8_t>(spec.padding_bytes), 2);
  }
  ByteWriter body;
  body.number(0x0303, 2);
  for (int i = 0; i < 32; ++i) body.number(static_cast<std::size_t>(i), 1);
  body.number(0, 1);  // no session
  body.number(2, 2).number(0x1301, 2);
  body.number(1, 1).number(0, 1);
  if (spec.extensions) body.vector(extensions.bytes(), 2);
  return ByteWriter().number(1, 1).vector(body.bytes(), 3).bytes();
}

/// The same cut into records of so many bytes.
inline std::vector<std::uint8_t> in_records(const std::vector<std::uint8_t>& message,
                                            std::size_t record_bytes = 16384) {
  ByteWriter records;
  for (std::size_t at = 0; at < message.size(); at += record_bytes) {
    const auto begin = message.begin() + static_cast<std::ptrdiff_t>(at);
    const std::size_t length = std::min(record_bytes, message.size() - at);
    records.number(22, 1).number(0x0301, 2);
    records.vector(std::vector<std::uint8_t>(begin, begin + static_cast<std::ptrdiff_t>(length)),
                   2);
  }
  return records.bytes();
}

/// PROXY, version 2, over TCP; `items` stand behind the addresses.
inline std::vector<std::uint8_t> proxy_header(const SocketAddress& source,
                                              const SocketAddress& destination,
                                              const std::vector<std::uint8_t>& items = {}) {
  const bool v4 = source.ip.is_v4();
  ByteWriter rest;
  for (const SocketAddress* one : {&source, &destination}) {
    for (std::size_t i = 0; i < (v4 ? 4U : 16U); ++i) rest.number(one->ip.bytes[i], 1);
  }
  rest.number(source.port, 2).number(destination.port, 2);
  for (const std::uint8_t byte : items) rest.number(byte, 1);
  ByteWriter header;
  for (const int byte : {13, 10, 13, 10, 0, 13, 10, 0x51, 0x55, 0x49, 0x54, 10}) {
    header.number(static_cast<std::size_t>(byte), 1);
  }
  return header.number(0x21, 1).number(v4 ? 0x11 : 0x21, 1).vector(rest.bytes(), 2).bytes();
}

}  // namespace turnpike
