#!/usr/bin/env python3
"""Sound and figures of a call, with real phones: three codec pairs over three transports, and a line that loses
packets. `audio_quality.py PATH-TO-OFFHOOK [case ...]` runs all cases or those named."""
import multiprocessing
import shutil
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor

from desk import NAMES, audio, pure, run, steady, tone_file
from phonekit import BaresipPhone
from phonekit.lossy import LossyRelay
from server import Server

# Both sides send 440 Hz; the levels tell who is heard.
CALLER_DBFS, CALLEE_DBFS = -12.0, -20.0
PAIRS = [("101", "pcmu", "102", "opus"), ("103", "pcma", "104", "g722"), ("105", "pcmu", "106", "pcmu")]
TALK_S, MEASURED_S = 11.5, 10.0


class Pair:
    """A calls B. The times are those of the phones' own events."""

    def __init__(self, server, folder, transport, spec, through=None):
        self.a, self.codec_a, self.b, self.codec_b = spec
        self.transport, self.through = transport, through
        for number, codec in ((self.a, self.codec_a), (self.b, self.codec_b)):
            server.extension(number, [NAMES[codec]])
        self.caller = self.phone(server, folder, self.a, self.codec_a, CALLER_DBFS, through)
        self.callee = self.phone(server, folder, self.b, self.codec_b, CALLEE_DBFS)

    def phone(self, server, folder, number, codec, level, through=None):
        address = through.address if through else server.address(self.transport)
        return BaresipPhone(number, f"secret-of-{number}-ok", address, self.transport, codecs=(codec,), dir=folder,
                            wav=tone_file(folder, codec, 440, level))

    def register(self):
        self.caller.register()
        self.callee.register()

    def dial(self):
        self.caller.mark()
        self.began = time.monotonic()
        self.caller.dial(self.b)

    def answer(self):
        self.callee.answer()
        self.up = self.caller.wait_event("established", 10, fail="closed")["t"]

    def hang_up(self):
        self.caller.hangup()
        self.ended = self.callee.wait_event("closed", 5)["t"]

    def close(self):
        for phone in (self.caller, self.callee):
            phone.close()

    def check_record(self, record):
        """Both parties, codecs and times, as the phones saw them."""
        assert (record["from"], record["to"], record["dialed"]) == (self.a, self.b, self.b), record
        assert (record["cause"], record["sip_code"], record["direction"]) == ("completed", 200, "internal"), record
        seen = [(leg["party"], leg["codec"], leg["transport"], leg["trunk"]) for leg in record["legs"]]
        assert seen == [(self.a, NAMES[self.codec_a], self.transport, None),
                        (self.b, NAMES[self.codec_b], self.transport, None)], record
        ring, talk = record["ring_s"] - (self.up - self.began), record["talk_s"] - (self.ended - self.up)
        assert abs(ring) <= 0.2, f"ring_s {record['ring_s']}, the phones say {self.up - self.began:.3f}"
        assert abs(talk) <= 0.2, f"talk_s {record['talk_s']}, the phones say {self.ended - self.up:.3f}"
        return f"ring {record['ring_s']:.2f} s ({ring:+.2f}), talk {record['talk_s']:.2f} s ({talk:+.2f})"

    def sounds(self):
        """(what was sent, what the other heard) for both directions."""
        return [(self.caller.recordings("enc")[0], self.callee.recordings()[0], CALLER_DBFS),
                (self.callee.recordings("enc")[0], self.caller.recordings()[0], CALLEE_DBFS)]


def heard(sent, received, level):
    """The tone arrived as the phone sent it."""
    rate, samples = steady(sent, 2)
    source = audio.tone_level(samples, rate, 440)
    assert abs(source - level) < 1, f"{sent}: the phone sent {source:.1f} dBFS instead of {level}"
    return pure(received, 440, source, MEASURED_S)


