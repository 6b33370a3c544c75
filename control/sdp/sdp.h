// A session description (RFC 8866) as plain data: parsed bounded and, but for
// m= lines, tolerant; written in one
// fixed order. Hides: line syntax, limits, the order of attributes.
// Is not: offer/answer. It does not know what an attribute means for a call; see media.h for typed
// access and crypto.h for SDES lines.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "turnpike/address.h"
#include "turnpike/result.h"

namespace turnpike::sdp {

/// Any line that is kept as it came: `type=value`.
struct Line {
  char type = 0;
  std::string value;
  bool operator==(const Line&) const = default;
};

/// `a=name` or `a=name:value`.
struct Attribute {
  std::string name;
  std::string value;
  bool has_value = false;

  static Attribute flag(std::string name) { return {std::move(name), {}, false}; }
  static Attribute with(std::string name, std::string value) {
    return {std::move(name), std::move(value), true};
  }
  bool operator==(const Attribute&) const = default;
};

/// `o=` (RFC 8866 section 5.2). The numbers stay text: they may exceed 64 bits.
struct Origin {
  std::string username = "-";
  std::string session_id = "0";
  std::string session_version = "0";
  std::string network_type = "IN";
  std::string address_type = "IP4";
  std::string address = "0.0.0.0";
  bool operator==(const Origin&) const = default;
};

/// `c=` (RFC 8866 section 5.7). `ip` is unset when the address is no IP literal (a host name).
struct Connection {
  std::string address_type = "IP4";
  std::string address;  ///< as written, with any /ttl or /count
  IpAddress ip;

  static Connection of(const IpAddress& ip);
  bool operator==(const Connection&) const = default;
};

/// An `m=` line and what belongs to it (RFC 8866 section 5.14).
struct Media {
  std::size_t line = 0;  ///< where it stood in the input, from 1; for messages
  std::string kind;      ///< "audio", "video", "application", …
  std::uint16_t port = 0;
  unsigned port_count = 1;  ///< the N of `port/N`
  std::string protocol;     ///< "RTP/SAVP", …
  std::vector<std::string> formats;
  std::vector<Line> titles;  ///< i=
  std::optional<Connection> connection;
  std::vector<std::string> bandwidths;  ///< values of b=
  std::vector<Line> unknown;            ///< lines of types that RFC 8866 does not have here
  std::vector<Attribute> attributes;
};

struct Session {
  Origin origin;
  std::string name = "-";
  std::vector<Line> about;  ///< i= u= e= p=, in input order
  std::optional<Connection> connection;
  std::vector<std::string> bandwidths;
  std::vector<Line> times;  ///< t= r= z=, in input order
  std::vector<Line> unknown;
  std::vector<Attribute> attributes;
  std::vector<Media> media;
};

struct Limits {
  std::size_t bytes_max = 32768;
  std::size_t media_max = 16;
};

/// Parses one description; lines may end in CRLF or LF. What is not understood is kept. A `k=`
/// line (a key in the clear, RFC 8866 section 5.12 forbids it) is dropped.
/// An m= line must be spelled as RFC 8866 section 9 has it: one blank between fields, tokens,
/// numbers without leading zeros.
/// Errors name line and reason, and never quote the input.
Result<Session> parse(std::string_view text, const Limits& limits = {});

/// Writes with CRLF. Attributes that have a fixed place go there (docs/calls.md), the others keep
/// their order between them.
std::string write(const Session& session);

/// First attribute of that name, or nullptr. Names are compared exactly (RFC 8866 section 9).
const Attribute* find(const std::vector<Attribute>& attributes, std::string_view name);
bool has(const std::vector<Attribute>& attributes, std::string_view name);
/// Removes every attribute of that name.
void remove(std::vector<Attribute>& attributes, std::string_view name);

/// Overwrites and empties a text that may hold key material.
void wipe(std::string& text);
/// Overwrites the values of all attributes that carry keys.
void wipe_keys(Session& session);

}  // namespace turnpike::sdp
