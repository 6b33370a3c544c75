#include "control/adoption_log.h"

#include <string>

namespace turnpike {

void log_kept_settings(const AdoptionReport& adoption, log::Log& log) {
  if (adoption.kept_settings.empty()) return;
  std::string configured;
  std::string kept;
  for (const KeptSetting& setting : adoption.kept_settings) {
    const std::string key = std::string(kept.empty() ? "" : " ") + "media." + setting.name + '=';
    configured += key + std::to_string(setting.configured);
    kept += key + std::to_string(setting.kept);
  }
  log.warning("settings_kept",
              {{"configured", configured},
               {"kept", kept},
               {"hint",
                "calls that are up need the old values; the new ones hold from a start "
                "without calls on, as after a stop that waited for their end"}});
}

void log_adoption(const AdoptionReport& relay, const call::CallAdoption& calls, log::Log& log) {
  const std::uint32_t lost = relay.sessions_damaged + relay.sessions_without_sockets +
                             relay.records_damaged + calls.records_unreadable +
                             calls.calls_without_sessions + calls.sessions_without_call;
  const std::uint32_t found = calls.calls + calls.calls_ended + relay.sessions_adopted;
  if (lost == 0 && found == 0) return;
  log.write(lost == 0 ? log::Level::kInfo : log::Level::kWarning, "adoption",
            {{"calls", calls.calls},
             {"sessions", relay.sessions_adopted},
             {"sessions_damaged", relay.sessions_damaged},
             {"sessions_without_sockets", relay.sessions_without_sockets},
             {"sessions_without_call", calls.sessions_without_call},
             {"records_damaged", relay.records_damaged},
             {"records_unreadable", calls.records_unreadable},
             {"calls_without_sessions", calls.calls_without_sessions},
             {"calls_ended", calls.calls_ended}});
}

}  // namespace turnpike
