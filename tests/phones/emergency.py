#!/usr/bin/env python3
"""Emergency calls reach a trunk whatever the dialplan and the first trunk do. `emergency.py PATH-TO-OFFHOOK [case ...]`.

The providers are SIPp on 127.0.0.2; a provider that is down is a socket that never answers, or a closed port."""
import contextlib
import os
import re
import shutil
import socket
import tempfile
import urllib.error

from desk import audio, phone, run
from phonekit import sipp, util
from phonekit.crowd import Crowd
from server import Server

PROVIDERS = "127.0.0.2"
LOOP = "fn internal(session) { loop {} }\nfn inbound(session) { loop {} }\nfn outbound(session) { loop {} }\n"
THROWS = LOOP.replace("loop {}", "let a = []; a[3];")
BROKEN = "fn internal(session) {\n    session.dail(ext(1));\n}\n"


class Provider:
    """A trunk's far side that answers every call and keeps its messages."""

    def __init__(self, ring=50):
        self.port = util.free_ports(2, PROVIDERS)
        self.child, self.dir, _ = sipp.start("uas", f"{PROVIDERS}:9", port=self.port, host=PROVIDERS, ring=ring,
                                             calls=1000, timeout=120, recv_timeout=60000)

    def invited(self):
        """The Request-URI users of the INVITEs that came."""
        try:
            with open(self.dir + "/messages.log", errors="replace") as f:
                return re.findall(r"(?m)^INVITE sips?:([^@]*)@", f.read())
        except FileNotFoundError:
            return []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.child.stop()


