#!/usr/bin/env python3
"""Transfers with real phones, and who hears whom after each: blind and attended, by baresip and by linphone, and what comes
back from a target that is busy. `transfer.py PATH-TO-OFFHOOK [case ...]` runs all cases or those named."""
import contextlib
import os
import time

from desk import TONES, levels, phone, run
from phonekit import LinphonePhone, audio
from phonekit.rtp import RtpCapture
from server import Server

# What a party must hear in the last second, and what it must not, dBFS.
LOUD, SILENT = -30, -45


def linphone(server, number):
    """With the same tone as a baresip, for longer than any case."""
    tone = os.path.join(server.data, f"{number}.wav")
    audio.write_wav(tone, 8000, audio.tone(TONES[number], 120, 8000, -12))
    return LinphonePhone(number, f"secret-of-{number}-ok", server.address(), wav=tone, codecs=("PCMU",), record=False)


@contextlib.contextmanager
def office(binary, second=phone):
    """101 to 103 are registered, and the phone of 102 is of the kind that is asked for."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(Server(binary))
        for number in TONES:
            server.extension(number, ["PCMU"])
        kinds = {"101": phone, "102": second, "103": phone}
        a, b, c = (stack.enter_context(kind(server, number)) for number, kind in kinds.items())
        for each in (a, b, c):
            each.register()
        capture = stack.enter_context(RtpCapture(phones=[a, b, c]))
        yield server, capture, (a, b, c)


def connect(a, b, number):
    a.dial(number)
    b.answer()
    a.wait_event("established", 10, fail="closed")


def hears(capture, party, other):
    """For a second and a half `party` gets the tone of `other` and no other one; its level."""
    time.sleep(0.6)
    since = time.time()
    time.sleep(1.6)
    heard, holes = levels(capture.s, party.rtp_range, TONES.values(), since)
    level = dict(zip(TONES, heard))
    rest = [one for number, one in level.items() if number != other.user]
    assert level[other.user] > LOUD and max(rest) < SILENT, f"{party.user} hears {level}"
    assert not holes, f"{party.user}: gaps {holes}"
    return level[other.user]


def both_hear(capture, a, b):
    levels = hears(capture, a, b), hears(capture, b, a)
    return "both hear each other at {:.0f} and {:.0f} dBFS".format(*levels)


def journey(record):
    return [f"{' '.join(s['parties'])} {s['how']}" for s in record["segments"]]


def blind(binary):
    with office(binary) as (server, capture, (a, b, c)):
        connect(a, b, "102")
        both_hear(capture, a, b)
        b.transfer("103")
        c.answer()
        b.wait_event("closed", 10)
        said = both_hear(capture, a, c)
        a.hangup()
        for each in (a, c):
            each.wait_event("closed", 5)
        record = server.record(1)
        assert journey(record) == ["101 102 dialled", "101 103 transferred"], record
        yield f"blind by the called party: {said}; record {journey(record)}"
        connect(a, b, "102")
        a.transfer("103")
        c.answer()
        a.wait_event("closed", 10)
        said = both_hear(capture, b, c)
        c.hangup()
        b.wait_event("closed", 5)
        record = server.record(2)
        assert journey(record) == ["101 102 dialled", "102 103 transferred"], record
        yield f"blind by the caller: {said}"


def busy(binary):
    """103 is busy, so 101 talks with its transferrer again: at once with one that waited, else it is rung. baresip hangs up
    by itself as soon as it is told how its transfer ended."""
    with office(binary, linphone) as (server, capture, (a, b, c)):
        connect(a, b, "102")
        b.transfer("103")
        c.wait_event("incoming", 10)
        c.reject()
        b.wait_sip("NOTIFY", rx=True, has="SIP/2.0 486", timeout=5)
        yield f"busy, linphone waited: {returned(server, capture, a, b)}"
    for gone in (True, False):
        with office(binary) as (server, capture, (a, b, c)):
            connect(a, b, "102")
            b.transfer("103")
            c.wait_event("incoming", 10)
            if gone:
                b.hangup()
                b.wait_event("closed", 5)
            c.reject()
            b.answer()
            which = "had hung up" if gone else "hung up as it was told"
            yield f"busy, baresip {which} and is rung: {returned(server, capture, a, b)}"


def returned(server, capture, a, b):
    said = both_hear(capture, a, b)
    a.hangup()
    for each in (a, b):
        each.wait_event("closed", 5)
    record = server.record(1)
    parts = [part for i, part in enumerate(journey(record)) if part not in journey(record)[:i]]
    assert parts == ["101 102 dialled", "101 103 transferred", "101 102 returned"], record
    return f"{said}; record {journey(record)}"


def consulted(server, capture, a, c):
    said = both_hear(capture, a, c)
    a.hangup()
    for each in (a, c):
        each.wait_event("closed", 5)
    server.record(2)
    records = {r["id"]: r for r in server.get("/call-records?limit=2")["items"]}
    (gone,) = (r for r in records.values() if r["merged_into"])
    on = records[gone["merged_into"]]
    assert on["continues"] == [gone["id"]], on
    assert journey(on)[-1].endswith("attended") and on["segments"][-1]["by"] == "102", on
    return f"{said}; records {journey(gone)} and {journey(on)}"


def attended(binary):
    for name, second in (("baresip", phone), ("linphone", linphone)):
        with office(binary, second) as (server, capture, (a, b, c)):
            connect(a, b, "102")
            both_hear(capture, a, b)
            first = b.seen("established")[-1]["call"]
            b.hold(first)
            b.dial("103")
            c.answer()
            second = b.wait_event("established", 10, fail="closed")["call"]
            both_hear(capture, b, c)
            b.attended_transfer(first, second)
            b.wait_event("closed", 10)
            yield f"attended by {name}: {consulted(server, capture, a, c)}"


if __name__ == "__main__":
    run([blind, busy, attended])
