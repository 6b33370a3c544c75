// Frames, commands, and what each key and flag does to a CallRequest.
#include "control/ng/request.h"

#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/ng/bencode.h"

namespace turnpike::ng {
namespace {

using call::RtcpMuxFlag;
using testing::ElementsAre;
using testing::IsEmpty;

struct Mapped {
  call::CallRequest request;
  std::vector<std::string> ignored;  // "kind name" for each count
};

Mapped map(const Value::Dict& message) {
  IgnoredNames names;
  Mapped mapped{.request = to_call_request(message, names), .ignored = {}};
  for (const auto& entry : names.entries()) {
    for (std::uint64_t i = 0; i < entry.count; ++i) {
      mapped.ignored.push_back(std::string(to_string(entry.kind)) + " " + entry.name);
    }
  }
  return mapped;
}

Mapped map_flags(Value::List flags) {
  return map({{"flags", std::move(flags)}});
}

TEST(Frame, is_cookie_space_dictionary) {
  const Frame frame = parse_frame("1_77_3 d7:command4:pinge");
  EXPECT_EQ(frame.fault, ParseFault::kNone);
  EXPECT_EQ(frame.cookie, "1_77_3");
  EXPECT_EQ(frame.body, "d7:command4:pinge");
}

TEST(Frame, dictionary_may_be_json) {
  const Frame frame = parse_frame("1_77_3 {\"command\":\"ping\"}");
  EXPECT_EQ(frame.fault, ParseFault::kNone);
  EXPECT_EQ(frame.body, "{\"command\":\"ping\"}");
}

TEST(Frame, names_what_is_missing) {
  EXPECT_EQ(parse_frame("").fault, ParseFault::kNoCookie);
  EXPECT_EQ(parse_frame("d7:command4:pinge").fault, ParseFault::kNoCookie);
  EXPECT_EQ(parse_frame(" d7:command4:pinge").fault, ParseFault::kNoCookie);
  EXPECT_EQ(parse_frame("cookie ").fault, ParseFault::kNotADictionary);
  EXPECT_EQ(parse_frame("cookie 4:ping").fault, ParseFault::kNotADictionary);
  EXPECT_EQ(parse_frame("cookie [1]").fault, ParseFault::kNotADictionary);
}

TEST(Frame, cookie_has_a_limit) {
  EXPECT_EQ(parse_frame(std::string(kCookieBytesMax, 'c') + " de").fault, ParseFault::kNone);
  EXPECT_EQ(parse_frame(std::string(kCookieBytesMax + 1, 'c') + " de").fault,
            ParseFault::kCookieTooLong);
}

TEST(Command, names_are_exact) {
  EXPECT_EQ(command_of("ping"), Command::kPing);
  EXPECT_EQ(command_of("offer"), Command::kOffer);
  EXPECT_EQ(command_of("answer"), Command::kAnswer);
  EXPECT_EQ(command_of("delete"), Command::kDelete);
  EXPECT_EQ(command_of("query"), Command::kQuery);
  EXPECT_EQ(command_of("play media"), Command::kUnsupported);
  EXPECT_EQ(command_of("mesh"), Command::kUnsupported);
  for (const char* name : {"", "Ping", "pong", "unsupported", "unrecognized", "offer "}) {
    EXPECT_EQ(command_of(name), Command::kUnrecognized) << name;
  }
}

TEST(Request, takes_names_with_spaces_hyphens_or_underscores_in_any_case) {
  for (const char* key : {"transport-protocol", "transport protocol", "Transport_Protocol"}) {
    EXPECT_EQ(map({{key, "RTP/SAVP"}}).request.transport_protocol, "RTP/SAVP") << key;
  }
  EXPECT_TRUE(map_flags({"strict source"}).request.strict_source);
  EXPECT_TRUE(map_flags({"SIP source address"}).request.sip_source_address);
}

TEST(Request, identities_are_text_and_may_come_as_integers) {
  const auto mapped = map({{"call-id", std::int64_t{12345}},
                           {"from-tag", "ft"},
                           {"to-tag", "tt"},
                           {"via-branch", "z9hG4bK1"},
                           {"sdp", "v=0\r\n"}});
  EXPECT_EQ(mapped.request.call_id, "12345");
  EXPECT_EQ(mapped.request.from_tag, "ft");
  EXPECT_EQ(mapped.request.to_tag, "tt");
  EXPECT_EQ(mapped.request.sdp, "v=0\r\n");
  EXPECT_THAT(mapped.ignored, IsEmpty());
  EXPECT_THAT(map({{"call-id", Value::List{}}}).ignored, ElementsAre("value call-id"));
}

TEST(Request, the_last_of_two_equal_keys_counts) {
  // A SIP server writes its own keys behind those that its script made up.
  EXPECT_EQ(map({{"call-id", "script"}, {"call-id", "message"}}).request.call_id, "message");
  const Value::Dict twice{{"command", "delete"}, {"command", "offer"}};
  EXPECT_EQ(text_of(find(twice, "command")), "offer");
}

TEST(Request, direction_is_two_names_in_any_of_its_forms) {
  const auto inside_outside = ElementsAre("inside", "outside");
  EXPECT_THAT(map({{"direction", Value::List{"inside", "outside"}}}).request.direction,
              inside_outside);
  EXPECT_THAT(map({{"direction", "inside"}, {"direction", "outside"}}).request.direction,
              inside_outside);
  EXPECT_THAT(map_flags({"internal", "external"}).request.direction,
              ElementsAre("internal", "external"));
}

TEST(Request, direction_with_one_or_three_names_is_of_no_use) {
  for (const Value::List& list : {Value::List{"a"}, Value::List{"a", "b", "c"}}) {
    const auto mapped = map({{"direction", list}});
    EXPECT_THAT(mapped.request.direction, IsEmpty());
    EXPECT_THAT(mapped.ignored, ElementsAre("value direction"));
  }
}

TEST(Request, transport_protocol_is_one_of_six) {
  for (const char* protocol :
       {"RTP/AVP", "RTP/SAVP", "RTP/AVPF", "RTP/SAVPF", "UDP/TLS/RTP/SAVP", "UDP/TLS/RTP/SAVPF"}) {
    EXPECT_EQ(map({{"transport-protocol", protocol}}).request.transport_protocol, protocol);
    EXPECT_EQ(map_flags({protocol}).request.transport_protocol, protocol);
  }
  const auto mapped = map({{"transport-protocol", "RTP/XYZ"}});
  EXPECT_EQ(mapped.request.transport_protocol, "");
  EXPECT_THAT(mapped.ignored, ElementsAre("value transport-protocol"));
}

TEST(Request, rtcp_mux_and_sdes_words_come_as_list_or_as_flags) {
  const auto list =
      map({{"rtcp-mux", Value::List{"offer", "require", "demux", "accept", "reject"}}});
  EXPECT_THAT(list.request.rtcp_mux,
              ElementsAre(RtcpMuxFlag::kOffer, RtcpMuxFlag::kRequire, RtcpMuxFlag::kDemux,
                          RtcpMuxFlag::kAccept, RtcpMuxFlag::kReject));
  const auto flags = map_flags({"rtcp-mux-demux", "SDES-off", "SDES-no-AES_CM_128_HMAC_SHA1_32"});
  EXPECT_THAT(flags.request.rtcp_mux, ElementsAre(RtcpMuxFlag::kDemux));
  EXPECT_THAT(flags.request.sdes, ElementsAre("off", "no-AES_CM_128_HMAC_SHA1_32"));
  EXPECT_THAT(map({{"SDES", Value::List{"off"}}}).request.sdes, ElementsAre("off"));
  EXPECT_THAT(map({{"rtcp-mux", Value::List{"maybe"}}}).ignored,
              ElementsAre("flag rtcp-mux-maybe"));
}

TEST(Request, replace_words) {
  const auto mapped = map({{"replace", Value::List{"origin", "session connection", "username",
                                                   "session-name", "zero-address"}}});
  EXPECT_TRUE(mapped.request.replace_origin);
  EXPECT_TRUE(mapped.request.replace_username);
  EXPECT_TRUE(mapped.request.replace_session_name);
  EXPECT_THAT(mapped.ignored, ElementsAre("flag replace-zero-address"));
  EXPECT_TRUE(map_flags({"replace-origin"}).request.replace_origin);
}

TEST(Request, addresses_must_be_literal) {
  const auto good = map({{"address family", "IP6"},
                         {"media-address", "192.0.2.7"},
                         {"received-from", Value::List{"IP6", "2001:db8::5"}}});
  EXPECT_EQ(good.request.address_family, AddressFamily::kIpv6);
  EXPECT_EQ(good.request.media_address, *parse_ip("192.0.2.7"));
  EXPECT_EQ(good.request.received_from, *parse_ip("2001:db8::5"));
  const auto bad = map({{"address-family", "IPX"},
                        {"media-address", "relay.example"},
                        {"received-from", Value::List{"IP4"}}});
  EXPECT_EQ(bad.request.address_family, AddressFamily::kNone);
  EXPECT_FALSE(bad.request.media_address.is_set());
  EXPECT_FALSE(bad.request.received_from.is_set());
  EXPECT_THAT(bad.ignored,
              ElementsAre("value address-family", "value media-address", "value received-from"));
}

TEST(Request, numbers_come_as_integers_or_text_within_their_range) {
  EXPECT_EQ(map({{"TOS", std::int64_t{184}}}).request.tos, 184);
  EXPECT_EQ(map({{"TOS", "255"}}).request.tos, 255);
  EXPECT_EQ(map({{"delete delay", std::int64_t{0}}}).request.delete_delay, Seconds{0});
  EXPECT_EQ(map({{"delete-delay", "30"}}).request.delete_delay, Seconds{30});
  EXPECT_EQ(map_flags({"fast"}).request.delete_delay, Seconds{0});
  for (const Value& value : {Value(std::int64_t{256}), Value(std::int64_t{-1}), Value("x"),
                             Value(""), Value("1 "), Value("99999999999999999999")}) {
    const auto mapped = map(
        {{"TOS", value},
         {"delete-delay", value == Value(std::int64_t{256}) ? Value(std::int64_t{3601}) : value}});
    EXPECT_EQ(mapped.request.tos, -1);
    EXPECT_FALSE(mapped.request.delete_delay);
    EXPECT_THAT(mapped.ignored, ElementsAre("value tos", "value delete-delay"));
  }
}

TEST(Request, source_flags) {
  EXPECT_TRUE(map_flags({"port-latching"}).request.port_latching);
  EXPECT_FALSE(map_flags({"port-latching", "no-port-latching"}).request.port_latching);
  EXPECT_TRUE(map_flags({"asymmetric"}).request.asymmetric);
  EXPECT_FALSE(map_flags({"asymmetric", "symmetric"}).request.asymmetric);
  EXPECT_FALSE(map_flags({"SIP-source-address", "trust-address"}).request.sip_source_address);
}

TEST(Request, load_limit_must_be_offered) {
  EXPECT_FALSE(map({}).request.supports_load_limit);
  EXPECT_TRUE(map({{"supports", Value::List{"load limit"}}}).request.supports_load_limit);
}

TEST(Request, ice_words) {
  using call::IceWish;
  const std::pair<const char*, IceWish> words[] = {{"remove", IceWish::kRemove},
                                                   {"force", IceWish::kForce},
                                                   {"Force_Relay", IceWish::kForce},
                                                   {"default", IceWish::kDefault},
                                                   {"optional", IceWish::kDefault}};
  for (const auto& [word, wish] : words) {
    const auto mapped = map({{"ICE", word}});
    EXPECT_EQ(mapped.request.ice, wish) << word;
    EXPECT_THAT(mapped.ignored, IsEmpty());
  }
  EXPECT_EQ(map({}).request.ice, IceWish::kDefault);
  EXPECT_EQ(map({{"rtpp-flags", "ICE=force"}}).request.ice, IceWish::kForce);
  const auto unknown = map({{"ICE", "please"}});
  EXPECT_EQ(unknown.request.ice, IceWish::kDefault);
  EXPECT_THAT(unknown.ignored, ElementsAre("value ice"));
}

TEST(Request, ice_lite_words_come_as_key_or_as_flags) {
  using call::IceLiteWish;
  const std::pair<const char*, IceLiteWish> words[] = {{"off", IceLiteWish::kOff},
                                                       {"forward", IceLiteWish::kForward},
                                                       {"backward", IceLiteWish::kBackward},
                                                       {"both", IceLiteWish::kBoth}};
  for (const auto& [word, wish] : words) {
    EXPECT_EQ(map({{"ICE-lite", word}}).request.ice_lite, wish) << word;
    EXPECT_EQ(map_flags({std::string("ICE-lite-") + word}).request.ice_lite, wish) << word;
  }
  EXPECT_THAT(map({{"ICE-lite", "x"}}).ignored, ElementsAre("value ice-lite"));
  EXPECT_THAT(map_flags({"ICE-lite-x"}).ignored, ElementsAre("value ice-lite"));
}

TEST(Request, sdes_words_that_name_no_suite_are_told) {
  for (const char* word :
       {"off", "no", "disable", "no-AES_CM_128_HMAC_SHA1_32", "only-AEAD_AES_256_GCM"}) {
    const auto mapped = map({{"SDES", Value::List{word}}});
    EXPECT_THAT(mapped.request.sdes, ElementsAre(word));
    EXPECT_THAT(mapped.ignored, IsEmpty()) << word;
    EXPECT_THAT(map_flags({std::string("SDES-") + word}).ignored, IsEmpty()) << word;
  }
  for (const char* word : {"only-AEAD_AES_265_GCM", "no-AES_CM_128", "on", "only-"}) {
    EXPECT_THAT(map({{"SDES", Value::List{"off", word}}}).ignored, ElementsAre("value sdes"));
    EXPECT_THAT(map_flags({std::string("SDES-") + word}).ignored, ElementsAre("value sdes"));
  }
}

TEST(Request, dtls_words) {
  using call::DtlsWish;
  const std::pair<const char*, DtlsWish> words[] = {{"off", DtlsWish::kOff},
                                                    {"no", DtlsWish::kOff},
                                                    {"disable", DtlsWish::kOff},
                                                    {"active", DtlsWish::kActive},
                                                    {"passive", DtlsWish::kPassive}};
  for (const auto& [word, wish] : words) {
    EXPECT_EQ(map({{"DTLS", word}}).request.dtls, wish) << word;
  }
  EXPECT_THAT(map({{"DTLS", "actpass"}}).ignored, ElementsAre("value dtls"));
  EXPECT_THAT(map({{"DTLS-fingerprint", "sha-256"}}).ignored, IsEmpty());
  EXPECT_THAT(map({{"DTLS-fingerprint", "SHA-1"}}).ignored, ElementsAre("value dtls-fingerprint"));
}

TEST(Request, what_is_unknown_is_counted_and_never_an_error) {
  const auto mapped = map({{"DTLS-reverse", "passive"},
                           {"label", "mra"},
                           {"x-foo", Value::Dict{}},
                           {"T.38", Value::List{"decode"}},
                           {"call-id", "c"},
                           {"flags", Value::List{"OSRTP-offer", "codec-strip-PCMU",
                                                 "codec-strip-opus", "no-such-flag"}}});
  EXPECT_EQ(mapped.request.call_id, "c");
  EXPECT_THAT(mapped.ignored,
              ElementsAre("key dtls-reverse", "key x-foo", "key t.38", "flag osrtp-*",
                          "flag codec-*", "flag codec-*", "flag no-such-flag"));
}

TEST(Request, flags_string_means_the_same_as_keys) {
  const auto mapped = map({{"rtpp-flags",
                            "RTP/SAVP  direction=inside direction=outside replace-origin "
                            "ICE=remove TOS=184 strict-source rtcp-mux=[offer accept] "
                            "SDES=[off no-X] codec=[transcode=[PCMU PCMA] strip=opus] to-tag "
                            "received-from=[IP4 192.0.2.1] foo"},
                           {"call-id", "c"}});
  EXPECT_EQ(mapped.request.transport_protocol, "RTP/SAVP");
  EXPECT_THAT(mapped.request.direction, ElementsAre("inside", "outside"));
  EXPECT_TRUE(mapped.request.replace_origin);
  EXPECT_TRUE(mapped.request.strict_source);
  EXPECT_EQ(mapped.request.tos, 184);
  EXPECT_THAT(mapped.request.rtcp_mux, ElementsAre(RtcpMuxFlag::kOffer, RtcpMuxFlag::kAccept));
  EXPECT_THAT(mapped.request.sdes, ElementsAre("off", "no-X"));
  EXPECT_EQ(mapped.request.received_from, *parse_ip("192.0.2.1"));
  EXPECT_THAT(mapped.ignored, ElementsAre("value sdes", "key codec", "flag foo"));
}

TEST(Request, flags_string_survives_any_brackets_and_does_not_nest) {
  for (const char* text : {"[", "]", "=[", "a=[", "a=[[[[", "a=]", "a=[b]c", "= = =", "a=[b c",
                           "[[]]=[]]", "   ", "a=[]", "rtpp-flags=rtpp-flags=x"}) {
    const auto mapped = map({{"rtpp-flags", text}});
    EXPECT_EQ(mapped.request.call_id, "") << text;
  }
  EXPECT_THAT(map({{"rtpp-flags", "rtpp-flags=strict-source"}}).ignored,
              ElementsAre("value rtpp-flags"));
}

TEST(Request, a_real_message_is_understood) {
  // As a SIP server writes it: unsorted keys, script words as keys and flags.
  std::ifstream file(TURNPIKE_SOURCE_DIR "/tests/fuzz/corpus/ng/offer_kamailio", std::ios::binary);
  const std::string datagram{std::istreambuf_iterator<char>(file), {}};
  const Frame frame = parse_frame(datagram);
  ASSERT_EQ(frame.fault, ParseFault::kNone);
  const auto value = decode_bencode(frame.body);
  ASSERT_TRUE(value) << value.error().message;
  ASSERT_EQ(command_of(text_of(find(*value->as_dict(), "command"))), Command::kOffer);
  const auto mapped = map(*value->as_dict());
  const auto& request = mapped.request;
  EXPECT_EQ(find_defect(Command::kOffer, request), "");
  EXPECT_TRUE(request.supports_load_limit);
  EXPECT_TRUE(request.sdp.starts_with("v=0\r\n"));
  EXPECT_EQ(request.tos, 184);
  EXPECT_THAT(request.direction, ElementsAre("inside", "outside"));
  EXPECT_TRUE(request.strict_source);
  EXPECT_TRUE(request.replace_origin);
  EXPECT_EQ(request.transport_protocol, "RTP/SAVP");
  EXPECT_THAT(request.rtcp_mux, ElementsAre(RtcpMuxFlag::kDemux));
  EXPECT_THAT(request.sdes, ElementsAre("off", "no-AES_CM_128_HMAC_SHA1_32"));
  EXPECT_EQ(request.received_from, IpAddress::v4(127, 0, 0, 1));
  EXPECT_EQ(mapped.request.ice, call::IceWish::kRemove);
  EXPECT_EQ(mapped.request.dtls, call::DtlsWish::kPassive);
  EXPECT_THAT(mapped.ignored, ElementsAre("key x-foo", "flag osrtp-*"));
}

TEST(Defect, names_the_missing_key_exactly) {
  call::CallRequest request;
  EXPECT_EQ(find_defect(Command::kOffer, request), "No call-id in message");
  request.call_id = "c";
  EXPECT_EQ(find_defect(Command::kDelete, request), "");
  EXPECT_EQ(find_defect(Command::kQuery, request), "");
  EXPECT_EQ(find_defect(Command::kOffer, request), "No SDP body in message");
  request.sdp = "v=0";
  EXPECT_EQ(find_defect(Command::kOffer, request), "No from-tag in message");
  request.from_tag = "f";
  EXPECT_EQ(find_defect(Command::kOffer, request), "");
  EXPECT_EQ(find_defect(Command::kAnswer, request), "No to-tag in message");
  request.to_tag = "t";
  EXPECT_EQ(find_defect(Command::kAnswer, request), "");
}

TEST(Defect, identities_have_a_length_and_no_control_characters) {
  call::CallRequest request;
  request.call_id = std::string(1024, 'c');
  EXPECT_EQ(find_defect(Command::kQuery, request), "");
  request.call_id += 'c';
  EXPECT_EQ(find_defect(Command::kQuery, request), "call-id is longer than 1024 bytes");
  request.call_id = "c\nfaked log line";
  EXPECT_EQ(find_defect(Command::kQuery, request), "call-id holds a control character");
  request.call_id = "c";
  request.from_tag = std::string("\0", 1);
  EXPECT_EQ(find_defect(Command::kQuery, request), "from-tag holds a control character");
}

TEST(IgnoredNames, table_is_bounded_and_printable) {
  std::vector<std::string> first_seen;
  IgnoredNames names([&](const auto& entry) { first_seen.push_back(entry.name); });
  for (int i = 0; i < 10000; ++i) names.count(IgnoredKind::kKey, "key-" + std::to_string(i));
  EXPECT_EQ(names.entries().size(), IgnoredNames::kUnknownMax + 1);
  EXPECT_EQ(names.entries().back().name, "other");
  EXPECT_EQ(names.entries().back().count, 10000 - IgnoredNames::kUnknownMax);
  names.count(IgnoredKind::kKey, "t.38");
  EXPECT_EQ(names.entries().back().name, "t.38") << "known names always have a place";
  EXPECT_EQ(first_seen.size(), names.entries().size());

  IgnoredNames few;
  few.count(IgnoredKind::kFlag, "a\n\"{}=" + std::string(100, 'x'));
  EXPECT_EQ(few.entries().front().name, "a?????" + std::string(34, 'x'));
}

}  // namespace
}  // namespace turnpike::ng
