#!/usr/bin/env python3
"""A flood, and the office goes on: 100 bridged calls with audio both ways and 20 new calls a second from a provider, while
one address sends 5,000 INVITEs and REGISTERs a second without credentials, and thousands of others keep 20,000 INVITEs
with invented credentials unfinished: each sends a few, so that none is silenced. How many are really held is counted by
what the PBX repeats. No call may lose 60 ms of audio, 99 % of the new calls must succeed, and 64·T1 after the flood
memory is what it was, within 10 %.

What memory was is measured after a first, short flood, of which the allocator keeps some. Another flood must add no more
than 10 %. The report has the figures before any flood too.

`flood.py PATH-TO-OFFHOOK [seconds of flood, 60] [audio calls, 100]`. The audio is sent and timed by a process of its own,
by the kernel's time stamps, with what its own sender was late taken off: phones have processors of their own."""
import collections
import json
import multiprocessing
import os
import re
import select
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "bench"))
from bench import CALLEE, CALLER, PASSWORD, PORTS, Server, register  # noqa: E402
from callcost import sipp_stats, usage  # noqa: E402

BENCH = os.path.join(HERE, "..", "bench")
# Of the audio calls: whose they are, whom they reach, and where both have their audio.
CALLERS, CALLED, MEDIA_A, MEDIA_B = 5181, 5171, 47100, 47102
FLOOD, HALF_OPEN, RATE = "127.0.0.66", 20_000, 20
# Of the unfinished: how many each address begins (ten and it is silenced), how many all strangers may begin a second, and
# in how long the PBX repeats each answer at least once (T2) and a little.
OF_EACH, BEGUN_PER_S, T2 = 8, 950, 4.6
# 64·T1 and a little.
LINGER = 36
# What it takes until 20,000 are unfinished, and the first flood, in seconds.
RAMP, WARM = 26, 20
SO_TIMESTAMPNS, PACKET = 35, 0.020


def udp(host, port):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
    s.bind((host, port))
    return s


def field(text, name):
    return re.search(rf"(?im)^{name}: *(.*?)\r?$", text)[1]


def sdp(port):
    return (f"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio {port} RTP/AVP 0\r\n"
            "a=rtpmap:0 PCMU/8000\r\n")


def audio_port(text):
    return int(re.search(r"(?m)^m=audio (\d+)", text)[1])


class Talks:
    """The signalling of the audio calls, both ends of them; 200 to whatever else is asked in them."""

    def __init__(self, server, count):
        self.target, self.count = ("127.0.0.1", server.sip), count
        self.callers, self.called = udp("127.0.0.1", CALLERS), udp("127.0.0.1", CALLED)
        self.near, self.far, self.ended = {}, {}, 0
        for s, heard in ((self.callers, self.caller_hears), (self.called, self.called_hears)):
            threading.Thread(target=self.listen, args=(s, heard), daemon=True).start()

    def listen(self, s, heard):
        while True:
            text = s.recv(65_536).decode("utf-8", "replace")
            if text.startswith("SIP/2.0 "):
                heard(text, int(text[8:11]))
            elif not text.startswith("ACK "):
                self.ended += text.startswith("BYE ")
                body = ""
                if text.startswith("INVITE "):
                    self.far[field(text, "Call-ID")] = audio_port(text)
                    body = sdp(MEDIA_B)
                vias = "".join(line + "\r\n" for line in text.splitlines() if line.startswith("Via:"))
                s.sendto((f"SIP/2.0 200 OK\r\n{vias}From: {field(text, 'From')}\r\nTo: {field(text, 'To').split(';tag')[0]};tag=far\r\n"
                          f"Call-ID: {field(text, 'Call-ID')}\r\nCSeq: {field(text, 'CSeq')}\r\n"
                          f"Contact: <sip:2000@127.0.0.1:{CALLED}>\r\nContent-Type: application/sdp\r\n"
                          f"Content-Length: {len(body)}\r\n\r\n{body}").encode(), self.target)

    def caller_hears(self, text, status):
        if status < 200 or "INVITE" not in field(text, "CSeq"):
            return
        assert status == 200, f"an audio call was refused: {text}"
        self.near[field(text, "Call-ID")] = audio_port(text)
        uri = re.search(r"<([^>]*)>", field(text, "Contact"))[1]
        self.say("ACK", uri, field(text, "Call-ID"), field(text, "To"), "")

    def called_hears(self, text, status):
        pass

    def say(self, method, uri, call_id, to, body):
        self.callers.sendto((f"{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{CALLERS};branch=z9hG4bK{method}{call_id}\r\n"
                             f"Max-Forwards: 70\r\nFrom: <sip:talk@127.0.0.1>;tag=near\r\nTo: {to}\r\nCall-ID: {call_id}\r\n"
                             f"CSeq: 1 {method}\r\nContact: <sip:talk@127.0.0.1:{CALLERS}>\r\nContent-Type: application/sdp\r\n"
                             f"Content-Length: {len(body)}\r\n\r\n{body}").encode(), self.target)

    def start(self, server):
        for n in range(self.count):
            uri = f"sip:2000@127.0.0.1:{server.sip}"
            self.say("INVITE", uri, f"talk-{n}", f"<{uri}>", sdp(MEDIA_A))
            time.sleep(0.02)
        server.until(lambda: len(self.near) == len(self.far) == self.count, 20, "the audio calls")


