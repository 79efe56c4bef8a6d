#!/usr/bin/env python3
"""A provider, played by SIPp: the trunk registers with digest and survives the provider's restart, and calls in both
directions carry sound both ways. `provider.py PATH-TO-OFFHOOK [case ...]` runs all cases or those named."""
import os
import re
import shutil
import tempfile
import time

from desk import phone, pure, run, tone_file
from phonekit import sipp, util
from phonekit.rtpleg import RtpLeg
from server import Server

USER, SECRET = "490001", "the provider's own secret"
NUMBER, OUTSIDE = "+493012345600", "03055501234"
# Each side has its own tone: 101 sends 620 Hz and must hear 440 Hz.
FROM_101, FROM_OUTSIDE = 620, 440
PHONE_DBFS, PROVIDER_DBFS = -18.0, -12.0
# How long a grant lasts, seconds: a registration is renewed after four fifths of it.
EXPIRES = 10


class Provider:
    """SIPp as registrar and called party at an address of its own, so that nobody takes phones for the provider."""

    def __init__(self, folder, host, transport="udp"):
        self.folder, self.host, self.transport = folder, host, transport
        self.port = util.free_ports(2, host)
        self.child = self.leg = None
        self.starts = 0

    def start(self):
        self.starts += 1
        self.leg = RtpLeg(FROM_OUTSIDE, "PCMA", PROVIDER_DBFS, self.host)
        out = os.path.join(self.folder, f"provider-{self.transport}-{self.starts}")
        self.child, self.dir, _ = sipp.start(
            "provider", "127.0.0.1:5060", keys={"user": USER, "secret": SECRET, "expires": EXPIRES}, calls=1000,
            ring=500, transport=self.transport, port=self.port, host=self.host, media_port=self.leg.port, timeout=300,
            recv_timeout=300_000, out=out)

    def messages(self):
        with open(self.dir + "/messages.log", errors="replace") as f:
            return f.read()

    def stop(self):
        if self.child:
            self.child.stop(grace=0.2)
            self.leg.close()
        self.child = None

    def trunk(self, password=SECRET):
        return {"host": self.host, "port": self.port, "transport": self.transport, "username": USER,
                "password": password, "codecs": ["PCMA"], "numbers": {NUMBER: "101"}}


def state(server, name="itsp"):
    return server.get(f"/trunks/{name}")["state"]


def until_state(server, wanted, seconds, name="itsp"):
    began = time.monotonic()
    server.until(lambda: state(server, name) == wanted, seconds, f"the trunk {name} to be {wanted}")
    return time.monotonic() - began


def both_ways(folder, name, caller_101, leg, seconds=5.0):
    """What 101 and the provider heard."""
    to_101, rest_101 = pure(caller_101.recordings()[-1], FROM_OUTSIDE, PROVIDER_DBFS, seconds)
    heard = leg.save(os.path.join(folder, name + ".wav"))
    out, rest = pure(heard, FROM_101, PHONE_DBFS, seconds)
    return f"101 hears {FROM_OUTSIDE} Hz at {to_101:+.1f} dB, nothing else above {rest_101:.0f} dBFS; " \
           f"the provider hears {FROM_101} Hz at {out:+.1f} dB, nothing else above {rest:.0f} dBFS"


def office_phone(server, folder):
    return phone(server, "101", codec="pcma", wav=tone_file(folder, "pcma", FROM_101, PHONE_DBFS), dir=folder)


def line_of(record, wanted):
    """The record has the direction and the trunk on the right leg."""
    assert (record["direction"], record["cause"], record["sip_code"]) == (wanted["direction"], "completed", 200), record
    assert (record["from"], record["to"]) == (wanted["from"], wanted["to"]), record
    legs = [(leg["party"], leg["trunk"], leg["codec"]) for leg in record["legs"]]
    assert legs == wanted["legs"], record
    assert all(leg["loss_in"] == 0 for leg in record["legs"]), record


def outbound(server, folder, provider, records):
    """101 dials 9 and a number: the provider challenges, rings, answers and talks."""
    a = office_phone(server, folder)
    try:
        a.register()
        a.dial("9" + OUTSIDE)
        a.wait_event("established", 10, fail="closed")
        time.sleep(6.5)
        a.hangup()
        record = server.record(records)
    finally:
        a.close()
    line_of(record, {"direction": "outbound", "from": "101", "to": OUTSIDE,
                     "legs": [("101", None, "PCMA"), (OUTSIDE, "itsp", "PCMA")]})
    invites = re.findall(r"^INVITE (\S+) SIP", provider.messages(), re.M)
    assert len(invites) == 2 and all(f"sip:{OUTSIDE}@{provider.host}" in uri for uri in invites), invites
    messages = provider.messages()
    assert f'From: "101" <sip:{USER}@{provider.host}>' in messages, "the account is not in From"
    assert f"P-Asserted-Identity: <sip:101@{provider.host}>" in messages, "the caller is nowhere"
    return f"outbound 9{OUTSIDE}: {both_ways(folder, 'outbound', a, provider.leg)}; " \
           f"record: outbound by {record['legs'][1]['trunk']}"


