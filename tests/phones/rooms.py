#!/usr/bin/env python3
"""Conferences, listening in and announcements with real phones: who hears whom. `rooms.py PATH-TO-OFFHOOK [case ...]`."""
import contextlib
import time

from desk import TONES, levels, phone, run
from phonekit import audio
from phonekit.rtp import RtpCapture
from server import Server

# What a party must hear, and what it must not, dBFS.
LOUD, SILENT = -35, -45

SCRIPT = """fn internal(session) {
    let d = session.dialed;
    if d == "700" { return session.conference("team"); }
    if d == "701" {
        return session.conference("board", #{ pin: "1234", moderator_pin: "98", wait_for_moderator: true, end_with_moderator: true });
    }
    if d.starts_with("*90") { return session.supervise(d.sub_string(3), #{ mode: "whisper" }); }
    let r = session.dial(ext(d), #{ timeout: 20 });
    if !r.answered { session.reject(r.sip_code); }
}
fn inbound(session) {}
fn outbound(session) {}
"""


@contextlib.contextmanager
def office(binary, codecs=("pcmu", "pcma", "pcmu")):
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(Server(binary))
        server.call("PUT", "/dialplan", {"main.rhai": SCRIPT})
        phones = []
        for number, codec in zip(TONES, codecs):
            server.extension(number)
            phones.append(stack.enter_context(phone(server, number, codec=codec)))
        for each in phones:
            each.register()
        capture = stack.enter_context(RtpCapture(phones=phones))
        yield server, capture, phones


def enter(each, number="700"):
    each.dial(number)
    each.wait_event("established", 10, fail="closed")


def hears(capture, party, others):
    """For a second `party` gets the tones of `others` and no other one."""
    time.sleep(0.8)
    since = time.time()
    time.sleep(1.3)
    heard, _ = levels(capture.s, party.rtp_range, TONES.values(), since)
    level = {number: round(one) for number, one in zip(TONES, heard)}
    wanted = {other.user for other in others}
    for number, one in level.items():
        right = one > LOUD if number in wanted else one < SILENT
        assert right, f"{party.user} hears {level}, it should hear {sorted(wanted)}"
    return level


def codecs(binary):
    with office(binary, ("pcmu", "g722", "opus")) as (server, _, phones):
        for each in phones:
            enter(each)
        time.sleep(5)
        for each in phones:
            each.hangup()
            each.wait_event("closed", 5)
        for each in phones:
            each.close()
            rate, samples = audio.read_wav(each.recordings()[0])[:2]
            last = samples[-int(rate * 3):-int(rate * 0.5)]
            level = {number: round(audio.tone_level(last, rate, tone)) for number, tone in TONES.items()}
            own = level.pop(each.user)
            assert min(level.values()) > LOUD and own < SILENT, f"{each.user} hears {level} and itself at {own}"
            holes = audio.gaps(last, rate, min_ms=60)
            assert not holes, f"{each.user}: gaps {holes}"
            yield f"{each.user} hears the others at {sorted(level.values())} dBFS and itself at {own}"
        record = server.record(3)
        segments = [(s["how"], s["parties"]) for s in record["segments"]]
        assert segments == [("conference", [record["from"], "team"])], segments
        assert record["legs"][0]["loss_in"] == 0, record


def hands(binary):
    with office(binary) as (server, capture, (a, b, c)):
        for each in (a, b, c):
            enter(each)
        hears(capture, a, [b, c])
        room = server.get("/conferences/team")
        ids = {p["number"]: p["call"] for p in room["participants"]}
        act = lambda action, number=None: server.call("POST", "/conferences/team/actions", {
            "action": action, **({"participant": ids[number]} if number else {})})
        act("mute", "102")
        yield f"102 is muted: 101 hears {hears(capture, a, [c])}"
        assert server.get("/conferences/team")["participants"][1]["muted"]
        act("unmute", "102")
        act("deaf", "102")
        hears(capture, b, [])
        yield f"102 is deaf, and 101 hears {hears(capture, a, [b, c])}"
        act("undeaf", "102")
        c.hangup()
        c.wait_event("closed", 5)
        yield f"103 has left: 101 hears {hears(capture, a, [b])}"
        act("lock")
        c.dial("700")
        c.wait_event("closed", 10)
        act("kick", "102")
        b.wait_event("closed", 5)
        a.hangup()
        a.wait_event("closed", 5)
        server.until(lambda: not server.get("/conferences")["items"], 5, "the room to be empty")
        server.record(4)
        reasons = sorted(r["reason"] for r in server.get("/call-records")["items"])
        assert reasons[-2:] == ["left the conference: kicked", "left the conference: locked"], reasons
        yield "103 found it locked, 102 was removed, and the room is no more"


def moderator(binary):
    with office(binary) as (server, capture, (a, b, c)):
        enter(a, "701")
        time.sleep(0.5)
        a.dtmf("1234")
        server.until(lambda: server.get("/conferences/board")["participants"][0]["waiting"], 8, "101 to wait")
        enter(b, "701")
        time.sleep(0.5)
        b.dtmf("98#")
        server.until(lambda: server.get("/conferences/board")["participants"][1]["moderator"], 8, "the moderator")
        yield f"after the moderator's PIN 101 hears {hears(capture, a, [b])}"
        b.hangup()
        a.wait_event("closed", 5)
        yield "101 has to go with the moderator"
        enter(c, "701")
        for wrong in ("11#", "22#", "33#"):
            time.sleep(0.8)
            c.dtmf(wrong)
        c.wait_event("closed", 10)
        yield "three wrong PINs end it"


def listen_in(binary):
    with office(binary) as (server, capture, (a, b, c)):
        a.dial("102")
        b.answer()
        a.wait_event("established", 10, fail="closed")
        hears(capture, a, [b])
        enter(c, "*90102")
        yield f"103 whispers: 102 hears {hears(capture, b, [a, c])}"
        hears(capture, a, [b])
        yield f"103 hears {hears(capture, c, [a, b])}"
        c.dtmf("6")
        yield f"103 barges: 101 hears {hears(capture, a, [b, c])}"
        c.hangup()
        c.wait_event("closed", 5)
        hears(capture, a, [b])
        call = server.get("/calls")["items"][0]["id"]
        server.call("POST", f"/calls/{call}/announce", {"prompt": "goodbye"})
        time.sleep(4)
        yield f"the two are alone again: 101 hears {hears(capture, a, [b])}"
        a.hangup()
        b.wait_event("closed", 5)


if __name__ == "__main__":
    run([codecs, hands, moderator, listen_in])
