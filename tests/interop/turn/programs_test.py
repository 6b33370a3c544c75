"""coturn's client programs against the TURN server over UDP and TCP, in namespaces with
public-looking addresses and the default policy for peers.
"""
# time limit: 300 s

import json
import pathlib
import re
import socket
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from lib import stun, turn, turnpiked  # noqa: E402
from lib.case import case, eventually, expect, note, run  # noqa: E402
from lib.network import INSIDE  # noqa: E402


def _start(scratch, **options):
    scratch.enter(turn.topology())
    daemon = turn.server(scratch, **options)
    turn.echo_peer(scratch)
    return daemon


def _expect_at_rest(daemon):
    """All that was opened is closed again, by a Refresh of zero or by being ended."""
    eventually(lambda: daemon.total("turnpike_turn_allocations") == 0,
               lambda: f"{daemon.total('turnpike_turn_allocations'):g} allocations are left")


@case
def channels_come_back(scratch):
    daemon = _start(scratch)
    turn.expect_all_back(turn.uclient("-n", 20, "-m", 4, "-c"), "channels")
    expect(daemon.total("turnpike_turn_channel_binds_total") >= 4, "no channel was bound")
    expect(daemon.total("turnpike_turn_packets_total", to="peer") >= 80, "nothing was counted")
    timed = daemon.total("turnpike_turn_relay_latency_seconds_count")
    took = daemon.total("turnpike_turn_relay_latency_seconds_sum")
    expect(timed > 0 and took > 0, f"{timed:g} datagrams took {took:g} s")


@case
def plain_run_with_even_port_and_reservation(scratch):
    daemon = _start(scratch)
    turn.expect_all_back(turn.uclient("-n", 10, "-m", 4, "-g"), "even ports with the next reserved")
    opened = daemon.total("turnpike_turn_allocations_opened_total")
    expect(opened >= 4, f"{opened:g} allocations for four clients")


@case
def indications_come_back(scratch):
    _start(scratch)
    turn.expect_all_back(turn.uclient("-s", "-n", 20, "-m", 4, "-c"), "indications")


@case
def clients_reach_each_other(scratch):
    _start(scratch)
    turn.expect_all_back(turn.uclient("-y", "-c", "-n", 10, "-m", 4), "client to client")
    turn.expect_all_back(turn.uclient("-y", "-s", "-c", "-n", 10, "-m", 4),
                         "client to client by indications")


@case
def clients_over_tcp(scratch):
    """Channels (on a stream they are padded), indications, and both families."""
    daemon = _start(scratch)
    turn.expect_all_back(turn.uclient("-t", "-n", 5, "-m", 4, "-c", "-l", 171), "channels by TCP")
    turn.expect_all_back(turn.uclient("-t", "-s", "-n", 5, "-m", 4, "-c", "-l", 171),
                         "indications by TCP")
    turn.expect_all_back(turn.uclient("-t", "-y", "-c", "-n", 3, "-m", 2), "client to client")
    turn.echo_peer(scratch, version=6)
    turn.expect_all_back(turn.uclient("-t", "-x", "-c", "-n", 5, version=6), "IPv6 by TCP")
    expect(daemon.total("turnpike_turn_packets_total", to="peer", transport="tcp") >= 40,
           "nothing was counted for TCP")
    expect(daemon.total("turnpike_turn_packets_total", transport="udp") == 0, "UDP was used")
    _expect_at_rest(daemon)
    eventually(lambda: daemon.total("turnpike_turn_connections") == 0, "connections are closed")


def _s_client(*words):
    """Output of openssl s_client against the TLS port; it says who it is and hangs up."""
    command = turn.CLIENT.command(
        "timeout", 10, "openssl", "s_client", "-connect", f"{turn.CLIENT.host_v4}:{turn.TLS_PORT}",
        *words)
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    return done.stdout + done.stderr


