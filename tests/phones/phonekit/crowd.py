"""Many callers on one pair of sockets, where a program per caller would be too many.

    with Crowd("127.0.0.1:5060", "101", "secret") as crowd:
        calls = [crowd.dial("700") for _ in range(1000)]
        calls[0].press("5"); calls[1].hangup()
        crowd.wait(lambda: all(c.end for c in calls), 20)

A caller writes its own SIP text, sends what it does not get an answer to again, and keeps what it hears as mu-law
bytes. It never sends sound of its own, only digits.
"""
import hashlib
import os
import random
import re
import selectors
import socket
import struct
import threading
import time

from .util import wait_for

_FINAL = re.compile(r"^SIP/2\.0 (\d{3})")


def _hash(text):
    return hashlib.md5(text.encode()).hexdigest()


def _headers(text, name):
    return re.findall(r"(?im)^%s[ \t]*:[ \t]*(.*?)\r?$" % name, text.split("\r\n\r\n", 1)[0])


def _authorization(challenges, user, password, method, uri):
    """The answer to the MD5 challenge (RFC 7616)."""
    value = next(v for v in challenges if "SHA-256" not in v)
    realm, nonce = (re.search(r'%s="([^"]*)"' % k, value).group(1) for k in ("realm", "nonce"))
    proof = _hash("%s:%s:00000001:c:auth:%s" % (
        _hash("%s:%s:%s" % (user, realm, password)), nonce, _hash("%s:%s" % (method, uri))))
    return ('Digest username="%s", realm="%s", nonce="%s", uri="%s", response="%s", algorithm=MD5, '
            'cnonce="c", nc=00000001, qop=auth' % (user, realm, nonce, uri, proof))


class Caller:
    """One call. `end` is None while it lives, then the final code as text, or "bye" (the PBX hung up), or
    "hung up" (we did). `codes`: [(seconds after the INVITE, status)]."""

    def __init__(self, crowd, number):
        self.crowd, self.number = crowd, number
        self.id, self.tag = os.urandom(12).hex(), os.urandom(6).hex()
        self.uri = "sip:%s@%s" % (number, crowd.server)
        self.to = "<%s>" % self.uri
        self.target, self.cseq, self.branch = self.uri, 1, ""
        self.codes, self.end, self.ended = [], None, None
        self.media, self.heard = None, bytearray()
        self.again = None                    # (text, when, pause): not answered yet
        self.leaving = False
        self.began = time.monotonic()

    def status(self, code):
        """When `code` first came, in seconds after the INVITE, or None."""
        return next((t for t, c in self.codes if c == code), None)

    @property
    def up(self):
        return self.status(200) is not None

    def hangup(self):
        """CANCEL before the answer, BYE after it."""
        with self.crowd.lock:
            self.leaving = True
            if self.up:
                self.cseq += 1
                self._request("BYE", self.target)
            else:
                self._request("CANCEL", self.uri, branch=self.branch)

    def press(self, digit):
        """An RFC 4733 event of 100 ms: three packets, and the end three times."""
        event, ssrc = "0123456789*#ABCD".index(digit), random.getrandbits(32)
        for i in range(6):
            last = i >= 3
            head = struct.pack("!BBHII", 0x80, 101 | (0 if i else 0x80), 1000 + i, 80000, ssrc)
            body = struct.pack("!BBH", event, 10 | (0x80 if last else 0), 800 if last else 160 * (i + 1))
            self.crowd.rtp.sendto(head + body, self.media)

    # -- what the crowd's thread does -------------------------------------
    def _invite(self, authorization=None):
        c = self.crowd
        sdp = ("v=0\r\no=- 1 1 IN IP4 {h}\r\ns=-\r\nc=IN IP4 {h}\r\nt=0 0\r\nm=audio {p} RTP/AVP 0 101\r\n"
               "a=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\n"
               ).format(h=c.host, p=c.rtp.getsockname()[1])
        extra = "Contact: <sip:%s@%s:%d>\r\nContent-Type: application/sdp\r\n" % (c.user, c.host, c.port)
        if authorization:
            extra += "Authorization: %s\r\n" % authorization
        self._request("INVITE", self.uri, extra, sdp)

    def _request(self, method, uri, extra="", body="", branch=None):
        c = self.crowd
        branch = branch or "z9hG4bK" + os.urandom(8).hex()
        if method == "INVITE":
            self.branch = branch
        text = ("{m} {u} SIP/2.0\r\nVia: SIP/2.0/UDP {h}:{p};branch={b};rport\r\nMax-Forwards: 70\r\n"
                "From: <sip:{user}@{s}>;tag={tag}\r\nTo: {to}\r\nCall-ID: {id}\r\nCSeq: {n} {m}\r\n{x}"
                "Content-Length: {l}\r\n\r\n{body}").format(
                    m=method, u=uri, h=c.host, p=c.port, b=branch, user=c.user, s=c.server, tag=self.tag,
                    to=self.to, id=self.id, n=self.cseq, x=extra, l=len(body), body=body)
        c.send(text)
        if method != "ACK":
            self.again = (text, time.monotonic() + 0.5, 0.5)

    def _over(self, how):
        self.again = None
        if self.end is None:
            self.end, self.ended = how, time.monotonic() - self.began

    def _response(self, code, text):
        number, method = _headers(text, "CSeq")[0].split()
        if int(number) != self.cseq:         # once more what was dealt with
            return None
        if method == "BYE":
            return self._over("hung up")
        if method == "CANCEL":
            self.again = None
            return None
        if not self.codes or self.codes[-1][1] != code:
            self.codes.append((time.monotonic() - self.began, code))
        media = re.search(r"(?m)^m=audio (\d+)", text)
        if media:
            self.media = (self.crowd.server.rsplit(":", 1)[0], int(media.group(1)))
            self.crowd.streams[self.media] = self
        if code < 200:
            self.again = None
            return None
        to, first = self.to, _headers(text, "To")[0]
        self.to = first
        if code < 300:
            self.target = re.search(r"<([^>]+)>", _headers(text, "Contact")[0]).group(1)
            self.again = None
            self._request("ACK", self.target)
            if self.leaving and self.end is None:      # the answer was faster than our CANCEL
                self.cseq += 1
                self._request("BYE", self.target)
            return None
        self._request("ACK", self.uri, branch=self.branch)
        if code == 401 and self.cseq == 1 and not self.leaving:
            self.to, self.cseq, self.codes = to, 2, []
            return self._invite(_authorization(_headers(text, "WWW-Authenticate"), self.crowd.user,
                                               self.crowd.password, "INVITE", self.uri))
        return self._over(str(code))


