#include "control/api/certificate_json.h"

#include <chrono>

namespace turnpike::api {

nlohmann::ordered_json certificate_json(const pki::CertificateFacts& facts,
                                        pki::WallTime wall_now) {
  using Json = nlohmann::ordered_json;
  using Days = std::chrono::duration<double, std::ratio<86400>>;
  if (facts.sha256.empty()) return Json();
  Json names = facts.dns_names;
  for (const std::string& address : facts.ip_addresses) names.push_back(address);
  const auto since_epoch = facts.not_after.time_since_epoch();
  return {{"subject", facts.subject},
          {"names", std::move(names)},
          {"sha256", facts.sha256},
          {"expires_epoch_seconds",
           std::chrono::duration_cast<std::chrono::seconds>(since_epoch).count()},
          {"expires_in_days", Days(facts.not_after - wall_now).count()}};
}

}  // namespace turnpike::api