@contextlib.contextmanager
def silent_port():
    """Takes every datagram and answers none: a provider behind a dead line."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind((PROVIDERS, 0))
        yield s.getsockname()[1]


def trunk(server, name, port, transport="udp"):
    server.call("PUT", f"/trunks/{name}", {"name": name, "host": PROVIDERS, "port": port, "transport": transport,
                                           "auth": "address", "codecs": ["PCMU"], "numbers": {}})


@contextlib.contextmanager
def office(binary, data=None, health="ok", **settings):
    """A PBX with extension 101; with `health`, it is expected to start in that state."""
    server = Server(binary, data=data, **settings)
    try:
        server.start(wait=False)
        server.until(lambda: server.get("/system/health")["status"] == health, 20, f"the PBX to be {health}")
        server.extension("101", ["PCMU"])
        with Crowd(server.address(), "101", "secret-of-101-ok") as crowd:
            yield server, crowd
    finally:
        server.__exit__()


def reaches(crowd, provider, dialled, number, seconds=3):
    """`dialled` reaches `provider` as `number` and is answered; how long that took."""
    before = len(provider.invited())
    call = crowd.dial(dialled)
    crowd.wait(lambda: call.up or call.end, seconds, f"an answer to {dialled}")
    assert call.up, (dialled, call.codes)
    crowd.wait(lambda: len(provider.invited()) > before, 3, "SIPp's log")
    assert provider.invited()[before:] == [number], provider.invited()
    call.hangup()
    crowd.wait(lambda: call.end == "hung up", 5, "the end")
    return call.status(200)


def warned(server):
    return server.tail(5000).count("emergency call")


def ordinary_days(binary):
    """With the default dialplan: which numbers are emergency calls, and what the record says."""
    with Provider() as provider, office(binary) as (server, crowd):
        trunk(server, "one", provider.port)
        times = [reaches(crowd, provider, *pair) for pair in
                 (("112", "112"), ("9112", "112"), ("911", "911"), ("9911", "911"), ("999", "999"))]
        assert warned(server) == 5
        server.record(5)
        kept = {(r["dialed"], r["to"], r["direction"], r["sip_code"], r["legs"][1]["trunk"])
                for r in server.get("/call-records")["items"]}
        wanted = {(d, d[-3:], "outbound", 200, "one") for d in ("112", "9112", "911", "9911", "999")}
        assert kept == wanted, kept
        yield f"112, 911 and 999, bare and behind 9: out on the trunk, answered after {max(times) * 1000:.0f} ms at most"
        before = len(provider.invited())
        for dialled in ("+14159110000", "14159110000", "%2B1%20415%20911%200000", "1120", "0112", "1125", "112112"):
            call = crowd.dial(dialled)
            crowd.wait(lambda: call.end, 5, f"a refusal of {dialled}")
            assert call.end == "404", (dialled, call.end)
        assert provider.invited()[before:] == [] and warned(server) == 5
        yield "+1 415 911 0000, 1120, 0112, 1125, 112112: no emergency call; the dialplan knows no such extension"
        for dialled in ("9+14159110000", "9110"):
            reaches(crowd, provider, dialled, dialled[1:])
        assert warned(server) == 5
        yield "9 +1 415 911 0000 and 9 110 go out by the dialplan and are no emergency calls"


def a_real_phone(binary):
    with Provider() as provider, office(binary) as (server, _):
        trunk(server, "one", provider.port)
        server.call("PUT", "/dialplan", {"main.rhai": THROWS})
        with phone(server, "101") as a:
            a.register()
            a.dial("112")
            a.wait_event("established", 10, fail="closed")
            a.hangup()
            a.wait_event("closed", 5)
        assert provider.invited() == ["112"]
        yield "a registered phone dials 112 while every script fails: answered"


def first_trunk_down(binary):
    with Provider() as provider, silent_port() as dead, office(binary) as (server, crowd):
        trunk(server, "a-dead", dead)
        trunk(server, "b-closed", util.free_ports(2, PROVIDERS), "tcp")
        trunk(server, "c-good", provider.port)
        server.call("PUT", "/dialplan", {"main.rhai": LOOP})
        calls = [crowd.dial(number) for number in ("112", "9112")]
        crowd.wait(lambda: all(c.up or c.end for c in calls), 30, "an answer")
        assert all(c.up for c in calls), [c.codes for c in calls]
        took = max(c.status(200) for c in calls)
        assert provider.invited() == ["112", "112"] and took < 12, (provider.invited(), took)
        for call in calls:
            call.hangup()
        server.record(2)
        yield f"first trunk silent, second refuses connections, script in an endless loop: the third answers 112 and 9112 after {took:.1f} s"


def scripts_that_fail(binary):
    with Provider() as provider, office(binary) as (server, crowd):
        trunk(server, "one", provider.port)
        for name, text in (("fails at run time", THROWS), ("loops without end", LOOP)):
            server.call("PUT", "/dialplan", {"main.rhai": text})
            others = [crowd.dial("555") for _ in range(20)]
            took = [reaches(crowd, provider, *pair) for pair in (("112", "112"), ("9112", "112"))]
            crowd.wait(lambda: all(c.end for c in others), 10, "the ordinary calls' end")
            assert {c.end for c in others} == {"500"}, {c.end for c in others}
            yield f"the script {name}: 20 ordinary calls get 500, 112 and 9112 are answered after {max(took) * 1000:.0f} ms"


def broken_on_disk(binary):
    """The scripts do not compile when the PBX starts: without and with some that served before."""
    data = tempfile.mkdtemp(prefix="offhook-test-")
    try:
        os.mkdir(os.path.join(data, "dialplan"))
        path = os.path.join(data, "dialplan", "main.rhai")
        write(path, BROKEN)
        with Provider() as provider:
            with office(binary, data, health="failing") as (server, crowd):
                trunk(server, "one", provider.port)
                health = server.get("/system/health")
                assert health["dialplan"] == "none" and server.get("/dialplan") == {}, health
                assert re.search(r"main\.rhai:2:13: the session has no verb `dail`", server.tail()), server.tail()
                took = [reaches(crowd, provider, *pair) for pair in (("112", "112"), ("9112", "112"))]
                call = crowd.dial("101")
                crowd.wait(lambda: call.end, 10, "500")
                heard = audio.tone_level([audio.ULAW[b] for b in call.heard[:2000]], 8000, 425)
                assert call.end == "500" and heard > -20, (call.end, heard)
                yield f"started with a broken script and no older one: health failing, 112 and 9112 after " \
                      f"{max(took) * 1000:.0f} ms, an ordinary call hears {heard:.0f} dBFS of tone and gets 500"
                write(path, "fn internal(session) { session.reject(486); }\nfn inbound(session) {}\nfn outbound(session) {}\n")
                server.until(lambda: server.get("/system/health")["status"] == "ok", 5, "the mended script to serve")
                assert ended(crowd, "101") == "486"
                write(path, BROKEN)
                server.until(lambda: server.get("/system/health")["dialplan"] == "old", 5, "the broken one to be refused")
                server.stop()
            with office(binary, data) as (server, crowd):
                assert server.get("/system/health")["dialplan"] == "old" and ended(crowd, "101") == "486"
                took = reaches(crowd, provider, "112", "112")
                yield f"mended on disk it serves; broken again and restarted, the last good one serves, 112 after {took * 1000:.0f} ms"
    finally:
        shutil.rmtree(data, ignore_errors=True)


def whatever_the_limits(binary):
    """As many calls live as may be, an extension without a codec that its phone offers, a number with parameters."""
    with Provider() as provider, office(binary, OFFHOOK_SIP__MAX_CALLS="2") as (server, crowd):
        trunk(server, "one", provider.port)
        others = [crowd.dial("*43") for _ in range(2)]
        crowd.wait(lambda: all(c.up for c in others), 5, "both calls to be up")
        server.until(lambda: len(server.get("/calls")["items"]) == 2, 5, "both to be told")
        assert ended(crowd, "*43") == "503" and originated(server, "101", "*43") == 503
        took = [reaches(crowd, provider, *pair) for pair in (("112", "112"), ("9112", "112"))]
        assert all(c.up and not c.end for c in others)
        yield f"2 calls live of max_calls = 2: a third gets 503, POST /calls too, 112 and 9112 are answered after " \
              f"{max(took) * 1000:.0f} ms"
        for call in others:
            call.hangup()
        server.record(4)
        server.call("PATCH", "/extensions/101", {"codecs": ["opus"]})
        assert ended(crowd, "*43") == "488"
        took = reaches(crowd, provider, "112", "112")
        yield f"an opus extension's phone that offers PCMU: 488, but 112 is answered after {took * 1000:.0f} ms"
        took = [reaches(crowd, provider, d, "112") for d in ("112;phone-context=x", "9112;phone-context=x")]
        yield f"112;phone-context=x, bare and behind 9: out as 112 after {max(took) * 1000:.0f} ms at most"


def originated(server, source, target):
    """The status of a POST /calls that is to be refused."""
    try:
        server.call("POST", "/calls", {"from": source, "to": target})
    except urllib.error.HTTPError as refusal:
        assert refusal.headers["Content-Type"] == "application/problem+json", refusal.headers
        return refusal.code
    raise AssertionError("POST /calls was not refused")


def write(path, text):
    with open(path, "w") as f:
        f.write(text)


def ended(crowd, number):
    call = crowd.dial(number)
    crowd.wait(lambda: call.end, 10, f"the end of the call to {number}")
    return call.end


if __name__ == "__main__":
    run([ordinary_days, a_real_phone, first_trunk_down, scripts_that_fail, broken_on_disk, whatever_the_limits])
