#!/usr/bin/env python3
"""How first calls end, with real phones: refused, busy, cancelled, echoed, originated, and when a phone or the PBX goes
away. Their sound is measured by audio_quality.py. `first_call.py PATH-TO-OFFHOOK [case ...]` runs all cases or those named."""
import signal
import subprocess
import time

from desk import audio, heard, phone, run
from server import Server


def refusals(binary):
    with Server(binary) as server:
        for number in ("101", "102", "103"):
            server.extension(number)
        wrong = phone(server, "101", password="not-the-password")
        refused = wrong.register(ok=False)["text"]
        wrong.close()
        assert refused[:3] in ("401", "403"), refused
        assert server.get("/registrations")["items"] == []
        yield f"wrong password: {refused}, no registration"
        a, b = phone(server, "101"), phone(server, "102", max_calls=1)
        c = phone(server, "103")
        try:
            for each in (a, b, c):
                each.register()
            yield unknown(server, a)
            yield rejected(server, a, b)
            yield busy(server, a, b, c)
            yield cancelled(server, a, b)
        finally:
            for each in (a, b, c):
                each.close()


def ended_with(server, records, code, cause):
    """The newest of so many records says how the call ended."""
    record = server.record(records)
    assert (record["sip_code"], record["cause"]) == (code, cause), record
    return record


def unknown(server, a):
    a.dial("555")
    a.wait_event("closed", 10, text="404")
    assert ended_with(server, 1, 404, "unavailable")["dialed"] == "555"
    return "unknown number: 404 and a record"


def rejected(server, a, b):
    a.dial("102")
    b.wait_event("incoming", 10)
    b.reject()
    b.wait_event("closed", 5)
    a.wait_event("closed", 10, text="486")
    ended_with(server, 2, 486, "busy")
    return "callee rejects: 486 and a record, busy"


def busy(server, a, b, c):
    """102 has one line, and talks on it with 103."""
    c.dial("102")
    b.answer()
    c.wait_event("established", 10, fail="closed")
    a.dial("102")
    a.wait_event("closed", 10, text="486")
    ended_with(server, 3, 486, "busy")
    assert not b.seen("incoming", since=b.mark()) and len(server.get("/calls")["items"]) == 1
    c.hangup()
    b.wait_event("closed", 5)
    server.record(4)
    causes = {r["from"]: r["cause"] for r in server.get("/call-records?limit=2")["items"]}
    assert causes == {"103": "completed", "101": "busy"}, causes
    return "callee talks on its only line: 486 and a record, busy; the talk goes on"


def cancelled(server, a, b):
    a.dial("102")
    b.wait_event("incoming", 10)
    a.wait_event("ringing", 5)
    began = time.monotonic()
    a.hangup()
    took = b.wait_event("closed", 5)["t"] - began
    assert took <= 0.2, f"the callee rang for {took:.3f} s more"
    ended_with(server, 5, 487, "cancelled")
    return f"caller cancels: the callee stops ringing after {took * 1000:.0f} ms, record cancelled"


def echo(binary):
    with Server(binary) as server:
        server.extension("101", ["PCMU"])
        a = phone(server, "101")
        try:
            a.register()
            a.dial("*43")
            a.wait_event("established", 10, fail="closed")
            time.sleep(14)
            a.hangup()
        finally:
            a.close()
        yield f"*43: after the prompt the caller hears itself at {heard(a.recordings()[0], 440, 10, 13):.1f} dBFS"


