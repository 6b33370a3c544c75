// turnpike_handshakes: sets calls up through NG whose client makes a DTLS-SRTP handshake with the
// relay (RFC 5764), so many a second, and takes them down again. Prints one JSON line: how many
// came to an end, how long they took, what the relay's process spent. The client is OpenSSL's.
#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <arpa/inet.h>
#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/load/ng_session.h"
#include "bench/load/observed_process.h"

namespace turnpike::bench {
namespace {

using Clock = std::chrono::steady_clock;

constexpr const char* kUsage =
    "usage: turnpike_handshakes --ng PORT --pid PID [--rate N] [--seconds N]\n"
    "                           [--local IP,IP] [--relay IP]\n"
    "N handshakes a second (default 100) for N seconds (default 10). Loopback or a network\n"
    "namespace of your own only.\n";
constexpr std::chrono::seconds kPatience{10};

struct Options {
  std::uint16_t ng = 0;
  int pid = 0;
  std::uint32_t rate = 100;
  std::uint32_t seconds = 10;
  std::array<std::string, 2> local{"127.0.0.1", "127.0.0.1"};
  std::string relay = "127.0.0.1";
};

[[noreturn]] void fail(const std::string& why) {
  std::fprintf(stderr, "turnpike_handshakes: %s\n", why.c_str());
  std::exit(1);
}

[[noreturn]] void refuse(const std::string& why) {
  std::fprintf(stderr, "turnpike_handshakes: %s\n%s", why.c_str(), kUsage);
  std::exit(2);
}

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; i += 2) {
    const std::string name = argv[i];
    if (name == "--help" || name == "-h") {
      std::fputs(kUsage, stdout);
      std::exit(0);
    }
    if (i + 1 == argc) refuse(name + " needs a value");
    const std::string value = argv[i + 1];
    const auto number = static_cast<std::uint32_t>(std::strtoul(value.c_str(), nullptr, 10));
    const auto comma = value.find(',');
    if (name == "--ng") {
      options.ng = static_cast<std::uint16_t>(number);
    } else if (name == "--pid") {
      options.pid = static_cast<int>(number);
    } else if (name == "--rate") {
      options.rate = number;
    } else if (name == "--seconds") {
      options.seconds = number;
    } else if (name == "--relay") {
      options.relay = value.substr(0, comma);
    } else if (name == "--local") {
      if (comma == std::string::npos) refuse("--local needs two addresses");
      options.local = {value.substr(0, comma), value.substr(comma + 1)};
    } else {
      refuse("unknown option " + name);
    }
  }
  if (options.ng == 0 || options.pid == 0) refuse("--ng and --pid are needed");
  if (options.rate == 0 || options.seconds == 0) refuse("--rate and --seconds must not be 0");
  return options;
}

// A self-signed certificate that all clients show, as browsers make them.
class Identity {
 public:
  Identity() {
    EVP_PKEY* key = EVP_EC_gen("P-256");
    X509* certificate = X509_new();
    if (key == nullptr || certificate == nullptr) fail("cannot make a key");
    X509_set_version(certificate, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -86400);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 86400);
    X509_set_pubkey(certificate, key);
    X509_NAME* name = X509_get_subject_name(certificate);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                               reinterpret_cast<const unsigned char*>("client"), -1, -1, 0);
    X509_set_issuer_name(certificate, name);
    if (X509_sign(certificate, key, EVP_sha256()) == 0) fail("cannot sign a certificate");
    std::array<unsigned char, 32> digest{};
    unsigned length = 0;
    X509_digest(certificate, EVP_sha256(), digest.data(), &length);
    fingerprint_ = "sha-256 ";
    for (const unsigned byte : digest) {
      std::array<char, 4> text{};
      std::snprintf(text.data(), text.size(), "%02X:", byte);
      fingerprint_ += text.data();
    }
    fingerprint_.pop_back();
    context_ = SSL_CTX_new(DTLS_client_method());
    SSL_CTX_use_certificate(context_, certificate);
    SSL_CTX_use_PrivateKey(context_, key);
    SSL_CTX_set_tlsext_use_srtp(context_, "SRTP_AEAD_AES_128_GCM:SRTP_AES128_CM_SHA1_80");
    X509_free(certificate);
    EVP_PKEY_free(key);
  }
  ~Identity() { SSL_CTX_free(context_); }
  Identity(const Identity&) = delete;
  Identity& operator=(const Identity&) = delete;

  SSL_CTX* context() const { return context_; }
  const std::string& fingerprint() const { return fingerprint_; }

 private:
  SSL_CTX* context_ = nullptr;
  std::string fingerprint_;
};

sockaddr_in address_of(const std::string& ip, std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  if (inet_pton(AF_INET, ip.c_str(), &address.sin_addr) != 1) refuse("not an address: " + ip);
  return address;
}