def talk(pairs):
    """All pairs call at once, ring for a second and talk."""
    for pair in pairs:
        pair.register()
    for pair in pairs:
        pair.dial()
    for pair in pairs:
        pair.callee.wait_event("incoming", 10, consume=False)
    time.sleep(1)
    for pair in pairs:
        pair.answer()
    time.sleep(TALK_S)
    for pair in pairs:
        pair.hang_up()


def records(server, count):
    """The newest record of each caller, once there are `count`."""
    items = server.until(lambda: (lambda i: i if len(i) >= count else None)(
        server.get("/call-records")["items"]), 8, f"{count} call records")
    assert len(items) == count, f"{len(items)} records instead of {count}"
    return {record["from"]: record for record in reversed(items)}


def a_round(server, folder, transport, count):
    """The three pairs over one transport; yields each pair with what its record says."""
    pairs = [Pair(server, folder, transport, spec) for spec in PAIRS]
    try:
        talk(pairs)
    finally:
        for pair in pairs:
            pair.close()
    found = records(server, count)
    for pair in pairs:
        record = found[pair.a]
        figures = pair.check_record(record)
        caller, callee = record["legs"]
        losses = [(leg["loss_in"], leg["loss_out"] or 0) for leg in (caller, callee)]
        assert losses == [(0, 0), (0, 0)], record
        # All is passed on but what comes before both have answered.
        kept = [caller["packets_in"] - callee["packets_out"], callee["packets_in"] - caller["packets_out"]]
        assert all(abs(packets) <= 5 for packets in kept), record
        yield pair, figures


def quality(binary):
    """PCMU to Opus, PCMA to G.722, PCMU to PCMU over UDP, TCP and TLS."""
    folder = tempfile.mkdtemp(prefix="offhook-audio-")
    # The sound of one round is measured while the next one talks.
    with Server(binary) as server, ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as measuring:
        rounds = []
        for number, transport in enumerate(("udp", "tcp", "tls"), 1):
            rounds += [(pair, figures, [measuring.submit(heard, *sound) for sound in pair.sounds()])
                       for pair, figures in a_round(server, folder, transport, 3 * number)]
        for pair, figures, sounds in rounds:
            (to_b, rest_b), (to_a, rest_a) = [sound.result() for sound in sounds]
            yield f"{pair.transport} {NAMES[pair.codec_a]} to {NAMES[pair.codec_b]}: level {to_b:+.1f} and " \
                  f"{to_a:+.1f} dB, nothing else above {rest_b:.0f} and {rest_a:.0f} dBFS, {figures}"
    shutil.rmtree(folder, ignore_errors=True)


def loss(binary):
    """A caller on a line that loses every twentieth packet both ways."""
    folder = tempfile.mkdtemp(prefix="offhook-audio-")
    specs = [("101", "pcmu", "102", "pcmu"), ("103", "pcma", "104", "g722")]
    with Server(binary) as server:
        lines = [LossyRelay(server.address(), loss=0.05, seed=seed) for seed in (1, 2)]
        pairs = [Pair(server, folder, "udp", spec, line) for spec, line in zip(specs, lines)]
        try:
            talk(pairs)
        finally:
            for part in pairs + lines:
                part.close()
        found = records(server, len(pairs))
        for pair in pairs:
            yield check_loss(pair, found[pair.a])
    shutil.rmtree(folder, ignore_errors=True)


def check_loss(pair, record):
    figures = pair.check_record(record)
    lossy, clean = record["legs"]
    assert 4 <= lossy["loss_in"] <= 6 and 4 <= lossy["loss_out"] <= 6, record
    assert clean["loss_in"] == 0 and not clean["loss_out"], record
    lost, passed = pair.through.lost["up"], pair.through.passed["up"]
    return f"{NAMES[pair.codec_a]} to {NAMES[pair.codec_b]}, {lost} of {lost + passed} packets lost: the record says " \
           f"{lossy['loss_in']:.1f} % in and {lossy['loss_out']:.1f} % out, 0 on the other leg, {figures}"


if __name__ == "__main__":
    run([quality, loss])
