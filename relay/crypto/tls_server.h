// TLS 1.2 and 1.3 as a server over a connected socket (RFC 8446, RFC 5246), without waiting: the
// handshake, then bytes. The certificate serves DTLS associations as well (dtls.h). Hides: OpenSSL.
// Is not: judgement of files, sockets, deadlines.
//
// No renegotiation, no compression, no resumption: nothing but symmetric work is left after the
// handshake, so a connection may move to another thread then.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "relay/core/byte_stream.h"
#include "turnpike/result.h"

namespace turnpike {

enum class TlsOver : std::uint8_t { kStreams, kDatagrams };

/// Certificate and key that connections to come are shown. Those that are up keep theirs.
class TlsServerContext {
 public:
  /// `certificate`: PEM, the chain behind it. `private_key`: PEM without passphrase. `protocol`:
  /// the ALPN name (RFC 7301) that is taken; who offers none is welcome, who offers only others is
  /// not. The error says which of the two cannot be used.
  static Result<std::shared_ptr<const TlsServerContext>> make(const std::string& certificate,
                                                              const std::string& private_key,
                                                              std::string_view protocol,
                                                              TlsOver over = TlsOver::kStreams);
  ~TlsServerContext();
  TlsServerContext(const TlsServerContext&) = delete;
  TlsServerContext& operator=(const TlsServerContext&) = delete;

 private:
  friend class TlsStream;
  friend class DtlsAssociation;
  struct Library;
  explicit TlsServerContext(std::unique_ptr<Library> library);
  std::unique_ptr<Library> library_;
};

class TlsStream final : public ByteStream {
 public:
  enum class Handshake : std::uint8_t { kDone, kWaitsToRead, kWaitsToWrite, kFailed };

  /// Owns `fd` from now on, non-blocking. Null, and it is closed, when memory is out.
  static std::unique_ptr<TlsStream> make(std::shared_ptr<const TlsServerContext> context, int fd);
  ~TlsStream() override;

  /// Goes on with the handshake. After kFailed nothing may be called.
  Handshake shake_hands();

  // Once that is done.
  int fd() const override { return fd_; }
  /// At most one record with data. kWait: nothing more was there, unless a client sends many
  /// records without data in a row.
  StreamMoved read(std::span<std::uint8_t> into) override;
  StreamMoved write(std::span<const std::uint8_t> bytes) override;
  bool end_writing() override;
  bool has_read_ahead() const override;

 private:
  struct Library;
  TlsStream(std::unique_ptr<Library> library, int fd);
  StreamMoved result_of(int done, std::size_t bytes);

  std::unique_ptr<Library> library_;
  int fd_;
  bool is_up_ = false;  // a good-bye can be said
};

}  // namespace turnpike
