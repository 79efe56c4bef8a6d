#!/usr/bin/env python3
"""The first call, with real phones: baresip registers over UDP, TCP and TLS, calls through the built PBX, and the
tone of either side is measured at the other. `first_call.py PATH-TO-OFFHOOK [case ...]` runs all cases or those named."""
import signal
import subprocess
import time

from desk import NAMES, heard, phone, run
from server import Server


def a_call(server, records, transport, codec_a, codec_b, seconds=10):
    """101 calls 102 and both hear each other; the record agrees with the phones."""
    server.extension("101", [NAMES[codec_a]])
    server.extension("102", [NAMES[codec_b]])
    a = phone(server, "101", transport, codec_a)
    b = phone(server, "102", transport, codec_b)
    try:
        a.register()
        b.register()
        began = time.monotonic()
        a.dial("102")
        b.answer()
        a.wait_event("established", 10, fail="closed")
        up = time.monotonic()
        time.sleep(seconds)
        a.hangup()
        b.wait_event("closed", 5)
        ended = time.monotonic()
    finally:
        a.close()
        b.close()
    levels = [heard(b.recordings()[0], 440), heard(a.recordings()[0], 620)]
    record = server.record(records)
    assert (record["from"], record["to"], record["cause"]) == ("101", "102", "completed"), record
    assert [leg["codec"] for leg in record["legs"]] == [NAMES[codec_a], NAMES[codec_b]], record
    assert abs(record["talk_s"] - (ended - up)) < 0.5, (record["talk_s"], ended - up)
    assert abs(record["ring_s"] - (up - began)) < 0.5, (record["ring_s"], up - began)
    assert all(leg["loss_in"] == 0 for leg in record["legs"]), record
    return f"{transport} {codec_a}->{codec_b}: heard at {levels[0]:.1f} and {levels[1]:.1f} dBFS, " \
           f"ring {record['ring_s']:.2f} s, talk {record['talk_s']:.2f} s"


def calls(binary):
    with Server(binary) as server:
        cases = [("udp", "pcmu", "pcmu"), ("tcp", "pcma", "g722"), ("tls", "pcmu", "opus")]
        for count, (transport, a, b) in enumerate(cases, 1):
            yield a_call(server, count, transport, a, b)


def refusals(binary):
    with Server(binary) as server:
        server.extension("101")
        server.extension("102")
        wrong = phone(server, "101", password="not-the-password")
        wrong.register(ok=False)
        wrong.close()
        assert server.get("/registrations")["items"] == []
        yield "wrong password: no registration"
        a, b = phone(server, "101"), phone(server, "102")
        try:
            a.register()
            b.register()
            a.dial("555")
            a.wait_event("closed", 10, text="404")
            record = server.record(1)
            assert (record["sip_code"], record["cause"], record["dialed"]) == (404, "unavailable", "555"), record
            yield "unknown number: 404 and a record"
            a.dial("102")
            b.wait_event("incoming", 10)
            b.reject() if hasattr(b, "reject") else b.hangup()
            a.wait_event("closed", 10)
            record = server.record(2)
            assert record["cause"] in ("busy", "rejected"), record
            yield f"callee refuses: {record['cause']} {record['sip_code']}"
            a.dial("102")
            b.wait_event("incoming", 10)
            cancelled = time.monotonic()
            a.hangup()
            b.wait_event("closed", 5)
            took = time.monotonic() - cancelled
            assert took < 0.5, took
            record = server.record(3)
            assert record["cause"] == "cancelled", record
            yield f"caller cancels: the callee stops ringing after {took:.2f} s, record cancelled"
        finally:
            a.close()
            b.close()


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


def endings(binary):
    """A phone that vanishes, and a PBX that is stopped in mid-call."""
    with Server(binary, OFFHOOK_RTP__TIMEOUT_S="5") as server:
        server.extension("101", ["PCMU"])
        server.extension("102", ["PCMU"])
        a, b = phone(server, "101"), phone(server, "102")
        try:
            a.register()
            b.register()
            a.dial("102")
            b.answer()
            a.wait_event("established", 10)
            b.kill()
            a.wait_event("closed", 9)
            server.record(1)
            yield "kill -9 of the talking phone: the call ended by itself"
            b = phone(server, "102")
            b.register()
            a.dial("102")
            b.answer()
            a.wait_event("established", 10)
            began = time.monotonic()
            code = server.stop(signal.SIGTERM)
            took = time.monotonic() - began
            assert code == 0 and took < 5, (code, took)
            a.wait_event("closed", 3)
            b.wait_event("closed", 3)
            yield f"SIGTERM: both were told, exit 0 after {took:.1f} s"
            server.start()
            server.record(2)
            kept = {r["extension"] for r in server.get("/registrations")["items"]}
            assert "101" in kept, kept
            server.process.kill()
            server.process.wait()
            server.start()
            assert {r["extension"] for r in server.get("/registrations")["items"]} == kept
            server.record(2)
            yield "records and registrations are there after the stop and after kill -9"
            second = subprocess.run([server.binary, "serve", "--data-dir", server.data], capture_output=True, timeout=10)
            assert second.returncode == 1 and b"in use" in second.stderr, second
            yield "a second start on the same data directory is refused: " + second.stderr.decode().strip()
        finally:
            a.close()
            b.close()


if __name__ == "__main__":
    run([calls, refusals, echo, endings])
