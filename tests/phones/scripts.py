#!/usr/bin/env python3
"""Dialplans that misbehave, and a hundred other calls that must not notice. `scripts.py PATH-TO-OFFHOOK [case ...]`.

The cases `native_recursion_debug` and `panics` need a debug build too: $OFFHOOK_DEBUG, else debug/offhook beside the
release folder (`cargo test` makes it)."""
import contextlib
import json
import os
import re
import time
import urllib.error

from desk import audio, phone, run
from phonekit import sipp
from phonekit.crowd import Crowd
from server import Server

HEAD = """fn internal(session) {
    let d = session.dialed;
    if d == "600" { session.answer(); return session.echo(); }
    if d == "102" { return session.dial(ext("102"), #{ timeout: 20 }); }
    trouble(session, d);
}
fn inbound(session) {}
fn outbound(session) {}
"""
OTHERS, PACE, HOLD_MS = 100, 40, 1500

PORTS = (61_000, 65_000)    # for RTP: there are a thousand calls at once, and no other test uses these


def debug_binary(binary):
    beside = os.path.join(os.path.dirname(os.path.abspath(binary)), "..", "debug", "offhook")
    path = os.environ.get("OFFHOOK_DEBUG") or beside
    assert os.access(path, os.X_OK), f"no debug build at {path}: run cargo build, or set OFFHOOK_DEBUG"
    return path


@contextlib.contextmanager
def office(binary, trouble, **settings):
    """A PBX whose script does `trouble`, and callers who are extension 101."""
    many = {"OFFHOOK_RTP__PORT_MIN": str(PORTS[0]), "OFFHOOK_RTP__PORT_MAX": str(PORTS[1])}
    with Server(binary, **many, **settings) as server:
        server.extension("101", ["PCMU"])
        server.extension("109", ["PCMU"])
        server.call("PUT", "/dialplan", {"main.rhai": HEAD, "trouble.rhai": trouble})
        with Crowd(server.address(), "101", "secret-of-101-ok") as crowd:
            yield server, crowd


def records(server, dialed):
    found, after = [], ""
    while True:
        page = server.get(f"/call-records?limit=500{after}")
        found += [r for r in page["items"] if r["dialed"] == dialed]
        if not page["next"]:
            return found
        after = f"&after={page['next']}"


def recorded(server, dialed, count, seconds=10):
    """The records of calls to `dialed`, of which there must be exactly `count`."""
    found = server.until(lambda: (lambda r: r if len(r) >= count else None)(records(server, dialed)), seconds,
                         f"{count} records of {dialed}")
    assert len(found) == count and len({r["id"] for r in found}) == count, (dialed, len(found), count)
    return found


def silence(server, seconds=10):
    server.until(lambda: not server.get("/calls")["items"], seconds, "no live call to be left")


class Others:
    """A hundred calls of another program (SIPp) to the echo, with sound, while something else goes on."""

    def __init__(self, server):
        self.server = server
        self.before = len(records(server, "600"))
        self.running = sipp.start("uac", server.address(), users=[("109", "secret-of-109-ok")], keys={"dest": "600"},
                                  hold=HOLD_MS, rtp=True, calls=OTHERS, rate=PACE, limit=OTHERS, timeout=40, trace=False)

    def alive(self):
        return self.running[0].alive()

    def check(self, slowest_ms=1000):
        result = sipp.finish(*self.running)
        assert result.ok and result.stats["successful"] == OTHERS, f"{result}\n{result.errors()[:1000]}"
        times = result.stats["rtd1_ms"]
        assert times["p95"] < slowest_ms, times
        mine = recorded(self.server, "600", self.before + OTHERS)[:OTHERS]
        assert all(r["sip_code"] == 200 and abs(r["talk_s"] - HOLD_MS / 1000) < 1.5 for r in mine)
        legs = [r["legs"][0] for r in mine]
        sent, back = sum(leg["packets_in"] for leg in legs), sum(leg["packets_out"] for leg in legs)
        lost = max(leg["loss_in"] for leg in legs)
        assert sent > OTHERS * HOLD_MS / 20 * 0.8 and lost <= 1 and back > sent * 0.97, (sent, back, lost)
        return f"{OTHERS} others: answered in {times['p50']:.0f} ms (95 %: {times['p95']:.0f}), " \
               f"{sent} packets in, {back} back, worst loss {lost} %"


