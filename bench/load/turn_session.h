// Clients of a TURN server as side A of calls: an allocation each, from addresses of their own,
// over one socket or a connection each, with time-limited credentials (long-term, RFC 8489
// section 9.2). Hides: STUN, what is asked again when an answer is lost.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "bench/load/call.h"
#include "bench/load/ends.h"
#include "bench/load/framing.h"
#include "bench/load/stun.h"

namespace turnpike::bench {

class TurnSession final : public Signalling {
 public:
  struct Server {
    sockaddr_in address{};
    std::string secret;  ///< passwords are made from it
  };

  /// `ends` outlives this. Every call's side B is at `peer`; packets have so many bytes.
  TurnSession(const Ends& ends, Server server, const sockaddr_in& peer, Framing framing,
              std::uint32_t packet_bytes);

  /// A client for each call, at its leg's own_ip: Allocate, then ChannelBind or CreatePermission.
  /// Some at a time, so that the server is never idle.
  bool set_up(std::vector<Call>& calls, std::string& error) override;
  /// By Refresh; does not tell what the server says.
  void tear_down(const std::vector<Call>& calls) override;

 private:
  enum class Step : std::uint8_t { kAsk, kAllocate, kPermit, kEnd, kDone };
  struct Client {
    std::uint32_t ip = 0;
    std::uint16_t channel = 0;
    std::string user;
    std::string realm;
    std::string nonce;
    std::array<std::uint8_t, 16> key{};
    Step step = Step::kAsk;
    int tries = 0;
    stun::Transaction transaction{};
    std::chrono::steady_clock::time_point asked_at;
    sockaddr_in relayed{};
  };

  bool run(std::vector<Client>& clients, std::string& error);
  void ask(Client& client, std::uint32_t index);
  std::vector<std::uint8_t> request(const Client& client) const;
  bool ask_again(std::vector<Client>& clients, std::string& error);
  void take_challenge(Client& client, stun::Bytes response) const;
  bool take(Client& client, stun::Bytes response, std::string& error) const;
  stun::Bytes next_message();

  const Ends& ends_;
  Server server_;
  sockaddr_in peer_;
  Framing framing_;
  std::uint32_t packet_bytes_;
  std::uint64_t serial_ = 0;
  std::array<std::uint8_t, 2048> datagram_{};
  std::deque<std::vector<std::uint8_t>> heard_;  // of streams, not yet looked at
  std::vector<std::uint8_t> message_;            // the last one of them
  std::vector<Client> up_;                       // whom tear_down() finds
};

}  // namespace turnpike::bench
