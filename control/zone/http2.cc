#include "control/zone/http2.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <map>
#include <optional>
#include <span>
#include <utility>

#include <nghttp2/nghttp2.h>

namespace turnpike::zone {
namespace {

constexpr std::int32_t kConnectionWindowBytes = 1 << 20;
constexpr std::size_t kTargetBytesMax = 200;
constexpr unsigned kStatusOk = 200;
constexpr unsigned kStatusBadMethod = 405;

std::string_view text_of(const std::uint8_t* bytes, std::size_t size) {
  const void* const start = bytes;
  return {static_cast<const char*>(start), size};
}

/// The library copies names and values, it only has no const in its types.
nghttp2_nv header(std::string& name, std::string& value) {
  void* const name_start = name.data();
  void* const value_start = value.data();
  return {static_cast<std::uint8_t*>(name_start), static_cast<std::uint8_t*>(value_start),
          name.size(), value.size(), NGHTTP2_NV_FLAG_NONE};
}

/// Written and not taken over yet. To take a piece moves what is left only now and then.
class Unsent {
 public:
  std::size_t size() const { return bytes_.size() - taken_; }
  void add(std::string_view bytes) { bytes_ += bytes; }
  /// At most `size` bytes into `buffer`; how many.
  std::size_t take(std::uint8_t* buffer, std::size_t size);

 private:
  tls::WipedText bytes_;
  std::size_t taken_ = 0;  // of these, from the start
};

std::size_t Unsent::take(std::uint8_t* buffer, std::size_t size) {
  const std::size_t count = std::min(size, this->size());
  char* const start = bytes_.data() + taken_;
  std::copy_n(start, count, buffer);
  ::explicit_bzero(start, count);
  taken_ += count;
  if (taken_ == bytes_.size()) {
    tls::wipe(bytes_);
    taken_ = 0;
  } else if (taken_ >= bytes_.size() / 2) {
    bytes_.erase(0, std::exchange(taken_, 0));
  }
  return count;
}

struct Stream {
  std::string target;
  std::string method;
  Unsent unsent;
  std::size_t header_bytes = 0;
  std::uint64_t status = 0;  // of an answer
  bool answered = false;     // by the end that accepts
  bool we_ended = false;
  bool they_ended = false;
  bool deferred = false;  // the library waits for data
};

struct Free {
  void operator()(nghttp2_session* session) const { nghttp2_session_del(session); }
  void operator()(nghttp2_session_callbacks* all) const { nghttp2_session_callbacks_del(all); }
  void operator()(nghttp2_option* option) const { nghttp2_option_del(option); }
};

void require(int code) {
  if (code != 0) std::abort();  // out of memory, or we misuse the library
}

/// Why a connection ends, where the other end is told.
constexpr Reason kTold[] = {Reason::kReplaced, Reason::kTakenInTurns, Reason::kTooOften};

}  // namespace

struct Http2::State {
  Side side = Side::kOpens;
  Http2Limits limits;
  std::unique_ptr<nghttp2_session, Free> session;
  std::map<StreamId, Stream> streams;
  std::vector<StreamEvent> events;
  std::span<std::uint8_t> copied;  // from a stream into the library's buffer, and not out of it yet
  Instant now{};
  double opens_left = 0;
  Instant opens_counted{};
  Reason reason = Reason::kNone;
  std::string detail;

