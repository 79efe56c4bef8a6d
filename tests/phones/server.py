"""Starts the built PBX on a folder of its own with free ports, and talks to its REST API."""
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

from phonekit import util

KEY = "a key for this run only, not a default"


RTP_PORTS = 400     # of one PBX: enough for a hundred calls of two legs


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def claim_rtp():
    """The first RTP port for one PBX, and the socket that keeps others off as long as it is open: they are bound during
    calls only, so two that run at a time cannot see one another's. Away from the phones' ports and the system's own."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        for first in range(30_000, 32_400, RTP_PORTS):
            claim = socket.socket()
            try:
                claim.bind(("127.0.0.1", first))
                return first, claim
            except OSError:
                claim.close()
        time.sleep(0.1)
    raise AssertionError("all RTP ports for tests are taken")


class Server:
    """A running `offhook serve`. Use it with `with`."""

    def __init__(self, binary, host="127.0.0.1", data=None, **env):
        self.binary, self.host = os.path.abspath(binary), host
        self.own = data is None
        self.data = data or tempfile.mkdtemp(prefix="offhook-test-")
        self.sip, self.tls, self.http = free_port(), free_port(), free_port()
        self.rtp, self.claim = claim_rtp()
        self.env = env
        self.process = None

    def start(self, wait=True):
        listen = [f"{t}://{h}:{p}" for h in (self.host, "[::1]")
                  for t, p in (("udp", self.sip), ("tcp", self.sip), ("tls", self.tls))]
        env = {**os.environ, "OFFHOOK_ADMIN_KEY": KEY, "OFFHOOK_SIP__LISTEN": ",".join(listen),
               "OFFHOOK_HTTP__LISTEN": f"127.0.0.1:{self.http}", "OFFHOOK_RTP__PORT_MIN": str(self.rtp),
               "OFFHOOK_RTP__PORT_MAX": str(self.rtp + RTP_PORTS - 1), **self.env}
        self.log = open(os.path.join(self.data, "log.txt"), "ab")
        self.process = subprocess.Popen([self.binary, "serve", "--data-dir", self.data], env=env,
                                        stdout=self.log, stderr=self.log, preexec_fn=util.die_with_parent())
        if wait:
            self.until(lambda: self.get("/system/health")["status"] == "ok", 20, "the PBX to start")
        return self

    def address(self, transport="udp", host=None):
        """Where a phone on `host` reaches the PBX: at its own loopback address, IPv4 or IPv6."""
        host = "[::1]" if host and ":" in host else self.host
        return f"{host}:{self.tls if transport == 'tls' else self.sip}"

    def call(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        request = urllib.request.Request(f"http://127.0.0.1:{self.http}/api/v1{path}", data, method=method,
                                         headers={"Authorization": f"Bearer {KEY}", "Content-Type": kind})
        with urllib.request.urlopen(request, timeout=10) as answer:
            text = answer.read()
            return json.loads(text) if text else None

    def get(self, path):
        return self.call("GET", path)

    def extension(self, number, codecs=None, password=None):
        body = {"number": number, "password": password or f"secret-of-{number}-ok"}
        if codecs:
            body["codecs"] = codecs
        return self.call("PUT", f"/extensions/{number}", body)

    def until(self, condition, seconds, what):
        """Polls for `condition`; what a person with a stopwatch would do."""
        end = time.monotonic() + seconds
        while True:
            if self.process and self.process.poll() is not None:
                raise AssertionError(f"the PBX ended ({self.process.returncode}) while waiting for {what}:\n{self.tail()}")
            try:
                value = condition()
                if value:
                    return value
            except (urllib.error.URLError, ConnectionError, KeyError):
                pass
            if time.monotonic() > end:
                raise AssertionError(f"waited {seconds} s for {what}\n{self.tail()}")
            time.sleep(0.02)

    def record(self, count, seconds=8):
        """The newest call record, once there are `count`."""
        items = self.until(lambda: (lambda i: i if len(i) >= count else None)(
            self.get("/call-records?limit=500")["items"]), seconds, f"{count} call records")
        assert len(items) == count, f"{len(items)} records instead of {count}"
        return items[0]

    def tail(self, lines=30):
        with open(os.path.join(self.data, "log.txt"), errors="replace") as f:
            return "".join(f.readlines()[-lines:])

    def explain(self):
        """What the PBX knows of the case that failed, for who reads the output of CI."""
        print(f"the PBX's log ends with:\n{self.tail()}", flush=True)
        try:
            for record in self.get("/call-records?limit=2")["items"]:
                print(json.dumps(record))
                for message in self.get(f"/call-records/{record['id']}/sip")["messages"]:
                    print(json.dumps(message)[:300])
            print(json.dumps(self.get("/calls")), flush=True)
        except (OSError, KeyError) as error:
            print(f"more is not to be had: {error!r}", flush=True)

    def stop(self, how=signal.SIGTERM, seconds=8):
        if self.process and self.process.poll() is None:
            self.process.send_signal(how)
            try:
                self.process.wait(seconds)
            except BaseException:           # it hangs, or the test is interrupted: it must not stay behind
                self.process.kill()
                self.process.wait()
                raise
        return self.process.returncode if self.process else None

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, failed=None, *_):
        try:
            if failed:
                self.explain()
            self.stop()
        finally:
            self.claim.close()
            if self.own:
                shutil.rmtree(self.data, ignore_errors=True)
