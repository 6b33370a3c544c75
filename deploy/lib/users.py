#!/usr/bin/python3
"""Users of a deployment that is for trying: makes passwords once, and their hashes.

    users.py PASSWORDS USERS DOMAIN DIGEST NAME...

PASSWORDS (NAME PASSWORD on each line) and USERS (sip.users_file) are for root only. Passwords that
are there stay; users that the file USERS holds besides stay too.
"""

import hashlib
import os
import secrets
import sys

ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"  # nothing that looks like something else
LETTERS = 16  # 80 bits


def read(path: str) -> list[list[str]]:
    try:
        with open(path, encoding="utf-8") as file:
            return [line.split() for line in file if line.strip() and line[0] != "#"]
    except FileNotFoundError:
        return []


def write(path: str, head: str, rows: list[list[str]]) -> None:
    part = path + ".part"
    fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(fd, "w", encoding="utf-8") as file:
        file.write(head + "\n" + "".join(" ".join(row) + "\n" for row in rows))
    os.replace(part, path)


def main() -> None:
    passwords_path, users_path, domain, digest, *names = sys.argv[1:]
    passwords = {row[0]: row[1] for row in read(passwords_path)}
    for name in names:
        if name not in passwords:
            passwords[name] = "".join(secrets.choice(ALPHABET) for _ in range(LETTERS))
    rows = [row for row in read(users_path) if row[0] not in names]
    for name in names:
        hashed = hashlib.new(digest, f"{name}:{domain}:{passwords[name]}".encode()).hexdigest()
        rows.append([name, domain, hashed])
    write(passwords_path, "# Name and password, made by deploy/up.",
          [[name, password] for name, password in sorted(passwords.items())])
    write(users_path, "# sip.users_file: name, domain and hash.", rows)


main()