  Stream* find(StreamId id) {
    const auto found = streams.find(id);
    return found == streams.end() ? nullptr : &found->second;
  }
  void tell(StreamEvent::Kind kind, StreamId stream, std::string_view text = {},
            std::uint64_t number = 0) {
    events.push_back({kind, stream, tls::WipedText(text), number});
  }
  int fail(Reason why, std::string more) {
    if (reason == Reason::kNone) {
      reason = why;
      detail = std::move(more);
    }
    return NGHTTP2_ERR_CALLBACK_FAILURE;
  }
  bool may_open();
  int on_begin(StreamId id);
  int on_header(StreamId id, std::string_view name, std::string_view value);
  void on_headers(StreamId id, Stream& stream);
  int on_frame(const nghttp2_frame& frame);
  void on_end(StreamId id);
  void on_close(StreamId id, std::uint32_t error);
  long read(StreamId id, std::uint8_t* buffer, std::size_t size, std::uint32_t& flags);
  void send_body(StreamId id, unsigned status, bool with_body);
};

bool Http2::State::may_open() {
  const std::chrono::duration<double> passed = now - opens_counted;
  if (opens_counted == Instant{}) {
    opens_left = limits.opens_burst;
  } else {
    opens_left =
        std::min<double>(limits.opens_burst, opens_left + passed.count() * limits.opens_per_second);
  }
  opens_counted = now;
  if (opens_left < 1) return false;
  opens_left -= 1;
  return true;
}

int Http2::State::on_begin(StreamId id) {
  if (side == Side::kOpens) return 0;
  if (!may_open()) {
    return fail(Reason::kTooManyStreams,
                "more than " + std::to_string(limits.opens_per_second) + " a second");
  }
  streams[id];
  return 0;
}

int Http2::State::on_header(StreamId id, std::string_view name, std::string_view value) {
  Stream* stream = find(id);
  if (stream == nullptr) return 0;
  stream->header_bytes += name.size() + value.size() + 32;  // as RFC 9113 section 6.5.2 counts
  if (stream->header_bytes > limits.header_bytes_max) {
    return fail(Reason::kBadHttp2,
                "a header of more than " + std::to_string(limits.header_bytes_max) + " bytes");
  }
  if (name == ":method") stream->method = value;
  if (name == ":authority") stream->target = value.substr(0, kTargetBytesMax);
  if (name == ":status" && value.size() == 3) {
    stream->status = 0;
    for (const char digit : value) {
      stream->status = stream->status * 10 + static_cast<std::uint64_t>(digit - '0');
    }
  }
  return 0;
}

void Http2::State::on_headers(StreamId id, Stream& stream) {
  if (side == Side::kAccepts) {
    if (stream.answered) return;  // trailers
    if (stream.method == "CONNECT") return tell(StreamEvent::Kind::kOpened, id, stream.target);
    return send_body(id, kStatusBadMethod, false);
  }
  if (stream.answered) return;
  stream.answered = true;
  if (stream.status >= kStatusOk && stream.status < 300) {
    return tell(StreamEvent::Kind::kAccepted, id);
  }
  tell(StreamEvent::Kind::kRefused, id, {}, stream.status);
  nghttp2_submit_rst_stream(session.get(), NGHTTP2_FLAG_NONE, id, NGHTTP2_CANCEL);
  streams.erase(id);
}

int Http2::State::on_frame(const nghttp2_frame& frame) {
  const StreamId id = frame.hd.stream_id;
  if (frame.hd.type == NGHTTP2_PING && (frame.hd.flags & NGHTTP2_FLAG_ACK) != 0) {
    std::uint64_t number = 0;
    for (const std::uint8_t byte : frame.ping.opaque_data) number = number << 8 | byte;
    tell(StreamEvent::Kind::kPong, 0, {}, number);
  } else if (frame.hd.type == NGHTTP2_GOAWAY) {
    const std::string_view why = text_of(frame.goaway.opaque_data, frame.goaway.opaque_data_len);
    for (const Reason told : kTold) {
      if (why == info_of(told).label) fail(told, "says the other end");
    }
    fail(Reason::kClosedThere, frame.goaway.error_code == NGHTTP2_NO_ERROR
                                   ? ""
                                   : nghttp2_http2_strerror(frame.goaway.error_code));
  } else if (frame.hd.type == NGHTTP2_HEADERS) {
    if (Stream* stream = find(id)) on_headers(id, *stream);
  }
  const bool has_end = frame.hd.type == NGHTTP2_HEADERS || frame.hd.type == NGHTTP2_DATA;
  if (has_end && (frame.hd.flags & NGHTTP2_FLAG_END_STREAM) != 0) on_end(id);
  return 0;
}

void Http2::State::on_end(StreamId id) {
  Stream* stream = find(id);
  if (stream == nullptr || stream->they_ended) return;
  stream->they_ended = true;
  tell(StreamEvent::Kind::kEnded, id);
}

void Http2::State::on_close(StreamId id, std::uint32_t error) {
  const Stream* stream = find(id);
  if (stream == nullptr) return;
  const bool whole = error == NGHTTP2_NO_ERROR && stream->they_ended && stream->we_ended &&
                     stream->unsent.size() == 0;
  if (!whole) tell(StreamEvent::Kind::kReset, id);
  streams.erase(id);
}

long Http2::State::read(StreamId id, std::uint8_t* buffer, std::size_t size, std::uint32_t& flags) {
  Stream* stream = find(id);
  if (stream == nullptr) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
  const std::size_t count = stream->unsent.take(buffer, size);
  copied = {buffer, count};
  if (stream->unsent.size() > 0) return static_cast<long>(count);
  if (stream->we_ended) {
    flags |= NGHTTP2_DATA_FLAG_EOF;
    return static_cast<long>(count);
  }
  if (count > 0) {
    tell(StreamEvent::Kind::kDrained, id);
    return static_cast<long>(count);
  }
  stream->deferred = true;
  return NGHTTP2_ERR_DEFERRED;
}

namespace {

nghttp2_data_provider body_of(void* state, nghttp2_data_source_read_callback read) {
  nghttp2_data_provider provider{};
  provider.source.ptr = state;
  provider.read_callback = read;
  return provider;
}

}  // namespace

void Http2::State::send_body(StreamId id, unsigned status, bool with_body) {
  std::string name = ":status";
  std::string value = std::to_string(status);
  const std::array<nghttp2_nv, 1> headers{header(name, value)};
  const auto provider =
      body_of(this,
              [](nghttp2_session*, StreamId stream, std::uint8_t* buffer, std::size_t size,
                 std::uint32_t* flags, nghttp2_data_source* source, void*) -> ssize_t {
                return static_cast<State*>(source->ptr)->read(stream, buffer, size, *flags);
              });
  nghttp2_submit_response(session.get(), id, headers.data(), headers.size(),
                          with_body ? &provider : nullptr);
  if (Stream* stream = find(id)) {
    stream->answered = true;
    if (!with_body) stream->we_ended = true;
  }
}

namespace {

template <typename S>
std::unique_ptr<nghttp2_session_callbacks, Free> make_callbacks() {
  nghttp2_session_callbacks* made = nullptr;
  require(nghttp2_session_callbacks_new(&made));
  std::unique_ptr<nghttp2_session_callbacks, Free> all(made);
  nghttp2_session_callbacks_set_on_begin_headers_callback(
      made, [](nghttp2_session*, const nghttp2_frame* frame, void* state) {
        return static_cast<S*>(state)->on_begin(frame->hd.stream_id);
      });
  nghttp2_session_callbacks_set_on_header_callback(
      made, [](nghttp2_session*, const nghttp2_frame* frame, const std::uint8_t* name,
               std::size_t name_size, const std::uint8_t* value, std::size_t value_size,
               std::uint8_t, void* state) {
        return static_cast<S*>(state)->on_header(frame->hd.stream_id, text_of(name, name_size),
                                                 text_of(value, value_size));
      });
  nghttp2_session_callbacks_set_on_frame_recv_callback(
      made, [](nghttp2_session*, const nghttp2_frame* frame, void* state) {
        return static_cast<S*>(state)->on_frame(*frame);
      });
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(
      made, [](nghttp2_session* session, std::uint8_t, StreamId stream, const std::uint8_t* bytes,
               std::size_t size, void* state) {
        auto& ours = *static_cast<S*>(state);
        nghttp2_session_consume_connection(session, size);
        if (ours.find(stream) == nullptr) return 0;
        ours.tell(StreamEvent::Kind::kData, stream, text_of(bytes, size));
        return 0;
      });
  nghttp2_session_callbacks_set_on_stream_close_callback(
      made, [](nghttp2_session*, StreamId stream, std::uint32_t error, void* state) {
        static_cast<S*>(state)->on_close(stream, error);
        return 0;
      });
  nghttp2_session_callbacks_set_on_frame_send_callback(
      made, [](nghttp2_session*, const nghttp2_frame* frame, void* state) {
        // The library's own verdict on what the other end has sent.
        if (frame->hd.type == NGHTTP2_GOAWAY && frame->goaway.error_code != NGHTTP2_NO_ERROR) {
          static_cast<S*>(state)->fail(Reason::kBadHttp2,
                                       nghttp2_http2_strerror(frame->goaway.error_code));
        }
        return 0;
      });
  return all;
}

}  // namespace

Http2::Http2(Side side, const Http2Limits& limits) : state_(std::make_unique<State>()) {
  state_->side = side;
  state_->limits = limits;
  const auto callbacks = make_callbacks<State>();
  nghttp2_option* made = nullptr;
  require(nghttp2_option_new(&made));
  const std::unique_ptr<nghttp2_option, Free> option(made);
  nghttp2_option_set_no_auto_window_update(made, 1);
  nghttp2_option_set_no_closed_streams(made, 1);
  nghttp2_option_set_peer_max_concurrent_streams(made, limits.streams_max);
  nghttp2_session* session = nullptr;
  const auto make =
      side == Side::kOpens ? nghttp2_session_client_new2 : nghttp2_session_server_new2;
  require(make(&session, callbacks.get(), state_.get(), made));
  state_->session.reset(session);
  // No dynamic header table: nothing that one request says is kept for the next.
  std::vector<nghttp2_settings_entry> settings{
      {NGHTTP2_SETTINGS_HEADER_TABLE_SIZE, 0},
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, limits.stream_window_bytes},
      {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, side == Side::kOpens ? 0 : limits.streams_max},
      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, limits.header_bytes_max},
  };
  if (side == Side::kOpens) settings.push_back({NGHTTP2_SETTINGS_ENABLE_PUSH, 0});
  require(nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, settings.data(), settings.size()));
  require(
      nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, 0, kConnectionWindowBytes));
}

