// The table of [front_door].
#include "control/config/schema.h"

namespace turnpike::config {

std::vector<Section> front_door_sections() {
  const auto place = [](Settings& settings, const std::string&) { return &settings.front_door; };
  SectionOf<FrontDoorSection> section(
      "front_door",
      "One TCP port for clients that get out to no other. What they send first says whom they "
      "want; the door passes them on and holds no key. See [front-door.md](front-door.md).",
      place);
  section
      .integer("port", &FrontDoorSection::port, 0, {0, 65534},
               "TCP port, mostly 443; below 1024 the daemon needs CAP_NET_BIND_SERVICE. 0: no "
               "front door.")
      .text("interface", &FrontDoorSection::interface, "outside",
            "The `[interface.NAME]` at whose addresses it is.")
      .boolean("turn", &FrontDoorSection::turn, false,
               "TURN: clients that begin with STUN in the clear, and with `turn.certificate_file` "
               "TLS with ALPN `stun.turn` or none.")
      .texts("turn_names", &FrontDoorSection::turn_names,
             "Server names (SNI) under which TLS clients get to TURN. None: any name, or no name, "
             "that is nobody else's.")
      .boolean("sip", &FrontDoorSection::sip, false,
               "The SIP server, for browsers: TLS with ALPN `http/1.1` or none. It listens at "
               "127.0.0.1 as well then, at `sip.wss_port`, which has to be set.")
      .texts("sip_names", &FrontDoorSection::sip_names,
             "Server names under which TLS clients get to the SIP server. None: any name, or no "
             "name, that is nobody else's.")
      .boolean("api", &FrontDoorSection::api, false,
               "The API and the console, as at `api.listen`, which has to be set, with a "
               "certificate: TLS with ALPN `http/1.1` or none.")
      .texts("api_names", &FrontDoorSection::api_names,
             "Server names under which TLS clients get to the API; they go into `api.host_names` "
             "as well. None: any name, or no name, that is nobody else's.")
      .texts("proxies", &FrontDoorSection::proxies,
             "Networks of load balancers, such as \"192.0.2.8/31\". Their connections have to "
             "begin with a PROXY header, version 2, and who it names counts as the client.")
      .integer(
          "connections_max", &FrontDoorSection::connections_max, 1000, {1, 200000},
          "Connections that wait at the door at a time, and as many that it carries to the SIP "
          "server; more are closed at once. Who was passed on counts where he is.")
      .integer("connections_per_source_max", &FrontDoorSection::connections_per_source_max, 50,
               {0, 200000}, "Of either, from one IPv4 address or one /64 of IPv6. 0: any number.");
  return {section.done()};
}

}  // namespace turnpike::config
