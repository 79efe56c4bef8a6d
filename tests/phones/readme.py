#!/usr/bin/env python3
"""Does what README.md says, as its reader would: every block of it, in order, in an empty folder, on the ports it names.
`readme.py PATH-TO-OFFHOOK`. What a block is says the word behind its fence:

    sh          run by bash, with the variables of the blocks before; every command has to exit 0, curl also by status
    sh make     targets of the Makefile; `make run` is started as the Makefile says, of the others it is seen that they are
    sh service  starts the PBX, after the one before was stopped
    json        what a command of the block before printed, not always all of it; … stands for any text, and numbers
                with a fraction are measurements
    text        lines that the block before printed
    rust        a dialplan that the PBX takes, and that its own dialplan could be

`<!-- readme.py: two softphones do so -->` is where the phones do what the text before says."""
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

from desk import heard
from phonekit import BaresipPhone

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
PHONES = "<!-- readme.py: two softphones do so -->"
BLOCK = re.compile(rf"^```(?P<kind>[^\n]*)\n(?P<text>.*?)^```$|^(?P<phones>{re.escape(PHONES)})$", re.M | re.S)
PORTS = ((socket.SOCK_DGRAM, 5060), (socket.SOCK_STREAM, 5060), (socket.SOCK_STREAM, 5061), (socket.SOCK_STREAM, 8080))


class Reader:
    """A folder with the built program in it, a shell, and what was seen last."""

    def __init__(self, binary):
        self.home = tempfile.mkdtemp(prefix="offhook-readme-")
        os.makedirs(f"{self.home}/target/release")
        os.symlink(os.path.abspath(binary), f"{self.home}/target/release/offhook")
        with open(f"{self.home}/.curlrc", "w") as f:
            f.write("fail-with-body\nsilent\nshow-error\nwrite-out = \"\\n\"\n")
        self.variables, self.printed, self.key = "", "", None
        self.service, self.phones = None, []
        self.did = []

    def environment(self):
        kept = {k: v for k, v in os.environ.items() if not k.startswith("OFFHOOK_")}
        return {**kept, "HOME": self.home}

    def sh(self, text):
        if self.key:
            text = re.sub(r"^KEY=ohk_\.\.\.", f"KEY={self.key}", text, flags=re.M)
        script = f"set -euo pipefail\n{self.variables}{text}"
        done = subprocess.run(["bash", "-c", script], cwd=self.home, env=self.environment(), text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=20)
        self.printed = done.stdout
        assert done.returncode == 0, f"exit {done.returncode} of\n{text}{done.stdout}"
        self.variables += "".join(f"{line}\n" for line in text.splitlines() if re.match(r"[A-Z]+=\S+(\s+#.*)?$", line))
        self.did.append(f"{len(re.findall(r'^(?:curl|target|OFFHOOK)', text, re.M))} commands")

    def sh_make(self, text):
        for target in re.findall(r"^make (\w+)", text, re.M):
            # What an outer make or a builder says is not what the reader's shell says.
            outer = ("CARGO_TARGET_DIR", "MAKEFLAGS", "MAKELEVEL", "MFLAGS")
            bare = {key: value for key, value in os.environ.items() if key not in outer}
            recipe = subprocess.run(["make", "-n", target], cwd=ROOT, text=True, capture_output=True, env=bare)
            assert recipe.returncode == 0, recipe.stderr
            if target == "run":
                self.sh_service(recipe.stdout.strip().splitlines()[-1])
            self.did.append(f"make {target}")

    def sh_service(self, text):
        self.stop()
        for kind, port in PORTS:
            with socket.socket(socket.AF_INET, kind) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, kind == socket.SOCK_STREAM)
                try:
                    probe.bind(("0.0.0.0", port))
                except OSError as error:
                    sys.exit(f"readme.py needs port {port}, as README.md says: {error.strerror}")
        self.log = f"{self.home}/service.txt"
        with open(self.log, "wb") as log:
            command = ["bash", "-c", re.sub(r"(\S*target/release/offhook)", r"exec \1", text.replace("exec ", ""))]
            self.service = subprocess.Popen(command, cwd=self.home, env=self.environment(), stdout=log, stderr=log)
        self.until(lambda: "is up." in self.said() and self.get("/system/health")["status"] == "ok", "the PBX to start")
        key = re.search(r"\bohk_\S+", self.said())
        self.key = key.group() if key else self.key
        self.did.append("the PBX is up")

    def said(self):
        with open(self.log, errors="replace") as f:
            return f.read()

    def get(self, path):
        request = urllib.request.Request(f"http://127.0.0.1:8080/api/v1{path}",
                                         headers={"Authorization": f"Bearer {self.key}"})
        with urllib.request.urlopen(request, timeout=5) as answer:
            return json.load(answer)

    def until(self, condition, what, seconds=20):
        end = time.monotonic() + seconds
        while True:
            assert self.service.poll() is None, f"the PBX ended while waiting for {what}:\n{self.said()}"
            try:
                if condition():
                    return
            except OSError:
                pass
            assert time.monotonic() < end, f"waited {seconds} s for {what}:\n{self.said()}"
            time.sleep(0.05)

    def json(self, text):
        shown = json.loads(text)
        printed = [json.loads(line) for line in self.printed.splitlines() if line.startswith(("{", "["))]
        assert any(holds(one, shown) for one in printed), f"README.md shows\n{text}but this came:\n{self.printed}"
        self.did.append("the answer shown")

    def text(self, text):
        assert text in self.printed, f"README.md shows\n{text}but this came:\n{self.printed}"
        self.did.append("the lines shown")

    def rust(self, text):
        """The folder is watched: saving the file has to be enough."""
        path = f"{self.home}/data/dialplan/main.rhai"
        with open(path) as f:
            before = f.read()
        for source in (text, before):
            with open(path, "w") as f:
                f.write(source)
            self.until(lambda: self.get("/dialplan")["main.rhai"] == source, "the saved dialplan to be taken", 10)
        self.did.append("the dialplan is taken when saved")

    def two_softphones(self):
        users = (("101", "correct-horse-battery", 440), ("102", "staple-a-longer-one", 620))
        for user, password, tone in users:
            one = BaresipPhone(user, password, "127.0.0.1:5060", tone=tone, codecs=("opus",), record=True)
            self.phones.append(one)
            one.register()
        a, b = self.phones
        a.call("*43")
        a.hangup()
        a.mark()
        a.dial("102")
        b.answer()
        a.wait_event("established", 10, fail="closed")
        time.sleep(3)
        a.hangup()
        b.wait_event("closed", 5)
        self.until(lambda: len(self.get("/call-records")["items"]) == 2, "both call records")
        levels = heard(b.recordings()[0], 440, 0.5, 2.5), heard(a.recordings()[-1], 620, 0.5, 2.5)
        self.did.append(f"101 and 102 hear each other at {levels[0]:.1f} and {levels[1]:.1f} dBFS")

    def stop(self):
        for one in self.phones:
            one.close()
        self.phones = []
        if self.service and self.service.poll() is None:
            self.service.send_signal(signal.SIGTERM)
            code = self.service.wait(10)
            assert code == 0, f"the PBX ended with {code}:\n{self.said()}"
        self.service = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            self.stop()
        finally:
            if self.service and self.service.poll() is None:
                self.service.kill()
                self.service.wait()
            shutil.rmtree(self.home, ignore_errors=True)