def media(sides, stop, told):
    """Sends a packet each 20 ms to every leg and times what comes back. `sides`: [(port of ours, the server's ports)]."""
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    except OSError:
        pass
    ends = []
    for port, legs in sides:
        s = udp("127.0.0.1", port)
        s.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        s.setblocking(False)
        ends.append((s, [("127.0.0.1", leg) for leg in legs]))
    last, worst, received, late, sequence = {}, (0.0, None), 0, 0.0, 0
    due = time.monotonic()
    while not stop.is_set():
        late = max(late, time.monotonic() - due)
        head = struct.pack("!BBHI", 0x80, 0, sequence & 0xffff, sequence * 160 & 0xffffffff)
        for s, legs in ends:
            for leg in legs:
                body = struct.pack("!IQ", leg[1], time.time_ns()) + b"\xff" * 152
                s.sendto(head + body, leg)
        sequence += 1
        due += PACKET
        while (left := due - time.monotonic()) > 0:
            for s in select.select([s for s, _ in ends], [], [], left)[0]:
                for _ in range(64):
                    try:
                        data, extra, _, source = s.recvmsg(2048, 64)
                    except BlockingIOError:
                        break
                    if len(data) < 172:
                        continue
                    seconds, nanos = struct.unpack("qq", extra[0][2][:16])
                    arrived, sent = seconds + nanos / 1e9, struct.unpack_from("!Q", data, 12)[0] / 1e9
                    number = struct.unpack_from("!H", data, 2)[0]
                    received += 1
                    before = last.get(source[1])
                    last[source[1]] = arrived, sent, number
                    if before:
                        packets = number - before[2] & 0xffff
                        # What the sender was late is not the PBX's.
                        own = max(0.0, sent - before[1] - packets * PACKET)
                        worst = max(worst, (arrived - before[0] - own, source[1]), key=lambda w: w[0])
    told.put({"streams": len(last), "received": received, "expected": sequence * sum(len(l) for _, l in ends),
              "longest_gap_ms": round(worst[0] * 1000, 1), "own_lateness_ms": round(late * 1000, 1)})


def paced(rate, seconds, send):
    """Calls `send(n)` so many times a second; how many times in all."""
    begun, n = time.monotonic(), 0
    while (elapsed := time.monotonic() - begun) < seconds:
        while n < rate * elapsed:
            send(n)
            n += 1
        time.sleep(0.005)
    return n


def request(method, n, host, port, extra=""):
    return (f"{method} sip:101@127.0.0.1:{port} SIP/2.0\r\nVia: SIP/2.0/UDP {host}:5060;branch=z9hG4bK{host}{n};rport\r\n"
            f"Max-Forwards: 70\r\nFrom: <sip:101@{host}>;tag={n}\r\nTo: <sip:101@127.0.0.1>\r\nCall-ID: {host}-{n}\r\n"
            f"CSeq: 1 {method}\r\nContact: <sip:101@{host}>\r\n{extra}Content-Length: 0\r\n\r\n").encode()


