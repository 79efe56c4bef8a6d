"""A SIP client written out by hand over plain sockets: for what no phone says, be it too new (SHA-256 digests) or
too rude. It knows requests, answers and digests; it has no timers and repeats nothing, for loopback loses nothing."""
import hashlib
import itertools
import os
import re
import socket
import ssl
import time

_counter = itertools.count(1)
HASHES = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256}


def unique():
    return f"{os.getpid():x}x{next(_counter):x}x{os.urandom(4).hex()}"


class Message:
    """What came, taken apart just far enough for a test."""

    def __init__(self, raw):
        head, _, self.body = raw.partition(b"\r\n\r\n")
        lines = head.decode("utf-8", "replace").split("\r\n")
        self.start = lines[0]
        self.fields = [(n.strip().lower(), v.strip()) for n, _, v in (line.partition(":") for line in lines[1:])]

    @property
    def status(self):
        found = re.match(r"SIP/2\.0 (\d{3}) ", self.start)
        return int(found[1]) if found else None

    def all(self, name):
        return [v for n, v in self.fields if n == name.lower()]

    def get(self, name):
        return next(iter(self.all(name)), "")

    def challenge(self, algorithm):
        """The parameters of the digest challenge with this algorithm."""
        for value in self.all("www-authenticate") + self.all("proxy-authenticate"):
            found = {k.lower(): quoted or bare for k, quoted, bare in re.findall(r'(\w+)=(?:"([^"]*)"|([^\s,]+))', value)}
            if found.get("algorithm", "MD5").upper() == algorithm:
                return found
        raise AssertionError(f"no {algorithm} challenge in {self.fields}")

    def __repr__(self):
        return f"<{self.start}>"