def troubled(server, crowd, numbers, pace=8):
    """Dials `numbers` in turn, `pace` a second, for as long as the others call."""
    others, calls = Others(server), []
    while others.alive():
        calls.append(crowd.dial(numbers[len(calls) % len(numbers)]))
        time.sleep(1 / pace)
    said = others.check()
    crowd.wait(lambda: all(c.end for c in calls), 10, "an end of every troubled call")
    silence(server)
    return calls, said


def congestion(call):
    """What the caller heard before its end: the level of the 425 Hz tone, and for how long."""
    samples = [audio.ULAW[byte] for byte in call.heard]
    assert samples, "the caller heard nothing"
    return audio.tone_level(samples[:2000], 8000, 425), len(samples) / 8000


def ends_in_500(server, calls, number, why):
    """Every call to `number` heard the tone, got 500, and has one record that says `why`."""
    calls = [c for c in calls if c.number == number]
    for call in calls:
        assert call.end == "500" and 1.5 < call.ended < 5, (number, call.end, call.ended, call.codes)
        level, seconds = congestion(call)
        assert level > -20 and seconds > 1.5, (level, seconds)
    for record in recorded(server, number, len(calls)):
        assert record["sip_code"] == 500 and re.search(why, record["reason"]), record
    return calls


def beginning(binary):
    """What the hundred are like when nobody disturbs them."""
    with office(binary, "fn trouble(session, d) {}") as (server, _):
        yield f"undisturbed: {Others(server).check()}"


def endless_loops(binary):
    trouble = "fn trouble(session, d) {\n    if d == \"701\" { loop { try { loop {} } catch {} } }\n    loop {}\n}\n"
    with office(binary, trouble) as (server, crowd):
        calls, said = troubled(server, crowd, ["700", "701"])
        limit = r"^(main|trouble)\.rhai:\d+:\d+: more than .* from here to the next verb"
        count = sum(len(ends_in_500(server, calls, n, limit)) for n in ("700", "701"))
        first = calls[0].status(183)
        yield f"{count} endless loops: each a tone after {first * 1000:.0f} ms, then 500, one record; {said}"


def recursion_text():
    nested = "n"
    for _ in range(10):
        nested = f"(1 + {nested})"
    return """fn trouble(session, d) {
    if d == "710" { return down(0); }
    if d == "711" { return deep(1); }
    if d == "712" { let a = []; loop { a = [a]; } }
    if d == "713" { let a = #{}; loop { let b = #{}; b.x = a; a = b; } }
    if d == "714" { let f = Fn("again"); return f.call(f); }
    if d == "715" { [1].map(|x| down(x)); }
    try { deep(1); } catch {}
    down(0);
}
fn down(n) { down(n + 1) }
fn again(f) { f.call(f) }
fn deep(n) {
    if n > 1000 { return 0; }
    let a = """ + nested + """;
    { { { if a > 0 { switch a { 1 => 2, _ => [[[deep(a)]]] } } } } }
}
"""


def recursion(binary, kind):
    numbers = [str(n) for n in range(710, 717)]
    with office(binary, recursion_text()) as (server, crowd):
        before = server.process.pid
        calls, said = troubled(server, crowd, numbers)
        why = r"^(main|trouble)\.rhai:\d+:\d+: .*(deep|too large)"
        count = sum(len(ends_in_500(server, calls, n, why)) for n in numbers)
        assert server.process.poll() is None and server.process.pid == before
        yield f"{count} native recursions of 7 kinds in the {kind} build: the process lives, each 500; {said}"


def native_recursion(binary):
    yield from recursion(binary, "given")


def native_recursion_debug(binary):
    yield from recursion(debug_binary(binary), "debug")


