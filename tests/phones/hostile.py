#!/usr/bin/env python3
"""Who must not get in, and what must not bring the PBX down: digests new, replayed and invented, ports that are taken,
kill -9 between a call and its record, the torture messages, smuggled requests, slow and silent clients, garbage.
Calls over IPv6 are here too, for they need no more than other addresses.
`hostile.py PATH-TO-OFFHOOK [case ...]` runs all cases or those named."""
import contextlib
import json
import os
import random
import re
import resource
import signal
import subprocess
import sys
import threading
import time

from desk import heard, phone, run
from server import Server
from wire import Client, Link, Message

SENDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "torture", "send.py")
RANDOM = random.Random(3261)


# Who sends nothing but nonsense is soon not heard any more; these cases want to know what each is answered.
ALLOWED = {"OFFHOOK_DEFENCE__ALLOW": "127.0.0.0/8,::1"}


def contacts(server, number):
    return [r["contact"] for r in server.get("/registrations")["items"] if r["extension"] == number]


def talk(server, a, b, seconds=3):
    """101 calls 102, and each hears the other's tone; returns the levels."""
    a.dial("102")
    b.answer()
    a.wait_event("established", 10, fail="closed")
    time.sleep(seconds)
    a.hangup()
    b.wait_event("closed", 5)
    # A recording is complete when its phone has ended.
    a.close()
    b.close()
    return [heard(b.recordings()[0], 440, end=seconds), heard(a.recordings()[0], 620, end=seconds)]


@contextlib.contextmanager
def two_phones(server, host_a="127.0.0.1", host_b="127.0.0.1"):
    a, b = phone(server, "101", host=host_a), phone(server, "102", host=host_b)
    try:
        a.register()
        b.register()
        yield a, b
    finally:
        a.close()
        b.close()


# ---------------------------------------------------------------- who gets in


def digests(binary):
    """SHA-256 works; a password, nonce or count that is wrong or was used does not."""
    with Server(binary) as server:
        server.extension("101", ["PCMU"])
        server.extension("102", ["PCMU"])
        with Client(server, "101", algorithm="SHA-256") as a:
            assert a.register().status == 200
            assert len(contacts(server, "101")) == 1
            assert a.call("*43").status == 200
            assert a.bye().status == 200
        record = server.record(1)
        assert (record["from"], record["dialed"], record["cause"]) == ("101", "*43", "completed"), record
        yield "SHA-256: registered and called"
        for algorithm in ("SHA-256", "MD5"):
            with Client(server, "102", algorithm=algorithm, password="not-the-password") as wrong:
                status = wrong.register().status
            assert status in (401, 403) and contacts(server, "102") == [], status
            yield f"{algorithm} with a wrong password: {status}, no registration"
        yield from replays(server)
        yield from inventions(server)
        assert server.get("/calls")["items"] == []
        # None of the thief's: the second is that of the honest phone, whose offer nobody can read.
        record = server.record(2)
        assert (record["from"], record["dialed"], record["cause"]) == ("102", "*43", "failed"), record


