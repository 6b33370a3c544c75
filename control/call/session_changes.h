// All or nothing on the relay: sessions opened for a change are closed again unless the change is
// committed; sessions that it no longer needs are closed only then.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "turnpike/relay.h"

namespace turnpike::call {

class SessionChanges {
 public:
  explicit SessionChanges(Relay& relay) : relay_(relay) {}
  SessionChanges(const SessionChanges&) = delete;
  SessionChanges& operator=(const SessionChanges&) = delete;
  ~SessionChanges() {
    for (const SessionId id : opened_) relay_.close_session(id, 0);
  }

  /// The error's message is what NG peers match on.
  Result<Relay::Opened> open(const SessionSpec& spec) {
    OpenFailure failure{};
    auto opened = relay_.open_session(spec, failure);
    if (opened) {
      opened_.push_back(opened->id);
      return opened;
    }
    switch (failure) {
      case OpenFailure::kSessionLimit:
        at_session_limit_ = true;
        return Error{"Parallel session limit reached"};
      case OpenFailure::kOverloaded:
        overloaded_ = true;
        return Error{"CPU usage limit exceeded"};
      case OpenFailure::kOutOfDescriptors:
        out_of_ports_ = true;
        return Error{"Ran out of file descriptors"};
      case OpenFailure::kOutOfPorts:
        out_of_ports_ = true;
        return Error{"Ran out of ports"};
      case OpenFailure::kBadSpec:
        break;
    }
    return Error{"relay refused the session: " + opened.error().message};
  }

  void close_on_commit(SessionId id) { to_close_.push_back(id); }
  bool at_session_limit() const { return at_session_limit_; }
  bool overloaded() const { return overloaded_; }
  /// For want of free ports or of descriptors to bind them.
  bool out_of_ports() const { return out_of_ports_; }

  /// Keeps what was opened. The caller closes what is returned.
  std::vector<SessionId> commit() {
    opened_.clear();
    return std::exchange(to_close_, {});
  }

 private:
  Relay& relay_;
  std::vector<SessionId> opened_;
  std::vector<SessionId> to_close_;
  bool at_session_limit_ = false;
  bool overloaded_ = false;
  bool out_of_ports_ = false;
};

}  // namespace turnpike::call
