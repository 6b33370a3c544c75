#include "bench/load/ng_session.h"

#include <cstdio>
#include <cstdlib>
#include <map>

#include <arpa/inet.h>
#include <openssl/evp.h>
#include <poll.h>
#include <sys/random.h>
#include <unistd.h>

namespace turnpike::bench {
namespace {

using Words = std::map<std::string, std::string>;

std::string text(const std::string& value) {
  return std::to_string(value.size()) + ":" + value;
}

std::string dictionary(const Words& words, const std::string& raw = {}) {
  std::string out = "d";
  for (const auto& [key, value] : words) out += text(key) + text(value);
  return out + raw + "e";
}

// The value of a string entry of the top dictionary, found by its encoded key.
std::string entry(const std::string& reply, const std::string& key) {
  const auto at = reply.find(text(key));
  if (at == std::string::npos) return {};
  const auto start = at + text(key).size();
  const auto colon = reply.find(':', start);
  const auto length = std::strtoul(reply.c_str() + start, nullptr, 10);
  return reply.substr(colon + 1, length);
}

std::string base64(const std::vector<std::uint8_t>& bytes) {
  std::string out(4 * ((bytes.size() + 2) / 3) + 1, '\0');
  const int length = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data()), bytes.data(),
                                     static_cast<int>(bytes.size()));
  out.resize(static_cast<std::size_t>(length));
  return out;
}

std::vector<std::uint8_t> from_base64(std::string in, std::size_t bytes) {
  in.resize((in.size() + 3) / 4 * 4, '=');  // some relays leave the padding out
  std::vector<std::uint8_t> out(in.size());
  EVP_DecodeBlock(out.data(), reinterpret_cast<const unsigned char*>(in.data()),
                  static_cast<int>(in.size()));
  out.resize(bytes);
  return out;
}

std::size_t key_bytes(const std::string& suite) {
  if (suite == "AEAD_AES_128_GCM") return 16 + 12;
  if (suite == "AEAD_AES_256_GCM") return 32 + 12;
  return 16 + 14;
}

Key random_key(const std::string& suite) {
  Key key{suite, std::vector<std::uint8_t>(key_bytes(suite))};
  if (getrandom(key.bytes.data(), key.bytes.size(), 0) < 0) {
    std::perror("turnpike_load: getrandom");
    std::exit(1);
  }
  return key;
}

std::string crypto_line(const Key& key, const std::string& tag) {
  return "a=crypto:" + tag + " " + key.suite + " inline:" + base64(key.bytes) + "\r\n";
}

std::string sdp(const std::string& address, std::uint16_t port, const std::string& crypto) {
  return "v=0\r\no=- 1 1 IN IP4 " + address + "\r\ns=-\r\nc=IN IP4 " + address +
         "\r\nt=0 0\r\nm=audio " + std::to_string(port) +
         (crypto.empty() ? " RTP/AVP" : " RTP/SAVP") + " 8\r\n" + crypto;
}

std::uint16_t port_of(const std::string& body) {
  const auto at = body.find("m=audio ");
  if (at == std::string::npos) return 0;
  return static_cast<std::uint16_t>(std::strtoul(body.c_str() + at + 8, nullptr, 10));
}

// The crypto line with this suite (or any, when empty): its tag and key.
std::optional<std::pair<std::string, Key>> crypto_of(const std::string& body,
                                                     const std::string& suite) {
  for (auto at = body.find("a=crypto:"); at != std::string::npos;
       at = body.find("a=crypto:", at + 1)) {
    const std::string line = body.substr(at + 9, body.find_first_of("\r\n", at) - at - 9);
    const auto space = line.find(' ');
    const auto inline_at = line.find(" inline:");
    const std::string name = line.substr(space + 1, inline_at - space - 1);
    if (!suite.empty() && name != suite) continue;
    std::string encoded = line.substr(inline_at + 8);
    encoded = encoded.substr(0, encoded.find_first_of("| "));
    return std::pair{line.substr(0, space), Key{name, from_base64(encoded, key_bytes(name))}};
  }
  return std::nullopt;
}

std::string offered_suite(Mode mode) {
  return mode == Mode::kGcmGcm ? "AEAD_AES_256_GCM" : "AES_CM_128_HMAC_SHA1_80";
}

// Another suite on the second leg, so that no relay can pass the packets through as they are.
std::string answered_suite(Mode mode) {
  return mode == Mode::kGcmGcm ? "AEAD_AES_128_GCM" : "AES_CM_128_HMAC_SHA1_32";
}

}  // namespace

Call new_call(const std::string& id, Mode mode) {
  Call call;
  call.id = id;
  if (mode != Mode::kRtpRtp) call.leg[0].ours = random_key(offered_suite(mode));
  if (mode == Mode::kSrtpSrtp || mode == Mode::kGcmGcm) {
    call.leg[1].ours = random_key(answered_suite(mode));
  }
  return call;
}

