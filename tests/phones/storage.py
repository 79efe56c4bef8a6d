#!/usr/bin/env python3
"""PostgreSQL goes away under a PBX that has calls, and comes back. `storage.py PATH-TO-OFFHOOK [case ...]` starts a
PostgreSQL of its own in a temporary folder."""
import contextlib
import glob
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.error

from desk import heard, phone, run
from phonekit import util
from phonekit.crowd import Crowd
from server import Server, free_port


def programs():
    """The folder of the newest installed server's programs."""
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin"), key=lambda p: int(p.split("/")[4]))
    if found:
        return found[-1]
    initdb = shutil.which("initdb")
    assert initdb, "this test needs PostgreSQL's initdb: apt-get install postgresql"
    return os.path.dirname(initdb)


class Postgres:
    """A cluster on a free port of 127.0.0.1. PostgreSQL refuses to run as root: then it is user `postgres`'s."""

    def __init__(self):
        self.bin, self.port = programs(), free_port()
        self.folder = tempfile.mkdtemp(prefix="offhook-postgres-")
        self.who, self.process, self.databases = {}, None, 0
        if os.getuid() == 0:
            user = pwd.getpwnam("postgres")
            os.chown(self.folder, user.pw_uid, user.pw_gid)
            self.who = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        self.log = open(os.path.join(self.folder, "log"), "ab")
        subprocess.run([f"{self.bin}/initdb", "-U", "offhook", "-A", "trust", "-E", "UTF8", "--no-sync", "-D", f"{self.folder}/data"],
                       check=True, cwd=self.folder, stdout=self.log, stderr=self.log, **self.who)

    def start(self):
        self.process = subprocess.Popen(
            [f"{self.bin}/postgres", "-D", f"{self.folder}/data", "-p", str(self.port), "-h", "127.0.0.1", "-k", "",
             "-F"],                          # without fsync: the machine itself does not crash here
            cwd=self.folder, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
            preexec_fn=util.die_with_parent(signal.SIGQUIT), **self.who)      # SIGTERM waits for its clients
        ready = [f"{self.bin}/pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        util.wait_for(lambda: subprocess.run(ready).returncode == 0, 30, "PostgreSQL")
        return self

    def stop(self, how=signal.SIGQUIT):
        """`immediate` unless told otherwise: connections are cut, and it recovers from its log at the next start."""
        self.process.send_signal(how)
        self.process.wait(20)

    def ask(self, question, database=None):
        answer = subprocess.run(["psql", "-At", "-h", "127.0.0.1", "-p", str(self.port), "-U", "offhook",
                                 "-d", database or self.database, "-c", question],
                                check=True, capture_output=True, text=True)
        return answer.stdout.strip()

    @contextlib.contextmanager
    def held(self, statement):
        """What a session of its own locks by `statement` stays locked inside."""
        session = subprocess.Popen(["psql", "-qAt", "-h", "127.0.0.1", "-p", str(self.port), "-U", "offhook", "-d", self.database],
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, preexec_fn=util.die_with_parent())
        try:
            session.stdin.write(f"BEGIN; {statement}; SELECT 'held';\n")
            session.stdin.flush()
            util.wait_for(lambda: session.stdout.readline().strip() == "held", 10, f"{statement} to be done")
            yield
        finally:
            session.kill()
            session.communicate()

    def another_database(self):
        self.databases += 1
        self.database = f"office{self.databases}"
        self.ask(f"CREATE DATABASE {self.database}", "postgres")

    def url(self):
        return f"postgres://offhook:not-to-be-shown@127.0.0.1:{self.port}/{self.database}"

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.stop()
        self.log.close()
        shutil.rmtree(self.folder, ignore_errors=True)


CLUSTER = contextlib.ExitStack()


@contextlib.contextmanager
def office(cluster=[]):
    """The running PostgreSQL of all cases with a new database, and how to make a PBX on that."""
    if not cluster:
        cluster.append(CLUSTER.enter_context(Postgres()))
    postgres = cluster[0]
    if postgres.process.poll() is not None:
        postgres.start()
    postgres.another_database()
    yield postgres, {"OFFHOOK_DATABASE__URL": postgres.url()}


def health(server):
    return server.get("/system/health")


def spooled(server):
    with open(os.path.join(server.data, "unsent-records.jsonl")) as f:
        return len(f.readlines())


def echoes(server, count):
    """`count` short calls to *43, answered and hung up by the caller."""
    with Crowd(server.address(), "101", "secret-of-101-ok") as crowd:
        calls = [crowd.dial("*43") for _ in range(count)]
        crowd.wait(lambda: all(c.up for c in calls), 10, "the answers")
        for call in calls:
            call.hangup()
        crowd.wait(lambda: all(c.end for c in calls), 10, "the ends")
        assert {c.end for c in calls} == {"hung up"}


def exactly(server, postgres, count, seconds=15):
    """The database has `count` records, each once, the API lists as many, and nothing waits any more."""
    began = time.monotonic()
    server.until(lambda: health(server)["records_waiting"] == 0, seconds, "the records to be delivered")
    took = time.monotonic() - began
    found = postgres.ask("SELECT count(*), count(DISTINCT id) FROM call_records")
    assert found == f"{count}|{count}", (found, count)
    listed = [r["id"] for r in server.get("/call-records?limit=500")["items"]]
    assert len(listed) == len(set(listed)) == count, len(listed)
    return took


def unavailable(server):
    """What the API answers to somebody who wants the database."""
    try:
        server.get("/call-records")
    except urllib.error.HTTPError as refusal:
        assert refusal.headers["Content-Type"] == "application/problem+json", refusal.headers
        return refusal.code
    return 200


def away_in_the_middle(binary):
    """PostgreSQL is stopped while two talk: they talk on, others call, and all is there once it is back."""
    with office() as (postgres, settings), Server(binary, **settings) as server:
        server.extension("101", ["PCMU"])
        server.extension("102", ["PCMU"])
        with phone(server, "101") as a, phone(server, "102") as b:
            a.register()
            b.register()
            a.dial("102")
            b.answer()
            a.wait_event("established", 10, fail="closed")
            time.sleep(2)
            postgres.stop()
            server.until(lambda: health(server)["database"] == "unavailable", 10, "health to say so")
            assert health(server)["status"] == "ok" and unavailable(server) == 503
            time.sleep(3)
            assert not a.seen("closed") and not b.seen("closed") and health(server)["calls"] == 1
            a.hangup()
            a.wait_event("closed", 5)
            b.wait_event("closed", 5)
            b.register()
            assert {r["extension"] for r in server.get("/registrations")["items"]} == {"101", "102"}
            a.dial("102")
            b.answer()
            a.wait_event("established", 10, fail="closed")
            time.sleep(3)
            a.hangup()
            b.wait_event("closed", 5)
        first, second = (heard(path, 440, 0.5, 4.5) for path in b.recordings())
        echoes(server, 20)
        server.until(lambda: health(server)["records_waiting"] == 22, 5, "22 records to wait")
        waiting = spooled(server)
        assert waiting == 22, waiting
        yield f"stopped in the middle of a call: heard on at {first:.1f} dBFS; afterwards a phone registers again and is " \
              f"called ({second:.1f} dBFS), 20 more calls, the API answers 503, health says unavailable and {waiting} records waiting"
        postgres.start()
        took = exactly(server, postgres, 22)
        server.until(lambda: health(server)["database"] == "ok" and unavailable(server) == 200, 5, "health to be well")
        echoes(server, 1)
        exactly(server, postgres, 23)
        assert spooled(server) == 0
        yield f"PostgreSQL back: the 22 records are there once each after {took:.1f} s, the next one follows, the spool is empty"
    with office() as (postgres, settings), Server(binary, **settings) as server:
        server.extension("101", ["PCMU"])
        postgres.stop(signal.SIGINT)
        echoes(server, 5)
        assert server.stop() == 0 and spooled(server) == 5
        postgres.start()
        server.start()
        exactly(server, postgres, 5)
        yield "stopped gracefully while the database is away: exit 0, its 5 records are there after the next start"


def killed(binary):
    """The PBX dies, too: while the database is away, and while it delivers."""
    with office() as (postgres, settings), Server(binary, **settings) as server:
        server.extension("101", ["PCMU"])
        server.extension("102", ["PCMU"])
        with phone(server, "101") as a, phone(server, "102") as b:
            a.register()
            b.register()
            server.until(lambda: postgres.ask("SELECT count(*) FROM registrations") == "2", 5, "the registrations")
            a.dial("102")
            b.answer()
            a.wait_event("established", 10, fail="closed")
            postgres.stop()
            a.hangup()
            b.wait_event("closed", 5)
            echoes(server, 99)
            server.until(lambda: health(server)["records_waiting"] == 100, 5, "100 records to wait")
            kill(server)
            assert spooled(server) == 100
            postgres.start()
            server.start()
            took = exactly(server, postgres, 100)
            assert {r["extension"] for r in server.get("/registrations")["items"]} == {"101", "102"}
        yield f"kill -9 while the database is away: 100 records are there once each, {took:.1f} s after the start"
        waiting, _ = killed_while(server, postgres, "LOCK TABLE call_records")
        yield f"kill -9 while the database holds the delivery up: {waiting} records are spooled, and are there once each"
        postgres.ask(SLOW_COMMIT)
        waiting, both = killed_while(server, postgres, "SELECT pg_advisory_xact_lock(1)")
        assert both > 0
        yield f"kill -9 between commit and answer: {both} of the {waiting} spooled records are in the database, " \
              "and are there once each afterwards, too"


# Its transactions end once nobody holds the lock: a commit can be stopped in its middle.
SLOW_COMMIT = """
CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN PERFORM pg_advisory_xact_lock_shared(1); RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER wait AFTER INSERT ON call_records DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION wait();"""


def killed_while(server, postgres, statement):
    """100 calls end while `statement` holds their delivery up, and the PBX is killed then. How many records are spooled,
    and how many of these the database has all the same, before the PBX is started again."""
    def stored():
        return int(postgres.ask("SELECT count(*) FROM call_records"))
    before = stored()
    with postgres.held(statement):
        echoes(server, 100)
        server.until(lambda: health(server)["records_waiting"] == 100, 5, "100 records to wait")
        util.wait_for(lambda: postgres.ask("SELECT count(*) FROM pg_locks WHERE NOT granted") != "0", 10, "the delivery")
        kill(server)
        waiting = spooled(server)
        assert waiting == 100, waiting
    others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    util.wait_for(lambda: postgres.ask(others) == "0", 10, "the dead PBX's sessions to end")
    both = stored() - before
    server.start()
    exactly(server, postgres, before + 100)
    return waiting, both


def kill(server):
    server.process.kill()
    server.process.wait(5)


def start_without(binary):
    """The PBX is started while the database is away."""
    with office() as (postgres, settings):
        postgres.stop()
        with tempfile.TemporaryDirectory() as data:
            for task in ("serve", "check"):
                began = time.monotonic()
                done = subprocess.run([binary, task, "--data-dir", data], env={**os.environ, **settings, **ports()},
                                      capture_output=True, text=True, timeout=30)
                took, text = time.monotonic() - began, done.stderr
                assert done.returncode == 1 and f"127.0.0.1:{postgres.port}" in text, done
                assert "not-to-be-shown" not in text + done.stdout and took < 10, (text, took)
                yield f"{task} while the database is away: exit 1 after {took:.1f} s: {text.strip()!r}"


def ports():
    return {"OFFHOOK_SIP__LISTEN": f"udp://127.0.0.1:{free_port()}", "OFFHOOK_HTTP__LISTEN": f"127.0.0.1:{free_port()}"}


if __name__ == "__main__":
    with CLUSTER:
        run([away_in_the_middle, killed, start_without])