class Client {
 public:
  Client(const Identity& identity, const std::string& ip)
      : fd_(socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)),
        ssl_(SSL_new(identity.context())) {
    sockaddr_in local = address_of(ip, 0);
    socklen_t size = sizeof local;
    if (bind(fd_, reinterpret_cast<sockaddr*>(&local), size) != 0 ||
        getsockname(fd_, reinterpret_cast<sockaddr*>(&local), &size) != 0) {
      fail("cannot bind a socket to " + ip);
    }
    port_ = ntohs(local.sin_port);
  }
  ~Client() {
    SSL_free(ssl_);
    close(fd_);
  }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  std::uint16_t port() const { return port_; }
  int fd() const { return fd_; }
  Clock::time_point begun() const { return begun_; }

  void begin(const std::string& relay, std::uint16_t relay_port) {
    sockaddr_in to = address_of(relay, relay_port);
    if (connect(fd_, reinterpret_cast<sockaddr*>(&to), sizeof to) != 0) fail("cannot connect");
    BIO* bio = BIO_new_dgram(fd_, BIO_NOCLOSE);
    BIO_ctrl(bio, BIO_CTRL_DGRAM_SET_CONNECTED, 0, &to);
    SSL_set_bio(ssl_, bio, bio);
    SSL_set_options(ssl_, SSL_OP_NO_QUERY_MTU);
    DTLS_set_link_mtu(ssl_, 1400);
    SSL_set_connect_state(ssl_);
    begun_ = Clock::now();
    go_on();
  }

  /// Goes on with what has come, or after a time-out.
  void go_on() {
    DTLSv1_handle_timeout(ssl_);
    const int done = SSL_do_handshake(ssl_);
    if (done == 1) {
      completed_ = SSL_get_selected_srtp_profile(ssl_) != nullptr;
      failed_ = !completed_;
      return;
    }
    const int why = SSL_get_error(ssl_, done);
    failed_ = why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE;
  }
  bool completed() const { return completed_; }
  bool failed() const { return failed_ || Clock::now() - begun_ > kPatience; }

 private:
  int fd_;
  SSL* ssl_;
  std::uint16_t port_ = 0;
  Clock::time_point begun_{};
  bool completed_ = false;
  bool failed_ = false;
};

struct Figures {
  std::uint32_t attempted = 0;
  std::uint32_t refused = 0;
  std::uint32_t failed = 0;
  std::vector<double> milliseconds;
};

class Storm {
 public:
  explicit Storm(const Options& options) : options_(options), ng_(options.ng) {}

  Figures run() {
    const auto step = std::chrono::nanoseconds(1'000'000'000 / options_.rate);
    const auto begin = Clock::now();
    const auto end = begin + std::chrono::seconds(options_.seconds);
    auto next = begin;
    while (Clock::now() < end || !client_by_id_.empty()) {
      if (Clock::now() >= next && next < end) {
        start_one();
        next += step;
      }
      wait_until(next < end ? next : Clock::now() + std::chrono::milliseconds(20));
      look();
    }
    return figures_;
  }

 private:
  void start_one() {
    const std::string id =
        "handshake-" + std::to_string(getpid()) + "-" + std::to_string(++figures_.attempted);
    auto client = std::make_unique<Client>(identity_, options_.local[0]);
    std::uint16_t relay_port = 0;
    std::string error;
    const auto inside_port = static_cast<std::uint16_t>(20000 + figures_.attempted % 10000 * 2);
    if (!ng_.set_up_dtls(id, options_.local, {client->port(), inside_port}, identity_.fingerprint(),
                         relay_port, error)) {
      if (figures_.refused++ == 0) std::fprintf(stderr, "refused: %s\n", error.c_str());
      return;
    }
    client->begin(options_.relay, relay_port);
    client_by_id_[id] = std::move(client);
  }

  void wait_until(Clock::time_point until) {
    polled_.clear();
    for (const auto& [id, client] : client_by_id_) polled_.push_back({client->fd(), POLLIN, 0});
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - Clock::now());
    poll(polled_.data(), polled_.size(),
         static_cast<int>(std::clamp<std::int64_t>(left.count(), 0, 20)));
  }

  void look() {
    for (auto it = client_by_id_.begin(); it != client_by_id_.end();) {
      Client& client = *it->second;
      client.go_on();
      if (!client.completed() && !client.failed()) {
        ++it;
        continue;
      }
      if (client.completed()) {
        const std::chrono::duration<double, std::milli> took = Clock::now() - client.begun();
        figures_.milliseconds.push_back(took.count());
      } else {
        ++figures_.failed;
      }
      ng_.tear_down(it->first);
      it = client_by_id_.erase(it);
    }
  }

  const Options& options_;
  NgSession ng_;
  Identity identity_;
  std::map<std::string, std::unique_ptr<Client>> client_by_id_;
  std::vector<pollfd> polled_;
  Figures figures_;
};

double percentile(std::vector<double>& values, double share) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  return values[static_cast<std::size_t>(share * static_cast<double>(values.size() - 1))];
}

int run(int argc, char** argv) {
  const Options options = parse(argc, argv);
  const std::uint64_t before = observe(options.pid).cpu_ns;
  const auto begin = Clock::now();
  Figures figures = Storm(options).run();
  const std::chrono::duration<double> took = Clock::now() - begin;
  const double completed = static_cast<double>(figures.milliseconds.size());
  const auto spent = static_cast<double>(observe(options.pid).cpu_ns - before);
  std::printf(
      "{\"handshakes_attempted\":%u,\"handshakes_completed\":%.0f,\"refused\":%u,\"failed\":%u,"
      "\"per_second\":%.1f,\"p50_ms\":%.2f,\"p99_ms\":%.2f,\"relay_cpu_us_each\":%.1f}\n",
      figures.attempted, completed, figures.refused, figures.failed, completed / took.count(),
      percentile(figures.milliseconds, 0.5), percentile(figures.milliseconds, 0.99),
      completed == 0 ? 0 : spent / 1000 / completed);
  return figures.milliseconds.empty() ? 1 : 0;
}

}  // namespace
}  // namespace turnpike::bench

int main(int argc, char** argv) {
  return turnpike::bench::run(argc, argv);
}
