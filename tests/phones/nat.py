#!/usr/bin/env python3
"""Phones behind NATs, in network namespaces made for the run: two homes with the same private addresses, each behind a
router that gives every destination another random port, and an attacker beside the PBX who knows its media ports.
`nat.py PATH-TO-OFFHOOK [case ...]` runs all cases or those named. Needs root."""
import contextlib
import ctypes
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time

from desk import heard, phone, run
from phonekit import audio
from phonekit.rtp import RtpCapture
from server import Server

PBX, PUBLIC = "203.0.113.1", {"101": "203.0.113.11", "102": "203.0.113.12"}
ATTACKER, PHONE, ROUTER = "203.0.113.66", "192.168.1.10", "192.168.1.1"
INJECTED = 1250            # Hz; repeats after 32 samples, so that every packet of 160 can be the same
LIBC = ctypes.CDLL(None, use_errno=True)


class Net:
    """The namespaces `pbx`, `attacker`, and `home101`, `home102` behind `nat101`, `nat102`. Use it with `with`."""

    def __init__(self):
        self.prefix = f"offhook-{os.getpid()}-"
        self.made = []
        self.windows = 0

    def __enter__(self):
        try:
            self.build()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for name in self.made:
            subprocess.run(["ip", "netns", "del", self.prefix + name], check=False)

    def at(self, name, *command):
        """Runs a command in a namespace. (`ip netns exec` would also want mounts of its own, which a chroot lacks.)"""
        with self.inside(name):
            subprocess.run(command, check=True)

    def build(self):
        for name in ("pbx", "attacker", "nat101", "nat102", "home101", "home102"):
            subprocess.run(["ip", "netns", "add", self.prefix + name], check=True)
            self.made.append(name)
            self.at(name, "ip", "link", "set", "lo", "up")
        self.at("pbx", "ip", "link", "add", "wan", "type", "bridge")
        self.up("pbx", "wan", PBX)
        self.plug("attacker", ATTACKER)
        for number, public in PUBLIC.items():
            self.plug(f"nat{number}", public)
            self.at(f"nat{number}", "ip", "link", "add", "lan", "type", "veth",
                    "peer", "name", "eth", "netns", f"{self.prefix}home{number}")
            self.up(f"nat{number}", "lan", ROUTER)
            self.up(f"home{number}", "eth", PHONE)
            self.at(f"home{number}", "ip", "route", "add", "default", "via", ROUTER)
            self.at(f"nat{number}", "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
            self.masquerade(number)

    def up(self, name, link, address):
        self.at(name, "ip", "address", "add", f"{address}/24", "dev", link)
        self.at(name, "ip", "link", "set", link, "up")

    def plug(self, name, address):
        """A cable from the namespace's `eth` into the PBX's bridge."""
        self.at("pbx", "ip", "link", "add", f"to-{name}", "type", "veth",
                "peer", "name", "eth", "netns", self.prefix + name)
        self.at("pbx", "ip", "link", "set", f"to-{name}", "master", "wan", "up")
        self.up(name, "eth", address)

    def masquerade(self, number):
        """Every new flow gets a random port of a window that was not used before."""
        low = 30000 + 5000 * self.windows
        self.windows += 1
        nat = f"nat{number}"
        self.at(nat, "iptables", "-t", "nat", "-F", "POSTROUTING")
        self.at(nat, "iptables", "-t", "nat", "-A", "POSTROUTING", "-o", "eth", "-p", "udp",
                "-j", "MASQUERADE", "--to-ports", f"{low}-{low + 4999}", "--random-fully")
        self.at(nat, "iptables", "-t", "nat", "-A", "POSTROUTING", "-o", "eth", "-j", "MASQUERADE")

    def reconnect(self, number):
        """The router loses its line for a moment, and with it every binding (the kernel drops them with the link)."""
        self.at(f"nat{number}", "ip", "link", "set", "eth", "down")
        self.masquerade(number)
        self.at(f"nat{number}", "ip", "link", "set", "eth", "up")

    @contextlib.contextmanager
    def inside(self, name):
        """What this thread opens or starts meanwhile belongs to the namespace."""
        back = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        there = os.open(f"/run/netns/{self.prefix}{name}", os.O_RDONLY)
        try:
            enter(there)
            yield
        finally:
            enter(back)
            os.close(back)
            os.close(there)


def enter(namespace):
    if LIBC.setns(namespace, 0x40000000):                      # CLONE_NEWNET
        raise OSError(ctypes.get_errno(), "setns")


@contextlib.contextmanager
def homes(binary):
    """The PBX and its two registered phones; whoever uses them is on the PBX's side of the NATs."""
    with Net() as net, net.inside("pbx"), Server(binary, host=PBX) as server:
        phones = []
        try:
            for number in PUBLIC:
                server.extension(number, ["PCMU"])
                with net.inside(f"home{number}"):
                    phones.append(phone(server, number, host=PHONE))
                phones[-1].register()
            yield net, server, *phones
        finally:
            for one in phones:
                one.close()


def sources(server):
    """Where the registrations came from: {extension: (address, port)}, exactly one for each."""
    items = server.get("/registrations")["items"]
    found = {i["extension"]: i["source"].rpartition(":") for i in items}
    assert len(items) == len(found) == 2, items
    return {number: (address, int(port)) for number, (address, _, port) in found.items()}


def sdp(message):
    """Address and port of the audio in a SIP message."""
    address = re.search(r"^c=IN IP4 (\S+)", message.body, re.M).group(1)
    return address, int(re.search(r"^m=audio (\d+)", message.body, re.M).group(1))


def said(one):
    """(what the phone's SDP says, what the PBX's SDP says to it) in its last call."""
    bodies = [m for m in one.sip if "m=audio" in m.body]
    return (sdp([m for m in bodies if not m.rx][-1]), sdp([m for m in bodies if m.rx][-1]))


def connect(a, b):
    a.dial("102")
    b.answer()
    a.wait_event("established", 10, fail="closed")


def media_of(server, capture, one):
    """The stream of a phone as it arrives at the PBX."""
    port = said(one)[1][1]
    return server.until(lambda: capture.streams(dst=port), 5, f"RTP of {one.user}")[0]


def translated(one, stream, source):
    """SIP and RTP of the phone arrive from elsewhere than it says; both private and seen addresses, for telling."""
    contact = [m for m in one.sip if m.method == "REGISTER" and not m.rx][-1].header("Contact", "m")
    port = int(re.search(rf"@{re.escape(PHONE)}:(\d+)", contact).group(1))
    named = said(one)[0]
    assert named[0] == PHONE, named
    for inner, seen in (((PHONE, port), source), (named, stream.src)):
        assert seen[0] == PUBLIC[one.user] and seen[1] != inner[1], (inner, seen)
    return f"Contact {PHONE}:{port} seen as {source[0]}:{source[1]}, SDP {named[0]}:{named[1]} as " \
           f"{stream.src[0]}:{stream.src[1]}"


def level(one, frequency, start, end):
    rate, samples = audio.read_wav(one.recordings()[-1])[:2]
    part = samples[int(start * rate):int(end * rate)]
    assert len(part) > 0.9 * (end - start) * rate, f"{one.user} recorded {len(samples) / rate:.1f} s only"
    return audio.tone_level(part, rate, frequency)


def talk(a, b, seconds):
    """Lets two connected phones talk; how loud either hears the other."""
    time.sleep(seconds)
    a.hangup()
    b.wait_event("closed", 5)
    return heard(b.recordings()[-1], 440, end=seconds - 0.7), heard(a.recordings()[-1], 620, end=seconds - 0.7)


def calls(binary):
    with homes(binary) as (net, server, a, b):
        connect(a, b)
        with RtpCapture(ifname="wan") as capture:
            streams = [media_of(server, capture, one) for one in (a, b)]
            levels = talk(a, b, 6)
        before = sources(server)
        for one, stream in zip((a, b), streams):
            yield f"{one.user}: {translated(one, stream, before[one.user])}"
        record = server.record(1)
        assert record["cause"] == "completed" and all(leg["loss_in"] == 0 for leg in record["legs"]), record
        yield f"two homes with the same private address hear each other: {levels[0]:.1f} and {levels[1]:.1f} dBFS"
        net.reconnect("102")
        # The phone knows nothing of it; its next refresh, within the 60 s that it asked for, comes from elsewhere.
        after = server.until(lambda: (lambda now: now if now != before else None)(sources(server)), 65,
                             "102's registration from the new port")
        assert before["101"] == after["101"] and before["102"][1] != after["102"][1], (before, after)
        began = time.monotonic()
        a.mark()
        a.dial("102")
        b.wait_event("incoming", 5)
        rang = time.monotonic() - began
        b.answer(wait=False)
        a.wait_event("established", 10, fail="closed")
        levels = talk(a, b, 4)
        yield f"102's router gave it port {after['102'][1]} instead of {before['102'][1]}: after its refresh it rang " \
              f"within {rang * 1000:.0f} ms and they hear each other: {levels[0]:.1f} and {levels[1]:.1f} dBFS"


def tone_payload():
    """20 ms of the injected tone at -12 dBFS in G.711 mu-law."""
    samples = audio.tone(INJECTED, 0.02, 8000, -12.0)
    return bytes(min(range(256), key=lambda code: abs(audio.ULAW[code] - sample)) for sample in samples)


class Injector:
    """Sends the tone to media ports of the PBX, once as a stranger's stream and once as the party's own next packet."""

    def __init__(self, victims):
        self.victims, self.payload, self.sent = victims, tone_payload(), 0

    def packet(self, ssrc, sequence, timestamp):
        return struct.pack(">BBHII", 0x80, 0, sequence & 0xFFFF, timestamp & 0xFFFFFFFF, ssrc) + self.payload

    def forged(self, victim, ahead):
        last = victim.p[-1]
        return self.packet(victim.ssrc, last.seq + ahead, last.ts + 160 * ahead)

    def run(self, sockets, seconds):
        """50 packets a second of either kind, from every socket to every victim; and RTCP of the first that says
        goodbye."""
        start = time.monotonic()
        for slot in range(int(seconds * 50)):
            for each in sockets:
                for victim in self.victims:
                    each.sendto(self.packet(0xBAD, slot, slot * 160), victim.dst)
                    each.sendto(self.forged(victim, 1), victim.dst)
                    self.sent += 2
                    if slot % 50 == 0 and each is sockets[0]:
                        each.sendto(farewell(victim.ssrc), (victim.dst[0], victim.dst[1] + 1))
            time.sleep(max(0.0, start + (slot + 1) * 0.02 - time.monotonic()))


def farewell(ssrc):
    """An empty receiver report and a BYE (RFC 3550 §6.6) in the party's name."""
    return struct.pack(">BBHIBBHI", 0x80, 201, 1, ssrc, 0x81, 203, 1, ssrc)


def spoofed(raw, source, target, payload):
    """A UDP datagram with somebody else's source address."""
    datagram = struct.pack(">HHHH", source[1], target[1], 8 + len(payload), 0) + payload
    head = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(datagram), 0, 0, 64, 17, 0,
                       socket.inet_aton(source[0]), socket.inet_aton(target[0]))
    raw.sendto(head + datagram, target)