def replays(server):
    """What somebody on the wire has seen is of no use from another address."""
    with Client(server, "102") as honest, Client(server, "102") as thief:
        uri, to = f"sip:{honest.domain}", f"<sip:102@{honest.domain}>"
        challenge = honest.ask("REGISTER", to=to).challenge("SHA-256")
        line = honest.credentials(challenge, "REGISTER", uri)
        seen = honest.request("REGISTER", extra=[line], to=to)
        honest.link.send(seen)
        assert honest.final().status == 200
        kept = contacts(server, "102")
        assert len(kept) == 1, kept
        answers = [thief.ask("REGISTER", extra=[line], to=to)]
        own = seen.replace(honest.link.address.encode(), thief.link.address.encode())
        own = re.sub(rb"Call-ID: [^\r]*", b"Call-ID: of-the-thief", own)
        thief.link.send(own)
        answers.append(thief.final())
        thief.link.send(seen)
        assert contacts(server, "102") == kept
        second = honest.credentials(challenge, "REGISTER", uri, nc=2)
        assert honest.ask("REGISTER", extra=[second], to=to).status == 200
        answers += [thief.ask("REGISTER", extra=[again], to=to) for again in (second, line)]
        invite = honest.credentials(challenge, "INVITE", f"sip:*43@{honest.domain}", nc=3)
        assert honest.ask("INVITE", f"sip:*43@{honest.domain}", [invite], "no SDP").status in (400, 488)
        answers.append(thief.ask("INVITE", f"sip:*43@{honest.domain}", [invite], thief.sdp(9)))
        for answer in answers:
            assert answer.status == 401 and answer.challenge("SHA-256")["nonce"] != challenge["nonce"], answer
        assert contacts(server, "102") == kept
        yield f"{len(answers)} replays, of REGISTER, of counts 1 and 2, of INVITE: each 401 with a new nonce, nothing kept"


