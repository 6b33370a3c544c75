"""STUN messages (RFC 8489) as a test sends and judges them, apart from the daemon's own code."""

import hashlib
import hmac
import os
import socket
import struct

COOKIE = 0x2112A442
BINDING, ALLOCATE, REFRESH, SEND, CREATE_PERMISSION, CHANNEL_BIND = 1, 3, 4, 6, 8, 9
USERNAME, MESSAGE_INTEGRITY, ERROR_CODE, REALM, NONCE = 6, 8, 9, 0x14, 0x15
XOR_PEER_ADDRESS, XOR_RELAYED_ADDRESS, REQUESTED_TRANSPORT = 0x12, 0x16, 0x19
XOR_MAPPED_ADDRESS, LIFETIME = 0x20, 0x0D
CONNECT, CONNECTION_BIND, CONNECTION_ID = 0xA, 0xB, 0x2A
DATA, ICMP, MOBILITY_TICKET = 0x13, 0x8004, 0x8030


def attribute(kind, value):
    return struct.pack("!HH", kind, len(value)) + value + bytes(-len(value) % 4)


def message(method, attributes=b"", message_class=0, transaction=None):
    """message_class: 0 a request, 1 an indication."""
    kind = (method & 0xF) | ((method & 0x70) << 1) | (message_class << 4)
    return struct.pack("!HHI", kind, len(attributes), COOKIE) + \
        (transaction or os.urandom(12)) + attributes


def signed(method, attributes, key):
    """With MESSAGE-INTEGRITY by HMAC-SHA1."""
    whole = message(method, attributes + bytes(24))
    tag = hmac.new(key, whole[:-24], hashlib.sha1).digest()
    return whole[:-24] + attribute(MESSAGE_INTEGRITY, tag)


def key_of(user, realm, password):
    return hashlib.md5(f"{user}:{realm}:{password}".encode()).digest()


def attributes_of(datagram):
    """{type: value}, of several the first."""
    found, at = {}, 20
    while at + 4 <= len(datagram):
        kind, length = struct.unpack_from("!HH", datagram, at)
        found.setdefault(kind, datagram[at + 4:at + 4 + length])
        at += 4 + length + -length % 4
    return found


def xor_address(ip, port):
    """Value of XOR-PEER-ADDRESS and its like, of IPv4."""
    packed = int.from_bytes(socket.inet_aton(ip), "big")
    return struct.pack("!BBHI", 0, 1, port ^ (COOKIE >> 16), packed ^ COOKIE)


def error_of(datagram):
    """Code of an error response; 0: there is none."""
    value = attributes_of(datagram).get(ERROR_CODE)
    return value[2] * 100 + value[3] if value else 0
