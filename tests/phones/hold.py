#!/usr/bin/env python3
"""Hold and resume with real phones: who is held hears the music, both hear each other clean again, whoever held.
`hold.py PATH-TO-OFFHOOK [case ...]` runs all cases or those named."""
import os
import sys
import time

from desk import audio, phone, run
from phonekit.rtp import RtpCapture
from server import Server

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../sounds"))
sys.dont_write_bytecode = True
from music import BASE_HZ, SCORE  # noqa: E402

# Neither is a note of the music.
TONES = {"101": 1000, "102": 1400}
PARTS = {half for chord, tune in SCORE for half in (*chord, *tune) if half is not None}
NOTES = sorted({BASE_HZ * 2 ** ((half + up) / 12) for half in PARTS for up in (0, 12)})


def told(capture, ports, seconds):
    """What the phone at each port was sent in the last seconds of the capture; nothing where nothing came."""
    sound = {}
    for number, port in ports.items():
        streams = capture.streams(dst=port)
        sound[number] = None
        if streams:
            _, rate, samples = streams[0].decode()
            sound[number] = rate, samples[-int(seconds * rate):]
    return sound


def listen(a, b, seconds=3.0):
    with RtpCapture(phones=[a, b]) as capture:
        # The first moment may still be of what was before.
        time.sleep(seconds + 0.7)
    return capture


def where(a, b):
    """The ports that the phones hear at: each is sent the other's tone."""
    ports = {}
    for stream in listen(a, b, 1).streams(min_packets=30):
        _, rate, samples = stream.decode()
        tone = round(audio.dominant(samples, rate)[0])
        for number, other in (("101", "102"), ("102", "101")):
            phone_of = a if number == "101" else b
            low, high = phone_of.rtp_range
            if abs(tone - TONES[other]) < 20 and low <= stream.dst[1] <= high:
                ports[number] = stream.dst[1]
    assert set(ports) == {"101", "102"}, ports
    return ports


def clean(sound, frequency):
    """The level of a tone without gaps, and nothing beside it."""
    rate, samples = sound
    assert len(samples) > 2 * rate, f"only {len(samples) / rate:.1f} s of sound"
    level = audio.tone_level(samples[:rate], rate, frequency)
    holes = audio.gaps(samples, rate, min_ms=60)
    (rest, _), (strongest, at) = audio.beside(samples, rate, frequency)
    # G.711 itself is 38 dB quieter than a tone.
    assert level > -30 and not holes and rest < level - 30, (frequency, level, holes, rest, strongest, at)
    return level


def music(sound, absent):
    """The level of the music, and the share of moments whose strongest frequency is a note of it."""
    assert sound, "nothing was heard"
    rate, samples = sound
    level = audio.dbfs(audio.rms(samples))
    assert -35 < level < -22, f"music at {level:.1f} dBFS"
    assert audio.tone_level(samples, rate, absent) < -50, "the holder is heard through the music"
    step = rate // 4
    parts = [samples[at:at + step] for at in range(0, len(samples) - step + 1, step)]
    strongest = [audio.dominant(part, rate)[0] for part in parts]
    in_tune = [hertz for hertz in strongest if any(abs(hertz / note - 1) < 0.015 for note in NOTES)]
    assert len(in_tune) >= 0.8 * len(parts) and len({round(hertz) for hertz in in_tune}) >= 3, strongest
    return level, len(in_tune) / len(parts)


def holds(holder, held, ports, pair):
    """`holder` holds and resumes: a line for what was heard."""
    holder.hold()
    sound = told(listen(*pair), ports, 3)
    level, share = music(sound[held.user], TONES[holder.user])
    assert sound[holder.user] is None, "who holds is sent sound"
    holder.resume()
    sound = told(listen(*pair), ports, 3)
    back = [clean(sound[number], TONES[other]) for number, other in (("101", "102"), ("102", "101"))]
    return f"{holder.user} holds: {held.user} hears the music at {level:.1f} dBFS, {share:.0%} of its strongest " \
           f"frequencies notes of the piece; resumed: both tones clean at {min(back):.1f} dBFS and more"


def each_way(binary, codecs):
    with Server(binary) as server:
        for number in TONES:
            server.extension(number, ["PCMU", "PCMA"])
        a, b = (phone(server, number, codec=codec, tone=TONES[number]) for number, codec in zip(TONES, codecs))
        try:
            for each in (a, b):
                each.register()
            a.dial("102")
            b.answer()
            a.wait_event("established", 10, fail="closed")
            time.sleep(1)
            ports = where(a, b)
            for _ in range(2):
                yield holds(a, b, ports, (a, b))
                yield holds(b, a, ports, (a, b))
            yield together(a, b, ports)
            a.hangup()
            b.wait_event("closed", 5)
            assert server.record(1)["cause"] == "completed"
        finally:
            for each in (a, b):
                each.close()


def together(a, b, ports):
    """Both hold; the first that resumes hears music until the other does."""
    a.hold()
    b.hold()
    sound = told(listen(a, b, 2), ports, 2)
    assert sound == {"101": None, "102": None}, "two who hold each other are sent sound"
    a.resume()
    sound = told(listen(a, b), ports, 3)
    level, _ = music(sound["101"], TONES["102"])
    assert sound["102"] is None
    b.resume()
    sound = told(listen(a, b), ports, 3)
    clean(sound["101"], TONES["102"])
    clean(sound["102"], TONES["101"])
    return f"both hold: silence; 101 is back first and hears the music at {level:.1f} dBFS; then both tones are clean"


def relayed(binary):
    yield from each_way(binary, ("pcmu", "pcmu"))


def transcoded(binary):
    yield from each_way(binary, ("pcmu", "pcma"))


if __name__ == "__main__":
    run([relayed, transcoded])
