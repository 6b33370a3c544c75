"""What passes an interface, as a tap on the wire sees it.

    with Capture("tp-o") as capture:
        …
    capture.frames()
"""

import socket
import threading

from . import case  # noqa: F401  (puts deploy/lib on the module path)
import netns

ETH_P_ALL = 3


class Capture:
    """`place`: the network namespace that the interface is in; None: our own."""

    def __init__(self, interface, place=None):
        self._interface, self._place = interface, place
        self._frames = []

    def __enter__(self):
        with netns.inside(self._place):
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW,
                                         socket.htons(ETH_P_ALL))
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        self._socket.bind((self._interface, 0))
        self._socket.settimeout(0.1)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def _run(self):
        while not self._stopped.is_set():
            try:
                self._frames.append(self._socket.recv(65536))
            except TimeoutError:
                continue
            except OSError:  # the interface is gone
                return

    def __exit__(self, *_):
        self._stopped.set()
        self._thread.join()
        self._socket.close()

    def frames(self):
        """Whole frames."""
        return list(self._frames)