@case
def clients_over_tls(scratch):
    daemon = _start(scratch, turn=turn.identity(scratch.folder) | {"server_name": turn.SERVER_NAME})
    tls = ("-t", "-S", "-p", turn.TLS_PORT)
    trusted = ("-E", scratch.folder / "edge.pem")
    turn.expect_all_back(turn.uclient(*tls, *trusted, "-n", 5, "-m", 4, "-c", "-l", 171),
                         "channels by TLS")
    turn.expect_all_back(turn.uclient(*tls, "-s", "-n", 5, "-m", 4, "-c", "-l", 171),
                         "indications by TLS")
    expect(daemon.total("turnpike_turn_packets_total", to="peer", transport="tls") >= 40,
           "nothing was counted for TLS")
    expect(daemon.total("turnpike_turn_packets_total", transport="tcp") == 0, "TLS was not used")
    _expect_at_rest(daemon)
    uris = json.loads(subprocess.run(
        ["curl", "-sS", "--unix-socket", str(daemon.api_path), "-X", "POST",
         "http://localhost/v1/turn/credentials?user=bob"],
        capture_output=True, text=True, check=True).stdout)["uris"]
    for transport in ("tcp", "udp"):
        uri = f"turns:{turn.SERVER_NAME}:{turn.TLS_PORT}?transport={transport}"
        expect(uri in uris, f"{uris}")


@case
def clients_over_dtls(scratch):
    """Channels, indications and both families; what relays is counted as DTLS."""
    # The client leaves without a word: its allocations stay for a while, as with UDP.
    daemon = _start(scratch, turn=turn.identity(scratch.folder),
                    realm={"allocations_per_user_max": 0})
    dtls = ("-S", "-p", turn.TLS_PORT)
    turn.expect_all_back(turn.uclient(*dtls, "-n", 3, "-m", 2, "-c", "-l", 171),
                         "channels by DTLS")
    turn.expect_all_back(turn.uclient(*dtls, "-s", "-n", 3, "-m", 2, "-c", "-l", 171),
                         "indications by DTLS")
    turn.echo_peer(scratch, version=6)
    turn.expect_all_back(turn.uclient(*dtls, "-x", "-c", "-n", 3, version=6), "IPv6 by DTLS")
    expect(daemon.total("turnpike_turn_packets_total", to="peer", transport="dtls") >= 15,
           "nothing was counted for DTLS")
    expect(daemon.total("turnpike_turn_packets_total", transport="udp") == 0, "DTLS was not used")
    expect(daemon.total("turnpike_turn_dtls_cookies_total") >= 5, "no cookie was asked for")
    expect(daemon.total("turnpike_turn_connections", transport="dtls") >= 2, "none is counted")
    expect(daemon.total("turnpike_turn_connections_ended_total", reason="client") >= 1,
           "no good-bye was understood")
    daemon.stop()
    turn.expect_nothing_back(turn.uclient(*dtls, "-c", timeout=5), "no daemon")


@case
def tls_versions_names_and_certificates(scratch):
    keys = turn.identity(scratch.folder)
    daemon = _start(scratch, turn=keys)
    for version in ("-tls1_2", "-tls1_3"):
        shown = _s_client(version, "-alpn", "stun.turn", "-CAfile", keys["certificate_file"])
        expect("Verify return code: 0 (ok)" in shown, shown)
        expect("ALPN protocol: stun.turn" in shown, shown)
        expect("Compression: NONE" in shown or version == "-tls1_3", shown)
    old = _s_client("-tls1_1", "-cipher", "ALL:@SECLEVEL=0")
    expect("Cipher is (NONE)" in old, old)
    expect("Cipher is (NONE)" in _s_client("-alpn", "http/1.1"), "another protocol is served")
    other = turn.identity(scratch.folder, "other")
    shown = _s_client("-CAfile", other["certificate_file"])
    expect("Verify return code: 0" not in shown, "a certificate of somebody else is believed")
    expect(daemon.total("turnpike_turn_connections_ended_total", reason="tls_failed") >= 2,
           "refused handshakes were not counted")
    # Another certificate in the same files, then one that cannot be used.
    for key, path in other.items():
        keys[key].write_bytes(path.read_bytes())
    ctl = [str(turnpiked.executable("turnpikectl")), "--socket", str(daemon.api_path), "reload"]
    subprocess.run(ctl, check=True, capture_output=True)
    eventually(lambda: "CN = other" in _s_client(), "the new certificate is shown")
    keys["certificate_file"].write_text("no certificate")
    told = subprocess.run(ctl, capture_output=True, text=True)
    expect("edge.pem" in told.stdout + told.stderr, told.stdout + told.stderr)
    expect("CN = other" in _s_client(), "the old certificate is gone")
    checked = subprocess.run([turnpiked.executable(), "--check", "--config", daemon.config_path],
                             capture_output=True, text=True).stderr
    expect("edge.pem" in checked and "turn.dtls_port would serve nobody" in checked, checked)


