#!/usr/bin/env python3
"""Every SIPp scenario in the role that fits it, over UDP and TCP: caller, called phone, provider, subscriber. What a scenario
expects is what passes: a message out of place fails it. `scenarios.py PATH-TO-OFFHOOK [case ...]` runs all cases or those
named."""
import shutil
import tempfile
import time

from desk import TONES, levels, phone, run
from phonekit import sipp, util
from phonekit.rtp import RtpCapture
from phonekit.rtpleg import RtpLeg
from server import Server

CALLER, CALLEE, OTHER = "101", "102", "103"
TRANSPORTS = ("udp", "tcp")
EVENTS = {"dialog": "application/dialog-info+xml", "message-summary": "application/simple-message-summary",
          "presence": "application/pidf+xml"}


def secret(number):
    return f"secret-of-{number}-ok"


class Lab:
    """An office of three extensions and a provider; scenarios on either side of it."""

    def __init__(self, binary, **env):
        self.folder = tempfile.mkdtemp(prefix="offhook-scenarios-")
        self.server = Server(binary, **env)

    def __enter__(self):
        self.server.__enter__()
        for number in (CALLER, CALLEE, OTHER):
            # A scenario that ends stays registered: the next one takes its place.
            body = {"number": number, "password": secret(number), "max_contacts": 1}
            self.server.call("PUT", f"/extensions/{number}", body)
        return self

    def __exit__(self, *gone):
        self.server.__exit__(*gone)
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self, name, transport, user=CALLER, password=None, timeout=40, **options):
        users = [(user, password or secret(user))]
        return sipp.start(name, self.server.address(), users=users, transport=transport, timeout=timeout,
                          out=self.folder, **options)

    def run(self, name, transport, **options):
        return passed(name, transport, sipp.finish(*self.start(name, transport, **options)))

    def called(self, transport, name="uas", number=CALLEE, **options):
        """A scenario that waits to be called, registered at its own port: stop it with `done`."""
        port = util.free_ports(2)
        self.run("register", transport, user=number, port=port, keys={"expires": 120})
        return self.start(name, transport, user=number, port=port, **options)


def passed(name, transport, result):
    assert result.ok, f"{name} over {transport}: {result} {result.errors()[:600]}\n{result.messages()[-3000:]}"
    return result


def done(name, transport, started):
    return passed(name, transport, sipp.finish(*started))


def over_both(binary, case):
    with Lab(binary) as lab:
        for transport in TRANSPORTS:
            names = case(lab, transport)
            yield f"over {transport}: {', '.join(names)}"


def asking(binary):
    """OPTIONS, and registrations good and bad."""
    def case(lab, transport):
        lab.run("options", transport)
        lab.run("register", transport, keys={"expires": 60})
        lab.run("register_cycle", transport, user=OTHER, keys={"expires": 60}, hold=200)
        assert not [r for r in lab.server.get("/registrations")["items"] if r["extension"] == OTHER]
        lab.run("register_badauth", transport, password="not the password")
        return "options", "register", "register_cycle", "register_badauth"
    yield from over_both(binary, case)


def calling(binary):
    """A caller and a called phone that are both SIPp: plain, held, inactive, with a late offer."""
    def case(lab, transport):
        names = ("uac", "uac_hold", "uac_inactive", "uac_lateoffer")
        callee = lab.called(transport, calls=len(names), rtp=True)
        for name in names:
            lab.run(name, transport, keys={"dest": CALLEE}, hold=1200, rtp=name in ("uac", "uac_hold"))
        done("uas", transport, callee)
        return names + ("uas",)
    yield from over_both(binary, case)


