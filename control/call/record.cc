// Implements record.h: one list of fields, walked by a writer and by a reader.
#include "control/call/record.h"

#include <algorithm>
#include <concepts>
#include <cstring>
#include <type_traits>
#include <utility>

namespace turnpike::call {
namespace {

constexpr std::uint32_t kMagic = 0x54504331;  // "TPC1"
// More than any call has; keeps a damaged count from costing memory.
constexpr std::size_t kCountMax = 4096;

/// Sums up sizes first and then writes, so that growing leaves no copies of keys in freed memory:
/// the same code runs twice, with `out` unset the first time.
class Writer {
 public:
  explicit Writer(std::string* out) : out_(out) {}
  std::size_t size() const { return size_; }

  void field(const void* data, std::size_t size) {
    if (out_ != nullptr) out_->append(static_cast<const char*>(data), size);
    size_ += size;
  }
  template <typename T>
  requires(std::is_arithmetic_v<T> || std::is_enum_v<T>) void field(const T& value) {
    field(&value, sizeof value);
  }
  /// Cut rather than written so that nobody can read the record.
  void field(const std::string& text) {
    const std::size_t size = std::min(text.size(), kCountMax);
    count(size);
    field(text.data(), size);
  }
  void field(const Instant& instant) { field(instant.time_since_epoch().count()); }
  template <typename T, std::size_t N>
  void field(const std::array<T, N>& items) {
    if constexpr (std::same_as<T, std::uint8_t>) return field(items.data(), N);
    for (const T& item : items) field(item);
  }
  template <typename T>
  void field(const std::vector<T>& items) {
    count(items.size());
    for (const T& item : items) field(item);
  }
  template <typename T>
  void field(const std::optional<T>& item) {
    field(item.has_value());
    if (item) field(*item);
  }
  template <typename T>
  requires std::is_class_v<T>
  void field(const T& item) { visit(*this, item); }

 private:
  void count(std::size_t n) { field(static_cast<std::uint32_t>(n)); }

  std::string* out_;
  std::size_t size_ = 0;
};

/// The mirror of Writer. After the first damage everything reads as nothing.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : rest_(bytes) {}
  bool ok() const { return ok_; }
  bool at_end() const { return rest_.empty(); }

  void field(void* data, std::size_t size) {
    if (!ok_ || rest_.size() < size) {
      ok_ = false;
      return;
    }
    std::memcpy(data, rest_.data(), size);
    rest_.remove_prefix(size);
  }
  template <typename T>
  requires(std::is_arithmetic_v<T> || std::is_enum_v<T>) void field(T& value) {
    if constexpr (std::same_as<T, bool>) {
      std::uint8_t byte = 0;
      field(byte);
      ok_ = ok_ && byte <= 1;
      value = byte == 1;
    } else {
      field(&value, sizeof value);
    }
  }
  void field(std::string& text) {
    const std::size_t size = count();
    if (!ok_ || rest_.size() < size) {
      ok_ = false;
      return;
    }
    text.assign(rest_.substr(0, size));
    rest_.remove_prefix(size);
  }
  void field(Instant& instant) {
    Instant::rep nanoseconds = 0;
    field(nanoseconds);
    instant = Instant{Nanoseconds{nanoseconds}};
  }
  template <typename T, std::size_t N>
  void field(std::array<T, N>& items) {
    if constexpr (std::same_as<T, std::uint8_t>) return field(items.data(), N);
    for (T& item : items) field(item);
  }
  template <typename T>
  void field(std::vector<T>& items) {
    const std::size_t size = count();
    for (std::size_t i = 0; ok_ && i < size; ++i) field(items.emplace_back());
  }
  template <typename T>
  void field(std::optional<T>& item) {
    bool has_value = false;
    field(has_value);
    if (has_value) field(item.emplace());
  }
  template <typename T>
  requires std::is_class_v<T>
  void field(T& item) { visit(*this, item); }

 private:
  std::size_t count() {
    std::uint32_t n = 0;
    field(n);
    ok_ = ok_ && n <= kCountMax;
    return ok_ ? n : 0;
  }

