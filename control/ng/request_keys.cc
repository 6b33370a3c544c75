// What each key and flag does to a CallRequest. A rule that finds its value of no use says so, and
// the message goes on without it.
#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <optional>
#include <utility>

#include "control/ng/reference.h"
#include "control/ng/request.h"
#include "control/sdp/crypto.h"

namespace turnpike::ng {
namespace {

using call::CallRequest;
using call::DtlsWish;
using call::IceLiteWish;
using call::IceWish;
using call::RtcpMuxFlag;

constexpr std::size_t kListItemsMax = 64;
constexpr std::int64_t kDeleteDelaySecondsMax = 3600;

struct Mapping {
  CallRequest request;
  IgnoredNames& ignored;
};

bool apply_key(Mapping& mapping, std::string_view key, const Value& value);
void apply_flag(Mapping& mapping, std::string_view flag);

/// The texts of a list, or the one text of a value that is none.
std::vector<std::string> texts_of(const Value& value) {
  std::vector<std::string> texts;
  if (const auto* list = value.as_list()) {
    for (const Value& item : *list) {
      if (texts.size() == kListItemsMax) break;
      if (auto text = text_of(&item); !text.empty()) texts.push_back(std::move(text));
    }
  } else if (auto text = text_of(&value); !text.empty()) {
    texts.push_back(std::move(text));
  }
  return texts;
}

std::optional<std::int64_t> integer_of(const Value& value) {
  if (const auto* number = value.as_integer()) return *number;
  const auto* text = value.as_string();
  if (text == nullptr) return std::nullopt;
  std::int64_t number = 0;
  const char* end = text->data() + text->size();
  const auto parsed = std::from_chars(text->data(), end, number);
  if (text->empty() || parsed.ec != std::errc{} || parsed.ptr != end) return std::nullopt;
  return number;
}

// ---- words of lists

bool apply_replace(Mapping& mapping, std::string_view word) {
  CallRequest& request = mapping.request;
  if (word == "origin") return request.replace_origin = true;
  if (word == "session-connection") return true;  // always done
  if (word == "username") return request.replace_username = true;
  if (word == "session-name") return request.replace_session_name = true;
  return false;
}

bool apply_rtcp_mux(Mapping& mapping, std::string_view word) {
  constexpr std::array<std::pair<std::string_view, RtcpMuxFlag>, 5> kWords = {
      {{"offer", RtcpMuxFlag::kOffer},
       {"require", RtcpMuxFlag::kRequire},
       {"demux", RtcpMuxFlag::kDemux},
       {"accept", RtcpMuxFlag::kAccept},
       {"reject", RtcpMuxFlag::kReject}}};
  for (const auto& [name, flag] : kWords) {
    if (name != word) continue;
    mapping.request.rtcp_mux.push_back(flag);
    return true;
  }
  return false;
}

template <bool (*apply)(Mapping&, std::string_view)>
bool apply_words(Mapping& mapping, std::string_view key, const Value& value) {
  for (const std::string& text : texts_of(value)) {
    const std::string word = normalised(text);
    if (!apply(mapping, word)) {
      mapping.ignored.count(IgnoredKind::kFlag, std::string(key) + "-" + word);
    }
  }
  return true;
}

// ---- keys

template <std::string CallRequest::*member>
bool apply_text(Mapping& mapping, std::string_view, const Value& value) {
  mapping.request.*member = text_of(&value);
  return value.as_string() != nullptr || value.as_integer() != nullptr;
}

bool apply_direction(Mapping& mapping, std::string_view, const Value& value) {
  // One list of two, or the key twice; which it was is judged when all keys are read.
  for (std::string& text : texts_of(value)) mapping.request.direction.push_back(std::move(text));
  return true;
}

bool apply_from_tags(Mapping& mapping, std::string_view, const Value& value) {
  mapping.request.from_tags = texts_of(value);
  return true;
}

bool is_sdes_word(std::string_view word) {
  for (const std::string_view list : {"no-", "only-"}) {
    if (word.starts_with(list)) return sdp::suite_of(word.substr(list.size())) != SrtpSuite::kNone;
  }
  return word == "off" || word == "no" || word == "disable";
}

// A word that is misspelt would otherwise leave a suite in, or out, without a sign of it.
bool apply_sdes(Mapping& mapping, std::string_view, const Value& value) {
  bool all_known = true;
  for (std::string& text : texts_of(value)) {
    all_known = all_known && is_sdes_word(text);
    mapping.request.sdes.push_back(std::move(text));
  }
  return all_known;
}

bool apply_transport(Mapping& mapping, std::string_view, const Value& value) {
  constexpr std::array<std::string_view, 6> kProtocols = {
      "RTP/AVP", "RTP/SAVP", "RTP/AVPF", "RTP/SAVPF", "UDP/TLS/RTP/SAVP", "UDP/TLS/RTP/SAVPF"};
  const std::string text = text_of(&value);
  for (const std::string_view protocol : kProtocols) {
    if (protocol != text) continue;
    mapping.request.transport_protocol = text;
    return true;
  }
  return false;
}

bool apply_address_family(Mapping& mapping, std::string_view, const Value& value) {
  const std::string text = normalised(text_of(&value));
  const bool is_v4 = text == "ip4";
  if (!is_v4 && text != "ip6") return false;
  mapping.request.address_family = is_v4 ? AddressFamily::kIpv4 : AddressFamily::kIpv6;
  return true;
}

bool apply_media_address(Mapping& mapping, std::string_view, const Value& value) {
  const auto address = parse_ip(text_of(&value));
  if (address) mapping.request.media_address = *address;
  return address.has_value();
}

bool apply_received_from(Mapping& mapping, std::string_view, const Value& value) {
  // [family, address]; the address tells its family itself.
  const auto texts = texts_of(value);
  if (texts.size() != 2) return false;
  const auto address = parse_ip(texts[1]);
  if (address) mapping.request.received_from = *address;
  return address.has_value();
}

bool apply_tos(Mapping& mapping, std::string_view, const Value& value) {
  const auto number = integer_of(value);
  if (!number || *number < 0 || *number > 255) return false;
  mapping.request.tos = static_cast<int>(*number);
  return true;
}

bool apply_delete_delay(Mapping& mapping, std::string_view, const Value& value) {
  const auto number = integer_of(value);
  if (!number || *number < 0 || *number > kDeleteDelaySecondsMax) return false;
  mapping.request.delete_delay = Seconds{*number};
  return true;
}

bool apply_address(Mapping& mapping, std::string_view, const Value& value) {
  const auto ip = parse_ip(text_of(&value));
  if (!ip) return false;
  mapping.request.address = *ip;
  return true;
}

bool apply_all(Mapping& mapping, std::string_view, const Value& value) {
  mapping.request.all = text_of(&value) == "all";
  return mapping.request.all;
}

bool apply_limit(Mapping& mapping, std::string_view, const Value& value) {
  const auto limit = integer_of(value);
  if (!limit || *limit < 1) return false;
  mapping.request.limit = static_cast<std::uint32_t>(std::min<std::int64_t>(*limit, UINT32_MAX));
  return true;
}

bool apply_supports(Mapping& mapping, std::string_view, const Value& value) {
  for (const std::string& text : texts_of(value)) {
    if (normalised(text) == "load-limit") mapping.request.supports_load_limit = true;
  }
  return true;
}

template <typename Wish>
struct Word {
  std::string_view word;
  Wish wish;
};

/// Sets what the word of `value` stands for; false for words that are none of these.
template <typename Wish, std::size_t N>
bool apply_word(const std::array<Word<Wish>, N>& words, const Value& value, Wish& wish) {
  const std::string text = normalised(text_of(&value));
  for (const auto& known : words) {
    if (known.word != text) continue;
    wish = known.wish;
    return true;
  }
  return false;
}

bool apply_ice(Mapping& mapping, std::string_view, const Value& value) {
  // All our candidates relay: force-relay takes nothing away.
  constexpr std::array<Word<IceWish>, 5> kWords = {{{"remove", IceWish::kRemove},
                                                    {"force", IceWish::kForce},
                                                    {"force-relay", IceWish::kForce},
                                                    {"default", IceWish::kDefault},
                                                    {"optional", IceWish::kDefault}}};
  return apply_word(kWords, value, mapping.request.ice);
}

bool apply_ice_lite(Mapping& mapping, std::string_view, const Value& value) {
  constexpr std::array<Word<IceLiteWish>, 4> kWords = {{{"off", IceLiteWish::kOff},
                                                        {"forward", IceLiteWish::kForward},
                                                        {"backward", IceLiteWish::kBackward},
                                                        {"both", IceLiteWish::kBoth}}};
  return apply_word(kWords, value, mapping.request.ice_lite);
}

bool apply_dtls(Mapping& mapping, std::string_view, const Value& value) {
  constexpr std::array<Word<DtlsWish>, 5> kWords = {{{"off", DtlsWish::kOff},
                                                     {"no", DtlsWish::kOff},
                                                     {"disable", DtlsWish::kOff},
                                                     {"active", DtlsWish::kActive},
                                                     {"passive", DtlsWish::kPassive}}};
  return apply_word(kWords, value, mapping.request.dtls);
}

bool apply_dtls_fingerprint(Mapping&, std::string_view, const Value& value) {
  return normalised(text_of(&value)) == "sha-256";  // what ours always is
}

bool apply_flags(Mapping& mapping, std::string_view, const Value& value) {
  for (const std::string& text : texts_of(value)) apply_flag(mapping, text);
  return true;
}

bool apply_flags_string(Mapping& mapping, std::string_view key, const Value& value) {
  const auto* text = value.as_string();
  if (text == nullptr) return false;
  for (const auto& [name, inner] : parse_flags_string(*text)) {
    // A flags string inside a flags string would recurse as deep as the sender likes.
    if (const std::string inner_key = normalised(name); inner_key == key) {
      mapping.ignored.count(IgnoredKind::kValue, key);
    } else if (!apply_key(mapping, inner_key, inner)) {
      mapping.ignored.count(IgnoredKind::kValue, inner_key);
    }
  }
  return true;
}

/// Says what we do anyway, or is used before this table.
bool accept(Mapping&, std::string_view, const Value&) {
  return true;
}

struct KeyRule {
  std::string_view key;
  bool (*apply)(Mapping&, std::string_view key, const Value&);  // false: the value is of no use
  NameInfo info;
};

constexpr auto kActs = Standing::kActs;
constexpr auto kAccepted = Standing::kAccepted;

constexpr std::array<KeyRule, 33> kKeyRules = {{
    {"command",
     accept,
     {"command", kActs, "string", "what is asked for", "PlainCall.offer_and_answer_byte_for_byte"}},
    {"sip-message-type",
     accept,
     {"sip-message-type", kAccepted, "string", "the other keys say it", ""}},
    {"call-id",
     apply_text<&CallRequest::call_id>,
     {"call-id", kActs, "string", "which call", "Lifecycle.delete_knows_calls_by_id_and_tags"}},
    {"from-tag",
     apply_text<&CallRequest::from_tag>,
     {"from-tag", kActs, "string", "which side sends the description",
      "Reinvite.offer_in_the_200_comes_from_the_callee"}},
    {"to-tag",
     apply_text<&CallRequest::to_tag>,
     {"to-tag", kActs, "string", "which side, and which branch, gets it",
      "Sdes.forks_share_our_key_and_the_last_answer_wins"}},
    {"from-tags",
     apply_from_tags,
     {"from-tags", kActs, "list of strings", "in `subscribe request`: whose media",
      "Subscription.offers_what_participants_send"}},
    {"set-label",
     apply_text<&CallRequest::set_label>,
     {"set-label", kActs, "string", "in `subscribe request`: a name for who subscribes",
      "Subscription.offers_what_participants_send"}},
    {"via-branch",
     accept,
     {"via-branch", kAccepted, "string", "branches differ in their to-tag", ""}},
    {"sdp",
     apply_text<&CallRequest::sdp>,
     {"sdp", kActs, "string", "the description to rewrite",
      "PlainCall.offer_and_answer_byte_for_byte"}},
    {"flags",
     apply_flags,
     {"flags", kActs, "list of flags", "see below",
      "Request.what_is_unknown_is_counted_and_never_an_error"}},
    {"rtpp-flags",
     apply_flags_string,
     {"rtpp-flags", kActs, "one string: `word key=value key=[word word]`",
      "the same keys and flags as in the message itself; a list inside a list is passed over",
      "Request.flags_string_means_the_same_as_keys"}},
    {"replace",
     apply_words<apply_replace>,
     {"replace", kActs, "list of `origin`, `session-connection`, `username`, `session-name`",
      "what of the session level is rewritten; `session-connection` always is",
      "PlainCall.user_and_session_name_stay_what_a_side_saw_first"}},
    {"rtcp-mux",
     apply_words<apply_rtcp_mux>,
     {"rtcp-mux", kActs, "list of `offer`, `require`, `demux`, `accept`, `reject`",
      "RTCP multiplexing towards the receiver", "RtcpMux.follows_ends_and_flags"}},
    {"sdes",
     apply_sdes,
     {"SDES", kActs, "list of words: `off`, `no-SUITE`, `only-SUITE`",
      "SDES negotiation; another word, or no name of a suite of ours, is counted as a value of "
      "`sdes`",
      "Sdes.words_choose_suites"}},
    {"direction",
     apply_direction,
     {"direction", kActs, "two interface names",
      "interface of the sender, of the receiver; at a node of a traversal pair a peer too, as "
      "`ZONE/PEER` ([traversal.md](traversal.md)); one or three names count as ignored",
      "PlainCall.direction_chooses_interfaces"}},
    {"transport-protocol",
     apply_transport,
     {"transport-protocol", kActs,
      "`RTP/AVP`, `RTP/AVPF`, `RTP/SAVP`, `RTP/SAVPF`, `UDP/TLS/RTP/SAVP`, `UDP/TLS/RTP/SAVPF`",
      "protocol towards the receiver; the last two are keyed by DTLS",
      "Sdes.plain_offer_becomes_srtp_byte_for_byte"}},
    {"address-family",
     apply_address_family,
     {"address-family", kActs, "`IP4`, `IP6`", "family towards the receiver; with ICE, of `c=`",
      "PlainCall.ipv6_caller_to_ipv6_and_across"}},
    {"media-address",
     apply_media_address,
     {"media-address", kActs, "literal IP address",
      "advertised instead of the interface's; with ICE, the only candidate",
      "PlainCall.advertised_and_media_address"}},
    {"received-from",
     apply_received_from,
     {"received-from", kActs, "[family, literal IP address]", "where the SIP message came from",
      "SourceFlags.reach_the_leg"}},
    {"tos",
     apply_tos,
     {"TOS", kActs, "0-255", "the whole TOS byte, both legs", "PlainCall.tos_becomes_dscp"}},
    {"delete-delay",
     apply_delete_delay,
     {"delete-delay", kActs, "0-3600 seconds", "how long a deleted call lives on",
      "Lifecycle.delete_delay_by_request_and_by_configuration"}},
    {"label",
     apply_text<&CallRequest::label>,
     {"label", kActs, "string",
      "a name for who speaks, shown by `query`; in `block media` and the like: whose media",
      "MediaSwitch.participants_are_named_by_tag_label_or_address"}},
    {"from-label",
     apply_text<&CallRequest::label>,
     {"from-label", kActs, "string", "the same",
      "MediaSwitch.participants_are_named_by_tag_label_or_address"}},
    {"to-call-id",
     apply_text<&CallRequest::to_call_id>,
     {"to-call-id", kActs, "string", "of `connect`: the call of `to-tag`",
      "Connection.ends_of_two_calls_talk_to_each_other"}},
    {"to-label",
     apply_text<&CallRequest::to_label>,
     {"to-label", kActs, "string", "in `block media` and the like: to whom",
      "MediaSwitch.participants_are_named_by_tag_label_or_address"}},
    {"address",
     apply_address,
     {"address", kActs, "literal IP address",
      "in `block media` and the like: whose media, by the address in its SDP",
      "MediaSwitch.participants_are_named_by_tag_label_or_address"}},
    {"all",
     apply_all,
     {"all", kActs, "`all`", "as the flag `all`; in `subscribe request`: all participants",
      "MediaSwitch.unblocking_all_is_for_all"}},
    {"limit",
     apply_limit,
     {"limit", kActs, "a number above 0; 32", "how many calls `list` gives at most",
      "NodeStatistics.calls_are_listed"}},
    {"supports",
     apply_supports,
     {"supports", kActs, "list", "`load limit`: the peer understands that result",
      "Lifecycle.call_limit_says_so_in_both_dialects"}},
    {"ice",
     apply_ice,
     {"ICE", kActs, "`remove`, `force`, `force-relay`, `default`, `optional`",
      "whether the receiver is offered ICE: [above](#ice)", "IceWished.is_offered_or_not"}},
    {"ice-lite",
     apply_ice_lite,
     {"ICE-lite", kActs, "`forward`, `backward`, `both`, `off`",
      "we say `a=ice-lite` to the receiver, to the sender, to both, to none",
      "Ice.lite_by_configuration_or_wish"}},
    {"dtls",
     apply_dtls,
     {"DTLS", kActs, "`off`, `no`, `disable`, `active`, `passive`",
      "the first three: no DTLS towards the receiver; the others: our part in the handshake with "
      "an offerer that leaves it to us, given with its offer or with the answer to it",
      "Dtls.wish_for_none_leaves_sdes"}},
    {"dtls-fingerprint",
     apply_dtls_fingerprint,
     {"DTLS-fingerprint", kAccepted, "`sha-256`", "what ours is; another value is counted", ""}},
}};

bool apply_key(Mapping& mapping, std::string_view key, const Value& value) {
  for (const KeyRule& rule : kKeyRules) {
    if (rule.key == key) return rule.apply(mapping, key, value);
  }
  mapping.ignored.count(IgnoredKind::kKey, key);
  return true;
}

// ---- flags

struct FlagRule {
  std::string_view flag;
  void (*apply)(CallRequest&);
  NameInfo info;
};

constexpr std::array<FlagRule, 14> kFlagRules = {{
    {"trust-address",
     [](CallRequest& request) { request.sip_source_address = false; },
     {"trust-address", kActs, "", "media goes to the addresses of the description",
      "SourceFlags.reach_the_leg"}},
    {"sip-source-address",
     [](CallRequest& request) { request.sip_source_address = true; },
     {"SIP-source-address", kActs, "", "media goes to where the SIP message came from",
      "SourceFlags.reach_the_leg"}},
    {"strict-source",
     [](CallRequest& request) { request.strict_source = true; },
     {"strict-source", kActs, "", "plain RTP from the signalled address and port only",
      "SourceFlags.reach_the_leg"}},
    {"port-latching",
     [](CallRequest& request) { request.port_latching = true; },
     {"port-latching", kActs, "", "the first packet from the signalled address decides the port",
      "SourceFlags.reach_the_leg"}},
    {"no-port-latching",
     [](CallRequest& request) { request.port_latching = false; },
     {"no-port-latching", kActs, "", "takes `port-latching` back", "SourceFlags.reach_the_leg"}},
    {"asymmetric",
     [](CallRequest& request) { request.asymmetric = true; },
     {"asymmetric", kActs, "",
      "any port of the signalled address is heard, media goes to the signalled one",
      "SourceFlags.reach_the_leg"}},
    {"symmetric",
     [](CallRequest& request) { request.asymmetric = false; },
     {"symmetric", kActs, "", "takes `asymmetric` back", "SourceFlags.reach_the_leg"}},
    {"fast",
     [](CallRequest& request) { request.delete_delay = Seconds{0}; },
     {"fast", kActs, "", "no delete delay",
      "Lifecycle.delete_delay_by_request_and_by_configuration"}},
    {"directional",
     [](CallRequest& request) { request.directional = true; },
     {"directional", kActs, "", "in `block media` and the like: only what comes from `from-tag`",
      "MediaSwitch.participants_are_named_by_tag_label_or_address"}},
    {"all",
     [](CallRequest& request) { request.all = true; },
     {"all", kActs, "",
      "in `unblock media` and `unsilence media` of a whole call: what was said of single "
      "participants too",
      "MediaSwitch.unblocking_all_is_for_all"}},
    {"fatal", [](CallRequest&) {}, {"fatal", kAccepted, "", "what `delete` does anyway", ""}},
    {"to-tag", [](CallRequest&) {}, {"to-tag", kAccepted, "", "what `delete` does anyway", ""}},
    {"internal",
     [](CallRequest& request) { request.direction.emplace_back("internal"); },
     {"internal", kActs, "", "one of two interfaces of `direction`",
      "PlainCall.direction_chooses_interfaces"}},
    {"external",
     [](CallRequest& request) { request.direction.emplace_back("external"); },
     {"external", kActs, "", "one of two interfaces of `direction`",
      "PlainCall.direction_chooses_interfaces"}},
}};

// "key-word" as one flag means the same as `word` in the list `key`.
constexpr std::array<std::string_view, 4> kListKeys = {"replace", "rtcp-mux", "sdes", "ice-lite"};

constexpr std::string_view kRequestTest =
    "Request.rtcp_mux_and_sdes_words_come_as_list_or_as_flags";
constexpr std::array<NameInfo, 2> kFlagFamilies = {{
    {"RTP/…, UDP/TLS/…", kActs, "", "a transport protocol, as the key `transport-protocol`",
     "Request.transport_protocol_is_one_of_six"},
    {"replace-…, rtcp-mux-…, SDES-…, ICE-lite-…", kActs, "", "a word of the key before the hyphen",
     kRequestTest},
}};

void apply_flag(Mapping& mapping, std::string_view text) {
  const std::string flag = normalised(text);
  for (const FlagRule& rule : kFlagRules) {
    if (rule.flag == flag) return rule.apply(mapping.request);
  }
  if (flag.starts_with("rtp/") || flag.starts_with("udp/tls/")) {
    if (apply_transport(mapping, {}, Value(text))) return;
  }
  for (const std::string_view key : kListKeys) {
    const std::size_t word = key.size() + 1;
    if (flag.starts_with(key) && flag.size() > word && flag[key.size()] == '-') {
      if (!apply_key(mapping, key, Value(text.substr(word)))) {
        mapping.ignored.count(IgnoredKind::kValue, key);
      }
      return;
    }
  }
  mapping.ignored.count(IgnoredKind::kFlag, flag);
}

}  // namespace

const std::vector<NameInfo>& keys() {
  static const std::vector<NameInfo> all = [] {
    std::vector<NameInfo> list;
    for (const KeyRule& rule : kKeyRules) list.push_back(rule.info);
    return list;
  }();
  return all;
}

const std::vector<NameInfo>& flags() {
  static const std::vector<NameInfo> all = [] {
    std::vector<NameInfo> list;
    for (const FlagRule& rule : kFlagRules) list.push_back(rule.info);
    list.insert(list.end(), kFlagFamilies.begin(), kFlagFamilies.end());
    return list;
  }();
  return all;
}

call::CallRequest to_call_request(const Value::Dict& message, IgnoredNames& ignored) {
  Mapping mapping{.request = {}, .ignored = ignored};
  for (const auto& [name, value] : message) {
    const std::string key = normalised(name);
    if (!apply_key(mapping, key, value)) ignored.count(IgnoredKind::kValue, key);
  }
  auto& direction = mapping.request.direction;
  if (direction.size() != 2 && !direction.empty()) {
    ignored.count(IgnoredKind::kValue, "direction");
    direction.clear();
  }
  return std::move(mapping.request);
}

}  // namespace turnpike::ng
