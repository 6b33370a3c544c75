// Two ends of a zone connection that talk through strings, under a clock of the test.
#pragma once

#include <string>

#include <gtest/gtest.h>

#include "control/zone/connection.h"
#include "tests/support/certificates.h"

namespace turnpike::zone {

class Pair : public ::testing::Test {
 protected:
  Pair() {
    authority_.issue("edge", {.common_name = "edge", .alternative_names = "DNS:edge.example.com"});
    authority_.issue("core", {.common_name = "core", .alternative_names = "DNS:core.example.com"});
  }

  Credentials credentials(const std::string& name, const std::string& password = "open sesame") {
    auto context = tls::Context::load({.certificate_file = authority_.path(name + ".pem"),
                                       .private_key_file = authority_.path(name + ".key"),
                                       .trust_file = authority_.trust(),
                                       .protocol = "turnpike-zone/1"});
    EXPECT_TRUE(context) << (context ? "" : context.error().message);
    return {*context, std::make_shared<const Secret>(password)};
  }

  ConnectionOptions options(Role role) {
    ConnectionOptions options;
    options.dials = role == Role::kCore;
    options.hello.role = role;
    options.hello.zone = "dmz";
    options.hello.node = role == Role::kCore ? "core-1" : "edge-1";
    options.hello.user = "pair";
    options.hello.epoch = 7;
    options.hello.nonce.fill(role == Role::kCore ? 1 : 2);
    options.peer_rule.names = {role == Role::kCore ? "edge.example.com" : "core.example.com"};
    options.server_name = role == Role::kCore ? "edge.example.com" : "";
    return options;
  }

  void make(const Credentials& of_edge, const Credentials& of_core) {
    edge_ = std::make_unique<Connection>(of_edge_, of_edge, now_);
    core_ = std::make_unique<Connection>(of_core_, of_core, now_);
  }
  void make() { make(credentials("edge"), credentials("core")); }
  void make_open() {
    make();
    shuttle();
    ASSERT_EQ(edge_->phase(), Connection::Phase::kOpen) << info_of(edge_->reason()).text;
    ASSERT_EQ(core_->phase(), Connection::Phase::kOpen) << info_of(core_->reason()).text;
  }

  /// Until nobody has anything to say, in pieces of `piece` bytes; true when something moved.
  bool shuttle(std::size_t piece = 1000000) {
    bool ever = false;
    for (bool moved = true; moved;) {
      moved = false;
      for (Connection* from : {core_.get(), edge_.get()}) {
        Connection* to = from == core_.get() ? edge_.get() : core_.get();
        const std::string bytes = from->take_output(65536);
        for (std::size_t at = 0; at < bytes.size(); at += piece) {
          to->receive(std::string_view(bytes).substr(at, piece), now_);
          moved = ever = true;
        }
      }
    }
    return ever;
  }

  CertificateFolder authority_;
  ConnectionOptions of_edge_ = options(Role::kEdge);
  ConnectionOptions of_core_ = options(Role::kCore);
  Instant now_{Seconds{1000}};
  std::unique_ptr<Connection> edge_;
  std::unique_ptr<Connection> core_;
};

/// The bytes of the data events of one stream.
inline std::string data_of(const std::vector<StreamEvent>& events, StreamId stream) {
  std::string text;
  for (const StreamEvent& event : events) {
    if (event.kind == StreamEvent::Kind::kData && event.stream == stream) text += event.text;
  }
  return text;
}

inline bool has(const std::vector<StreamEvent>& events, StreamEvent::Kind kind, StreamId stream) {
  for (const StreamEvent& event : events) {
    if (event.kind == kind && event.stream == stream) return true;
  }
  return false;
}

}  // namespace turnpike::zone
