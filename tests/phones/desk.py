"""What the phone tests share: phones with a tone each, what must be heard, and the running of named cases."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from phonekit import BaresipPhone, audio  # noqa: E402

TONES = {"101": 440, "102": 620}
NAMES = {"pcmu": "PCMU", "pcma": "PCMA", "g722": "G722", "opus": "opus"}


def phone(server, number, transport="udp", codec="pcmu", **options):
    options = {"tone": TONES[number], "password": f"secret-of-{number}-ok", **options}
    address = server.address(transport, options.get("host"))
    return BaresipPhone(number, server=address, transport=transport, codecs=(codec,), **options)


def heard(recording, frequency, start=1.0, end=9.0, least=-30.0):
    """The tone is there without gaps or jumps, and nothing else above -45 dBFS."""
    rate, samples = audio.read_wav(recording)[:2]
    samples = samples[int(start * rate):int(end * rate)]
    assert len(samples) > rate, f"{recording}: only {len(samples) / rate:.1f} s were recorded"
    level = audio.tone_level(samples, rate, frequency)
    assert level > least, f"{recording}: {frequency} Hz at {level:.1f} dBFS only"
    holes = audio.gaps(samples, rate, min_ms=60)
    assert not holes, f"{recording}: gaps {holes}"
    jumps = audio.phase_jumps(samples, rate, frequency)
    assert not jumps, f"{recording}: phase jumps {jumps[:5]}"
    return level


def run(cases):
    """`PROGRAM PATH-TO-OFFHOOK [case ...]` runs all cases or those named; each yields a line for what was seen."""
    binary, names = sys.argv[1], sys.argv[2:]
    unknown = set(names) - {case.__name__ for case in cases}
    if unknown:
        sys.exit(f"no such case: {', '.join(sorted(unknown))}")
    for case in cases:
        if not names or case.__name__ in names:
            for line in case(binary):
                print(f"ok  {line}", flush=True)
