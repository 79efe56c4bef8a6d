#!/usr/bin/env python3
"""Speech through a room, judged by PESQ: without trouble, and with 3 % loss and 40 ms of jitter, which may cost 0.6 at most.

`room_quality.py SPEECH.wav`, with `pip install numpy pesq`, ffmpeg and `cargo build -p media --example room_line` beside."""
import os
import subprocess
import sys

import numpy
from pesq import pesq

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
PROGRAM = os.path.join(os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target")), "debug", "examples", "room_line")
RATES = {"PCMU": 8000, "PCMA": 8000, "G722": 16000, "opus": 48000}
SEEDS = range(1, 4)


def at_rate(source, rate, raw=False):
    kind = ["-f", "s16le", "-ar", str(raw), "-ac", "1"] if raw else []
    given = {"input": source} if raw else {}
    done = subprocess.run(["ffmpeg", "-loglevel", "error", *kind, "-i", "-" if raw else source, "-f", "s16le", "-ac", "1",
                           "-ar", str(rate), "-"], capture_output=True, check=True, **given)
    return done.stdout


def score(speech, pair, loss, jitter, seed):
    sender, hearer = pair
    out = subprocess.run([PROGRAM, sender, hearer, str(loss), str(jitter), str(seed)],
                         input=at_rate(speech, RATES[sender]), capture_output=True, check=True).stdout
    wide = min(RATES[sender], RATES[hearer]) > 8000
    rate, mode = (16000, "wb") if wide else (8000, "nb")
    samples = [numpy.frombuffer(at_rate(speech, rate), "<i2"),
               numpy.frombuffer(at_rate(out, rate, RATES[hearer]), "<i2")]
    return pesq(rate, *(one.astype(numpy.float32) / 32768 for one in samples), mode)


def main(speech):
    worst = 0
    for pair in (("PCMU", "PCMU"), ("PCMA", "PCMU"), ("G722", "G722"), ("opus", "opus"), ("PCMU", "opus"), ("opus", "PCMU")):
        good = score(speech, pair, 0, 0, 1)
        bad = sum(score(speech, pair, 3, 40, seed) for seed in SEEDS) / len(SEEDS)
        worst = max(worst, good - bad)
        print(f"{pair[0]:>5} to {pair[1]:<5} {good:.2f}, with loss and jitter {bad:.2f}: {good - bad:.2f} lower", flush=True)
    sys.exit(worst > 0.6)


main(sys.argv[1])