def originated(binary):
    """POST /calls: 101 is rung and then hears why 102 cannot be had."""
    with Server(binary) as server:
        for number in ("101", "102"):
            server.extension(number, ["PCMU"])
        a, b = phone(server, "101"), phone(server, "102")
        try:
            for each in (a, b):
                each.register()
            call = server.call("POST", "/calls", {"from": "101", "to": "102"})["id"]
            a.answer()
            b.wait_event("incoming", 10)
            b.reject()
            refused = b.wait_event("closed", 5)["t"]
            took = a.wait_event("closed", 10)["t"] - refused
            b.close()
            server.until(lambda: len(server.get("/registrations")["items"]) == 1, 5, "102 to be gone")
            again = server.call("POST", "/calls", {"from": "102", "to": "101"})["id"]
            server.record(2)
            record, absent = (server.get(f"/call-records/{id}") for id in (call, again))
        finally:
            for each in (a, b):
                each.close()
        rate, samples = audio.read_wav(a.recordings()[0])[:2]
        # The tone of a busy line: half a second of sound, half a second of silence. Its first pulse may have begun as
        # the ringback.
        first, last = bursts(samples, rate)[-2:]
        beat = [(last[0] - first[1]) / rate, (last[1] - last[0]) / rate]
        assert all(0.4 < seconds < 0.6 for seconds in beat), (beat, bursts(samples, rate))
        level = min(audio.tone_level(samples[end - rate // 3:end - rate // 20], rate, 425) for _, end in (first, last))
        assert 1.8 < took < 2.6 and level > -20, (took, level)
        why = "ended by the dialplan with 486 Busy Here after the answer"
        assert (record["cause"], record["reason"]) == ("completed", why), record
        yield f"102 is busy: 101 hears 425 Hz at {level:.0f} dBFS in pulses {beat[0]:.2f} s apart and is hung " \
              f"up {took:.1f} s later"
        assert (absent["cause"], absent["reason"]) == ("unavailable", "102 is not registered"), absent
        yield f"a first party without a phone: {absent['cause']}, {absent['reason']}"


def bursts(samples, rate):
    """Where sound begins and ends: what is apart by 0.2 s and more."""
    found, step = [], rate // 50
    for at in range(0, len(samples) - step, step):
        if audio.dbfs(audio.rms(samples[at:at + step])) < -40:
            continue
        if found and at - found[-1][1] < rate // 5:
            found[-1][1] = at + step
        else:
            found.append([at, at + step])
    return found


def endings(binary):
    """A phone that vanishes, a PBX that is stopped in mid-call, and one that is killed."""
    timeout = 5
    with Server(binary, OFFHOOK_RTP__TIMEOUT_S=str(timeout)) as server:
        for number in ("101", "102", "103"):
            server.extension(number, ["PCMU"])
        a, b, c = phone(server, "101"), phone(server, "102"), phone(server, "103")
        try:
            for each in (a, b, c):
                each.register()
            yield vanished(server, a, b, timeout)
            b = phone(server, "102")
            b.register()
            yield stopped(server, a, b, c)
            yield restarted(server)
            second = subprocess.run([server.binary, "serve", "--data-dir", server.data], capture_output=True, timeout=10)
            said = second.stderr.decode().strip()
            assert second.returncode == 1 and "in use" in said and server.data in said, second
            yield f"a second start on the same data directory is refused: {said}"
        finally:
            for each in (a, b, c):
                each.close()


def connect(a, b, number):
    a.dial(number)
    b.answer()
    a.wait_event("established", 10, fail="closed")


def vanished(server, a, b, timeout):
    connect(a, b, "102")
    # Its last packet is what the time counts from; a second for the looks at the clock in between.
    server.until(lambda: any(call["state"] == "up" for call in server.get("/calls")["items"]), 5, "the talk")
    began = time.monotonic()
    b.kill()
    took = a.wait_event("closed", timeout + 4)["t"] - began
    assert timeout - 1 < took < timeout + 0.5, f"the call ended {took:.2f} s after kill -9, not within {timeout} s"
    record = server.record(1)
    why = {leg["party"]: leg["diagnosis"] for leg in record["legs"]}["102"]
    assert why == f"sent no audio for {timeout} s and did not answer", record
    return f"kill -9 of the talking phone: the call ended by itself after {took:.2f} s, the record's leg says {why!r}"


def stopped(server, a, b, c):
    """SIGTERM while 101 talks with 102 and 103 hears itself."""
    connect(a, b, "102")
    c.dial("*43")
    c.wait_event("established", 10, fail="closed")
    began = time.monotonic()
    code = server.stop(signal.SIGTERM)
    took = time.monotonic() - began
    assert code == 0 and took < 5, (code, took)
    told = [each.wait_event("closed", 3)["t"] - began for each in (a, b, c)]
    server.start()
    server.record(3)
    causes = [r["cause"] for r in server.get("/call-records?limit=2")["items"]]
    assert len(set(causes)) == 1, causes
    return f"SIGTERM during two calls: all phones were told within {max(told):.2f} s, exit 0 after {took:.1f} s, " \
           f"both recorded as {causes[0]}"


def restarted(server):
    """What was kept over the stop is there after kill -9 too."""
    kept = {r["extension"]: r["contact"] for r in server.get("/registrations")["items"]}
    assert set(kept) == {"101", "102", "103"}, kept
    server.process.kill()
    server.process.wait()
    server.start()
    assert {r["extension"]: r["contact"] for r in server.get("/registrations")["items"]} == kept
    server.record(3)
    return f"{len(kept)} registrations and 3 records are there after the stop and after kill -9"


if __name__ == "__main__":
    run([refusals, echo, originated, endings])
