#!/usr/bin/env python3
"""Writes the music on hold as a WAV to standard output: 32 s for two soft voices in E flat major, without a seam where it
starts over. 16 kHz, mono, 16 bits; about -27 dBFS, and nothing a telephone's band cuts off. Composed for Offhook, under its licence."""
import array
import math
import sys
import wave

RATE = 16_000
BEAT = 0.5
# One bar of four beats per line: a chord that is held, and eight notes over it, one each half beat. 0 is a rest.
# Numbers are semitones from E flat 4 (311 Hz).
SCORE = [
    ((0, 4, 7, 11), (0, 7, 11, 14, 16, 14, 11, 7)),
    ((-3, 0, 4, 9), (9, 12, 16, 12, 9, 7, 4, 0)),
    ((2, 5, 9, 12), (5, 9, 12, 17, 16, 12, 9, 5)),
    ((-1, 2, 5, 7), (7, 11, 14, 11, 7, 5, 2, None)),
    ((4, 7, 11, 14), (11, 14, 16, 19, 16, 14, 11, 7)),
    ((-3, 0, 4, 7), (9, 16, 12, 9, 7, 4, 0, None)),
    ((2, 5, 9, 12), (5, 9, 14, 17, 14, 12, 9, 5)),
    ((-1, 2, 7, 11), (7, 11, 14, 19, 14, 11, 7, None)),
]
BASE_HZ = 311.127


def put(sound, start, seconds, semitone, gain, harmonics, decay):
    """Adds a note that rises in 30 ms, dies away, and may ring on over the end into the beginning."""
    hertz = BASE_HZ * 2 ** (semitone / 12)
    count = int(seconds * RATE)
    begin = int(start * RATE)
    for n in range(count):
        t = n / RATE
        envelope = min(1.0, t / 0.03) * math.exp(-t * decay) * min(1.0, (count - n) / (0.08 * RATE))
        angle = 2 * math.pi * hertz * t
        value = sum(level * math.sin(k * angle) for k, level in harmonics)
        sound[(begin + n) % len(sound)] += gain * envelope * value


def main():
    bar = 4 * BEAT
    sound = [0.0] * int(2 * len(SCORE) * bar * RATE)
    for repeat in range(2):
        for number, (chord, tune) in enumerate(SCORE):
            at = (repeat * len(SCORE) + number) * bar
            for semitone in chord:
                put(sound, at, bar + 0.4, semitone, 0.10, ((1, 1.0), (2, 0.12)), 0.5)
            for step, semitone in enumerate(tune):
                if semitone is not None:
                    # The second time an octave higher every other note.
                    high = 12 if repeat and step % 2 and semitone < 12 else 0
                    put(sound, at + step * BEAT / 2, 0.9, semitone + high, 0.16, ((1, 1.0), (2, 0.25), (3, 0.06)), 3.5)
    loudness = math.sqrt(sum(value * value for value in sound) / len(sound))
    wanted = 10 ** (-27 / 20) / math.sqrt(2)
    scale = 32_767 * wanted / loudness
    with wave.open(sys.stdout.buffer, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(RATE)
        out.writeframes(array.array("h", [round(scale * value) for value in sound]).tobytes())


if __name__ == "__main__":
    main()