VERBS = {  # number: (what the script does before, the verb that waits, the caller hangs up when)
    "720": ("", "session.wait(30);", None),
    "721": ("session.ringing();", "session.wait(30);", 180),
    "722": ("session.progress();", "session.wait(30);", 183),
    "723": ("session.answer();", "session.wait(30);", 200),
    "724": ("", "loop { session.play(\"echo-test\"); }", 183),
    "725": ("session.answer();", "loop { session.play(\"echo-test\"); }", 200),
    "726": ("", "session.gather(#{ max: 4, timeout: 30 });", 183),
    "727": ("session.answer();", "session.gather(#{ prompt: \"echo-test\", max: 4, timeout: 30 });", 200),
    "728": ("", "session.dial(ext(\"102\"), #{ timeout: 30 });", 180),
    "729": ("session.answer();", "session.dial(ext(\"102\"), #{ timeout: 30 });", 200),
    "730": ("", "session.echo();", 200),
    "731": ("session.answer(); session.tag(\"k\", 1);", "session.log(\"info\", \"x\"); session.wait(30);", 200),
}
# These do not wait: the hang-up crosses them.
CROSSING = {"740": "session.answer();", "741": "session.ringing();", "742": "session.progress();",
            "743": "session.reject(486);", "744": "session.hangup();", "745": "session.answer(); session.hangup();"}


def verbs_text():
    lines = ["fn trouble(session, d) {"]
    for number, (before, verb, _) in VERBS.items():
        lines.append(f"    if d == \"{number}\" {{ {before} {verb} session.tag(\"after\", \"the verb\"); return; }}")
    for number, verb in CROSSING.items():
        lines.append(f"    if d == \"{number}\" {{ loop {{ {verb} session.wait(0.005); }} }}")
    return "\n".join(lines + ["}", ""])


def hang_ups(binary):
    """The caller hangs up during each verb, and across those that do not wait."""
    with office(binary, verbs_text()) as (server, crowd):
        server.extension("102", ["PCMU"])
        with phone(server, "102") as silent:
            silent.register()
            others, rounds = Others(server), 0
            while others.alive() or rounds == 0:
                rounds += 1
                calls = [crowd.dial(number) for number in VERBS]
                for call in calls:
                    moment = VERBS[call.number][2]
                    crowd.wait(lambda: call.status(moment or 100), 5, f"{moment} of {call.number}")
                crowd.wait(lambda: len(server.get("/calls")["items"]) >= len(VERBS), 5, "all calls to be live")
                for call in calls:
                    call.hangup()
                crossing = [crowd.dial(number) for number in CROSSING]
                for call in crossing:
                    crowd.wait(lambda: call.status(100), 5, "100 Trying")
                    call.hangup()
                crowd.wait(lambda: all(c.end for c in calls + crossing), 5, "every call's end")
                for call in calls:
                    assert call.end == ("hung up" if call.up else "487"), (call.number, call.end)
            said = others.check()
            silence(server)
            for number in VERBS:
                for record in recorded(server, number, rounds):
                    assert record["cause"] == ("completed" if record["answered_at"] else "cancelled"), record
                    assert "after" not in record["tags"], record
            for number in CROSSING:
                recorded(server, number, rounds)
            silent.wait_event("closed", 5)
        yield f"hang-up during {len(VERBS)} verbs and across {len(CROSSING)}, {rounds} rounds: one record each, " \
              f"no call left, no script went on after it; {said}"


def errors(binary):
    text = "fn trouble(session, d) {\n    session.tag(\"place\", \"before\");\n    let prompt = 5;\n" \
           "    if d == \"751\" { session.answer(); }\n    helper(session, prompt);\n}\n" \
           "\nfn helper(session, prompt) {\n    session.play(prompt);\n}\n"
    line = text.splitlines().index("    session.play(prompt);") + 1
    with office(binary, text) as (server, crowd):
        calls, said = troubled(server, crowd, ["750", "751"])
        place = rf"^trouble\.rhai:{line}:13: play: "
        refused = ends_in_500(server, calls, "750", place)
        for call in (answered := [c for c in calls if c.number == "751"]):
            assert call.end == "bye" and congestion(call)[0] > -20, (call.end, call.codes)
        for record in recorded(server, "751", len(answered)):
            assert record["cause"] == "completed" and re.search(place, record["reason"]), record
        logged = [entry for entry in server.tail(5000).splitlines() if "the dialplan failed" in entry]
        logged = re.sub(r"\x1b\[[0-9;]*m", "", logged[0])
        for part in ('file="trouble.rhai"', f"line={line}", "column=13", 'function="helper"', 'verb="'):
            assert part in logged, (part, logged)
        level, seconds = congestion(refused[0])
        yield f"an error in trouble.rhai:{line}:13: {len(refused)} unanswered callers hear {level:.0f} dBFS of 425 Hz " \
              f"for {seconds:.1f} s and get 500, {len(answered)} answered ones BYE; the log says {logged[logged.index('file='):]}; {said}"


