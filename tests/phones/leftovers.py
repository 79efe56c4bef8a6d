#!/usr/bin/env python3
"""No PBX stays behind, however a test ends. `leftovers.py PATH-TO-OFFHOOK [case ...]`"""
import os
import stat
import subprocess
import sys
import tempfile

from desk import run
from phonekit import util
from server import Server

DEAF = f"""#!{sys.executable}
import signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
open(sys.argv[-1] + "/ready", "w").close()
time.sleep(600)
"""
ORPHAN = """import os, sys
from server import Server
print(Server(sys.argv[1], data=sys.argv[2]).start().process.pid, flush=True)
os._exit(1)
"""


class Deaf(Server):
    """A program that never answers and does not heed SIGTERM in place of the PBX."""

    def __init__(self, folder):
        program = os.path.join(folder, "deaf")
        with open(program, "w") as f:
            f.write(DEAF)
        os.chmod(program, stat.S_IRWXU)
        super().__init__(program)

    def until(self, _condition, _seconds, what):
        util.wait_for(lambda: os.path.exists(os.path.join(self.data, "ready")), 10, "the program to be deaf")
        raise AssertionError(f"waited in vain for {what}")

    def stop(self, *_):
        return super().stop(seconds=0.5)


def never_started(_binary):
    """The PBX does not come up, and does not stop when told to."""
    with tempfile.TemporaryDirectory() as folder:
        server = Deaf(folder)
        try:
            with server:
                raise SystemExit("it must not get here")
        except (AssertionError, subprocess.TimeoutExpired) as why:
            seen = type(why).__name__
        code = server.process.poll()
        assert code == -9 and not os.path.exists(server.data), code
    yield f"a PBX that neither starts nor stops: {seen}, killed and its folder removed"


def orphaned(binary):
    """The test is killed."""
    with tempfile.TemporaryDirectory() as data:
        here = os.path.dirname(os.path.abspath(__file__))
        test = subprocess.run([sys.executable, "-c", ORPHAN, os.path.abspath(binary), data], cwd=here, capture_output=True,
                              text=True, timeout=60)
        assert test.returncode == 1 and test.stdout.strip().isdigit(), test
        pid = int(test.stdout)
        util.wait_for(lambda: not os.path.exists(f"/proc/{pid}"), 10, "the PBX to end with its test")
    yield "a test that dies takes its PBX along"


if __name__ == "__main__":
    run([never_started, orphaned])