def holds(value, shown):
    """Whether `value` is what the README shows of it."""
    if isinstance(shown, dict):
        return isinstance(value, dict) and all(key in value and holds(value[key], s) for key, s in shown.items())
    if isinstance(shown, list) and any(isinstance(s, (dict, list)) for s in shown):
        return isinstance(value, list) and all(any(holds(v, s) for v in value) for s in shown)
    if isinstance(shown, float):
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if isinstance(shown, str) and "…" in shown:
        return isinstance(value, str) and bool(re.fullmatch(".+".join(map(re.escape, shown.split("…"))), value))
    return value == shown


def main(binary):
    missing = [name for name in ("bash", "curl", "make", "baresip") if not shutil.which(name)]
    if missing:
        sys.exit(f"readme.py needs {', '.join(missing)}")
    with open(os.path.join(ROOT, "README.md")) as f:
        readme = f.read()
    with Reader(binary) as reader:
        for match in BLOCK.finditer(readme):
            kind = (match["kind"] or "").strip()
            if match["phones"]:
                reader.two_softphones()
            elif kind == "":
                continue
            else:
                steps = {"sh": reader.sh, "sh make": reader.sh_make, "sh service": reader.sh_service,
                         "json": reader.json, "text": reader.text, "rust": reader.rust}
                assert kind in steps, f"README.md has a block of an unknown kind: {kind}"
                steps[kind](match["text"])
            line = readme.count("\n", 0, match.start()) + 1
            print(f"ok  README.md:{line}: {', '.join(reader.did)}", flush=True)
            reader.did = []


if __name__ == "__main__":
    main(sys.argv[1])
