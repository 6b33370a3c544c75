#!/usr/bin/python3
"""Writes the files of a phone that answers every call and plays a tone.

    answering_phone.py FOLDER ADDRESS PORT NUMBER DOMAIN

Run it with `baresip -f FOLDER`. It has no control port, records nothing and hangs up after five
minutes.
"""

import sys

import baresip

TONE_HZ, SECONDS = 440, 300


def main() -> None:
    folder, address, port, number, domain = sys.argv[1:]
    account = baresip.Account(number, domain, answer="auto", registration_seconds=0)
    baresip.Baresip(
        "answering phone", folder, account, address=address, sip_port=int(port),
        tone_hz=TONE_HZ, tone_seconds=SECONDS, record=False).prepare()


main()