Http2::~Http2() = default;

bool Http2::receive(std::string_view bytes, Instant now) {
  State& state = *state_;
  if (state.reason != Reason::kNone) return false;
  state.now = now;
  const void* const start = bytes.data();
  const auto taken = nghttp2_session_mem_recv(
      state.session.get(), static_cast<const std::uint8_t*>(start), bytes.size());
  if (taken < 0) state.fail(Reason::kBadHttp2, nghttp2_strerror(static_cast<int>(taken)));
  return state.reason == Reason::kNone;
}

bool Http2::produce(tls::WipedText& bytes, std::size_t enough) {
  State& state = *state_;
  while (bytes.size() < enough) {
    const std::uint8_t* piece = nullptr;
    const auto size = nghttp2_session_mem_send(state.session.get(), &piece);
    if (size < 0) state.fail(Reason::kBadHttp2, nghttp2_strerror(static_cast<int>(size)));
    if (size <= 0) break;
    bytes += text_of(piece, static_cast<std::size_t>(size));
    // The library keeps its buffer for the next frame.
    const auto copied = std::exchange(state.copied, {});
    if (!copied.empty()) ::explicit_bzero(copied.data(), copied.size());
  }
  return state.reason == Reason::kNone;
}

std::vector<StreamEvent> Http2::take_events() {
  return std::exchange(state_->events, {});
}

