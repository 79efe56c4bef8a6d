#!/usr/bin/env python3
"""What the PBX loses, delays and costs with many calls at a time: `load` (tests/bench/load) sets them up by SIP and streams RTP
both ways from beside it. One JSON line a case. `through.py PATH-TO-OFFHOOK PATH-TO-LOAD [case ...]`; cases that begin with
`rtpengine_` stream the same through Debian's rtpengine (package rtpengine-daemon), in user space; `all` runs every case."""
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time

from bench import PASSWORD, PORTS, Server, register, trunk

SHORT = {
    "relay": ("PCMU", "PCMU", 300, 10),
    "pcmu_pcma": ("PCMU", "PCMA", 200, 10),
    "pcmu_g722": ("PCMU", "G722", 100, 10),
    "pcmu_opus": ("PCMU", "opus", 60, 10),
}
# 1,500 relayed calls are the aim on two cores; the others are half of what one core bears.
LONG = {
    "relay_1500": ("PCMU", "PCMU", 1500, 20),
    "pcmu_g722_300": ("PCMU", "G722", 300, 20),
}
OTHERS = {f"rtpengine_{name}": case for name, case in {**SHORT, **LONG}.items() if "opus" not in name}


def stream(load, pid, target, case):
    source, to, calls, seconds = case
    run = subprocess.run([load, "--pid", str(pid), *target, "--from", source, "--to", to, "--calls", str(calls),
                          "--seconds", str(seconds)], capture_output=True, text=True)
    if run.returncode:
        sys.exit(f"through: {run.stdout}{run.stderr}")
    return json.loads(run.stdout)


def offhook(binary, load, case):
    with Server(binary, OFFHOOK_LOG__LEVEL="warn", **PORTS) as server:
        trunk(server)
        server.extension("1000", [case[1]], PASSWORD)
        register(server, "through")
        return stream(load, server.process.pid, ["--sip", f"127.0.0.1:{server.sip}"], case)


def rtpengine(load, case):
    program = shutil.which("rtpengine") or sys.exit("through: rtpengine is not installed (rtpengine-daemon)")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        # As many media threads as the PBX has on two cores, and the same priority.
        other = subprocess.Popen([program, "--interface=127.0.0.1", f"--listen-ng=127.0.0.1:{port}", "--table=-1", "--foreground",
                                  "--log-stderr", "--log-level=3", "--port-min=20000", "--port-max=29999", "--num-threads=1",
                                  "--scheduling=fifo", "--priority=10", f"--pidfile={os.path.join(folder, 'pid')}"],
                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            time.sleep(2)
            return stream(load, other.pid, ["--ng", f"127.0.0.1:{port}"], case)
        finally:
            other.terminate()
            other.wait(10)


def main():
    binary, load, names = sys.argv[1], sys.argv[2], sys.argv[3:] or list(SHORT)
    cases = {**SHORT, **LONG, **OTHERS}
    for name in list(cases) if names == ["all"] else names:
        case = cases[name]
        seen = rtpengine(load, case) if name in OTHERS else offhook(binary, load, case)
        print(json.dumps({"case": name, **seen}), flush=True)


if __name__ == "__main__":
    main()