def control(injector, raw, victim, seconds):
    """The same packets, but with the party's own address for source: that is the only thing the PBX can tell them by."""
    start = time.monotonic()
    for slot in range(int(seconds * 50)):
        spoofed(raw, victim.src, victim.dst, injector.forged(victim, 1))
        time.sleep(max(0.0, start + (slot + 1) * 0.02 - time.monotonic()))


def open_sockets(net):
    """An attacker in the PBX's network, and somebody behind the caller's own NAT; and the attacker's raw socket."""
    with net.inside("attacker"):
        stranger = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    with net.inside("home101"):
        neighbour = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    return stranger, neighbour, raw


def nothing_came_back(each):
    each.setblocking(False)
    try:
        raise AssertionError(f"the PBX answered an injector with {len(each.recv(2000))} bytes")
    except BlockingIOError:
        pass


def injection(binary):
    with homes(binary) as (net, server, a, b), RtpCapture(ifname="wan") as capture:
        stranger, neighbour, raw = open_sockets(net)
        connect(a, b)
        up = time.monotonic()
        victims = [media_of(server, capture, one) for one in (a, b)]
        injector = Injector(victims)
        time.sleep(1.5)
        from_s = time.monotonic() - up
        injector.run([stranger, neighbour], 5)
        to_s = time.monotonic() - up
        arrived = sum(len(s.p) for s in capture.streams() if s.src not in [v.src for v in victims])
        assert arrived >= 0.99 * injector.sent, f"only {arrived} of {injector.sent} packets came to the PBX"
        for each in (stranger, neighbour):
            nothing_came_back(each)
        own = [len(victim.p) for victim in victims]
        stats = [victim.stats() for victim in victims]
        a.hangup()
        b.wait_event("closed", 5)
        a.close()
        b.close()
        most = [len(victim.p) for victim in victims]
        levels = heard(b.recordings()[0], 440, from_s, to_s), heard(a.recordings()[0], 620, from_s, to_s)
        leaks = [level(one, INJECTED, from_s, to_s) for one in (b, a)]
        assert max(leaks) < -60, f"{INJECTED} Hz at {leaks} dBFS"
        record = server.record(1)
        assert (record["cause"], record["sip_code"]) == ("completed", 200), record
        for leg, at_least, at_most in zip(record["legs"], own, most):
            assert leg["loss_in"] == 0 and leg["jitter_ms"] < 50, record
            # What it says of the router; nothing was lost.
            why = f"its SDP names the private address {PHONE}:"
            assert leg["diagnosis"].startswith(why) and ";" not in leg["diagnosis"], record
            assert at_least <= leg["packets_in"] <= at_most, (at_least, leg, at_most)
        assert all(s["lost"] == 0 for s in stats), stats
        yield f"{arrived} injected packets came to both media ports from two places: {INJECTED} Hz at {leaks[0]:.1f} " \
              f"and {leaks[1]:.1f} dBFS, the tones at {levels[0]:.1f} and {levels[1]:.1f} dBFS without a gap"
        yield "the record counts the party's own packets only: " + \
              ", ".join(f"{leg['packets_in']} in, loss {leg['loss_in']}, jitter {leg['jitter_ms']} ms"
                        for leg in record["legs"])
        for each in (stranger, neighbour, raw):
            each.close()


def own_address(binary):
    """That the injected packets are well-formed, and that the measurement finds them."""
    with homes(binary) as (net, server, a, b), RtpCapture(ifname="wan") as capture:
        stranger, neighbour, raw = open_sockets(net)
        connect(a, b)
        up = time.monotonic()
        victim = media_of(server, capture, a)
        time.sleep(1)
        start = time.monotonic() - up
        control(Injector([victim]), raw, victim, 3)
        end = time.monotonic() - up
        a.hangup()
        b.wait_event("closed", 5)
        a.close()
        b.close()
        for each in (stranger, neighbour, raw):
            each.close()
        found = level(b, INJECTED, start, end)
        assert found > -40, f"the control was not heard: {found:.1f} dBFS"
        yield f"control: the same packets with the caller's own source address are heard, at {found:.1f} dBFS"


def ready():
    """Exits naming what is missing."""
    missing = [f"the program {name}" for name in ("ip", "iptables", "baresip") if not shutil.which(name)]
    if os.geteuid() != 0:
        missing.append("root's rights (for network namespaces)")
    if missing:
        sys.exit(f"nat.py needs {', '.join(missing)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))


if __name__ == "__main__":
    ready()
    run([calls, injection, own_address])
