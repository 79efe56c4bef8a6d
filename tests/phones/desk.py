"""What the phone tests share: phones with a tone each, what must be heard, and the running of named cases."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from phonekit import BaresipPhone, audio  # noqa: E402
from phonekit.rtp import Stream  # noqa: E402

TONES = {"101": 440, "102": 620, "103": 880}
NAMES = {"pcmu": "PCMU", "pcma": "PCMA", "g722": "G722", "opus": "opus"}
RATES = {"pcmu": 8000, "pcma": 8000, "g722": 16000, "opus": 48000}


def phone(server, number, transport="udp", codec="pcmu", **options):
    options = {"tone": TONES[number], "password": f"secret-of-{number}-ok", **options}
    address = server.address(transport, options.get("host"))
    return BaresipPhone(number, server=address, transport=transport, codecs=(codec,), **options)


def heard(recording, frequency, start=1.0, end=9.0, least=-30.0):
    """The tone is there without gaps or jumps; its level in dBFS. `pure` also looks at what else is there."""
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


def levels(streams, ports, tones, since):
    """Of what came to one of these ports (first, last) since then: the level of each tone, dBFS, and the gaps. `streams`
    are those of an RtpCapture or an RtpLeg; a recording of baresip's stops at the first hold."""
    best = []
    for stream in list(streams.values()):
        if ports[0] <= stream.dst[1] <= ports[1]:
            best = max(best, [packet for packet in list(stream.p) if packet.t >= since], key=len)
    assert len(best) > 60, f"{len(best)} packets came to {ports}"
    late = Stream(None, None, None)
    late.p = best
    _, rate, samples = late.decode()
    return [audio.tone_level(samples, rate, tone) for tone in tones], audio.gaps(samples, rate, min_ms=60)


def tone_file(folder, codec, frequency, level):
    """One second of a tone at the codec's own rate: whole periods, so that it loops without a seam."""
    path = os.path.join(folder, f"{frequency}-{RATES[codec]}{level:.0f}.wav")
    if not os.path.exists(path):
        audio.write_wav(path, RATES[codec], audio.tone(frequency, 1, RATES[codec], level))
    return path


def steady(path, seconds):
    """The rate, and the stretch to be measured: it begins half a second after the first sound."""
    rate, samples = audio.read_wav(path)[:2]
    sound = audio.active(samples, rate)
    assert sound, f"{path}: nothing was heard"
    start = int((sound[0] + 0.5) * rate)
    stretch = samples[start:start + int(seconds * rate)]
    assert len(stretch) == int(seconds * rate), f"{path}: sound for {sound[1] - sound[0]:.2f} s only"
    return rate, stretch


def pure(path, frequency, level, seconds=10.0):
    """The tone is there within 3 dB of the level, without gaps over 60 ms or jumps, and nothing else in the spectrum is
    above -45 dBFS (nor all of it together above -40). Returns the change of level in dB and the strongest of the rest."""
    rate, samples = steady(path, seconds)
    arrived = audio.tone_level(samples, rate, frequency)
    assert abs(arrived - level) <= 3, f"{path}: sent at {level:.1f} dBFS, heard at {arrived:.1f}"
    holes = audio.gaps(samples, rate, min_ms=60)
    assert not holes, f"{path}: gaps {holes}"
    jumps = audio.phase_jumps(samples, rate, frequency)
    assert not jumps, f"{path}: phase jumps {jumps[:5]}"
    (rest, second), (strongest, where) = audio.beside(samples, rate, frequency)
    assert strongest < -45, f"{path}: {where} Hz at {strongest:.1f} dBFS"
    assert rest < -40, f"{path}: all else together at {rest:.1f} dBFS at {second} s"
    return arrived - level, strongest


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