class Link:
    """One socket to the PBX; UDP, TCP or TLS, IPv4 or IPv6. What is received is cut into messages."""

    def __init__(self, host, port, transport="udp", source=None):
        self.transport, self.buffer, self.closed = transport, b"", False
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        kind = socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM
        self.socket = socket.socket(family, kind)
        self.socket.settimeout(5)
        if source:
            self.socket.bind((source, 0))
        self.socket.connect((host, port))
        if transport == "tls":
            trusting = ssl.create_default_context()
            trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
            self.socket = trusting.wrap_socket(self.socket, server_hostname="localhost")
        elif transport == "tcp":
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    @property
    def address(self):
        host, port = self.socket.getsockname()[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def send(self, data):
        try:
            self.socket.sendall(data)
        except (ConnectionError, ssl.SSLError):
            self.closed = True

    def receive(self, seconds=5.0):
        """The next message, or None when the time is over or the connection closed."""
        end = time.monotonic() + seconds
        while True:
            message = self._cut()
            if message or self.closed:
                return message
            left = end - time.monotonic()
            if left <= 0:
                return None
            self.socket.settimeout(left)
            try:
                data = self.socket.recv(65_536)
            except (socket.timeout, ssl.SSLWantReadError):
                return None
            except (ConnectionError, ssl.SSLError):
                data = b""
            if self.transport == "udp":
                return Message(data)
            self.closed = not data
            self.buffer += data

    def _cut(self):
        self.buffer = self.buffer.lstrip(b"\r\n")
        head, end, rest = self.buffer.partition(b"\r\n\r\n")
        if not end:
            return None
        length = int(re.search(rb"(?im)^content-length: *(\d+)", head)[1])
        if len(rest) < length:
            return None
        self.buffer = rest[length:]
        return Message(head + end + rest[:length])

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Client:
    """A user of the PBX on a link of its own."""

    def __init__(self, server, number, transport="udp", host="127.0.0.1", algorithm="SHA-256", password=None, source=None):
        port = server.tls if transport == "tls" else server.sip
        self.link = Link(host, port, transport, source)
        self.number, self.algorithm = number, algorithm
        self.password = password or f"secret-of-{number}-ok"
        self.domain = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self.cseq, self.dialog = 0, {}

    def request(self, method, uri=None, extra=(), body="", to=None, call_id=None, cseq=None):
        """A request as octets. Without `uri` it is the PBX's own; CSeq counts up by itself."""
        self.cseq += cseq is None
        uri = uri or f"sip:{self.domain}"
        lines = [f"{method} {uri} SIP/2.0",
                 f"Via: SIP/2.0/{self.link.transport.upper()} {self.link.address};branch=z9hG4bK{unique()};rport",
                 "Max-Forwards: 70", f"From: <sip:{self.number}@{self.domain}>;tag=t{self.number}",
                 f"To: {to or f'<{uri}>'}", f"Call-ID: {call_id or unique()}", f"CSeq: {cseq or self.cseq} {method}",
                 f"Contact: <sip:{self.number}@{self.link.address};transport={self.link.transport}>", *extra]
        if body:
            lines.append("Content-Type: application/sdp")
        lines.append(f"Content-Length: {len(body)}")
        return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()

    def final(self, seconds=5.0, to=None):
        """The next final answer; with `to`, to that request."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            message = self.link.receive(end - time.monotonic())
            if message is None:
                return None
            ours = to is None or all(message.get(n) == to.get(n) for n in ("call-id", "cseq"))
            if ours and message.status and message.status >= 200:
                return message
        return None

    def ask(self, method, *arguments, **options):
        """Sends a request and returns its final answer; an INVITE's is acknowledged."""
        octets = self.request(method, *arguments, **options)
        request = Message(octets)
        self.link.send(octets)
        answer = self.final(to=request)
        assert answer is not None, f"no answer to {method}"
        if method == "INVITE":
            self.acknowledge(request, answer)
        return answer

    def acknowledge(self, request, answer):
        uri = request.start.split(" ")[1]
        if answer.status < 300:
            uri = re.search(r"<([^>]*)>", answer.get("contact"))[1]
        ack = self.request("ACK", uri, to=answer.get("to"), call_id=answer.get("call-id"),
                           cseq=answer.get("cseq").split(" ")[0])
        if answer.status >= 300:
            # RFC 3261 §17.1.1.3: it belongs to the INVITE's transaction.
            ack = re.sub(rb"Via: [^\r]*", f"Via: {request.get('via')}".encode(), ack, count=1)
        self.link.send(ack)

    def credentials(self, challenge, method, uri, nc=1, **altered):
        """An Authorization header line (RFC 7616 §3.4); `altered` parameters are hashed as altered."""
        digest = lambda *parts: HASHES[self.algorithm](":".join(parts).encode()).hexdigest()  # noqa: E731
        c = {**challenge, **altered}
        count, cnonce = f"{nc:08x}", unique()
        response = digest(digest(self.number, c["realm"], self.password), c["nonce"], count, cnonce, "auth",
                          digest(method, uri))
        return (f'Authorization: Digest username="{self.number}", realm="{c["realm"]}", nonce="{c["nonce"]}", '
                f'uri="{uri}", response="{response}", algorithm={self.algorithm}, cnonce="{cnonce}", qop=auth, nc={count}')

    def prove(self, method, uri=None, extra=(), **options):
        """Asks, answers the challenge, and returns the answer to that."""
        uri = uri or f"sip:{self.domain}"
        first = self.ask(method, uri, extra, **options)
        assert first.status == 401, first
        line = self.credentials(first.challenge(self.algorithm), method, uri)
        return self.ask(method, uri, [*extra, line], **options)

    def register(self, **options):
        return self.prove("REGISTER", to=f"<sip:{self.number}@{self.domain}>", **options)

    def sdp(self, port):
        host = self.link.socket.getsockname()[0]
        family = "IP6" if ":" in host else "IP4"
        return f"v=0\r\no=- 1 1 IN {family} {host}\r\ns=-\r\nc=IN {family} {host}\r\nt=0 0\r\nm=audio {port} RTP/AVP 0\r\n"

    def call(self, number, port=9):
        """Calls `number` with media at `port`, acknowledges, and returns the answer."""
        answer = self.prove("INVITE", f"sip:{number}@{self.domain}", body=self.sdp(port))
        if answer.status == 200:
            self.up(answer)
        return answer

    def up(self, answer):
        """The dialog that the 200 made; `bye` ends it."""
        self.dialog = {"uri": re.search(r"<([^>]*)>", answer.get("contact"))[1], "to": answer.get("to"),
                       "call_id": answer.get("call-id")}

    def bye(self):
        return self.ask("BYE", self.dialog["uri"], to=self.dialog["to"], call_id=self.dialog["call_id"])

    def close(self):
        self.link.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
