"""RTP that goes on in the background while a test does something else."""

import contextlib
import threading

from .rtp import packet


class Talk:
    """Sends a packet from each of its sockets every 20 ms, until it is told to stop."""

    def __init__(self, scratch):
        self._talkers = []  # (socket, function from sequence to packet, address)
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        scratch.on_exit(self._thread.join)
        scratch.on_exit(self._end.set)

    def begin(self, socket, make=packet, to=None):
        self._talkers.append((socket, make, to))
        return socket

    def stop(self, socket):
        self._talkers = [one for one in self._talkers if one[0] is not socket]

    def _run(self):
        sequence = 0
        while not self._end.wait(0.02):
            sequence += 1
            for socket, make, to in list(self._talkers):
                with contextlib.suppress(OSError):  # closed: the case has ended
                    socket.send(make(sequence), to)
