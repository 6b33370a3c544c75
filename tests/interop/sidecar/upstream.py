"""A registrar and forking proxy of the inside network: a stock Kamailio, as sites run it.

    upstream = Upstream(scratch)      # its URI is what [sip.upstream] names

It believes whoever registers, rings every device of a user at once along its Path, and sends calls
for its own numbers to a phone of the inside network.
"""

import subprocess

from lib import case, network

PORT, PHONE_PORT = 5080, 5090
URI = f"sip:{network.INSIDE.v4}:{PORT}"

_CONFIGURATION = """
debug=1
log_stderror=yes
children=2
auto_aliases=no
listen=udp:{address}:{port}
alias="{domain}"
loadmodule "kex.so"
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "siputils.so"
loadmodule "textops.so"
loadmodule "maxfwd.so"
loadmodule "usrloc.so"
loadmodule "registrar.so"
modparam("registrar", "use_path", 1)
modparam("registrar", "path_mode", 0)
modparam("registrar", "append_branches", 1)

request_route {{
    if (!mf_process_maxfwd_header("10")) {{
        sl_send_reply("483", "Too Many Hops");
        exit;
    }}
    if (is_method("CANCEL")) {{
        if (t_check_trans()) {{
            t_relay();
        }}
        exit;
    }}
    if (has_totag()) {{
        if (loose_route()) {{
            t_relay();
        }} else if (is_method("ACK")) {{
            t_check_trans();
        }} else {{
            sl_send_reply("404", "Not Here");
        }}
        exit;
    }}
    t_check_trans();
    if (is_method("OPTIONS")) {{
        sl_send_reply("200", "OK");
        exit;
    }}
    if (is_method("REGISTER")) {{
        save("location");
        exit;
    }}
    {record_route}
    if ($rU =~ "^[0-9]+$") {{
        $du = "sip:{address}:{phone_port}";
    }} else if (!lookup("location")) {{
        sl_send_reply("404", "Not Found");
        exit;
    }}
    t_relay();
}}
"""


class Upstream:
    """Serving after construction. `record_routes`: whether it stays in the dialogs' way."""

    def __init__(self, scratch, domain, record_routes=True):
        folder = scratch.folder / "upstream"
        folder.mkdir()
        (folder / "kamailio.cfg").write_text(_CONFIGURATION.format(
            address=network.INSIDE.v4, port=PORT, phone_port=PHONE_PORT, domain=domain,
            record_route="record_route();" if record_routes else ""))
        with open(folder / "log", "ab") as log:
            process = scratch.spawn(
                *network.INSIDE.command("/usr/sbin/kamailio", "-DD", "-E", "-M", 8, "-f",
                                        folder / "kamailio.cfg", "-Y", folder, "-w", folder),
                stdout=log, stderr=log)

        def listens():
            case.expect(process.poll() is None,
                        f"the upstream ended: {(folder / 'log').read_text()[-1500:]}")
            return subprocess.run(
                network.INSIDE.command("ss", "-Hlun", "sport", "=", f":{PORT}"),
                capture_output=True, check=True).stdout
        case.eventually(listens, "the upstream listens", 20)
