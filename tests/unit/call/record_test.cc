// Calls over a restart: records and adoption.
#include "control/call/record.h"

#include <optional>

#include <gmock/gmock.h>

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
  EXPECT_THAT(log_, testing::ElementsAre(testing::HasSubstr("not taken over"),
                                         "no sessions: ended: lost in a restart"))
      << "no line for what went well, nor for what has no name";
}

TEST_F(Adoption, an_end_that_was_not_written_down_is_told_by_the_next_process) {
  keeps_ends_ = true;
  connect_srtp("call-1");
  CallRequest bye = request("");
  now_ += Seconds{60};
  std::optional<Dict> reply;
  service_->remove(bye, [&](Dict dict) { reply = std::move(dict); });
  ASSERT_EQ(relay_->records.size(), 1U) << "it has to outlive the process until it is written";
  // The process dies before the figures come: the relay has closed nothing yet.
  relay_->lose_events = true;
  connect_srtp("call-2");  // gives the next process two sessions that live on
  crash();
  relay_->lose_events = false;
  now_ += Seconds{5};
  EXPECT_EQ(service_->adopt().calls_ended, 1U);
  deliver_events();
  ASSERT_EQ(ended_.size(), 1U);
  EXPECT_EQ(ended_[0].call_id, "call-1");
  EXPECT_EQ(ended_[0].ended_at - ended_[0].created, Seconds{60}) << "not when it was told";
  EXPECT_EQ(ended_[0].sessions.size(), 2U) << "also those whose figures are lost";
  EXPECT_EQ(log_.back(), "call-1: ended: deleted");
  EXPECT_EQ(service_->call_count(), 1U);
  EXPECT_TRUE(relay_->records.contains(ended_[0].record_key)) << "whoever writes it erases it";
}

TEST_F(Adoption, sessions_of_an_end_that_was_not_written_down_give_their_figures) {
  keeps_ends_ = true;
  connect_srtp("call-1");
  relay_->session(0).stats.legs[0].packets_received = 77;
  for (const auto& [id, session] : relay_->sessions) {
    relay_->sessions_found.push_back({id, session.ports});
  }
  const auto sessions = relay_->sessions;
  service_->remove(request(""), [](const Dict&) {});
  relay_->poll_events([](const Event&) {});  // the process dies with them
  relay_->records_found.assign(relay_->records.begin(), relay_->records.end());
  relay_->sessions = sessions;  // the relay had not closed them
  restart(test_config());
  EXPECT_EQ(service_->adopt().calls_ended, 1U);
  EXPECT_TRUE(ended_.empty()) << "its figures are on their way";
  EXPECT_EQ(service_->calls_ending(), 1U);
  deliver_events();
  ASSERT_EQ(ended_stats_.size(), 2U);
  EXPECT_EQ(ended_stats_[0].legs[0].packets_received, 77U);
  EXPECT_TRUE(relay_->sessions.empty());
}

TEST_F(Adoption, what_is_no_call_goes_to_who_has_put_it_there) {
  relay_->records_found.emplace_back(77, "{\"version\":1}");
  EXPECT_EQ(service_->adopt().calls_ended, 1U);
  EXPECT_THAT(ends_adopted_, testing::ElementsAre("{\"version\":1}"));
}

TEST_F(Adoption, the_end_of_a_call_does_not_hinder_the_next_one_of_its_name) {
  keeps_ends_ = true;
  connect_srtp("call-1");
  service_->remove(request(""), [](const Dict&) {});
  connect_srtp("call-1");
  ASSERT_EQ(relay_->records.size(), 2U);
  crash();
  const CallAdoption adoption = service_->adopt();
  EXPECT_EQ(adoption.calls, 1U);
  EXPECT_EQ(adoption.calls_ended, 1U);
  EXPECT_EQ(adoption.records_unreadable, 0U);
}

TEST_F(Adoption, a_damaged_end_is_no_end) {
  keeps_ends_ = true;
  connect_srtp("call-1");
  service_->remove(request(""), [](const Dict&) {});
  std::string record = relay_->records.begin()->second;
  std::optional<End> end;
  ASSERT_TRUE(read_record(record, end));
  ASSERT_TRUE(end);
  EXPECT_EQ(end->why, Ending::kDeleted);
  EXPECT_FALSE(read_record(record)) << "nobody goes on with it";
  record[6] = static_cast<char>(Ending::kCount);  // behind magic and version
  EXPECT_FALSE(read_record(record, end));
}

TEST_F(Adoption, the_relay_hears_a_late_change_again_and_latched_sources_of_old_calls_stay) {
  connect_srtp("old");
  now_ += Seconds{60};
  connect_srtp("new");
  const LegConfig told = leg(2, Side::kB);
  relay_->session(2).legs[1] = LegConfig{};  // it died before it heard of it
  const int updates = relay_->session(0).updates[1];
  crash();
  service_->adopt();
  EXPECT_EQ(leg(2, Side::kB).remote, told.remote);
  EXPECT_EQ(leg(2, Side::kB).send, told.send);
  EXPECT_EQ(relay_->session(0).updates[1], updates);
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