def inbound(server, folder, provider, records):
    """The provider calls our number: 101 rings, answers and talks."""
    a = office_phone(server, folder)
    try:
        a.register()
        with RtpLeg(FROM_OUTSIDE, "PCMA", PROVIDER_DBFS, provider.host) as leg:
            call = sipp.start("uac", server.address(), users=[("+4917012345", "none")], keys={"dest": NUMBER},
                              hold=6500, host=provider.host, media_port=leg.port, out=folder)
            a.answer()
            a.wait_event("closed", 15)
            result = sipp.finish(*call)
            assert result.ok, (result, result.errors())
            record = server.record(records)
            figures = both_ways(folder, "inbound", a, leg)
    finally:
        a.close()
    line_of(record, {"direction": "inbound", "from": "+4917012345", "to": "101",
                     "legs": [("+4917012345", "itsp", "PCMA"), ("101", None, "PCMA")]})
    assert record["dialed"] == NUMBER, record
    return f"inbound {NUMBER} to 101: {figures}; record: inbound by {record['legs'][0]['trunk']}"


def stranger(server, folder):
    """The same call from another address is nobody's trunk."""
    result = sipp.run("uac_fail", server.address(), users=[("+4917012345", "none")], keys={"dest": NUMBER}, code=403,
                      host="127.0.0.9", out=folder)
    assert result.ok, (result, result.errors())
    return "the same INVITE from another address is challenged, and refused with 403"


def registering(server, provider):
    """A wrong password fails and says so; the right one registers, and again before the grant ends."""
    server.call("PUT", "/trunks/itsp", provider.trunk("not the secret"))
    until_state(server, "failed", 10)
    why = server.get("/trunks/itsp")["state_why"]
    assert "401" in why, why
    yield f"trunk with a wrong password: failed, {why}"
    server.call("PATCH", "/trunks/itsp", {"password": SECRET})
    took = until_state(server, "registered", 5)
    assert "Authorization: Digest" in provider.messages()
    yield f"with the right one: registered after {took:.2f} s, digest checked by the provider"


def restart(server, udp, tcp):
    """Both providers go away and come back."""
    server.call("PUT", "/trunks/reserve", tcp.trunk())
    until_state(server, "registered", 5, "reserve")
    udp.stop()
    tcp.stop()
    for provider, name, limit in ((tcp, "reserve", EXPIRES + 5), (udp, "itsp", EXPIRES + 37)):
        # Over UDP a dead provider is only known when the REGISTER has had no answer for 32 s (RFC 3261 timer F).
        gone = until_state(server, "failed", limit, name)
        why = server.get(f"/trunks/{name}")["state_why"]
        provider.start()
        back = until_state(server, "registered", 12, name)
        yield f"{provider.transport} provider stopped: {name} failed after {gone:.0f} s ({why}); " \
              f"started again: registered after {back:.1f} s"


def leaving(server, alive, dead):
    """The PBX stops: a provider that is there is told, one that is not holds nothing up."""
    dead.stop()
    before = len(alive.messages())
    began = time.monotonic()
    code = server.stop()
    took = time.monotonic() - began
    assert code == 0 and took < 5, (code, took)
    # SIPp writes down what it had to say at its own pace.
    said = util.wait_for(lambda: (lambda m: m if "SIP/2.0 200 OK" in m else None)(alive.messages()[before:]), 3,
                         "200 OK for the last REGISTER")
    farewell = [message for message in said.split("\n\n\n") if "REGISTER sip:" in message][-1]
    assert "Authorization: Digest" in farewell and "Expires: 0" in farewell, said
    return f"SIGTERM with one provider dead: exit 0 after {took:.1f} s, the other was told, with digest"


def trunks(binary):
    folder = tempfile.mkdtemp(prefix="offhook-provider-")
    udp, tcp = Provider(folder, "127.0.0.2"), Provider(folder, "127.0.0.3", "tcp")
    try:
        with Server(binary) as server:
            udp.start()
            tcp.start()
            server.extension("101", ["PCMA"])
            yield from registering(server, udp)
            yield outbound(server, folder, udp, 1)
            yield inbound(server, folder, udp, 2)
            yield stranger(server, folder)
            yield from restart(server, udp, tcp)
            yield "after the restart, " + outbound(server, folder, udp, 3)
            yield leaving(server, udp, tcp)
    finally:
        udp.stop()
        tcp.stop()
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    run([trunks])