@case
def a_connection_that_ends_takes_its_allocation_along(scratch):
    daemon = _start(scratch)
    client = scratch.spawn(*turn.CLIENT.command(
        "turnutils_uclient", "-t", *turn.LONG_TERM, "-e", turn.PEER.v4, "-c", "-n", 1000,
        "-m", 2, turn.CLIENT.host_v4), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    eventually(lambda: daemon.total("turnpike_turn_packets_total", to="client") > 0, "data flows")
    shown = json.loads(daemon.api("/v1/turn"))
    expect({one["transport"] for one in shown["allocations"]} == {"tcp"}, f"{shown}")
    expect(shown["connections"] >= 2, f"{shown}")
    client.kill()
    client.wait()
    _expect_at_rest(daemon)


@case
def ipv6_relayed_addresses(scratch):
    _start(scratch)
    turn.echo_peer(scratch, version=6)
    turn.expect_all_back(turn.uclient("-x", "-c", "-n", 10, version=6), "IPv6")


@case
def time_limited_credentials(scratch):
    daemon = _start(scratch)
    turn.expect_all_back(turn.uclient("-c", auth=turn.REST), "credentials made from the secret")
    before = daemon.total("turnpike_turn_allocations_opened_total")
    wrong = ("-u", turn.USER, "-W", "another secret of that length")
    turn.expect_nothing_back(turn.uclient("-c", auth=wrong, timeout=10), "a wrong secret")
    turn.expect_nothing_back(
        turn.uclient("-c", auth=("-u", turn.USER, "-w", "wrong"), timeout=10), "a wrong password")
    expect(daemon.total("turnpike_turn_allocations_opened_total") == before,
           "wrong credentials made an allocation")
    expect(daemon.total("turnpike_turn_refused_total", reason="bad_credentials") >= 2,
           "wrong credentials were not counted")


@case
def credentials_that_the_api_issues(scratch):
    daemon = _start(scratch)
    asked = subprocess.run(
        ["curl", "-sS", "--unix-socket", str(daemon.api_path), "-X", "POST",
         "http://localhost/v1/turn/credentials?user=bob&ttl_seconds=60"],
        capture_output=True, text=True, check=True).stdout
    issued = json.loads(asked)
    expect(re.fullmatch(r"\d{10}:bob", issued["username"]), asked)
    expect(f"turn:{turn.CLIENT.host_v4}:3478?transport=udp" in issued["uris"], asked)
    given = ("-u", issued["username"], "-w", issued["password"])
    turn.expect_all_back(turn.uclient("-c", auth=given), "issued credentials")


@case
def realms_have_ports_users_and_peers_of_their_own(scratch):
    users = turn.private_file(scratch.folder, "other-users", "bob builder-of-things\n")
    secret = turn.private_file(scratch.folder, "other-secret", "another-secret-of-a-tenant\n")
    other = {"realm": "b.example", "port": 3480, "users_file": users, "secret_files": [secret],
             "only_allowed_peers": True, "allowed_peers": ["45.9.99.0/24"]}
    daemon = _start(scratch, turn={"default_realm": "main"}, sections={"turn.realm.b": other})
    turn.expect_all_back(turn.uclient("-c"), "the default realm")
    refused = daemon.total("turnpike_turn_refused_total", reason="bad_credentials")
    turn.expect_nothing_back(turn.uclient("-c", "-p", 3480, timeout=8), "alice at the other port")
    expect(daemon.total("turnpike_turn_refused_total", reason="bad_credentials") > refused,
           "alice was not refused")
    issued = json.loads(subprocess.run(
        ["curl", "-sS", "--unix-socket", str(daemon.api_path), "-X", "POST",
         "http://localhost/v1/turn/credentials?user=bob&realm=b.example"],
        capture_output=True, text=True, check=True).stdout)
    expect(f"turn:{turn.CLIENT.host_v4}:3480?transport=udp" in issued["uris"] and
           not any(":3478" in uri for uri in issued["uris"]), f"{issued['uris']}")
    given = ("-u", issued["username"], "-w", issued["password"])
    before = daemon.total("turnpike_turn_refused_total", reason="peer_denied")
    turn.expect_nothing_back(turn.uclient("-c", "-p", 3480, auth=given, timeout=8),
                             "a peer that only the other realm may reach")
    expect(daemon.total("turnpike_turn_refused_total", reason="peer_denied") > before,
           "bob got no allocation, or his peer was not judged")
    turn.expect_nothing_back(turn.uclient("-c", auth=given, timeout=8), "bob at the first port")
    expect(daemon.total("turnpike_turn_realm_bytes_total", realm=turn.REALM) > 0 and
           daemon.total("turnpike_turn_realm_bytes_total", realm="b.example") == 0,
           "bytes are not counted by realm")
    expect(daemon.total("turnpike_turn_realm_refused_total", realm="b.example") > 0,
           "refusals are not counted by realm")


@case
def clients_that_move_keep_their_allocations(scratch):
    daemon = _start(scratch, turn={"mobility": True})
    turn.expect_all_back(turn.uclient("-M", "-c", "-n", 5, "-m", 4), "moved clients")
    moves = daemon.total("turnpike_turn_moves_total")
    note(f"{moves:g} moves")
    expect(moves >= 4, f"{moves:g} moves of four clients")
    turn.expect_all_back(turn.uclient("-M", "-t", "-c", "-n", 5, "-m", 3), "moved over TCP")
    expect(daemon.total("turnpike_turn_moves_total") >= moves + 3, "none has moved over TCP")


@case
def a_client_over_dtls_comes_back_to_its_allocation(scratch):
    """coturn's client, told to move over DTLS, uses what it has freed."""
    daemon = _start(scratch, turn=turn.identity(scratch.folder) | {"mobility": True})
    first = turn.DtlsLink(scratch)
    client = turn.Client(first, stun.attribute(stun.MOBILITY_TICKET, b""))
    ticket = client.given[stun.MOBILITY_TICKET]
    client.permit(turn.PEER.v4)
    first.leave()
    client.go(turn.DtlsLink(scratch))
    client.ask(stun.REFRESH, stun.attribute(stun.MOBILITY_TICKET, ticket))
    expect(daemon.total("turnpike_turn_moves_total") == 1, "it has not moved")
    client.send(turn.PEER.v4, 3480, b"still me")
    expect(stun.attributes_of(client.link.recv(4096)).get(stun.DATA) == b"still me",
           "its permission is gone")
    shown = json.loads(daemon.api("/v1/turn"))
    expect([one["transport"] for one in shown["allocations"]] == ["dtls"], f"{shown}")


@case
def errors_of_relayed_data_reach_the_client(scratch):
    daemon = _start(scratch)
    client = turn.Client()
    with client.link as link:
        client.permit(turn.PEER.v4)
        client.send(turn.PEER.v4, 9999, b"to a closed port")
        told = link.recv(4096)
        attributes = stun.attributes_of(told)
        expect(told[:2] == b"\x00\x17" and attributes[stun.ICMP][2:4] == b"\x06\x03",
               f"no Data indication of type 3, code 3: {told.hex()}")
        peer = stun.xor_address(turn.PEER.v4, 9999)
        expect(attributes[stun.XOR_PEER_ADDRESS] == peer, f"of another peer: {told.hex()}")
        # What follows at once is not lost by that error.
        client.send(turn.PEER.v4, 9999, b"again")
        client.send(turn.PEER.v4, 3480, b"to the echo")
        data = [stun.attributes_of(link.recv(4096)).get(stun.DATA) for _ in range(2)]
        expect(b"to the echo" in data, f"{data}")
    expect(daemon.total("turnpike_turn_icmp_errors_total") == 2, "errors are not counted")


@case
def negative_modes_then_a_good_run(scratch):
    daemon = _start(scratch)
    for mode in ("-N", "-R"):
        before = daemon.total("turnpike_turn_refused_total")
        turn.uclient(mode, "-c", timeout=15)
        refused = daemon.total("turnpike_turn_refused_total") - before
        note(f"{mode}: {refused:g} requests refused")
        expect(refused > 0, f"{mode} did not reach the server")
        turn.expect_all_back(turn.uclient("-c", "-n", 5), f"after {mode}")
    expect(daemon.process.poll() is None, "the daemon has ended")


@case
def a_file_that_cannot_be_used_is_named_before_the_start(scratch):
    scratch.enter(turn.topology())
    daemon = turn.server(scratch)
    words = [turnpiked.executable(), "--check", "--config", daemon.config_path]
    expect("turn-users" not in subprocess.run(words, capture_output=True, text=True).stderr,
           "good files are named")
    (scratch.folder / "turn-users").write_text("alice\n")
    done = subprocess.run(words, capture_output=True, text=True)
    expect("turn.realm.main" in done.stderr and "turn-users" in done.stderr, done.stderr)


@case
def trouble_of_turn_stops_no_calls(scratch):
    scratch.enter(turn.topology())
    daemon = turn.server(scratch)
    daemon.stop()
    users = scratch.folder / "turn-users"
    good = users.read_text()
    users.write_text("broken\n")
    daemon.start()
    expect("turn_closed" in daemon.log_text() and "turn-users" in daemon.log_text(),
           "the file is not named")
    turn.echo_peer(scratch)
    turn.expect_nothing_back(turn.uclient("-c", timeout=5), "without users")
    users.write_text(good)
    daemon.signal(1)
    eventually(lambda: "turn_reloaded" in daemon.log_text(), "the file is read")
    turn.expect_all_back(turn.uclient("-c"), "once the file is good")
    daemon.stop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind((turn.CLIENT.host_v4, turn.SERVER_PORT))
        daemon.start()
        expect("cannot be opened" in daemon.log_text(), "the port is not named")


@case
def a_stop_does_not_wait_for_clients(scratch):
    daemon = _start(scratch, sections={"node": {"drain_timeout_seconds": 60}})
    client = scratch.spawn(*turn.CLIENT.command(
        "turnutils_uclient", *turn.LONG_TERM, "-e", turn.PEER.v4, "-c", "-n", 1000, "-m", 1,
        turn.CLIENT.host_v4), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    eventually(lambda: daemon.total("turnpike_turn_allocations") > 0, "an allocation is open")
    daemon.stop(20)  # fails when it waits for the client
    client.kill()
    client.wait()


@case
def stun_client_learns_its_address(scratch):
    _start(scratch)
    for version in (4, 6):
        done = subprocess.run(
            turn.CLIENT.command("timeout", 10, "turnutils_stunclient",
                                turn.CLIENT.host(version)), capture_output=True, text=True)
        expect(turn.CLIENT.address(version) in done.stdout + done.stderr,
               f"the answer does not hold the client's address: {done.stdout} {done.stderr}")


# Those that turnutils_uclient has within it.
TOKEN_KEYS = """# of an authorization server
north A256GCM MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=
union A128GCM MTIzNDU2Nzg5MDEyMzQ1Ng== 1700000000-
oldempire A256GCM MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI= -
"""


@case
def tokens_of_an_authorization_server(scratch):
    """RFC 7635: taken as long as their keys are."""
    keys = turn.private_file(scratch.folder, "token-keys", TOKEN_KEYS)
    daemon = _start(scratch, realm={"token_keys_file": keys,
                                    "token_server_name": "turn.example.org"})
    turn.expect_all_back(turn.uclient("-c", "-n", 5, "-m", 4, auth=("-J",)), "tokens by UDP")
    turn.expect_all_back(turn.uclient("-t", "-c", "-n", 5, auth=("-J",)), "tokens by TCP")
    opened = daemon.total("turnpike_turn_allocations_opened_total")
    client = scratch.spawn(*turn.CLIENT.command(
        "turnutils_uclient", "-J", "-e", turn.PEER.v4, "-c", "-n", 1000, "-m", 1,
        turn.CLIENT.host_v4), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    eventually(lambda: daemon.total("turnpike_turn_allocations_opened_total") > opened, "one more")
    keys.write_text(TOKEN_KEYS.replace("MTIz", "MTI0").replace("MDEy", "MDE0"))
    daemon.signal(1)
    _expect_at_rest(daemon)
    client.kill()
    client.wait()
    turn.Client().permit(turn.PEER.v4)  # a user beside them
    turn.expect_nothing_back(turn.uclient("-c", auth=("-J",), timeout=3), "other keys")
    expect("MTIz" not in daemon.log_text(), "a key is in the log")


def _discover(words, local):
    """What turnutils_natdiscovery concludes."""
    done = subprocess.run(
        turn.CLIENT.command("timeout", 20, "turnutils_natdiscovery", *words, "-L", local,
                            turn.CLIENT.host_v4), capture_output=True, text=True)
    output = done.stdout + done.stderr
    expect("Usage:" not in output, output)
    conclusions = re.findall(r"^(?:No NAT|NAT with) .*", output.replace("!", ""), re.MULTILINE)
    return set(conclusions), output


@case
def nats_are_discovered(scratch):
    """RFC 5780 from two addresses: without NAT, and behind what nftables makes of one."""
    scratch.enter(turn.topology())
    second, home = "45.9.1.2", "192.168.7.10"
    subprocess.run(["ip", "addr", "add", second + "/24", "dev", turn.CLIENT.link], check=True)
    subprocess.run(turn.CLIENT.command("ip", "addr", "add", home + "/32", "dev", "lo"), check=True)
    turn.server(scratch, turn={"discovery_port": 3479}, sections={
        "interface.outside": {"addresses": [turn.CLIENT.host_v4, second, turn.CLIENT.host_v6]}})

    def behind(snat, *more):
        out = f"type nat hook postrouting priority srcnat; ip saddr {home} snat to {snat};"
        chains = "\n".join(f"chain {name} {{ {rules} }}" for name, rules in [("out", out), *more])
        text = f"table ip nat\ndelete table ip nat\ntable ip nat {{\n{chains}\n}}\n"
        subprocess.run(turn.CLIENT.command("nft", "-f", "-"), input=text, text=True, check=True)

    def concludes(words, local, *wanted):
        found, output = _discover(words, local)
        expect(found == set(wanted), f"{words} {local}: {found}: {output}")
        note(", ".join(wanted))
        return output
    output = concludes(["-m", "-f"], turn.CLIENT.v4, "No NAT (Endpoint Independent Mapping)",
                       "NAT with Endpoint Independent Mapping",
                       "NAT with Endpoint Independent Filtering")
    for origin in (f"{turn.CLIENT.host_v4}:3478", f"{second}:3478", f"{second}:3479"):
        expect(f"Response origin: : {origin}" in output, f"{origin}: {output}")
    everybody = ("in", "type nat hook prerouting priority dstnat; "
                       f"udp sport {{ 3478, 3479 }} dnat to {home};")
    behind(turn.CLIENT.v4)
    concludes(["-m", "-f"], home, "NAT with Endpoint Independent Mapping",
              "NAT with Address and Port Dependent Filtering")
    behind(turn.CLIENT.v4 + " fully-random", everybody)
    concludes(["-m"], home, "NAT with Address and Port Dependent Mapping")
    behind(turn.CLIENT.v4, everybody)
    concludes(["-f", "-P"], home, "NAT with Endpoint Independent Filtering")


@case
def T1_private_peers_are_refused(scratch):
    scratch.enter(turn.topology())
    daemon = turn.server(scratch)
    turn.echo_peer(scratch, INSIDE)
    for words in (("-c",), ("-c", "-s")):
        turn.expect_nothing_back(turn.uclient(*words, peer=INSIDE, timeout=10), "a private peer")
    expect(daemon.total("turnpike_turn_refused_total", reason="peer_denied") >= 2,
           "refused peers were not counted")
    expect(daemon.total("turnpike_turn_packets_total", to="peer") == 0, "something was relayed")


@case
def T1_private_peers_that_the_operator_opens(scratch):
    scratch.enter(turn.topology())
    turn.server(scratch, realm={"allowed_peers": [INSIDE.v4 + "/32"]})
    turn.echo_peer(scratch, INSIDE)
    turn.expect_all_back(turn.uclient("-c", peer=INSIDE), "a private peer on the list")


@case
def T6_behind_nat_nobody_sends_as_the_advertised_address(scratch):
    """A client may have a permission for our media ports there; they send from the local one."""
    scratch.enter(turn.topology())
    shown, media_port = "203.0.113.9", 36000
    daemon = turn.server(scratch, sections={
        "interface.outside": {"addresses": [turn.CLIENT.host_v4], "advertised": [shown]}})
    client = turn.Client()
    port = int.from_bytes(client.given[stun.XOR_RELAYED_ADDRESS][2:4], "big") ^ (stun.COOKIE >> 16)
    client.permit(shown)
    client.permit(turn.PEER.v4)
    subprocess.run(turn.PEER.command("ip", "addr", "add", shown + "/32", "dev", "lo"), check=True)
    subprocess.run(["ip", "route", "add", shown + "/32", "via", turn.PEER.v4], check=True)
    with turn.PEER.sockets():
        for source, data in (((shown, media_port), b"forged"), ((turn.PEER.v4, 5000), b"honest")):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
                peer.bind(source)
                peer.sendto(data, (turn.CLIENT.host_v4, port))
    got = stun.attributes_of(client.link.recv(4096))
    expect(got.get(stun.DATA) == b"honest", f"{got}")
    eventually(lambda: daemon.total("turnpike_turn_drops_total", reason="peer_forbidden") == 1,
               "the forged datagram came, and was counted")


@case
def ports_stay_within_the_range(scratch):
    daemon = _start(scratch)
    client = scratch.spawn(*turn.CLIENT.command(
        "turnutils_uclient", *turn.LONG_TERM, "-e", turn.PEER.v4, "-c", "-n", 1000, "-m", 10,
        turn.CLIENT.host_v4), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    eventually(lambda: daemon.total("turnpike_turn_allocations") >= 10, "ten allocations are open")
    own = subprocess.run(["ss", "-Hulnp"], capture_output=True, text=True, check=True).stdout
    ports = [int(line.split()[3].rsplit(":", 1)[1]) for line in own.splitlines()
             if f"pid={daemon.pid}," in line]
    relayed = [port for port in ports if port in turn.RELAY_PORTS]
    others = set(ports) - set(relayed) - {turn.SERVER_PORT, 2223}
    expect(len(relayed) >= 10, f"{len(relayed)} relayed ports")
    expect(all(36000 <= port <= 59999 for port in others), f"ports outside of any range: {others}")
    client.kill()
    client.wait()


@case
def allocations_are_listed_and_ended(scratch):
    daemon = _start(scratch)
    client = scratch.spawn(*turn.CLIENT.command(
        "turnutils_uclient", *turn.LONG_TERM, "-e", turn.PEER.v4, "-c", "-n", 1000, "-m", 1,
        turn.CLIENT.host_v4), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    eventually(lambda: daemon.total("turnpike_turn_packets_total", to="client") > 0, "data flows")
    allocations = json.loads(daemon.api("/v1/turn"))["allocations"]
    expect(allocations, "no allocation is listed")
    one = allocations[0]
    expect(one["user"] == turn.USER and one["realm"] == turn.REALM, f"{one}")
    expect(one["client"].startswith(turn.CLIENT.v4), f"{one}")
    from lib.turnpiked import executable
    ctl = [str(executable("turnpikectl")), "--socket", str(daemon.api_path), "turn"]
    shown = subprocess.run(ctl, capture_output=True, text=True, check=True).stdout
    expect(one["id"] in shown and turn.USER in shown, shown)
    for each in allocations:
        subprocess.run([*ctl, "end", each["id"]], check=True, capture_output=True)
    _expect_at_rest(daemon)
    again = subprocess.run([*ctl, "end", one["id"]], capture_output=True, text=True)
    expect(again.returncode == 1 and "no such allocation" in again.stderr, again.stderr)
    client.kill()
    client.wait()


@case
def nothing_answers_once_the_daemon_is_gone(scratch):
    """That the other cases can fail."""
    daemon = _start(scratch)
    daemon.stop()
    turn.expect_nothing_back(turn.uclient("-c", timeout=5), "no daemon")


run()