def problem(server, method, path, body=None):
    """The problem document of a request that must be refused."""
    try:
        server.call(method, path, body)
    except urllib.error.HTTPError as refusal:
        assert refusal.headers["Content-Type"] == "application/problem+json", refusal.headers
        return refusal.code, json.loads(refusal.read())
    raise AssertionError(f"{method} {path} was not refused")


def plan(tag):
    return f"fn trouble(session, d) {{\n    session.tag(\"plan\", \"{tag}\");\n    session.reject(486);\n}}\n"


BROKEN = "fn trouble(session, d) {\n    session.tag(\"plan\", \"broken\");\n    session.dail(ext(1));\n}\n"


def served(crowd, server, number, count):
    """The plan that a new call meets."""
    call = crowd.dial(number)
    crowd.wait(lambda: call.end, 5, "486")
    assert call.end == "486", call.end
    return recorded(server, number, count)[0]["tags"]["plan"]


def reloads(binary):
    with office(binary, plan("one")) as (server, crowd):
        others, on_disk = Others(server), os.path.join(server.data, "dialplan", "trouble.rhai")
        assert served(crowd, server, "760", 1) == "one"
        code, told = problem(server, "PUT", "/dialplan", {"main.rhai": HEAD, "trouble.rhai": BROKEN})
        fault = told["errors"][0]
        assert code == 422 and (fault["file"], fault["line"], fault["column"]) == ("trouble.rhai", 3, 13), told
        assert open(on_disk).read() == plan("one") and served(crowd, server, "760", 2) == "one"
        yield f"PUT of a broken script: {code} {fault['file']}:{fault['line']}:{fault['column']} {fault['why']}; the old one serves"
        open(on_disk, "w").write(BROKEN)
        server.until(lambda: server.get("/system/health")["dialplan"] == "old", 5, "the edit to be refused")
        assert "trouble.rhai" in server.tail() and served(crowd, server, "760", 3) == "one"
        code, told = problem(server, "POST", "/dialplan/reload")
        assert code == 422 and told["errors"][0]["line"] == 3, told
        yield "a broken file on disk, and POST /dialplan/reload of it: refused, the old one serves, health says so"
        open(on_disk, "w").write(plan("two"))
        server.until(lambda: server.get("/dialplan")["trouble.rhai"] == plan("two"), 5, "the edit to be taken up")
        assert served(crowd, server, "760", 4) == "two" and server.get("/system/health")["dialplan"] == "ok"
        open(on_disk, "w").write(BROKEN)
        server.until(lambda: server.get("/system/health")["dialplan"] == "old", 5, "the edit to be refused")
        yield f"a good file on disk serves without being asked; {others.check()}"
        server.stop()
        server.start()
        assert server.get("/system/health")["dialplan"] == "old" and served(crowd, server, "760", 5) == "two"
        yield "after a restart with the broken file on disk the last good one serves"


