#include "control/front_door.h"

#include "control/config/front_door.h"

namespace turnpike {
namespace {

constexpr int kCallersInATurn = 16;

}  // namespace

FrontDoor* open_front_door(const config::Settings& settings, const config::Host& host, Relay& relay,
                           log::Log& log) {
  const config::FrontDoorSection& section = settings.front_door;
  if (section.port == 0) return nullptr;
  const door::Config config = config::front_door_config(settings, host);
  const auto opened =
      config.listeners.empty()
          ? Error{"this host has no address of [interface." + section.interface + "]"}
          : relay.open_front_door(config);
  if (!opened) {
    const char* const hint =
        section.port < 1024
            ? "all else goes on; below 1024 the daemon needs CAP_NET_BIND_SERVICE, see "
              "front-door.md; mend that and restart it"
            : "all else goes on; mend that and restart the daemon";
    log.warning("front_door_closed", {{"reason", opened.error().message}, {"hint", hint}});
    return nullptr;
  }
  log.info(
      "front_door_opened",
      {{"port", section.port}, {"turn", section.turn}, {"sip", section.sip}, {"api", section.api}});
  return *opened;
}

Result<loop::FdWatcher> serve_callers(FrontDoor& door, loop::EventLoop& loop,
                                      api::HttpServer& http) {
  return loop::FdWatcher::watch(loop, door.callers_fd(), {.readable = true}, [&door, &http](auto) {
    door::Caller caller;  // what is left has another turn: a flood leaves time for the rest
    for (int i = 0; i < kCallersInATurn && door.next_caller(caller); ++i) {
      http.take(caller.fd, caller.client);
    }
  });
}

}  // namespace turnpike
