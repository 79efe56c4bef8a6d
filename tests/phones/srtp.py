#!/usr/bin/env python3
"""Encrypted audio with real phones: SDES on one side or on both, each way, its tone measured; and who is refused for want
of it. `srtp.py PATH-TO-OFFHOOK [case ...]` runs all cases or those named."""
import json
import re
import time

from desk import TONES, heard, phone, run
from phonekit.rtp import RtpCapture
from server import Server

KEY = re.compile(r"inline:([A-Za-z0-9+/=]{40,})")


def office(server, wishes):
    for number, wish in wishes.items():
        server.extension(number, ["PCMU"])
        server.call("PATCH", f"/extensions/{number}", {"srtp": wish})


def sizes(capture, to):
    """The lengths of the RTP packets that came to a phone: 160 bytes of PCMU, and what is added to them."""
    low, high = to.rtp_range
    return {len(packet.payload) for stream in capture.streams(min_packets=30) if low <= stream.dst[1] <= high
            for packet in stream.p}


def talk(server, caller, called, records):
    """A call, what each heard of the other, and how the record says each leg was encrypted."""
    with RtpCapture(phones=[caller, called]) as capture:
        caller.dial(called.user)
        called.answer()
        caller.wait_event("established", 10, fail="closed")
        time.sleep(4)
        caller.hangup()
        called.wait_event("closed", 5)
    record = server.record(records)
    assert record["cause"] == "completed", record
    srtp = {leg["party"]: leg["srtp"] for leg in record["legs"]}
    for each in (caller, called):
        lengths = sizes(capture, each)
        # Twenty milliseconds of PCMU, and the tag.
        assert min(lengths) > 160 if srtp[each.user] else lengths == {160}, (each.user, srtp, lengths)
    return srtp


def tones(phones):
    levels = [heard(ear.recordings()[-1], TONES[mouth.user], 1, 3) for ear, mouth in (phones, phones[::-1])]
    return f"both tones clean at {min(levels):.1f} dBFS and more"


def pair(binary, wishes, ways):
    """Calls both ways between 101 and 102, with phones that encrypt in these ways."""
    with Server(binary) as server:
        office(server, wishes)
        a, b = (phone(server, number, mediaenc=way) for number, way in zip(("101", "102"), ways))
        try:
            for each in (a, b):
                each.register()
            told = [talk(server, a, b, 1), talk(server, b, a, 2)]
        finally:
            for each in (a, b):
                each.close()
        # Keys are nowhere but on the wire.
        keys = {key for each in (a, b) for message in each.sip for key in KEY.findall(message.text)}
        assert keys, "no keys were seen"
        kept = server.tail(10_000) + json.dumps([server.get(f"/call-records/{r['id']}/sip")
                                                 for r in server.get("/call-records")["items"]])
        assert "a=crypto" in kept and not any(key in kept for key in keys), "a key was written down"
    return told, tones((a, b))


def one_side(binary):
    """A phone that must encrypt and one that cannot."""
    for way, wish in (("srtp-mand", "required"), ("srtp", "optional")):
        told, sound = pair(binary, {"101": wish, "102": "off"}, (way, None))
        assert all(srtp["101"] and srtp["102"] is None for srtp in told), told
        yield f"{wish}: 101 with {told[0]['101']}, 102 plain, called both ways: {sound}"


def both_sides(binary):
    told, sound = pair(binary, {"101": "required", "102": "optional"}, ("srtp-mand", "srtp"))
    assert all(srtp["101"] and srtp["102"] for srtp in told), told
    yield f"101 and 102 with {told[0]['101']} and {told[0]['102']}, called both ways: {sound}"


def refused(binary):
    with Server(binary) as server:
        office(server, {"101": "off", "102": "off"})
        a, b = phone(server, "101"), phone(server, "102")
        try:
            for each in (a, b):
                each.register()
            server.call("PATCH", "/extensions/101", {"srtp": "required"})
            a.dial("102")
            a.wait_event("closed", 10, text="488")
            record = server.record(1)
            assert record["sip_code"] == 488 and record["reason"] == "SRTP is required, but was not offered", record
            yield f"101 must encrypt and does not offer it: 488, \"{record['reason']}\""
            b.dial("101")
            b.wait_event("closed", 10, text="488")
            record = server.record(2)
            assert record["sip_code"] == 488 and "SRTP is required" in record["reason"], record
            yield f"101 must encrypt and is called: 488, \"{record['reason']}\""
        finally:
            for each in (a, b):
                each.close()


if __name__ == "__main__":
    run([one_side, both_sides, refused])