def inventions(server):
    with Client(server, "102") as a:
        uri, to = f"sip:{a.domain}", f"<sip:102@{a.domain}>"
        challenge = a.ask("REGISTER", to=to).challenge("SHA-256")
        real, kept = challenge["nonce"], contacts(server, "102")
        flipped = real[:-1] + ("0" if real[-1] != "0" else "1")
        later = f"{int(real[:16], 16) + 1:016x}" + real[16:]
        nonces = [flipped, later, os.urandom(len(real) // 2).hex(), "0" * len(real), "a", real + "00", real[:-2]]
        for nonce in nonces:
            line = a.credentials(challenge, "REGISTER", uri, nonce=nonce)
            answer = a.ask("REGISTER", extra=[line], to=to)
            assert answer.status == 401 and answer.challenge("SHA-256")["nonce"] not in (real, nonce), (nonce, answer)
        assert contacts(server, "102") == kept
        line = a.credentials(challenge, "REGISTER", uri)
        assert a.ask("REGISTER", extra=[line], to=to).status == 200, "the real one is still good"
        yield f"{len(nonces)} invented nonces: each 401, nothing kept; the real one was still good afterwards"


# ---------------------------------------------------------------- IPv6 and ports


def ipv6(binary):
    with Server(binary) as server:
        server.extension("101", ["PCMU"])
        server.extension("102", ["PCMU"])
        for count, (host_a, host_b) in enumerate([("::1", "::1"), ("127.0.0.1", "::1"), ("::1", "127.0.0.1")], 1):
            with two_phones(server, host_a, host_b) as (a, b):
                sources = {r["extension"]: r["source"] for r in server.get("/registrations")["items"]}
                assert [("[::1]" in sources[n]) for n in ("101", "102")] == [":" in host_a, ":" in host_b], sources
                levels = talk(server, a, b)
            record = server.record(count)
            assert record["cause"] == "completed" and all(leg["loss_in"] == 0 for leg in record["legs"]), record
            yield f"{host_a} calls {host_b}: heard at {levels[0]:.1f} and {levels[1]:.1f} dBFS, nothing lost"


def ports(binary):
    """A second start on a port of the first is refused with a sentence that names it."""
    with Server(binary) as first:
        wanted = [("SIP", f"{t}://{h}:{first.tls if t == 'tls' else first.sip}")
                  for h in ("127.0.0.1", "[::1]", "0.0.0.0") for t in ("udp", "tcp", "tls")]
        for what, where in wanted + [("HTTP", f"127.0.0.1:{first.http}")]:
            key = "OFFHOOK_SIP__LISTEN" if what == "SIP" else "OFFHOOK_HTTP__LISTEN"
            second = Server(binary, **{key: where})
            try:
                second.start(wait=False)
                code, said = second.process.wait(10), second.tail(2).strip()
            finally:
                second.__exit__()
            address = where.split("://")[-1]
            assert code == 1 and address in said and re.search("taken|already listens", said), (where, code, said)
        yield f"{len(wanted)} second starts on a SIP address and one on the HTTP address were refused, the last with: {said}"
        first.extension("101")
        with Client(first, "101") as a:
            assert a.register().status == 200
        yield "the first one serves on"


# ---------------------------------------------------------------- kill -9


def unsent(binary):
    """Three calls in a row, then kill -9 while their records are on the way: after the restart each is there, once."""
    rounds, calls, on_the_way, slowest = 10, 3, 0, 0.0
    with Server(binary) as server:
        server.extension("101", ["PCMU"])
        with Client(server, "101") as a:
            for done in range(calls, rounds * calls + 1, calls):
                for _ in range(calls):
                    assert a.call("*43").status == 200
                    assert a.bye().status == 200
                ended = time.monotonic()
                server.until(lambda: len(waiting(server) | records_of(server)) == done, 2, "the records to be safe")
                slowest = max(slowest, time.monotonic() - ended)
                time.sleep(RANDOM.uniform(0, 0.080))
                server.process.kill()
                server.process.wait()
                on_the_way += bool(waiting(server))
                server.start()
                server.record(done)
            records = server.get("/call-records?limit=500")["items"]
        assert len(records_of(server)) == rounds * calls
        assert all(r["cause"] == "completed" for r in records), records
        assert on_the_way > 0, "no kill came before the database had the records: nothing was tried"
    yield f"{rounds} times kill -9 up to 80 ms after the records were safe ({slowest * 1000:.0f} ms after the last call at most), " \
          f"{on_the_way} of them before the database had all: {rounds * calls} calls, {len(records)} records"


def records_of(server):
    """The ids of the records that the database has."""
    return {r["id"] for r in server.get("/call-records?limit=500")["items"]}


def waiting(server):
    """The ids of the records that wait in the spool."""
    with open(os.path.join(server.data, "unsent-records.jsonl")) as f:
        return {json.loads(line)["id"] for line in f if line.endswith("\n")}


# ---------------------------------------------------------------- messages


def torture(binary):
    """The sender against a PBX of its own per transport: RFC 4475's messages are the same each time."""
    summary = {}
    with Server(binary, **ALLOWED) as for_udp, Server(binary, **ALLOWED) as for_tcp:
        senders = {}
        for transport, server in (("udp", for_udp), ("tcp", for_tcp)):
            server.extension("101")
            senders[transport] = subprocess.Popen(
                [sys.executable, SENDER, server.address(), "--transport", transport, "--strict", "--quiet",
                 "--pid", str(server.process.pid)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for transport, sender in senders.items():
            summary[transport] = sender.communicate(timeout=90)[0].strip()
            assert sender.returncode == 0, f"{transport}: {summary[transport]}"
            count, differ = re.search(r"alive: (\d+) messages .*?, (\d+) differ", summary[transport]).groups()
            assert (count, differ) == ("183", "0"), summary[transport]
            before, after = map(int, re.search(r"memory (\d+) -> (\d+) KiB", summary[transport]).groups())
            assert after - before < 32_768, summary[transport]
            yield summary[transport].splitlines()[-1]


def options(client, body="", change=lambda text: text):
    """An OPTIONS request, altered; and its Call-ID."""
    text = client.request("OPTIONS", body=body)
    return change(text), Message(text).get("call-id")


def shapes(client):
    """(what, octets or pieces of them, Call-IDs that must be answered, whether the connection must end)."""
    inner = client.request("INVITE", f"sip:*43@{client.domain}", body=client.sdp(9))
    smuggled = Message(inner).get("call-id")
    length = rb"(?i)content-length: 5"

    def with_length(line, tail=inner):
        text, call_id = options(client, "hello", lambda t: re.sub(length, line, t))
        return text + tail, call_id

    many = [options(client, "hello") for _ in range(20)]
    yield "20 requests in one write", b"".join(t for t, _ in many), [i for _, i in many], False
    text, one = options(client, "hello")
    yield "one octet at a time", [text[i:i + 1] for i in range(len(text))], [one], False
    cut = text.index(b"\r\n\r\n") + 2
    text, one = options(client, "hello")
    yield "cut in the empty line and in the body", [text[:cut], text[cut:-2], text[-2:]], [one], False
    text, one = options(client, inner.decode())
    yield "a body that holds an INVITE", text, [one], False
    text, one = options(client)
    yield "length 0 before an INVITE", text + inner, [one, smuggled], False
    (text, one), (more, two) = options(client), options(client)
    yield "empty lines before and between requests", b"\r\n\r\n" + text + b"\r\n\r\n\r\n" + more, [one, two], False
    for line in (b"Content-Length : 5", b"Content-Length\t:\t5", b"l : 5", b"Content-Length:\r\n 5", b"CONTENT-LENGTH: 005"):
        text, one = with_length(line, b"")
        yield f"{line!r}", text, [one], False
    other = len(b"hello" + inner)
    for line in (b"Content-Length: 5\r\nContent-Length: %d" % other, b"Content-Length: %d\r\nl: 5" % other,
                 b"Content-Length: 5, %d" % other, b"Content-Length: 5 %d" % other, b"Content-Length: +5",
                 b"Content-Length: 0x5", b"Content-Length: -5", b"Content-Length: 5;a=b", b"Content-Length: ",
                 b"Content-Length: 18446744073709551621", b"X-None: 5",
                 b"Content-Length: 5\rX: y", b"Content-Length: 5\nContent-Length: 0", b"Content-Length\0: 5"):
        text, _ = with_length(line)
        yield f"{line[:60]!r}", text, [], True
    # RFC 3261 §21.5.13: too long to be taken, but nothing is unclear about it.
    text, one = with_length(b"Content-Length: 99999999")
    yield "a length beyond every limit", text, [one], True


def answered(client, pieces):
    """Sends, then asks for a sign of life; the Call-IDs of all final answers in order, and whether the end came."""
    for piece in [pieces] if isinstance(pieces, bytes) else pieces:
        client.link.send(piece)
    text, last = options(client)
    client.link.send(text)
    got, statuses = [], set()
    while last not in got:
        answer = client.final(5)
        if answer is None:
            assert client.link.closed, "neither an answer nor the end of the connection"
            assert statuses <= {513}, f"closed after {statuses}"
            return got, True
        got.append(answer.get("call-id"))
        statuses.add(answer.status)
    assert 513 not in statuses, "open after a 513"
    return got[:-1], False


def framing(binary):
    with Server(binary, **ALLOWED) as server:
        server.extension("101")
        for transport in ("tcp", "tls"):
            exact = closed = 0
            with Client(server, "101", transport) as sample:
                names = [name for name, *_ in shapes(sample)]
            for index, name in enumerate(names):
                with Client(server, "101", transport) as client:
                    _, pieces, wanted, end = list(shapes(client))[index]
                    got, ended = answered(client, pieces)
                assert (got, ended) == (wanted, end), f"{transport}, {name}: {got} instead of {wanted}, ended {ended}"
                exact, closed = exact + (not ended), closed + ended
            assert server.get("/calls")["items"] == []
            yield f"{transport}: {exact} times exactly the right requests, {closed} times a closed connection"


# ---------------------------------------------------------------- too slow, too many, too much


class Slow(threading.Thread):
    """A client that behaves badly in its own time; `lasted` says when the PBX ended it."""

    def __init__(self, link, behave):
        super().__init__(daemon=True)
        self.link, self.behave, self.lasted, self.count = link, behave, None, 0
        self.start()

    def run(self):
        began = time.monotonic()
        self.behave(self)
        self.lasted = time.monotonic() - began
        self.link.close()


def drip(slow):
    """One octet of a request per second."""
    text = b"OPTIONS sip:a SIP/2.0\r\nSubject: " + b"x" * 1_000
    while not slow.link.closed and slow.count < 60:
        slow.link.send(text[slow.count:slow.count + 1])
        slow.count += 1
        slow.link.receive(1)


def silent(slow):
    """Connects to the TLS port and says nothing."""
    while not slow.link.closed and slow.count < 60:
        slow.link.receive(1)
        slow.count += 1


def deaf(slow):
    """Asks and asks, though not faster than is answered, and never reads the answers."""
    batch = b"".join(b"OPTIONS sip:a SIP/2.0\r\nVia: SIP/2.0/TCP a;branch=z9hG4bK%d\r\nFrom: <sip:a@a>;tag=1\r\nTo: <sip:a@a>\r\n"
                     b"Call-ID: d%d\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n" % (i, i) for i in range(50))
    slow.link.socket.settimeout(40)
    while not slow.link.closed and slow.count < 200_000:
        slow.link.send(batch)
        slow.count += 50
        time.sleep(0.01)


def process(server):
    """KiB in memory, the most so far, and open descriptors."""
    with open(f"/proc/{server.process.pid}/status") as f:
        text = f.read()
    figures = [int(re.search(rf"{name}:\s+(\d+)", text)[1]) for name in ("VmRSS", "VmHWM")]
    return (*figures, len(os.listdir(f"/proc/{server.process.pid}/fd")))


@contextlib.contextmanager
def usual_limit():
    """The PBX as a service manager starts it: 1,024 descriptors, more when asked for."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert hard >= 8_192, f"this test needs a hard limit of 8,192 open files, not {hard}"
    resource.setrlimit(resource.RLIMIT_NOFILE, (1_024, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 8_192), hard))


def crowd(server, sources, each, most):
    """Idle connections: `each` from every source; those that the PBX keeps, which are `most` at most."""
    links = [Link("127.0.0.1", server.sip, "tcp", source) for source in sources for _ in range(each)]
    with Client(server, "101", "tcp", source="127.0.0.250") as last:
        assert last.register().status == 200, "somebody else is let in"

    def kept():
        for link in [link for link in links if not link.closed]:
            link.receive(0.001)
            if link.closed:
                link.close()
        return [link for link in links if not link.closed]

    # What did not fit into the system's queue comes up a second later.
    server.until(lambda: len(kept()) <= most, 10, f"all but {most} connections to be closed")
    return kept()


def slow_and_many(server):
    """Slow clients and idle ones, while two phones talk; the slow ones are returned, for they take their time."""
    at = server.host
    slow = {"one octet a second": Slow(Link(at, server.sip, "tcp", "127.0.0.2"), drip),
            "no TLS handshake": Slow(Link(at, server.tls, "tcp", "127.0.0.3"), silent),
            "never reads": Slow(Link(at, server.sip, "tcp", "127.0.0.4"), deaf)}
    before = process(server)
    one = crowd(server, ["127.0.0.5"], 2_000, 64)
    assert one, "no connection of a busy address was kept"
    yield f"2,000 idle connections of one address: {len(one)} were kept", slow
    many = crowd(server, [f"127.0.1.{n}" for n in range(1, 41)], 50, 2_000)
    memory, _, files = process(server)
    assert len(many) == 2_000 and memory - before[0] < 131_072, (len(many), memory, before)
    with two_phones(server) as (a, b):
        levels = talk(server, a, b)
    yield f"2,000 more of 40 addresses: kept with {files} descriptors and {memory - before[0]} KiB; a call meanwhile was " \
          f"heard at {levels[0]:.1f} and {levels[1]:.1f} dBFS", slow
    for link in one + many:
        link.close()
    server.until(lambda: process(server)[2] < before[2] + 20, 10, "the descriptors of the crowd to be free")


def mutated(text, most=7):
    """Octets changed, lost, doubled or put in."""
    text = bytearray(text)
    for _ in range(RANDOM.randint(1, most)):
        at = RANDOM.randrange(len(text))
        piece = text[at:at + RANDOM.randrange(1, 40)]
        text[at:at + RANDOM.choice((0, 1, len(piece)))] = RANDOM.choice(
            (b"", RANDOM.randbytes(1), piece, piece * 2, b"\r\n", b"\0", b"%", b'"', b"<", b"-1", b"99999999999"))
    return bytes(text)


def garbage(server, seconds):
    """Noise to every SIP port, and real messages with faults; the number of datagrams and writes."""
    count, end = 0, time.monotonic() + seconds
    with Client(server, "101") as a, Client(server, "101", host="::1") as b:
        patterns = [a.request(m, f"sip:102@{a.domain}", body=a.sdp(9)) for m in ("INVITE", "REGISTER", "BYE", "MESSAGE")]
        while time.monotonic() < end:
            for client in (a, b):
                for _ in range(40):
                    client.link.send(RANDOM.randbytes(RANDOM.randrange(1, 1_400)))
                    client.link.send(mutated(RANDOM.choice(patterns)))
            for port, transport in ((server.sip, "tcp"), (server.tls, "tcp"), (server.tls, "tls")):
                with Link("127.0.0.1", port, transport) as link:
                    link.send(RANDOM.choice((RANDOM.randbytes(2_000), mutated(RANDOM.choice(patterns)))))
            count += 163
            assert a.link.socket.fileno() >= 0 and server.process.poll() is None, server.tail()
    return count


def bad_offers(server, count):
    """Calls of a user who may, with SDP that is wrong; how many were taken all the same."""
    taken = 0
    with Client(server, "101") as a:
        for _ in range(count):
            sdp = mutated(a.sdp(9).encode(), 2).decode("latin-1").encode("ascii", "replace").decode()
            answer = a.prove("INVITE", f"sip:*43@{a.domain}", body=sdp)
            assert answer.status in (200, 400, 415, 488), answer
            if answer.status == 200:
                taken += 1
                a.up(answer)
                assert a.bye().status == 200
    return taken


def huge(server):
    """Datagrams as large as they can be: a request, and noise."""
    for host, room in (("127.0.0.1", 65_507), ("::1", 65_487)):
        with Client(server, "101", host=host) as a:
            a.link.send(RANDOM.randbytes(room))
            head = len(a.request("OPTIONS", body="x" * 60_000)) - 60_000
            assert a.ask("OPTIONS", body="x" * (room - head - 2)).status in (200, 400, 413), "the largest request"
    return "65,507 octets over IPv4 and 65,487 over IPv6"


def abuse(binary):
    server = Server(binary, **ALLOWED)
    try:
        with usual_limit():
            server.start()
        server.extension("101", ["PCMU"])
        server.extension("102", ["PCMU"])
        fresh = process(server)
        for line, slow in slow_and_many(server):
            yield line
        yield f"datagrams of {huge(server)}: answered"
        count, taken = garbage(server, 4), bad_offers(server, 60)
        yield f"{count} times garbage, 60 calls with broken SDP ({taken} were taken): alive"
        for name, client in slow.items():
            client.join(45)
            assert client.lasted and client.lasted < 35, f"{name}: open after {client.lasted} s"
        yield "closed: " + ", ".join(f"{name} after {client.lasted:.1f} s" for name, client in slow.items())
        with two_phones(server) as (a, b):
            levels = talk(server, a, b)
        server.until(lambda: server.get("/calls")["items"] == [], 5, "no call to be left")
        now = process(server)
        assert now[0] - fresh[0] < 131_072 and now[2] < fresh[2] + 20, (fresh, now)
        yield f"a call afterwards was heard at {levels[0]:.1f} and {levels[1]:.1f} dBFS; memory {fresh[0]} -> {now[0]} KiB " \
              f"(most {now[1]}), descriptors {fresh[2]} -> {now[2]}"
        assert server.stop(signal.SIGTERM) == 0
    finally:
        server.__exit__()


if __name__ == "__main__":
    run([digests, ipv6, ports, unsent, torture, framing, abuse])
