#include "control/ng/stream_link.h"

#include <utility>

namespace turnpike::ng {
namespace {

class UnixLink final : public StreamLink {
 public:
  explicit UnixLink(std::unique_ptr<loop::StreamConnection> connection)
      : connection_(std::move(connection)) {}

  void start(Handlers handlers) override {
    connection_->start({.on_data = std::move(handlers.on_data),
                        .on_end = std::move(handlers.on_end),
                        .on_drained = std::move(handlers.on_drained),
                        .on_broken = std::move(handlers.on_broken)});
  }
  void write(std::string bytes) override { connection_->write(std::move(bytes)); }
  std::size_t bytes_unsent() const override { return connection_->bytes_unsent(); }
  void pause_reading() override { connection_->pause_reading(); }
  void resume_reading() override { connection_->resume_reading(); }
  bool end() override { return false; }

 private:
  std::unique_ptr<loop::StreamConnection> connection_;
};

class TcpLink final : public StreamLink {
 public:
  explicit TcpLink(std::unique_ptr<loop::TcpConnection> connection)
      : connection_(std::move(connection)) {}

  void start(Handlers handlers) override {
    connection_->start(
        {.on_connected = {},
         .on_data = std::move(handlers.on_data),
         .on_end = std::move(handlers.on_end),
         .on_drained = std::move(handlers.on_drained),
         .on_broken = [broken = std::move(handlers.on_broken)](const std::string&) { broken(); }});
  }
  void write(std::string bytes) override { connection_->write(bytes); }
  std::size_t bytes_unsent() const override { return connection_->bytes_unsent(); }
  void pause_reading() override { connection_->pause_reading(); }
  void resume_reading() override { connection_->resume_reading(); }
  bool end() override {
    connection_->end();
    return true;
  }

 private:
  std::unique_ptr<loop::TcpConnection> connection_;
};

}  // namespace

std::unique_ptr<StreamLink> link_over(std::unique_ptr<loop::StreamConnection> connection) {
  return std::make_unique<UnixLink>(std::move(connection));
}

std::unique_ptr<StreamLink> link_over(std::unique_ptr<loop::TcpConnection> connection) {
  return std::make_unique<TcpLink>(std::move(connection));
}

}  // namespace turnpike::ng
