"""A stretch of bad network between one phone and the PBX: a relay on loopback that loses RTP.

    with LossyRelay("127.0.0.1:5060", loss=0.05, seed=1) as net:
        phone = BaresipPhone("101", "secret", net.address, ...)

Give the phone `address` as its server (UDP only). SIP passes untouched except for the ports of the
audio streams in SDP; RTCP passes whole. Of every hundred RTP packets in one direction the same share
is lost, at places that only the seed decides: random enough for codecs and counters, and exact enough
to be measured in ten seconds.
"""
import random
import re
import select
import socket
import threading

from . import util


class _Dice:
    """True for the packets to lose."""

    def __init__(self, loss, seed):
        self.random, self.lose, self.left = random.Random(seed), round(loss * 100), []

    def __call__(self):
        if not self.left:
            hit = set(self.random.sample(range(100), self.lose))
            self.left = [i in hit for i in range(100)]
        return self.left.pop()


class LossyRelay:
    """lost, passed: RTP packets of the newest call by direction, "up" (phone to PBX) and "down"."""

    def __init__(self, server, loss=0.05, seed=1, directions=("up", "down"), host="127.0.0.1"):
        name, port = server.rsplit(":", 1)
        self.server, self.host = (name, int(port)), host
        self.dice = {d: _Dice(loss if d in directions else 0, "%s %s" % (seed, d)) for d in ("up", "down")}
        self.lost, self.passed = {"up": 0, "down": 0}, {"up": 0, "down": 0}
        self.sip = self._socket(util.free_ports(2, host))
        self.address = "%s:%d" % self.sip.getsockname()
        self.phone = None
        base = util.rtp_ports(host, 4)
        # even sockets carry RTP and odd ones RTCP; the first pair is what the PBX sees, the second what the phone sees
        self.media = [self._socket(base + i) for i in range(4)]
        self.ports = {"up": base, "down": base + 2}
        self.target = {"up": None, "down": None}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _socket(self, port):
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.bind((self.host, port))
        s.setblocking(False)
        return s

    def _run(self):
        while not self._stop.is_set():
            ready, _, _ = select.select([self.sip] + self.media, [], [], 0.2)
            for s in ready:
                try:
                    data, source = s.recvfrom(65536)
                except OSError:
                    continue
                if s is self.sip:
                    self._signalling(data, source)
                else:
                    self._media(self.media.index(s), data)

    def _signalling(self, data, source):
        if source == self.server:
            data = self._ports(data, "up", "down")
            if self.phone:
                self.sip.sendto(data, self.phone)
        else:
            self.phone = source
            self.sip.sendto(self._ports(data, "down", "up"), self.server)

    def _ports(self, data, target, ours):
        """Notes where the sender of this SDP wants its audio, and puts our port in its place."""
        found = re.search(rb"\r\nm=audio (\d+) ", data)
        # Port 9 is what a phone says that is asked by OPTIONS what it can do: it means nothing.
        if not found or found.group(1) in (b"0", b"9"):
            return data
        port, own = int(found.group(1)), self.ports[ours]
        if len(str(port)) != len(str(own)):
            raise ValueError("ports %d and %d differ in length: Content-Length would lie" % (port, own))
        self.target[target] = port
        data = data.replace(found.group(0), b"\r\nm=audio %d " % own)
        return data.replace(b"\r\na=rtcp:%d" % (port + 1), b"\r\na=rtcp:%d" % (own + 1))

    def _media(self, index, data):
        """0 and 1 hear the PBX and are answered from by 2 and 3, which hear the phone."""
        direction, control = ("down" if index < 2 else "up"), index % 2
        port = self.target[direction]
        if port is None:
            return
        if not control:
            if self.dice[direction]():
                self.lost[direction] += 1
                return
            self.passed[direction] += 1
        self.media[(index + 2) % 4].sendto(data, (self.host, port + control))

    def close(self):
        self._stop.set()
        self._thread.join(2)
        for s in [self.sip] + self.media:
            s.close()

    def __enter__(self):
        return self

    def __exit__(self, *a):
        self.close()
