// Calls over a restart: records and adoption.
#include "control/call/record.h"

#include "tests/unit/call/browsers.h"
#include "tests/unit/call/call_fixture.h"

namespace turnpike::call {
namespace {

class Adoption : public CallTest {
 protected:
  void connect_srtp(const std::string& call_id) {
    CallRequest invite = request(sdp_of("m=audio 4000 RTP/AVP 0\nm=video 4002 RTP/AVP 96\n"));
    invite.call_id = call_id;
    invite.transport_protocol = "RTP/SAVP";
    const std::string out = offered_sdp(offer(invite));
    std::string answered;
    std::size_t at = out.find("m=audio");
    for (const char* media : {"m=audio 5000 RTP/SAVP 0\n", "m=video 5002 RTP/SAVP 96\n"}) {
      at = out.find("a=crypto:", at);
      answered += media + out.substr(at, out.find("\r\n", at) - at) + "\n";
      at = out.find("m=video");
    }
    CallRequest ok = request(sdp_of(answered, "10.0.0.20"), "a", "b");
    ok.call_id = call_id;
    offered_sdp(answer(ok));
  }
  /// The process dies; sessions and records stay.
  void crash() {
    relay_->sessions_found.clear();
    for (const auto& [id, session] : relay_->sessions) {
      relay_->sessions_found.push_back({id, session.ports});
    }
    relay_->records_found.assign(relay_->records.begin(), relay_->records.end());
    restart(test_config());
  }
};

TEST_F(Adoption, the_relay_is_told_of_ice_and_dtls_again) {
  CallRequest invite = request(chromium_offer());
  invite.transport_protocol = "RTP/AVP";
  invite.ice = IceWish::kRemove;
  ASSERT_EQ(text(offer(invite), "result"), "ok");
  const TransportConfig before = relay_->session(0).transports[0];
  ASSERT_TRUE(before.dtls.enabled);
  ASSERT_EQ(before.ice.mode, IceMode::kFull);
  crash();
  service_->adopt();
  // The association is the old one: nothing asks for another before the next offer.
  EXPECT_EQ(relay_->session(0).transports[0], before);
  EXPECT_EQ(relay_->session(0).transport_updates[0], 2);
  EXPECT_EQ(relay_->session(0).transport_updates[1], 0);
}

TEST_F(Adoption, calls_go_on_where_they_were) {
  connect_srtp("call-1");
  connect_srtp("call-2");
  const LegConfig before = leg(0, Side::kB);
  crash();
  EXPECT_EQ(service_->call_count(), 0U);
  service_->adopt();
  EXPECT_EQ(service_->call_count(), 2U);
  EXPECT_EQ(relay_->sessions.size(), 4U);
  EXPECT_EQ(service_->calls()[0].sessions.size(), 2U);

  CallRequest reinvite =
      request(sdp_of("m=audio 4000 RTP/AVP 0\nm=video 4002 RTP/AVP 96\n"), "a", "b");
  const std::string again = offered_sdp(offer(reinvite));
  EXPECT_EQ(lines(again, "m="), "audio 46000 RTP/SAVP 0|video 46002 RTP/SAVP 96");
  EXPECT_EQ(relay_->opened_ever, 4);
  EXPECT_EQ(leg(0, Side::kB).send, before.send);

  for (const char* id : {"call-1", "call-2"}) {
    CallRequest bye = request("");
    bye.call_id = id;
    EXPECT_EQ(text(remove(bye), "warning"), "");
  }
  expect_nothing_left();
}

TEST_F(Adoption, orphans_of_either_kind_end) {
  connect_srtp("call-1");
  connect_srtp("call-2");
  connect_srtp("call-3");
  const auto records = relay_->records;
  crash();
  // call-1 lost its record; call-2 lost its sessions; call-3 lost its video.
  relay_->records_found.clear();
  std::size_t n = 0;
  for (const auto& [key, bytes] : records) {
    const auto call = read_record(bytes);
    ASSERT_TRUE(call);
    if (call->id != "call-1") relay_->records_found.emplace_back(key, bytes);
    ++n;
  }
  ASSERT_EQ(n, 3U);
  auto& found = relay_->sessions_found;
  ASSERT_EQ(found.size(), 6U);
  const SessionId survivor = found[4].id;
  for (const std::size_t lost : {5U, 3U, 2U}) {
    relay_->sessions.erase(found[lost].id);
    found.erase(found.begin() + static_cast<long>(lost));
  }
  service_->adopt();
  ASSERT_EQ(service_->call_count(), 1U);
  EXPECT_EQ(service_->calls()[0].call_id, "call-3");
  ASSERT_EQ(service_->calls()[0].sessions.size(), 1U);
  EXPECT_EQ(service_->calls()[0].sessions[0].id, survivor);
  ASSERT_EQ(relay_->sessions.size(), 1U);
  EXPECT_EQ(relay_->id_of(0), survivor);
}

TEST_F(Adoption, damaged_records_are_dropped_with_their_sessions) {
  connect_srtp("call-1");
  crash();
  for (auto& [key, bytes] : relay_->records_found) bytes.back() ^= 1;
  relay_->records_found.emplace_back(77, "nonsense");
  relay_->records_found[0].second.resize(relay_->records_found[0].second.size() / 2);
  service_->adopt();
  expect_nothing_left();
}

TEST_F(Adoption, tells_what_became_of_everything) {
  for (const char* id : {"whole", "no record", "no sessions", "damaged"}) connect_srtp(id);
  crash();
  std::erase_if(relay_->records_found, [&](auto& record) {
    const auto call = read_record(record.second);
    if (call->id == "damaged") record.second.resize(20);
    return call->id == "no record";
  });
  auto& found = relay_->sessions_found;
  ASSERT_EQ(found.size(), 8U);
  for (const std::size_t lost : {5U, 4U}) {
    relay_->sessions.erase(found[lost].id);
    found.erase(found.begin() + static_cast<long>(lost));
  }
  log_.clear();
  const CallAdoption adoption = service_->adopt();
  EXPECT_EQ(adoption.calls, 1U);
  EXPECT_EQ(adoption.records_unreadable, 1U);
  EXPECT_EQ(adoption.calls_without_sessions, 1U);
  EXPECT_EQ(adoption.sessions_without_call, 4U);
  EXPECT_EQ(log_.size(), 1U) << "no line for what went well, nor for what has no name";
}

TEST_F(Adoption, long_texts_do_not_make_a_record_unreadable) {
  const std::string name(5000, 'n');
  const auto with_name = [&](std::string sdp) {
    sdp.replace(sdp.find("s=-"), 3, "s=" + name);
    sdp.replace(sdp.find("o=- "), 4, "o=" + name + " ");
    return sdp;
  };
  for (const bool replaced : {false, true}) {
    CallRequest invite = request(with_name(sdp_of(kAudio)));
    invite.replace_session_name = invite.replace_username = replaced;
    const std::string sent = offered_sdp(offer(invite));
    EXPECT_EQ(lines(sent, "s=").size(), replaced ? 255U : 5000U);
    const auto kept = read_record(relay_->records.begin()->second);
    ASSERT_TRUE(kept);
    EXPECT_EQ(kept->side(Side::kB).sent_session_name.size(), replaced ? 255U : 0U);
    EXPECT_LT(relay_->records.begin()->second.size(), 4000U);
    crash();
    EXPECT_EQ(service_->adopt().calls, 1U);
    remove(request(""));
    expect_nothing_left();
  }
}

TEST_F(Adoption, a_text_too_long_to_read_is_cut_when_written) {
  Call call;
  call.id = std::string(10000, 'i');
  call.record_key = 1;
  const auto read = read_record(write_record(call));
  ASSERT_TRUE(read);
  EXPECT_EQ(read->id.size(), 4096U);
}

TEST_F(Adoption, record_under_a_foreign_key_is_dropped) {
  connect_srtp("call-1");
  crash();
  relay_->records_found[0].first ^= 1;
  service_->adopt();
  EXPECT_EQ(service_->call_count(), 0U);
  EXPECT_TRUE(relay_->sessions.empty());
}

TEST_F(Adoption, records_follow_the_call) {
  offer(request(sdp_of(kAudio)));
  ASSERT_EQ(relay_->records.size(), 1U);
  const std::string offered = relay_->records.begin()->second;
  answer(request(sdp_of(kAudio), "a", "b"));
  EXPECT_NE(relay_->records.begin()->second, offered);
  const auto call = read_record(relay_->records.begin()->second);
  ASSERT_TRUE(call);
  EXPECT_TRUE(call->answered);
  EXPECT_EQ(call->side(Side::kB).tag, "b");
  EXPECT_EQ(write_record(*call), relay_->records.begin()->second);
  remove(request(""));
  EXPECT_TRUE(relay_->records.empty());
}

TEST_F(Adoption, no_shortened_or_altered_record_is_dangerous) {
  connect_srtp("call-1");
  const std::string record = relay_->records.begin()->second;
  for (std::size_t size = 0; size < record.size(); ++size) {
    EXPECT_FALSE(read_record(std::string_view(record).substr(0, size))) << size;
  }
  EXPECT_FALSE(read_record(record + "x"));
  for (std::size_t i = 0; i < record.size(); ++i) {
    std::string altered = record;
    altered[i] = static_cast<char>(altered[i] ^ 0xff);
    const auto call = read_record(altered);
    if (!call) continue;
    // What is read must be fit to be used.
    EXPECT_NO_FATAL_FAILURE(write_record(*call));
    for (const CallMedia& media : call->media) {
      for (const MediaSide& side : media.sides) {
        EXPECT_LT(static_cast<std::size_t>(side.suite), kSrtpSuiteCount);
      }
    }
  }
}

}  // namespace
}  // namespace turnpike::call
