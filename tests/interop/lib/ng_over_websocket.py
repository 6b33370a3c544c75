"""Speaks NG over a WebSocket with python3-websockets, which belongs to Debian's own Python:
    /usr/bin/python3 ng_over_websocket.py URL TOKEN-FILE
Each line of input is a message; each reply becomes a line of output. Ends with 3 when it is not let
in, and says with which status.
"""

import asyncio
import pathlib
import sys

import websockets


async def main(url, token_file):
    token = pathlib.Path(token_file).read_text().strip()
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        async with websockets.connect(url, subprotocols=["ng.rtpengine.com"],
                                      extra_headers=headers) as link:
            for line in sys.stdin:
                await link.send(line.strip())
                print(await asyncio.wait_for(link.recv(), 10), flush=True)
    except websockets.exceptions.InvalidStatusCode as refused:
        print(refused.status_code)
        return 3
    return 0


sys.exit(asyncio.run(main(*sys.argv[1:])))