class Crowd:
    def __init__(self, server, user, password, host="127.0.0.1"):
        self.server, self.user, self.password, self.host = server, user, password, host
        self.sip, self.rtp = self._socket(), self._socket()
        self.port = self.sip.getsockname()[1]
        self.peer = (server.rsplit(":", 1)[0], int(server.rsplit(":", 1)[1]))
        self.calls, self.streams = {}, {}
        self.lock = threading.RLock()
        self._open = True
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _socket(self):
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        s.bind((self.host, 0))
        return s

    def send(self, text):
        self.sip.sendto(text.encode(), self.peer)

    def dial(self, number):
        call = Caller(self, number)
        with self.lock:
            self.calls[call.id] = call
            call._invite()
        return call

    def wait(self, condition, seconds, what="what the callers wait for"):
        return wait_for(condition, seconds, what)

    def close(self):
        self._open = False
        self._thread.join(5)
        self.sip.close()
        self.rtp.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _listen(self):
        ready = selectors.DefaultSelector()
        ready.register(self.sip, selectors.EVENT_READ, self._on_sip)
        ready.register(self.rtp, selectors.EVENT_READ, self._on_rtp)
        tick = time.monotonic()
        while self._open:
            for key, _ in ready.select(0.05):
                data, source = key.fileobj.recvfrom(65536)
                with self.lock:
                    key.data(data, source)
            if time.monotonic() - tick > 0.1:
                tick = time.monotonic()
                self._repeat(tick)

    def _repeat(self, now):
        """RFC 3261 17.1: again after 0.5 s, 1 s, 2 s, then every 4 s."""
        with self.lock:
            for call in self.calls.values():
                if call.again and call.again[1] <= now:
                    text, _, pause = call.again
                    call.again = (text, now + min(2 * pause, 4), min(2 * pause, 4))
                    self.send(text)

    def _on_rtp(self, data, source):
        call = self.streams.get(source)
        if call and len(data) > 12 and data[1] & 0x7F == 0:
            call.heard += data[12:]

    def _on_sip(self, data, _):
        text = data.decode("utf-8", "replace")
        ids = _headers(text, "Call-ID")
        call = self.calls.get(ids[0]) if ids else None
        if call is None:
            return
        final = _FINAL.match(text)
        if final:
            return call._response(int(final.group(1)), text)
        method = text.split(" ", 1)[0]
        if method == "ACK":
            return None
        echoed = "".join("%s: %s\r\n" % (name, value) for name in ("Via", "From", "To", "Call-ID", "CSeq")
                         for value in _headers(text, name))
        self.send("SIP/2.0 200 OK\r\n%sContent-Length: 0\r\n\r\n" % echoed)
        if method == "BYE":
            call._over("bye")