def ringing_reliably(binary):
    """100rel required by the caller and used by the called phone; 90 s sessions that the PBX has to refresh on both legs."""
    # Nobody sends RTP for so long.
    with Lab(binary, OFFHOOK_RTP__TIMEOUT_S="600") as lab:
        callees = dict(zip(TRANSPORTS, (CALLEE, OTHER)))
        started = []
        for transport, number in callees.items():
            options = {"calls": 1, "timeout": 90, "recv_timeout": 60_000}
            callee = lab.called(transport, "uas_100rel", number, **options)
            caller = lab.start("uac_100rel", transport, keys={"dest": number}, hold=3000, **options)
            started += [("uac_100rel", transport, caller), ("uas_100rel", transport, callee)]
        for name, transport, one in started:
            done(name, transport, one)
        yield "over udp and tcp: uac_100rel, uas_100rel"


def giving_up(binary):
    """Callers that cancel, early and late, and a called phone that is cancelled."""
    def case(lab, transport):
        names = ("uac_cancel", "uac_cancel_early")
        callee = lab.called(transport, ring=8000, calls=1)
        lab.run("uac_cancel", transport, keys={"dest": CALLEE})
        done("uas", transport, callee)
        callee = lab.called(transport, ring=8000, calls=1)
        lab.run("uac_cancel_early", transport, keys={"dest": CALLEE})
        callee[0].stop()
        return names
    yield from over_both(binary, case)


def refused(binary):
    """Callers that are refused: by digest, by the dialplan, by the called phone."""
    def case(lab, transport):
        lab.run("uac_badauth", transport, password="not the password", keys={"dest": CALLEE})
        lab.run("uac_fail", transport, keys={"dest": "899"}, code=404)
        callee = lab.called(transport, "uas_busy")
        lab.run("uac_fail", transport, keys={"dest": CALLEE}, code=486)
        done("uas_busy", transport, callee)
        return "uac_badauth", "uac_fail (404)", "uac_fail (486)", "uas_busy"
    yield from over_both(binary, case)


def hung_up_by_the_called(binary):
    """The called side hangs up first; a real phone calls."""
    def case(lab, transport):
        callee = lab.called(transport, "uas_bye", hold=500)
        with phone(lab.server, CALLER, transport) as caller:
            caller.register()
            caller.dial(CALLEE)
            caller.wait_event("established", 8, fail="closed")
            caller.wait_event("closed", 8)
        done("uas_bye", transport, callee)
        return ("uas_bye",)
    yield from over_both(binary, case)


def provider(binary):
    """SIPp as a provider without registration: it is called over a trunk and calls our number."""
    def case(lab, transport):
        # The trunk is told from phones by its address.
        host, port = "127.0.0.9", util.free_ports(2, "127.0.0.9")
        trunk = {"host": host, "port": port, "transport": transport, "auth": "address", "codecs": ["PCMU"],
                 "numbers": {"+493012345600": CALLEE}}
        lab.server.call("PUT", "/trunks/line", trunk)
        out = lab.start("uas", transport, host=host, port=port, calls=1)
        lab.run("uac", transport, keys={"dest": "903055501234"}, hold=500)
        done("uas", transport, out)
        callee = lab.called(transport, calls=1)
        lab.run("uac", transport, user="+4917012345", host=host, port=port, keys={"dest": "+493012345600"}, hold=500)
        done("uas", transport, callee)
        lab.server.call("DELETE", "/trunks/line")
        return "uas and uac as a provider",
    yield from over_both(binary, case)


def too_short(binary):
    """A caller that wants its session refreshed too often: 422, and the call goes on with what we ask for at least."""
    def case(lab, transport):
        callee = lab.called(transport, calls=1)
        lab.run("uac_422", transport, keys={"dest": CALLEE}, hold=500)
        done("uas", transport, callee)
        return ("uac_422",)
    yield from over_both(binary, case)