Reason Http2::reason() const {
  return state_->reason;
}

const std::string& Http2::detail() const {
  return state_->detail;
}

StreamId Http2::open(std::string_view target) {
  State& state = *state_;
  if (state.streams.size() >= state.limits.streams_max || state.side != Side::kOpens) return 0;
  const auto allowed = nghttp2_session_get_remote_settings(state.session.get(),
                                                           NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
  if (state.streams.size() >= allowed) return 0;
  std::array<std::string, 4> texts{":method", "CONNECT", ":authority", std::string(target)};
  const std::array<nghttp2_nv, 2> headers{header(texts[0], texts[1]), header(texts[2], texts[3])};
  const auto provider =
      body_of(&state,
              [](nghttp2_session*, StreamId stream, std::uint8_t* buffer, std::size_t size,
                 std::uint32_t* flags, nghttp2_data_source* source, void*) -> ssize_t {
                return static_cast<State*>(source->ptr)->read(stream, buffer, size, *flags);
              });
  const StreamId id = nghttp2_submit_request(state.session.get(), nullptr, headers.data(),
                                             headers.size(), &provider, nullptr);
  if (id <= 0) return 0;
  state.streams[id];
  return id;
}

void Http2::accept(StreamId stream) {
  if (state_->find(stream) != nullptr) state_->send_body(stream, kStatusOk, true);
}

void Http2::refuse(StreamId stream, unsigned status) {
  if (state_->find(stream) == nullptr) return;
  state_->send_body(stream, status, false);
}

void Http2::write(StreamId stream, std::string_view bytes) {
  Stream* found = state_->find(stream);
  if (found == nullptr || found->we_ended || bytes.empty()) return;
  found->unsent.add(bytes);
  if (std::exchange(found->deferred, false)) {
    nghttp2_session_resume_data(state_->session.get(), stream);
  }
}

void Http2::end(StreamId stream) {
  Stream* found = state_->find(stream);
  if (found == nullptr || found->we_ended) return;
  found->we_ended = true;
  if (std::exchange(found->deferred, false)) {
    nghttp2_session_resume_data(state_->session.get(), stream);
  }
}

void Http2::reset(StreamId stream) {
  if (state_->streams.erase(stream) == 0) return;
  nghttp2_submit_rst_stream(state_->session.get(), NGHTTP2_FLAG_NONE, stream, NGHTTP2_CANCEL);
}

void Http2::consumed(StreamId stream, std::size_t bytes) {
  if (state_->find(stream) == nullptr) return;
  nghttp2_session_consume_stream(state_->session.get(), stream, bytes);
}

std::size_t Http2::unsent(StreamId stream) const {
  const Stream* found = state_->find(stream);
  return found == nullptr ? 0 : found->unsent.size();
}

std::size_t Http2::stream_count() const {
  return state_->streams.size();
}

void Http2::ping(std::uint64_t number) {
  std::array<std::uint8_t, 8> bytes{};
  for (std::size_t i = bytes.size(); i-- > 0; number >>= 8) {
    bytes[i] = static_cast<std::uint8_t>(number & 0xff);
  }
  nghttp2_submit_ping(state_->session.get(), NGHTTP2_FLAG_NONE, bytes.data());
}

void Http2::shut_down(Reason reason) {
  nghttp2_session* session = state_->session.get();
  if (std::find(std::begin(kTold), std::end(kTold), reason) != std::end(kTold)) {
    const std::string_view word = info_of(reason).label;
    nghttp2_submit_goaway(session, NGHTTP2_FLAG_NONE, 0, NGHTTP2_NO_ERROR,
                          reinterpret_cast<const std::uint8_t*>(word.data()), word.size());
  }
  nghttp2_session_terminate_session(session, NGHTTP2_NO_ERROR);
}

}  // namespace turnpike::zone