def flood(port, seconds, told):
    s = udp(FLOOD, 0)
    methods = ("INVITE", "REGISTER")
    told.put(paced(5_000, seconds, lambda n: s.sendto(request(methods[n & 1], n, FLOOD, port), ("127.0.0.1", port))))


def sources(n):
    return f"127.{16 + (n >> 16)}.{n >> 8 & 255}.{n & 255}"


def unfinished(port, round_, ready, stop, told):
    """Each INVITE is refused, and its refusal never acknowledged: it lives for 32 s. Keeps so many as HALF_OPEN and some
    alive until `stop`; `ready` when they are. Tells how many are sent, and how many of them were alive, second by second."""
    s = udp("0.0.0.0", 0)
    s.setblocking(False)
    own = s.getsockname()[1]
    sent, heard, alive = collections.deque(), {}, []
    n, begun, counted = 0, time.monotonic(), time.monotonic()
    while not stop.is_set():
        now = time.monotonic()
        while sent and sent[0] < now - 32:
            sent.popleft()
        while len(sent) < HALF_OPEN * 1.15 and n < BEGUN_PER_S * (now - begun):
            host = sources((round_ << 13) + n // OF_EACH)
            proof = (f'Authorization: Digest username="101", realm="offhook", nonce="{n:064x}", uri="sip:101@127.0.0.1:{port}", '
                     'response="0123456789abcdef0123456789abcdef", algorithm=MD5, cnonce="c", nc=00000001, qop=auth\r\n')
            text = request("INVITE", f"r{round_}n{n}", host, port, proof).replace(b":5060;branch", b":%d;branch" % own)
            s.sendmsg([text], [(socket.IPPROTO_IP, 8, struct.pack("=I4s4s", 0, socket.inet_aton(host), b""))], 0, ("127.0.0.1", port))
            sent.append(now)
            n += 1
        for _ in range(2_000):
            try:
                data = s.recv(2048)
            except BlockingIOError:
                break
            if data.startswith(b"SIP/2.0 403"):
                found = re.search(rb";tag=r\d+n(\d+)", data)
                if found:
                    heard[int(found[1])] = now
        if now >= counted + 1:
            counted = now
            heard = {n: at for n, at in heard.items() if at > now - T2}
            alive.append(len(heard))
            if len(heard) >= HALF_OPEN:
                ready.set()
        time.sleep(0.005)
    told.put({"unfinished": n, "alive": alive})


def memory(pid):
    """(resident, of it not of files) in MiB, of the PBX."""
    text = open(f"/proc/{pid}/status").read()
    return [round(int(re.search(rf"(?m)^{name}:\s+(\d+)", text)[1]) / 1024, 1) for name in ("VmRSS", "RssAnon")]


def attack(spawn, port, round_, seconds):
    """20,000 unfinished, then the flood as well, for so long. What was sent, and how many were alive meanwhile."""
    ready, stop, told, sent = spawn.Event(), spawn.Event(), spawn.Queue(), spawn.Queue()
    others = spawn.Process(target=unfinished, args=(port, round_, ready, stop, told), daemon=True)
    others.start()
    ready.wait(40)
    began = time.monotonic()
    one = spawn.Process(target=flood, args=(port, seconds, sent), daemon=True)
    one.start()
    one.join()
    stop.set()
    result = told.get(timeout=10)
    others.join()
    held = result["alive"][-int(time.monotonic() - began):]
    return {"flood": sent.get(timeout=5), "unfinished": result["unfinished"], "held_least": min(held), "held_most": max(held)}


def sipp(folder, scenario, port, *arguments):
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with open(os.path.join(BENCH, scenario)) as f:
        text = f.read().replace("[pt]", "0").replace("[codec]", "PCMU/8000")
    with open(os.path.join(folder, scenario), "w") as f:
        f.write(text)
    return subprocess.Popen(["sipp", "-i", "127.0.0.1", "-mi", "127.0.0.1", "-nostdin", "-trace_stat", "-fd", "1", "-sf", scenario,
                             "-p", str(port), "-buff_size", "4194304", *map(str, arguments)], cwd=folder, **quiet)


def provider(server, name, port, number):
    server.call("PUT", f"/trunks/{name}", {"name": name, "host": "127.0.0.1", "port": port, "transport": "udp", "auth": "address",
                                           "match_port": True, "codecs": ["PCMU"], "numbers": {number: number}})


def office(server, count):
    """Two providers, two extensions, the audio calls up, and new calls coming; who has to be ended at the end."""
    for name, caller, number, port in (("new", CALLER, "1000", CALLEE), ("audio", CALLERS, "2000", CALLED)):
        provider(server, name, caller, number)
        server.extension(number, ["PCMU"], PASSWORD)
        register(server, name, number, port)
    talks = Talks(server, count)
    talks.start(server)
    return talks


def main():
    binary, sizes = sys.argv[1], list(map(int, sys.argv[2:]))
    seconds, count = sizes + [60, 100][len(sizes):]
    folder, started = tempfile.mkdtemp(prefix="flood."), []
    spawn = multiprocessing.get_context("fork")
    with Server(binary, OFFHOOK_LOG__LEVEL="warn", **PORTS) as server:
        talks = office(server, count)
        stop, told = spawn.Event(), spawn.Queue()
        sides = [(MEDIA_A, list(talks.near.values())), (MEDIA_B, list(talks.far.values()))]
        listening = spawn.Process(target=media, args=(sides, stop, told), daemon=True)
        listening.start()
        try:
            new = RATE * (LINGER + RAMP + WARM + LINGER + RAMP + seconds + LINGER)
            started.append(sipp(folder, "uas.xml", CALLEE, "-mp", 46000, server.address()))
            time.sleep(1)
            uac = sipp(folder, "uac.xml", CALLER, "-s", 1000, "-mp", 48000, "-r", RATE, "-m", new, "-l", 5000, "-d", 500,
                       "-recv_timeout", 20_000, server.address())
            started.append(uac)
            pid = server.process.pid
            time.sleep(LINGER)
            cold = memory(pid)
            attack(spawn, server.sip, 0, WARM)
            time.sleep(LINGER)
            before, cpu = memory(pid), usage(pid)[0]
            sent = attack(spawn, server.sip, 1, seconds)
            during, cpu = memory(pid), usage(pid)[0] - cpu
            bans = server.get("/bans?limit=500")["items"]
            time.sleep(LINGER)
            after = memory(pid)
            stop.set()
            audio = told.get(timeout=10)
            uac.wait(60)
        finally:
            for process in started:
                if process.poll() is None:
                    process.terminate()
                    process.wait(10)
        stats = sipp_stats(folder, "uac")
        good, failed = int(stats["SuccessfulCall(C)"]), int(stats["FailedCall(C)"])
        report = {"sent": sent, "audio": audio, "new_calls": good + failed, "failed": failed, "cpu_s": round(cpu, 2),
                  "rss_and_anonymous_mib": {"cold": cold, "before": before, "during": during, "after": after},
                  "bans": len(bans), "audio_calls_ended": talks.ended}
        print(json.dumps(report), flush=True)
        subprocess.run(["rm", "-rf", folder], check=False)
        assert sent["flood"] >= 4_900 * seconds, "the flood was none: this machine is too slow to send it"
        assert sent["held_least"] >= HALF_OPEN, "fewer were held unfinished"
        assert talks.ended == 0 and audio["streams"] == 2 * count, "an audio call ended"
        # A packet is 20 ms of sound: 60 ms are lost when the next one comes 80 ms after the last.
        assert audio["longest_gap_ms"] < 80, "audio was lost"
        assert good >= 0.99 * (good + failed) and good + failed >= 0.99 * new, "new calls failed"
        assert after[0] <= 1.1 * before[0], "memory is kept"
    print(f"ok  {seconds} s of flood, {sent['held_least']} to {sent['held_most']} unfinished held: {count} calls without a hole over "
          f"{audio['longest_gap_ms']} ms, {good} of {good + failed} new calls good ({100 * good / (good + failed):.2f} %), memory "
          f"{before[0]:.0f} -> {after[0]:.0f} MiB ({cold[0]:.0f} before the first flood)")


if __name__ == "__main__":
    main()