def provider_reliably(binary):
    """A provider that asks for 100rel is called, and calls with 100rel required: while we would ring reliably over its
    trunk, and while we require it."""
    with Lab(binary, OFFHOOK_RTP__TIMEOUT_S="600") as lab:
        host, port, did = "127.0.0.9", util.free_ports(2, "127.0.0.9"), "+493012345600"
        wishes = ("supported", "required")
        options = {"timeout": 100, "recv_timeout": 60_000}
        callee = lab.called("udp", calls=len(wishes), **options)
        line = lab.start("uas_100rel", "udp", host=host, port=port, calls=len(wishes), **options)
        started = [("uas", callee), ("uas_100rel", line)]
        for wish in wishes:
            trunk = {"host": host, "port": port, "auth": "address", "codecs": ["PCMU"], "numbers": {did: CALLEE},
                     "reliable_provisionals": wish}
            lab.server.call("PUT", "/trunks/line", trunk)
            # It waits for the UPDATE that refreshes 90 s.
            out = lab.start("uac", "udp", keys={"dest": "903055501234"}, hold=50_000, **options)
            inward = lab.start("trunk_100rel", "udp", user="+4917012345", host=host, keys={"dest": did}, **options)
            started += [("uac", out), ("trunk_100rel", inward)]
            time.sleep(2)
        for name, one in started:
            done(name, "udp", one)
        yield "over udp: uas_100rel and trunk_100rel as a provider, 100rel supported and required"


def third_party(binary):
    """A controller connects two of our answers with one another: late offers on both legs (RFC 3725)."""
    def case(lab, transport):
        # Each leg is called by the controller; the SDP of one is the answer of the other.
        callees = [lab.called(transport, number=number, calls=1) for number in (CALLEE, OTHER)]
        extra = ["-3pcc", f"127.0.0.1:{util.free_ports(2)}"]
        b = lab.start("3pcc_b", transport, keys={"to": OTHER}, hold=800, extra=extra)
        time.sleep(0.7)
        a = lab.start("3pcc_a", transport, keys={"dest": CALLEE}, hold=800, extra=extra)
        for name, started in (("3pcc_a", a), ("3pcc_b", b), ("uas", callees[0]), ("uas", callees[1])):
            done(name, transport, started)
        return "3pcc_a", "3pcc_b"
    yield from over_both(binary, case)


def transferring(binary):
    """A caller that transfers its party by REFER; the party and the target then hear each other."""
    def case(lab, transport):
        with phone(lab.server, OTHER, transport) as target, RtpLeg(TONES[CALLEE], "PCMU") as leg, \
                RtpCapture(phones=[target]) as capture:
            callee = lab.called(transport, number=CALLEE, calls=1, hold=8000, media_port=leg.port)
            target.register()
            target.set_answermode("auto")
            lab.run("uac_refer", transport, keys={"dest": CALLEE, "to": OTHER}, hold=800, rtp=True)
            target.wait_event("established", 8, fail="closed")
            time.sleep(0.5)
            since = time.time()
            time.sleep(1.5)
            target.hangup()
            hears(capture.s, target.rtp_range, TONES[CALLEE], since)
            hears(leg.received.s, (leg.port, leg.port), TONES[OTHER], since)
            done("uas", transport, callee)
        return ("uac_refer, both hear each other",)
    yield from over_both(binary, case)


def hears(streams, ports, tone, since):
    """Since then the tone came to one of these ports, without gaps."""
    level, holes = levels(streams, ports, (tone,), since)
    assert level[0] > -30 and not holes, (level, holes)


def writing(binary):
    """A MESSAGE to an extension whose phone is off: it is kept."""
    def case(lab, transport):
        lab.run("message", transport, keys={"dest": OTHER})
        return ("message",)
    yield from over_both(binary, case)


def watching(binary):
    """Subscribers to everything there is."""
    def case(lab, transport):
        for event, accept in EVENTS.items():
            lab.run("subscribe", transport, keys={"dest": CALLEE, "event": event, "accept": accept}, hold=600)
        return tuple(f"subscribe ({event})" for event in EVENTS)
    yield from over_both(binary, case)


if __name__ == "__main__":
    run([asking, calling, ringing_reliably, giving_up, refused, hung_up_by_the_called, provider, provider_reliably, too_short,
         third_party, transferring, writing, watching])
