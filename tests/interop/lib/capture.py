"""What passes an interface, as a tap on the wire sees it.

    with Capture("tp-o") as capture:
        …
    capture.frames()
"""

import socket
import threading

ETH_P_ALL = 3


class Capture:
    def __init__(self, interface):
        self._interface = interface
        self._frames = []

    def __enter__(self):
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
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
