"""A program that sends datagrams to one port: flood.py ADDRESS PORT SECONDS KIND LENGTH [RATE].
KIND: "junk" (random bytes) or "rtp" (well-formed packets of a stream that nobody announced). RATE:
packets a second; as fast as it can without. Prints how many it sent.
"""

import itertools
import os
import random
import socket
import struct
import sys
import time

PACKETS = 64


def _packets(kind, length):
    if kind == "junk":
        return [os.urandom(length) for _ in range(PACKETS)]
    first = random.randrange(30000)
    return [struct.pack("!BBHII", 0x80, 0, first + i, 160 * i, 0xBADBAD) + os.urandom(length - 12)
            for i in range(PACKETS)]


def main():
    address, port, seconds, kind, length = sys.argv[1:6]
    rate = float(sys.argv[6]) if len(sys.argv) > 6 else float("inf")
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET,
                       socket.SOCK_DGRAM) as link:
        link.connect((address, int(port)))
        packets = _packets(kind, int(length))
        sent = 0
        begin = time.monotonic()
        end = begin + float(seconds)
        for packet in itertools.cycle(packets):
            try:
                link.send(packet)
            except OSError:  # an ICMP error of an earlier one, or a full queue
                continue
            sent += 1
            if sent % PACKETS == 0:
                time.sleep(max(0.0, begin + sent / rate - time.monotonic()))
                if time.monotonic() > end:
                    break
    print(sent)


main()