  std::string_view rest_;
  bool ok_ = true;
};

// One list of fields for both directions. T is const when written.
template <typename T, typename Plain>
concept Is = std::same_as<std::remove_const_t<T>, Plain>;

template <typename V, Is<IpAddress> T>
void visit(V& v, T& x) {
  v.field(x.family);
  v.field(x.bytes);
}
template <typename V, Is<SocketAddress> T>
void visit(V& v, T& x) {
  v.field(x.ip);
  v.field(x.port);
}
template <typename V, Is<SrtpKeying> T>
void visit(V& v, T& x) {
  v.field(x.suite);
  if (static_cast<std::size_t>(x.suite) == 0) return;
  v.field(x.mki_bytes);
  v.field(x.mki);
  v.field(x.master_key);
  v.field(x.master_salt);
  v.field(x.lifetime_packets);
}
template <typename V, Is<sdp::SecretKeying> T>
void visit(V& v, T& x) {
  v.field(x.value);
}
template <typename V, Is<sdp::Addresses> T>
void visit(V& v, T& x) {
  v.field(x.rtp);
  v.field(x.rtcp);
}
template <typename V, Is<RemoteMedia> T>
void visit(V& v, T& x) {
  v.field(x.address);
  v.field(x.held);
  v.field(x.direction);
  v.field(x.rtcp_mux);
  v.field(x.rtcp_mux_only);
  v.field(x.crypto_tag);
  v.field(x.key);
}
template <typename V, Is<SourceRules> T>
void visit(V& v, T& x) {
  v.field(x.policy);
  v.field(x.received_from);
}
template <typename V, Is<MediaSide> T>
void visit(V& v, T& x) {
  v.field(x.remote);
  v.field(x.profile);
  v.field(x.rtcp_mux);
  v.field(x.clock_rate_hz);
  v.field(x.suite);
  v.field(x.keys);
}
template <typename V, Is<SessionId> T>
void visit(V& v, T& x) {
  v.field(x.slot);
  v.field(x.generation);
  v.field(x.shard);
}
template <typename V, Is<SessionPorts> T>
void visit(V& v, T& x) {
  v.field(x.local);
  v.field(x.advertised);
}
template <typename V, Is<SessionSpec> T>
void visit(V& v, T& x) {
  v.field(x.interface_index);
  v.field(x.family);
  v.field(x.dscp);
  v.field(x.kind);
  v.field(x.shard);
}
template <typename V, Is<CallMedia> T>
void visit(V& v, T& x) {
  v.field(x.kind);
  v.field(x.accepted);
  v.field(x.answered);
  v.field(x.session);
  v.field(x.ports);
  v.field(x.spec);
  v.field(x.sides);
  v.field(x.silent_since);
}
template <typename V, Is<OfferedCrypto> T>
void visit(V& v, T& x) {
  v.field(x.tag);
  v.field(x.suite);
}
template <typename V, Is<OfferedMedia> T>
void visit(V& v, T& x) {
  v.field(x.kind);
  v.field(x.protocol);
  v.field(x.accepted);
  v.field(x.sender);
  v.field(x.receiver_profile);
  v.field(x.mux_offered);
  v.field(x.mux_accept);
  v.field(x.mux_reject);
  v.field(x.crypto);
}
template <typename V, Is<Offer> T>
void visit(V& v, T& x) {
  v.field(x.in_dialog);
  v.field(x.rules);
  v.field(x.media);
}
template <typename V, Is<CallSide> T>
void visit(V& v, T& x) {
  v.field(x.tag);
  v.field(x.other_tags);
  v.field(x.since);
  v.field(x.interface_index);
  v.field(x.rules);
  v.field(x.sent_username);
  v.field(x.sent_session_name);
}
template <typename V, Is<Totals> T>
void visit(V& v, T& x) {
  v.field(x.rtp_packets);
  v.field(x.rtp_bytes);
  v.field(x.rtp_errors);
  v.field(x.rtcp_packets);
}
template <typename V, Is<Call> T>
void visit(V& v, T& x) {
  v.field(x.id);
  v.field(x.record_key);
  v.field(x.created);
  v.field(x.created_unix_us);
  v.field(x.last_signal);
  v.field(x.last_signal_unix_us);
  v.field(x.answered);
  v.field(x.delete_at);
  v.field(x.sides);
  v.field(x.media);
  v.field(x.offers);
  v.field(x.past);
}

void write_all(Writer& writer, const Call& call) {
  writer.field(kMagic);
  writer.field(kRecordVersion);
  writer.field(call);
}

/// Enumerators and offsets that code indexes with must be ones that exist.
bool is_sound(const MediaSide& side) {
  const auto known = [](SrtpSuite suite) {
    return static_cast<std::size_t>(suite) < kSrtpSuiteCount;
  };
  for (const sdp::SecretKeying& key : side.keys) {
    if (!known(key.value.suite) || key.value.mki_bytes > kMkiBytesMax) return false;
  }
  return known(side.suite) && known(side.remote.key.value.suite) &&
         side.remote.key.value.mki_bytes <= kMkiBytesMax && side.profile <= sdp::Profile::kSavpf &&
         side.remote.direction <= sdp::Direction::kInactive;
}

bool is_sound(const Offer& offer) {
  for (const OfferedMedia& media : offer.media) {
    if (media.receiver_profile > sdp::Profile::kSavpf) return false;
    if (media.sender.direction > sdp::Direction::kInactive) return false;
    if (static_cast<std::size_t>(media.sender.key.value.suite) >= kSrtpSuiteCount) return false;
    if (media.sender.key.value.mki_bytes > kMkiBytesMax) return false;
    if (media.accepted && !sdp::profile_of(media.protocol)) return false;
    for (const OfferedCrypto& line : media.crypto) {
      if (static_cast<std::size_t>(line.suite) >= kSrtpSuiteCount) return false;
    }
  }
  return true;
}

bool is_sound(const Call& call) {
  for (const CallMedia& media : call.media) {
    if (!is_sound(media.sides[0]) || !is_sound(media.sides[1])) return false;
  }
  for (const auto& offer : call.offers) {
    if (!offer) continue;
    if (!is_sound(*offer) || offer->media.size() > call.media.size()) return false;
  }
  return !call.id.empty() && call.record_key != 0;
}

}  // namespace

std::string write_record(const Call& call) {
  Writer measure(nullptr);
  write_all(measure, call);
  std::string out;
  out.reserve(measure.size());
  Writer writer(&out);
  write_all(writer, call);
  return out;
}

std::optional<Call> read_record(std::string_view bytes) {
  Reader reader(bytes);
  std::uint32_t magic = 0;
  std::uint16_t version = 0;
  reader.field(magic);
  reader.field(version);
  if (!reader.ok() || magic != kMagic || version != kRecordVersion) return std::nullopt;
  Call call;
  reader.field(call);
  if (!reader.ok() || !reader.at_end() || !is_sound(call)) return std::nullopt;
  return call;
}

}  // namespace turnpike::call
