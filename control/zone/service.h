// All zones of this node.
#pragma once

#include <memory>
#include <vector>

#include "control/zone/zone.h"

namespace turnpike::zone {

class Service {
 public:
  struct Callbacks {
    std::function<void(const Note&)> note;
    std::function<void(void* buffer, std::size_t size)> random_bytes;
    std::function<Result<Secret>(const std::string& path)> read_secret;
    /// As in Environment (zone.h).
    std::function<void(const std::string& peer, std::uint64_t epoch)> on_channel{};
    std::function<bool(const std::string& peer, std::string_view message)> on_message{};
  };

  /// `loop` outlives the service. Fails when an address cannot be listened on.
  static Result<std::unique_ptr<Service>> start(loop::EventLoop& loop, const ServiceConfig& config,
                                                Callbacks callbacks);
  ~Service();
  Service(const Service&) = delete;
  Service& operator=(const Service&) = delete;

  /// Reads certificates, keys, trust and passwords anew; what is up stays up.
  void reload();
  std::vector<ZoneReport> report() const;
  /// A message to a peer ("ZONE/PEER"). False: there is no channel to it now.
  bool send(const std::string& peer, std::string_view message);
  /// Begins to measure the path to a peer ("ZONE/PEER"; PEER or nothing where there is one only).
  /// One runs at a time; report() has its figures.
  Result<MeasureBegun> measure(const std::string& peer, const MeasureOptions& options);

 private:
  explicit Service(Environment environment) : environment_(std::move(environment)) {}

  Environment environment_;
  std::vector<std::unique_ptr<Zone>> zones_;
  std::uint64_t measurements_ = 0;
};

}  // namespace turnpike::zone
