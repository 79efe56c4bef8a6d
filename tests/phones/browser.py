#!/usr/bin/env python3
"""A browser phone (JsSIP in Chromium) over WebSocket: on a listener with TLS, on one without, and at /ws of the HTTP port.
It registers, is called, refuses, calls, writes and vanishes. Signalling only: it speaks no RTP without DTLS, so a call of
its own ends with 488.
`browser.py PATH-TO-OFFHOOK [case ...]` runs all cases or those named."""
import hashlib
import json
import os
import queue
import shutil
import subprocess
import threading
import time

from desk import run
from phonekit import util
from server import Server, free_port
from wire import Client

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.path.join(HERE, "browser")
BUILT = os.path.join(HERE, "..", "..", "target", "browser-phone")


def build():
    """The page with its packages, in the target folder; made anew when a source has changed."""
    digest = hashlib.sha256()
    for name in sorted(os.listdir(SOURCE)):
        with open(os.path.join(SOURCE, name), "rb") as f:
            digest.update(f.read())
    stamp = os.path.join(BUILT, "stamp")
    if os.path.exists(stamp) and open(stamp).read() == digest.hexdigest():
        return
    shutil.rmtree(BUILT, ignore_errors=True)
    shutil.copytree(SOURCE, BUILT)
    for command in (["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"], ["npm", "run", "--silent", "build"]):
        done = subprocess.run(command, cwd=BUILT, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    with open(stamp, "w") as f:
        f.write(digest.hexdigest())


class Browser:
    """A Chromium with any number of phones in its page. Use it with `with`."""

    def __enter__(self):
        build()
        self.answers, self.events, self.seen, self.count = {}, queue.Queue(), [], 0
        self.process = subprocess.Popen(["node", "phone.mjs"], cwd=BUILT, text=True, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, preexec_fn=util.die_with_parent())
        threading.Thread(target=self.listen, daemon=True).start()
        self.wait(None, "ready", 60)
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def listen(self):
        for line in self.process.stdout:
            what = json.loads(line)
            if "id" in what:
                self.answers[what["id"]].put(what)
            else:
                self.events.put(what)

    def do(self, what, *values, seconds=20):
        self.count += 1
        answer = self.answers[self.count] = queue.Queue()
        self.process.stdin.write(json.dumps({"id": self.count, "do": what, "with": values}) + "\n")
        self.process.stdin.flush()
        said = answer.get(timeout=seconds)
        assert "error" not in said, said
        return said["result"]

    def wait(self, phone, event, seconds=10):
        """The next event of that kind; what comes before it of other kinds is kept for others."""
        end = time.monotonic() + seconds
        while True:
            for at, what in enumerate(self.seen):
                if what.get("phone") == phone and what["event"] == event:
                    return self.seen.pop(at)
            try:
                self.seen.append(self.events.get(timeout=max(0.01, end - time.monotonic())))
            except queue.Empty:
                raise AssertionError(f"no {event!r} of {phone}, but {self.seen}") from None

    def opens(self, server, number, ws, password=None):
        self.do("open", number, {"ws": ws, "uri": f"sip:{number}@{server.host}",
                                 "password": password or f"secret-of-{number}-ok"})


def start(binary):
    """A PBX that listens for browsers three ways, and their URLs by transport as the PBX names it."""
    server = Server(binary)
    ws, wss = free_port(), free_port()
    listen = [f"udp://127.0.0.1:{server.sip}", f"ws://127.0.0.1:{ws}", f"wss://127.0.0.1:{wss}"]
    server.env["OFFHOOK_SIP__LISTEN"] = ",".join(listen)
    return server, {"ws": f"ws://127.0.0.1:{ws}/", "wss": f"wss://localhost:{wss}/", "http": f"ws://127.0.0.1:{server.http}/ws"}


def registers(binary):
    server, ways = start(binary)
    with server, Browser() as browser:
        for number, (way, url) in zip(("101", "102", "103"), ways.items()):
            server.extension(number)
            browser.opens(server, number, url)
            browser.wait(number, "registered")
            here = [r for r in server.get("/registrations")["items"] if r["extension"] == number]
            assert [r["transport"] for r in here] == ["wss" if way == "wss" else "ws"], here
            yield f"{number} registers by {url}: {here[0]['transport']}, {here[0]['contact']}"
        browser.opens(server, "101", ways["wss"], password="not the password")
        yield f"a wrong password: {browser.wait('101', 'refused')['text']}"


def calls(binary):
    server, ways = start(binary)
    with server, Browser() as browser:
        for number in ("101", "102"):
            server.extension(number, ["PCMU"])
        browser.opens(server, "101", ways["wss"])
        browser.wait("101", "registered")
        with Client(server, "102") as desk:
            answers = []
            caller = threading.Thread(target=lambda: answers.append(desk.call("101")))
            caller.start()
            assert browser.wait("101", "incoming")["text"] == "102"
            browser.do("refuse", "101", 486)
            browser.wait("101", "failed")
            caller.join(10)
            assert [a.status for a in answers] == [486], answers
            yield "a desk phone calls the browser, which is busy: 486"
        browser.do("call", "101", f"sip:*43@{server.host}")
        end = browser.wait("101", "failed")
        assert end["status"] == 488, end
        yield "the browser calls, with an offer of DTLS alone: 488"


def vanishes(binary):
    server, ways = start(binary)
    with server, Browser() as browser, Client(server, "102") as desk:
        for number in ("101", "102"):
            server.extension(number, ["PCMU"])
        browser.opens(server, "101", ways["wss"])
        browser.wait("101", "registered")
        browser.do("drop", "101")
        began = time.monotonic()
        status = desk.call("101").status
        took = time.monotonic() - began
        assert status in (480, 503) and took < 2, (status, took)
        yield f"a call to a browser that has gone: {status} after {took * 1000:.0f} ms"


if __name__ == "__main__":
    run([registers, calls, vanishes])
