"""The corners of a DTLS-SRTP handshake, by `openssl s_client`: what is agreed, what is refused, and
what turnpikectl tells of a handshake that does not end.
"""
# time limit: 200 s

import json
import re
import subprocess

from lib.case import case, eventually, expect, note, run
from lib.call import Side
from lib.network import INSIDE, OUTSIDE, topology
from lib.turnpiked import Turnpiked, executable

PORT = 40000
GCM = "SRTP_AEAD_AES_128_GCM"
RESULTS = "turnpike_relay_dtls_handshakes_total"


class Client:
    """s_client at OUTSIDE, whose certificate the SDP names (or another one)."""

    def __init__(self, scratch):
        self.scratch, self.count = scratch, 0
        scratch.enter(topology())
        self.daemon = Turnpiked(scratch)
        self.fingerprint = self._certificate("own")
        self._certificate("other")

    def _path(self, name):
        return self.scratch.folder / name

    def _certificate(self, name):
        """NAME.pem and NAME.key, and the SHA-256 of the one."""
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
             "-nodes", "-keyout", self._path(f"{name}.key"), "-out", self._path(f"{name}.pem"),
             "-days", "2", "-subj", f"/CN={name}"], check=True, capture_output=True)
        told = subprocess.run(
            ["openssl", "x509", "-noout", "-fingerprint", "-sha256", "-in",
             self._path(f"{name}.pem")], check=True, capture_output=True, text=True).stdout
        return told.strip().partition("=")[2]

    def calls(self):
        """A call that is answered, with the client active: the port to which it shakes hands."""
        self.count += 1
        port = PORT + 2 * self.count
        sdp = "\r\n".join([
            "v=0", f"o=- 1 1 IN IP4 {OUTSIDE.v4}", "s=-", f"c=IN IP4 {OUTSIDE.v4}", "t=0 0",
            f"m=audio {port} UDP/TLS/RTP/SAVP 0", "a=rtcp-mux", "a=setup:active",
            f"a=fingerprint:sha-256 {self.fingerprint}", "a=sendrecv", ""])
        inside = Side(INSIDE, 20000 + 2 * self.count)
        common = {"call_id": f"corner-{self.count}", "from_tag": "a",
                  "replace": ["origin", "session-connection"]}
        self.daemon.ng.request("offer", sdp=sdp, direction=["outside", "inside"],
                               received_from=["IP4", OUTSIDE.v4], transport_protocol="RTP/AVP",
                               rtcp_mux=["demux"], **common)
        reply = self.daemon.ng.request("answer", sdp=inside.sdp(), to_tag="b",
                                       received_from=["IP4", INSIDE.v4], **common)
        return port, int(re.search(r"m=audio (\d+)", reply["sdp"]).group(1))

    def shakes_hands(self, *options, certificate="own", version="-dtls1_2"):
        """In a call of its own; s_client, which runs on, and the path of what it says."""
        port, ours = self.calls()
        shown = ["-cert", self._path(f"{certificate}.pem"), "-key",
                 self._path(f"{certificate}.key")] if certificate else []
        said = self._path(f"s_client-{self.count}.log")
        with open(said, "wb") as log:
            process = self.scratch.spawn(
                *OUTSIDE.command("openssl", "s_client", version, "-bind", f"{OUTSIDE.v4}:{port}",
                                 "-connect", f"{OUTSIDE.host_v4}:{ours}", *shown, *options),
                stdin=subprocess.PIPE, stdout=log, stderr=log)
        return process, said

    def becomes(self, state, failure=None):
        """Of the last call's leg outside."""
        def leg():
            listed = json.loads(self.daemon.api("/v1/sessions"))["sessions"]
            session = next(each for each in listed if each["call_id"] == f"corner-{self.count}")
            legs = json.loads(self.daemon.api(f"/v1/sessions/{session['id']}"))["legs"]
            return next(each for each in legs.values() if each["interface"] == "outside")
        # Until the handshakes' thread has heard of the leg there is nothing to tell.
        eventually(lambda: (leg()["dtls"] or {}).get("state") == state,
                   lambda: f"DTLS is {state}, not {leg()['dtls']}", 45, every=0.1)
        told = leg()
        reason = (told["dtls"]["last_failure"] or {}).get("reason")
        expect(reason == failure, f"{told['dtls']}")
        return told

    def counted(self, result):
        return self.daemon.total(RESULTS, result=result)


