"""One end of an RTP stream by hand, for SIPp's calls: it sends a tone in G.711 and keeps what it hears.

    with RtpLeg(620, "PCMA", host="127.0.0.2") as leg:
        ...tell leg.port in SDP...
        leg.save("heard.wav")

It sends to where the first packet comes from, as the SDP of the other side is not seen here.
"""
import random
import socket
import struct
import threading
import time

from . import audio, rtp, util

PAYLOAD = {"PCMU": (0, audio.ULAW), "PCMA": (8, audio.ALAW)}


class RtpLeg:
    def __init__(self, frequency, codec="PCMA", level=-12.0, host="127.0.0.1"):
        self.payload_type, table = PAYLOAD[codec]
        # one second: whole periods, so that it loops without a seam
        nearest = {}
        self.sound = bytes(nearest[x] if x in nearest else nearest.setdefault(
            x, min(range(256), key=lambda k: abs(table[k] - x)))
            for x in (round(v) for v in audio.tone(frequency, 1, 8000, level)))
        self.port = util.rtp_ports(host, 2)
        self.address = (host, self.port)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(self.address)
        self.received = rtp.Streams()
        self.peer = None
        self.sent = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        sequence, stamp, ssrc = (random.getrandbits(bits) for bits in (15, 32, 32))
        due = None
        while not self._stop.is_set():
            wait = 0.1 if due is None else max(0.0005, due - time.monotonic())
            self.socket.settimeout(wait)
            try:
                data, source = self.socket.recvfrom(2048)
                self.received.add(time.time(), source, self.address, data)
                if self.peer is None:
                    self.peer, due = source, time.monotonic()
            except OSError:
                pass
            while due is not None and time.monotonic() >= due:
                at = self.sent * 160 % len(self.sound)
                header = struct.pack(">BBHII", 0x80, self.payload_type | (0x80 if self.sent == 0 else 0),
                                     (sequence + self.sent) & 0xFFFF, (stamp + 160 * self.sent) & 0xFFFFFFFF, ssrc)
                self.socket.sendto(header + self.sound[at:at + 160], self.peer)
                self.sent += 1
                due += 0.02

    def save(self, path):
        """What was heard as a wav file; its path."""
        streams = self.received.streams()
        if not streams:
            raise AssertionError("no RTP came to %s:%d" % self.address)
        _, rate, samples = streams[0].decode()
        return audio.write_wav(path, rate, samples)

    def close(self):
        self._stop.set()
        self._thread.join(2)
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *a):
        self.close()