def waiting_room(binary):
    """A thousand callers in `gather`: a third presses a key, a third hangs up, a third waits until the time is over."""
    text = "fn trouble(session, d) {\n    session.answer();\n    let g = session.gather(#{ max: 1, timeout: 18 });\n" \
           "    session.tag(\"got\", if g.timed_out { \"nothing\" } else { g.digits });\n}\n"
    with office(binary, text) as (server, crowd):
        calls = []
        for count in range(1000):
            calls.append(crowd.dial("770"))
            if count % 25 == 24:
                crowd.wait(lambda: all(c.up for c in calls), 10, f"{len(calls)} answers")
        up = time.monotonic()
        filling = up - calls[0].began
        assert server.get("/system/health")["calls"] == 1000
        said = Others(server).check()
        assert server.get("/system/health")["calls"] == 1000, "the thousand wait on"
        press, leave, stay = calls[0::3], calls[1::3], calls[2::3]
        for index, call in enumerate(press):
            call.press(str(index % 10))
        for call in leave:
            call.hangup()
        crowd.wait(lambda: all(c.end for c in press + leave), 10, "the end of those who did something")
        crowd.wait(lambda: all(c.end for c in stay), 25, "the end of those who waited")
        assert {c.end for c in press} == {"bye"} and {c.end for c in leave} == {"hung up"}
        waited = [c.ended - c.status(200) for c in stay]
        assert {c.end for c in stay} == {"bye"} and 17.9 < min(waited) and max(waited) < 19.5, (min(waited), max(waited))
        silence(server)
        tags = [r["tags"].get("got", "") for r in recorded(server, "770", 1000)]
        for digit in range(10):
            wanted = len([i for i in range(len(press)) if i % 10 == digit])
            assert tags.count(str(digit)) == wanted, (digit, tags.count(str(digit)), wanted)
        assert tags.count("nothing") == len(stay) and tags.count("") == len(leave)
        yield f"1,000 callers in gather after {filling:.1f} s: {len(press)} pressed a key and it is recorded, " \
              f"{len(leave)} hung up, {len(stay)} were ended after {min(waited):.2f} to {max(waited):.2f} s; {said}"


def panics(binary):
    """On the debug build, which can be told to panic: on arrival, while it waits, and in a conversation."""
    text = "fn trouble(session, d) {\n    if d == \"6661\" { return session.dial(ext(\"102\")); }\n" \
           "    session.answer();\n    session.gather(#{ max: 1, timeout: 30 });\n}\n"
    with office(debug_binary(binary), text, OFFHOOK_PANIC_ON="666") as (server, crowd):
        server.extension("102", ["PCMU"])
        with phone(server, "102", answermode="auto") as other:
            other.register()
            others = [crowd.dial("600") for _ in range(10)]
            ends = {}
            arrival = crowd.dial("666")
            crowd.wait(lambda: arrival.end, 5, "500")
            ends["on arrival"] = arrival.end
            for number, what in (("6662", "in gather"), ("6661", "in a conversation")):
                call = crowd.dial(number)
                crowd.wait(lambda: call.up, 5, "the answer")
                live = [c["id"] for c in server.get("/calls")["items"] if c["dialed"] == number]
                server.call("DELETE", f"/calls/{live[0]}")
                crowd.wait(lambda: call.end, 5, "BYE")
                ends[what] = call.end
            assert ends == {"on arrival": "500", "in gather": "bye", "in a conversation": "bye"}, ends
            other.wait_event("established", 5)
            other.wait_event("closed", 5)
            for number, code in (("666", 500), ("6662", 200), ("6661", 200)):
                record = recorded(server, number, 1)[0]
                assert (record["sip_code"], record["reason"]) == (code, "an internal error ended the call"), record
            assert server.tail(5000).count("the handling of one event failed") == 3
            assert all(c.up and not c.end for c in others) and server.get("/system/health")["calls"] == 10
            heard = [len(c.heard) for c in others]
            for call in others:
                call.hangup()
            crowd.wait(lambda: all(c.end == "hung up" for c in others), 5, "the others' own end")
            silence(server)
            recorded(server, "600", 10)
        sockets = rtp_sockets(server)
        assert not sockets, sockets
        yield f"panics {', '.join(f'{k}: {v}' for k, v in ends.items())}; both parties told, one record each, 10 others " \
              "go on, no port stays open"


def rtp_sockets(server):
    """UDP ports of the PBX's RTP range that it still has open."""
    wanted = set()
    for fd in os.listdir(f"/proc/{server.process.pid}/fd"):
        with contextlib.suppress(OSError):
            wanted.add(os.readlink(f"/proc/{server.process.pid}/fd/{fd}"))
    ports = []
    for line in open("/proc/net/udp").read().splitlines()[1:]:
        fields = line.split()
        port = int(fields[1].split(":")[1], 16)
        if f"socket:[{fields[9]}]" in wanted and PORTS[0] <= port <= PORTS[1]:
            ports.append(port)
    return ports


if __name__ == "__main__":
    run([beginning, endless_loops, native_recursion, native_recursion_debug, hang_ups, errors, reloads, waiting_room,
         panics])