@case
def each_profile_is_agreed_and_the_first_that_we_prefer_of_several(scratch):
    client = Client(scratch)
    every = {"SRTP_AEAD_AES_256_GCM": "AEAD_AES_256_GCM", GCM: "AEAD_AES_128_GCM",
             "SRTP_AES128_CM_SHA1_80": "AES_CM_128_HMAC_SHA1_80",
             "SRTP_AES128_CM_SHA1_32": "AES_CM_128_HMAC_SHA1_32"}
    for offered in (*every, ":".join(reversed(every))):
        process, said = client.shakes_hands("-use_srtp", offered)
        suite = client.becomes("established")["suite"]
        agreed = f"SRTP Extension negotiated, profile={offered.rpartition(':')[2]}"
        eventually(lambda: agreed in said.read_text(), lambda: f"s_client: {said.read_text()}")
        expect(suite == every[offered.rpartition(":")[2]], f"{suite} for {offered}")
        process.stdin.close()  # it says close_notify
        client.becomes("closed")
    expect(client.counted("established") == 5, "each is counted")


@case
def who_is_not_as_the_sdp_says_or_cannot_do_srtp_gets_no_keys(scratch):
    client = Client(scratch)
    for failure, options in (
            ("fingerprint_mismatch", {"certificate": "other"}),
            ("no_certificate", {"certificate": ""})):
        client.shakes_hands("-use_srtp", GCM, **options)
        client.becomes("failed", failure)
        expect(client.counted(failure) == 1, f"{failure} is counted")
    client.shakes_hands()
    client.becomes("failed", "no_common_profile")
    client.shakes_hands("-use_srtp", GCM, "-cipher", "AES128-SHA")
    client.becomes("failed", "no_common_cipher")
    client.shakes_hands("-use_srtp", "SRTP_AES128_CM_SHA1_80", "-cipher", "DEFAULT:@SECLEVEL=0",
                        version="-dtls1")
    client.becomes("failed", "version")
    expect(client.counted("established") == 0, "nobody has keys")


@case
def renegotiation_is_refused(scratch):
    client = Client(scratch)
    process, said = client.shakes_hands("-use_srtp", GCM)
    client.becomes("established")
    process.stdin.write(b"R\n")
    process.stdin.flush()
    eventually(lambda: "RENEGOTIATING" in said.read_text(), lambda: f"{said.read_text()}")
    client.becomes("closed", "alert")  # s_client's: it does without what it cannot have
    expect("no renegotiation" in said.read_text(), f"s_client: {said.read_text()}")
    expect(client.counted("established") == 1, "one handshake")


@case
def turnpikectl_says_at_which_flight_a_handshake_stopped(scratch):
    client = Client(scratch)
    # A path on which large datagrams are lost: the client's certificate does not arrive.
    subprocess.run(["nft", "-f", "-"], check=True, text=True, input=(
        "table inet narrow { chain input { type filter hook input priority -10; "
        f"udp dport 36000-59999 udp length > 360 drop; }}; }}"))
    client.shakes_hands("-use_srtp", GCM, "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256",
                        "-sigalgs", "ECDSA+SHA256", "-curves", "P-256")
    leg = client.becomes("failed", "timeout")
    note(leg["dtls"]["last_failure"]["meaning"])
    told = subprocess.run(
        [executable("turnpikectl"), "--socket", client.daemon.api_path, "session",
         f"corner-{client.count}"], capture_output=True, text=True, check=True).stdout
    wanted = "timeout at flight 4: we sent ServerHello to ServerHelloDone and heard"
    expect(wanted in told, told)
    expect(wanted in client.daemon.log_text(), "the log says it too")


run()
