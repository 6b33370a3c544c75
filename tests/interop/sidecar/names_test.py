"""Inside servers by name: what is not known when the SIP server starts may be known later."""

import socket
import struct
import subprocess
import threading

import edge as edges
import sip
from edge import DOMAIN, PBX_PORT, Edge, case, network, outside_sdp
from lib.case import eventually, expect

NAME = "pbx.inside.example"


class Names:
    """The name server of this host; it knows `known` (name to IPv4 address), nothing at first."""

    def __init__(self, scratch):
        self.known, self.asked = {}, 0
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 53))
        threading.Thread(target=self._serve, daemon=True).start()
        scratch.on_exit(self._socket.close)
        file = scratch.folder / "resolv.conf"
        file.write_text("nameserver 127.0.0.1\n")
        # In a mount namespace of this test's own.
        subprocess.run(["mount", "--bind", file, "/etc/resolv.conf"], check=True)
        scratch.on_exit(subprocess.run, ["umount", "/etc/resolv.conf"])

    def _serve(self):
        while True:
            try:
                question, client = self._socket.recvfrom(1000)
            except OSError:
                return
            self._socket.sendto(self._answer(question), client)

    def _answer(self, question):
        labels, at = [], 12
        while question[at]:
            labels.append(question[at + 1:at + 1 + question[at]].decode())
            at += 1 + question[at]
        kind, = struct.unpack_from(">H", question, at + 1)
        asked = question[12:at + 5]
        address = self.known.get(".".join(labels).lower())
        self.asked += 1
        if address is None:
            return question[:2] + struct.pack(">5H", 0x8183, 1, 0, 0, 0) + asked
        if kind != 1:
            return question[:2] + struct.pack(">5H", 0x8180, 1, 0, 0, 0) + asked
        record = struct.pack(">HHHIH", 0xC00C, 1, 1, 60, 4) + socket.inet_aton(address)
        return question[:2] + struct.pack(">5H", 0x8180, 1, 1, 0, 0) + asked + record


@case.case
def a_server_whose_name_is_known_later_is_found(scratch):
    names = Names(scratch)
    edge = Edge(scratch, {"sip.servers.pbx": {"uris": [f"sip:{NAME}:{PBX_PORT}"]}})
    pbx, alice = edge.inside_server(), edge.client("alice")
    edges.invite(alice, "alice", f"sip:6001@{DOMAIN}", outside_sdp())
    expect(alice.final(method="INVITE").status in (480, 503), "no server yet")
    expect(names.asked > 0, "its name was asked for")
    names.known[NAME] = network.INSIDE.v4

    def found():
        pbx._read(0.2)
        return f"server sip:{NAME}:{PBX_PORT}" in edge.log() and "answers OPTIONS" in edge.log()
    eventually(found, "the server answers", 30)
    edges.invite(alice, "alice", f"sip:6001@{DOMAIN}", outside_sdp())
    sip.reply(pbx, pbx.expect("INVITE"), 486, "Busy Here")
    expect(alice.final(method="INVITE").status == 486, "it is called")


if __name__ == "__main__":
    case.run()
