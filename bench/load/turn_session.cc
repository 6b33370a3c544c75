#include "bench/load/turn_session.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <poll.h>
#include <sys/socket.h>

#include "bench/load/source_address.h"

namespace turnpike::bench {
namespace {

using std::chrono::steady_clock;

constexpr std::size_t kAtATime = 32;
constexpr std::chrono::milliseconds kPatience{500};  // RFC 8489 section 6.2.1
constexpr int kTriesMax = 7;
constexpr std::uint32_t kUdp = 17U << 24;
constexpr std::uint32_t kLifetimeSeconds = 600;
constexpr std::int64_t kCredentialSeconds = 3600;
constexpr std::uint16_t kChannelMin = 0x4000;
constexpr std::uint16_t kChannels = 0x1000;

// base64(HMAC-SHA1(secret, user)), as TURN servers agree on.
std::string password_of(const std::string& user, const std::string& secret) {
  std::array<std::uint8_t, 20> code{};
  HMAC(EVP_sha1(), secret.data(), static_cast<int>(secret.size()),
       reinterpret_cast<const std::uint8_t*>(user.data()), user.size(), code.data(), nullptr);
  std::array<unsigned char, 29> text{};
  EVP_EncodeBlock(text.data(), code.data(), static_cast<int>(code.size()));
  return reinterpret_cast<const char*>(text.data());
}

std::string text_of(stun::Bytes value) {
  return {value.begin(), value.end()};
}

}  // namespace

TurnSession::TurnSession(const Ends& ends, Server server, const sockaddr_in& peer, Framing framing,
                         std::uint32_t packet_bytes)
    : ends_(ends),
      server_(std::move(server)),
      peer_(peer),
      framing_(framing),
      packet_bytes_(packet_bytes) {}

bool TurnSession::set_up(std::vector<Call>& calls, std::string& error) {
  std::vector<Client> clients(calls.size());
  const std::string expiry = std::to_string(std::time(nullptr) + kCredentialSeconds);
  for (std::size_t i = 0; i < calls.size(); ++i) {
    clients[i].ip = calls[i].leg[0].own_ip;
    clients[i].channel = static_cast<std::uint16_t>(kChannelMin + i % kChannels);
    clients[i].user = expiry + ":" + calls[i].id;
  }
  if (!run(clients, error)) return false;
  for (std::size_t i = 0; i < calls.size(); ++i) {
    Leg& client = calls[i].leg[0];
    client.relay_ip = server_.address.sin_addr.s_addr;
    client.relay_port = ntohs(server_.address.sin_port);
    client.header = header_to(peer_, framing_, clients[i].channel, packet_bytes_);
    calls[i].leg[1].relay_ip = clients[i].relayed.sin_addr.s_addr;
    calls[i].leg[1].relay_port = ntohs(clients[i].relayed.sin_port);
  }
  up_.insert(up_.end(), clients.begin(), clients.end());
  return true;
}

void TurnSession::tear_down(const std::vector<Call>& calls) {
  std::vector<Client> leaving;
  for (const Call& call : calls) {
    const auto found = std::find_if(up_.begin(), up_.end(), [&call](const Client& one) {
      return one.ip == call.leg[0].own_ip;
    });
    if (found == up_.end()) continue;
    leaving.push_back(*found);
    leaving.back().step = Step::kEnd;
    up_.erase(found);
  }
  std::string ignored;
  run(leaving, ignored);
  if (ends_.streams == nullptr) return;
  for (const Client& client : leaving) ends_.streams->close(client.ip);
}

// Until all are done.
bool TurnSession::run(std::vector<Client>& clients, std::string& error) {
  std::size_t begun = 0;
  std::size_t done = 0;
  while (done < clients.size()) {
    for (; begun < clients.size() && begun - done < kAtATime; ++begun) {
      if (ends_.streams != nullptr) ends_.streams->open(clients[begun].ip);
      ask(clients[begun], static_cast<std::uint32_t>(begun));
    }
    const stun::Bytes response = next_message();
    if (response.empty()) {
      if (!ask_again(clients, error)) return false;
      continue;
    }
    const stun::Transaction transaction = stun::transaction_of(response);
    std::uint32_t index = 0;
    std::memcpy(&index, transaction.data(), sizeof index);
    if (index >= begun || clients[index].transaction != transaction) continue;
    Client& client = clients[index];
    if (client.step == Step::kDone) continue;  // answered twice
    client.tries = 0;
    if (!take(client, response, error)) return false;
    if (client.step == Step::kDone) {
      ++done;
    } else {
      ask(client, index);
    }
  }
  return true;
}

// A STUN message that waits; empty after a while without one.
stun::Bytes TurnSession::next_message() {
  constexpr int kWaitMs = static_cast<int>(kPatience.count()) / 10;
  if (ends_.streams != nullptr) {
    const auto keep = [this](stun::Bytes message, std::uint32_t) {
      if (stun::is_message(message)) heard_.emplace_back(message.begin(), message.end());
    };
    while (heard_.empty() && ends_.streams->receive(keep, kWaitMs)) {
    }
    if (heard_.empty()) return {};
    message_ = std::move(heard_.front());
    heard_.pop_front();
    return message_;
  }
  pollfd wait{ends_.fd[0], POLLIN, 0};
  while (poll(&wait, 1, kWaitMs) > 0) {
    const ssize_t length = recv(ends_.fd[0], datagram_.data(), datagram_.size(), MSG_DONTWAIT);
    if (length <= 0) continue;
    const stun::Bytes datagram(datagram_.data(), static_cast<std::size_t>(length));
    if (stun::is_message(datagram)) return datagram;
  }
  return {};
}

bool TurnSession::ask_again(std::vector<Client>& clients, std::string& error) {
  const auto now = steady_clock::now();
  for (std::uint32_t i = 0; i < clients.size(); ++i) {
    Client& client = clients[i];
    if (client.tries == 0 || client.step == Step::kDone || now - client.asked_at < kPatience) {
      continue;
    }
    if (client.tries == kTriesMax) {
      error = "no answer from the TURN server";
      return false;
    }
    ask(client, i);
  }
  return true;
}

void TurnSession::ask(Client& client, std::uint32_t index) {
  if (client.tries++ == 0) {  // the same transaction while it is not answered
    ++serial_;
    std::memcpy(client.transaction.data(), &index, sizeof index);
    std::memcpy(client.transaction.data() + sizeof index, &serial_, sizeof serial_);
  }
  client.asked_at = steady_clock::now();
  std::vector<std::uint8_t> bytes = request(client);
  iovec vector{bytes.data(), bytes.size()};
  if (ends_.streams != nullptr) return ends_.streams->send(client.ip, {&vector, 1});
  msghdr header{};
  header.msg_name = &server_.address;
  header.msg_namelen = sizeof server_.address;
  header.msg_iov = &vector;
  header.msg_iovlen = 1;
  SourceAddress source;
  source.put(header, client.ip);
  if (sendmsg(ends_.fd[0], &header, 0) >= 0) return;
  std::perror("turnpike_load: request to the TURN server");
  std::exit(1);
}

std::vector<std::uint8_t> TurnSession::request(const Client& client) const {
  const bool allocates = client.step == Step::kAsk || client.step == Step::kAllocate;
  const std::uint16_t permits =
      framing_ == Framing::kChannelData ? stun::kChannelBind : stun::kCreatePermission;
  stun::Message message(allocates                   ? stun::kAllocate
                        : client.step == Step::kEnd ? stun::kRefresh
                                                    : permits,
                        client.transaction);
  if (allocates) {
    message.add(stun::kRequestedTransport, kUdp).add(stun::kLifetime, kLifetimeSeconds);
  } else if (client.step == Step::kEnd) {
    message.add(stun::kLifetime, 0U);
  } else {
    if (permits == stun::kChannelBind) {
      message.add(stun::kChannelNumber, std::uint32_t{client.channel} << 16);
    }
    message.add(stun::kXorPeerAddress, peer_);
  }
  if (client.step == Step::kAsk) return message.bytes();
  return message.add(stun::kUsername, client.user)
      .add(stun::kRealm, client.realm)
      .add(stun::kNonce, client.nonce)
      .sign(client.key)
      .bytes();
}

void TurnSession::take_challenge(Client& client, stun::Bytes response) const {
  client.realm = text_of(stun::attribute(response, stun::kRealm));
  client.nonce = text_of(stun::attribute(response, stun::kNonce));
  client.key =
      stun::long_term_key(client.user, client.realm, password_of(client.user, server_.secret));
}

// What the response means for the next step; false when the server refuses.
bool TurnSession::take(Client& client, stun::Bytes response, std::string& error) const {
  const int code = stun::error_of(response);
  if (client.step == Step::kEnd) {
    client.step = Step::kDone;
    return true;
  }
  if ((client.step == Step::kAsk && code == 401) || code == 438) {
    take_challenge(client, response);
    if (client.step == Step::kAsk) client.step = Step::kAllocate;
    return true;
  }
  if ((stun::type_of(response) & stun::kError) != stun::kSuccess) {
    error = "the TURN server refuses with " + std::to_string(code);
    return false;
  }
  if (client.step != Step::kAllocate) {
    client.step = Step::kDone;
    return true;
  }
  const auto relayed = stun::address_in(stun::attribute(response, stun::kXorRelayedAddress));
  if (!relayed) {
    error = "the TURN server gives no relayed address";
    return false;
  }
  client.relayed = *relayed;
  client.step = Step::kPermit;
  return true;
}

}  // namespace turnpike::bench
