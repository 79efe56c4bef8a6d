#!/usr/bin/env python3
"""What a restart leaves as it was: registrations, subscriptions and bans; phones are called without registering again.
`restart.py PATH-TO-OFFHOOK [case ...]` runs all cases or those named."""
import os
import signal
import sqlite3
import time

from desk import heard, phone, run
from phonekit import sipp
from server import Server
from wire import Client

BANNED = "127.0.0.77"
# Long enough for no phone to refresh its registration during a case.
LONG = 3600


def over(binary, how, transport):
    """101 and 102 are registered, 103 watches 102, somebody is banned; all of it before the restart."""
    with Server(binary) as server:
        for number in ("101", "102", "103"):
            server.extension(number, ["PCMU"])
        with sipp.Watch(server.address(), ("103", "secret-of-103-ok"), "102", "dialog") as watcher, \
                phone(server, "101", transport, regint=LONG) as ann, phone(server, "102", transport, regint=LONG) as bob:
            ann.register(), bob.register()
            watcher.wait("none")
            with Client(server, "101", password="wrong", source=BANNED) as bad:
                for _ in range(10):
                    bad.register()
            before = server.until(lambda: kept(server), 5, "what is to be kept in the database")
            sent = registers(ann) + registers(bob)
            code = server.stop(how)
            server.start()
            here = registrations(server), server.get("/bans")["items"]
            assert here == before, (here, before)
            ann.dial("102")
            watcher.wait("early")
            bob.answer()
            ann.wait_event("established", 8, fail="closed")
            watcher.wait("confirmed")
            time.sleep(3)
            ann.hangup()
            watcher.wait("terminated")
            assert registers(ann) + registers(bob) == sent, "a phone registered again"
            with Client(server, "101", source=BANNED) as bad:
                bad.link.send(bad.request("OPTIONS"))
                assert bad.final(seconds=0.5) is None, "who was banned is heard"
        levels = heard(bob.recordings()[0], 440, 0.5, 2.5), heard(ann.recordings()[0], 620, 0.5, 2.5)
        return f"{len(here[0])} registrations, a subscription and {len(here[1])} ban are there (exit {code}); over " \
               f"{transport} 102 is called without registering again, heard at {min(levels):.0f} dBFS, and its lamp follows"


def kept(server):
    """What the API tells, once the database has it too: it is written behind."""
    with sqlite3.connect(f"file:{os.path.join(server.data, 'offhook.db')}?mode=ro", uri=True) as database:
        counts = [database.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0]
                  for table in ("registrations", "subscriptions", "bans")]
    return counts == [2, 1, 1] and (registrations(server), server.get("/bans")["items"])


def registrations(server):
    """Without whether each is reachable: after a restart that is not known yet."""
    items = server.get("/registrations")["items"]
    return [{key: value for key, value in item.items() if key != "reachability"} for item in items]


def registers(who):
    return sum(m.method == "REGISTER" and not m.rx for m in who.sip)


def stopped(binary):
    for transport in ("udp", "tcp"):
        yield f"stopped and started: {over(binary, signal.SIGTERM, transport)}"


def killed(binary):
    for transport in ("udp", "tcp"):
        yield f"killed and started: {over(binary, signal.SIGKILL, transport)}"


if __name__ == "__main__":
    run([stopped, killed])
