// One end of a call as a test peer: sends RTP and RTCP, protected by libsrtp2 when it has keys,
// and judges what it receives. Hides: libsrtp2, packet layout, the pattern in the payload.
// Is not: product code; nothing of it is linked into the daemon.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <unordered_set>
#include <vector>

#include <netinet/in.h>
#include <srtp2/srtp.h>
#include <sys/socket.h>

namespace peer {

/// A socket address of either family, with its length.
struct Address {
  sockaddr_storage storage{};
  socklen_t length = 0;

  static Address parse(const std::string& ip, std::uint16_t port);
  const sockaddr* raw() const;
  bool operator==(const Address& other) const;
};

/// What a leg is told, one word of the command line each, in this order.
struct LegWords {
  std::string id, local_ip, remote_ip, send_suite, send_key, receive_suite, receive_key;
  unsigned local_port = 0, remote_rtp = 0, remote_rtcp = 0, mux = 0;
  std::uint32_t ssrc = 0, expected_ssrc = 0;
};

class Leg {
 public:
  explicit Leg(const LegWords& words);
  ~Leg();
  Leg(const Leg&) = delete;
  Leg& operator=(const Leg&) = delete;

  const std::string& id() const { return words_.id; }
  int rtp_socket() const { return rtp_socket_; }
  int rtcp_socket() const { return rtcp_socket_; }

  /// The next RTP packet as it would go out.
  std::vector<std::uint8_t> make_rtp();
  std::vector<std::uint8_t> make_rtcp();
  void send_rtp();
  void send_rtcp();
  /// Reads everything that waits on one of the two sockets.
  void receive(int socket, std::int64_t now_ns);
  /// Goes on from another local port, as behind a NAT that rebinds.
  void move(std::uint16_t local_port);
  /// {"id": …, counters…}
  std::string report() const;

  std::int64_t due_ns = 0;  ///< when the next packet is to be sent; the caller's

 private:
  void bind_sockets(std::uint16_t port);
  void receive_one(std::span<std::uint8_t> packet, bool from_remote, std::int64_t now_ns);
  void receive_rtcp(std::span<std::uint8_t> packet);
  void judge_payload(std::span<const std::uint8_t> payload, std::int64_t now_ns);
  bool holds_clear_payload(std::span<const std::uint8_t> packet) const;

  LegWords words_;
  Address rtp_to_, rtcp_to_;
  int rtp_socket_ = -1, rtcp_socket_ = -1;
  srtp_t send_session_ = nullptr, receive_session_ = nullptr;
  std::uint16_t sequence_ = 0;
  std::uint32_t sent_counter_ = 0;
  std::uint32_t lowest_counter_ = 0, highest_counter_ = 0;
  std::int64_t last_ns_ = 0, longest_gap_ns_ = 0;
  std::unordered_set<std::uint32_t> counters_seen_, rtcp_indices_seen_;
  std::map<std::string, std::uint64_t> counts_;  ///< by name, as they are reported
};

}  // namespace peer