NgSession::NgSession(std::uint16_t port) : fd_(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(port);
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(fd_, reinterpret_cast<sockaddr*>(&to), sizeof to) != 0) {
    std::perror("turnpike_load: NG socket");
    std::exit(1);
  }
}

NgSession::~NgSession() {
  close(fd_);
}

std::string NgSession::request(const std::string& body, std::string& error) {
  // Relays keep replies by cookie: one of an earlier run must not come back.
  const std::string cookie = std::to_string(getpid()) + "-" + std::to_string(++cookie_) + " ";
  const std::string message = cookie + body;
  for (int attempt = 0; attempt < 5; ++attempt) {
    if (send(fd_, message.data(), message.size(), 0) < 0) break;
    pollfd wait{fd_, POLLIN, 0};
    while (poll(&wait, 1, 1000) > 0) {
      const ssize_t length = recv(fd_, reply_.data(), reply_.size(), 0);
      if (length <= 0) break;
      const std::string got(reply_.data(), static_cast<std::size_t>(length));
      if (!got.starts_with(cookie)) continue;
      if (entry(got, "result") == "ok") return got;
      error = entry(got, "error-reason") + entry(got, "message");
      return {};
    }
  }
  error = "no answer from the relay";
  return {};
}

bool NgSession::set_up(Call& call, const std::array<std::string, 2>& address,
                       const std::array<std::uint16_t, 2>& ports, std::string& error) {
  const bool secure_a = call.leg[0].ours.has_value();
  const bool secure_b = call.leg[1].ours.has_value();
  const std::string offer =
      sdp(address[0], ports[0], secure_a ? crypto_line(*call.leg[0].ours, "1") : "");
  Words words = {{"command", "offer"},
                 {"call-id", call.id},
                 {"from-tag", "a"},
                 {"sdp", offer},
                 {"ICE", "remove"}};
  words["transport-protocol"] = secure_b ? "RTP/SAVP" : "RTP/AVP";
  const std::string raw = "9:directionl7:outside6:insidee";
  const std::string offered = entry(request(dictionary(words, raw), error), "sdp");
  call.leg[1].relay_port = port_of(offered);
  if (call.leg[1].relay_port == 0) return false;

  std::string answer_crypto;
  if (secure_b) {
    const std::string& suite = call.leg[1].ours->suite;
    const auto theirs = crypto_of(offered, suite);
    if (!theirs) {
      error = "the relay does not offer " + suite;
      return false;
    }
    call.leg[1].relays = theirs->second;
    answer_crypto = crypto_line(*call.leg[1].ours, theirs->first);
  }
  words = {{"command", "answer"},
           {"call-id", call.id},
           {"from-tag", "a"},
           {"to-tag", "b"},
           {"sdp", sdp(address[1], ports[1], answer_crypto)},
           {"ICE", "remove"}};
  words["transport-protocol"] = secure_a ? "RTP/SAVP" : "RTP/AVP";
  const std::string answered = entry(request(dictionary(words), error), "sdp");
  call.leg[0].relay_port = port_of(answered);
  if (call.leg[0].relay_port == 0) return false;
  if (secure_a) {
    const auto theirs = crypto_of(answered, "");
    if (!theirs) {
      error = "the relay answers without a key";
      return false;
    }
    call.leg[0].relays = theirs->second;
  }
  return true;
}

bool NgSession::set_up_dtls(const std::string& id, const std::array<std::string, 2>& address,
                            const std::array<std::uint16_t, 2>& ports,
                            const std::string& fingerprint, std::uint16_t& relay_port,
                            std::string& error) {
  std::string offer = sdp(address[0], ports[0],
                          "a=setup:active\r\na=fingerprint:" + fingerprint + "\r\na=rtcp-mux\r\n");
  const std::string plain = " RTP/SAVP ";
  offer.replace(offer.find(plain), plain.size(), " UDP/TLS/RTP/SAVP ");
  const std::string raw = "9:directionl7:outside6:insidee";
  Words words = {{"command", "offer"}, {"call-id", id},   {"from-tag", "a"},
                 {"sdp", offer},       {"ICE", "remove"}, {"transport-protocol", "RTP/AVP"}};
  if (port_of(entry(request(dictionary(words, raw), error), "sdp")) == 0) return false;
  words = {{"command", "answer"}, {"call-id", id},   {"from-tag", "a"},
           {"to-tag", "b"},       {"ICE", "remove"}, {"sdp", sdp(address[1], ports[1], "")}};
  relay_port = port_of(entry(request(dictionary(words), error), "sdp"));
  return relay_port != 0;
}

void NgSession::tear_down(const std::string& call_id) {
  std::string error;
  request(dictionary({{"command", "delete"}, {"call-id", call_id}, {"from-tag", "a"}}), error);
}

}  // namespace turnpike::bench
