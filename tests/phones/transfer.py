#!/usr/bin/env python3
"""Transfers with real phones, and who hears whom after each: blind and attended, by baresip.
`transfer.py PATH-TO-OFFHOOK [case ...]` runs all cases or those named."""
import contextlib
import time

from desk import TONES, phone, run
from phonekit import audio
from phonekit.rtp import RtpCapture, Stream
from server import Server

# What a party must hear in the last second, and what it must not, dBFS.
LOUD, SILENT = -30, -45


@contextlib.contextmanager
def office(binary):
    """101 to 103 are registered."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(Server(binary))
        for number in TONES:
            server.extension(number, ["PCMU"])
        a, b, c = (stack.enter_context(phone(server, number)) for number in ("101", "102", "103"))
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
    low, high = party.rtp_range
    best = None
    for stream in list(capture.s.values()):
        if low <= stream.dst[1] <= high:
            late = Stream(stream.src, stream.dst, stream.ssrc)
            late.p = [packet for packet in list(stream.p) if packet.t >= since]
            best = max(best, late, key=lambda s: len(s.p)) if best else late
    assert best and len(best.p) > 60, f"{party.user} got {len(best.p) if best else 0} packets"
    _, rate, samples = best.decode()
    levels = {n: audio.tone_level(samples, rate, tone) for n, tone in TONES.items()}
    assert levels[other.user] > LOUD, f"{party.user} hears {levels}"
    rest = [level for n, level in levels.items() if n != other.user]
    assert max(rest) < SILENT, f"{party.user} hears {levels}"
    holes = audio.gaps(samples, rate, min_ms=60)
    assert not holes, f"{party.user}: gaps {holes}"
    return levels[other.user]


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
    """By baresip."""
    with office(binary) as (server, capture, (a, b, c)):
        connect(a, b, "102")
        first = b.wait_event("established", 5, since=0)["call"]
        b.hold(first)
        b.dial("103")
        c.answer()
        second = b.wait_event("established", 10, fail="closed")["call"]
        b.attended_transfer(first, second)
        b.wait_event("closed", 10)
        yield f"attended by baresip: {consulted(server, capture, a, c)}"


if __name__ == "__main__":
    run([blind, attended])
