#!/usr/bin/env python3
"""Keys with real phones: told as events, by INFO or as tones, to phones that understand one of these.
`dtmf.py PATH-TO-OFFHOOK [case ...]` runs all cases or those named."""
import os
import re
import sys
import tempfile
import threading
import time

from desk import run
from phonekit import BaresipPhone, audio, sipp
from phonekit.rtp import RtpCapture
from server import Server

KEYS = "0123456789*#ABCD"
WAYS = ("rfc4733", "info", "inband")
SCRIPT = """
fn internal(session) {
    if session.dialed == "*1" {
        session.answer();
        let asked = session.gather(#{ max: 4, timeout: 10 });
        session.wait(0.3);
        session.send_dtmf(asked.digits, #{ duration: 0.1, pause: 0.08 });
        return session.wait(0.5);
    }
    let r = session.dial(ext(session.dialed), #{ timeout: 30 });
    if !r.answered { session.reject(r.sip_code); }
}
fn outbound(session) { session.reject(404); }
fn inbound(session) { session.reject(404); }
"""


def pressed(folder, keys, on, off):
    """A voice that presses keys after a second and a half, and then is silent."""
    path = os.path.join(folder, f"{len(keys)}-{on * 1000:.0f}.wav")
    silence = [0.0] * 8000
    sound = silence + silence[:4000] + audio.dtmf(keys, 8000, on, off) + silence * 40
    audio.write_wav(path, 8000, sound)
    return path


INFO = """
  <send retrans="500">
    <![CDATA[
      INFO [next_url] SIP/2.0
      Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch];rport
      From: <sip:[field0]@[remote_ip]:[remote_port]>;tag=[pid]sipp[call_number]
      To: <sip:[dest]@[remote_ip]:[remote_port]>[peer_tag_param]
      Call-ID: [call_id]
      CSeq: [last_cseq_number+1] INFO
      [routes]
      Max-Forwards: 70
      Content-Type: %s
      Content-Length: [len]

      %s
    ]]>
  </send>
  <recv response="200"/>
  <pause milliseconds="120"/>
"""


class InfoPhone:
    """SIPp, for baresip tells no keys by INFO: dials, tells keys in both dialects by turns, and answers what it is told."""

    def __init__(self, server, number, dest, keys, folder):
        with open(os.path.join(sipp.SCENARIOS, "uac.xml")) as f:
            text = f.read()
        blocks = [INFO % (("application/dtmf-relay", f"Signal={key}\n      Duration=120") if i % 2 == 0 else
                          ("application/dtmf", key)) for i, key in enumerate(keys)]
        wait = '  <pause milliseconds="1000"/>\n'
        text = text.replace('  <pause milliseconds="@HOLD@"/>', wait + "".join(blocks) + '  <pause milliseconds="@HOLD@"/>')
        with open(os.path.join(folder, "uac_info.xml"), "w") as f:
            f.write(text)
        known, sipp.SCENARIOS = sipp.SCENARIOS, folder
        try:
            self.started = sipp.start("uac_info", server.address(), users=[(number, f"secret-of-{number}-ok")],
                                      keys={"dest": dest}, hold=2500, extra=["-aa"], timeout=40)
        finally:
            sipp.SCENARIOS = known

    def told(self):
        """The keys of the INFOs it was sent, once it has hung up."""
        said = sipp.finish(*self.started).messages().replace("\r", "")
        parts = re.findall(r"message received [^\n]*\n\s*(INFO .*?)(?=\n-{20,}|\Z)", said, re.S)
        keys = {}
        for part in parts:
            body = part.split("\n\n", 1)[1].strip()
            keys[re.search(r"CSeq: (\d+)", part)[1]] = re.sub(r"(?s)^Signal=(.).*", r"\1", body)
        return "".join(keys.values())


def phone(server, number, way, **options):
    """A phone that tells keys as events or tones, and understands them as events, by INFO or as tones."""
    codecs = ("pcmu",)
    return BaresipPhone(number, f"secret-of-{number}-ok", server.address(), codecs=codecs, **options)


def office(server, numbers):
    for number, way in numbers.items():
        server.extension(number, ["PCMU"])
        server.call("PATCH", f"/extensions/{number}", {"dtmf": way})


def press(caller, way, keys):
    """A phone with tones presses them by its voice."""
    if way == "inband":
        time.sleep(1.5 + len(keys) * 0.16)
    else:
        time.sleep(1)
        caller.dtmf(keys, gap=0.2)


def arrived(callee, way, capture):
    """The keys that a phone was told: in words, or in its voice."""
    if way != "inband":
        return callee.dtmf_received()
    best = max(capture.streams(min_packets=30), key=lambda s: len(s.p) if within(callee, s) else 0)
    _, rate, samples = best.decode()
    return audio.dtmf_in(samples, rate)


def within(callee, stream):
    return callee.rtp_range[0] <= stream.dst[1] <= callee.rtp_range[1]


def each_way_to_each(binary):
    """All sixteen keys in each of three ways, to a phone of each of three: three calls at once, three times."""
    callers = {f"20{i}": way for i, way in enumerate(WAYS, 1)}
    callees = {f"30{i}": way for i, way in enumerate(WAYS, 1)}
    with Server(binary) as server, tempfile.TemporaryDirectory() as folder:
        office(server, {**callers, **callees})
        wav = pressed(folder, KEYS, 0.08, 0.08)
        for turn in range(3):
            yield from one_turn(server, (callers, callees), turn, wav)


def one_turn(server, numbers, turn, wav):
    (callers, callees), phones = numbers, {}
    try:
        for number, way in {**callers, **callees}.items():
            if number in callers and way == "info":
                continue
            sound = {"wav": wav, "loop": False} if number in callers and way == "inband" else {"tone": 350}
            phones[number] = phone(server, number, way, **sound)
            phones[number].register()
        pairs = list(zip(callers, [*callees][turn:] + [*callees][:turn]))
        with RtpCapture(phones=list(phones.values())) as capture:
            threads, infos = [], []
            for caller, callee in pairs:
                if callers[caller] == "info":
                    infos.append(InfoPhone(server, caller, callee, KEYS, os.path.dirname(wav)))
                    phones[callee].answer()
                    continue
                phones[caller].dial(callee)
                phones[callee].answer()
                threads.append(threading.Thread(target=press, args=(phones[caller], callers[caller], KEYS)))
                threads[-1].start()
            for thread in threads:
                thread.join()
            for info in infos:
                info.told()
            time.sleep(1)
        for caller, callee in pairs:
            got = arrived(phones[callee], callees[callee], capture)
            assert got.upper() == KEYS, f"{callers[caller]} to {callees[callee]}: {got}"
            yield f"{callers[caller]} to {callees[callee]}: all sixteen keys, each once"
    finally:
        for one in phones.values():
            one.close()


def a_script_hears_and_presses(binary):
    """What a script gathers it presses back, in the phone's own way."""
    with Server(binary) as server, tempfile.TemporaryDirectory() as folder:
        server.call("PUT", "/dialplan", {"main.rhai": SCRIPT})
        office(server, {f"20{i}": way for i, way in enumerate(WAYS, 1)})
        wav = pressed(folder, "1379", 0.08, 0.08)
        for i, way in enumerate(WAYS, 1):
            if way == "info":
                got = InfoPhone(server, f"20{i}", "*1", "1379", folder).told()
                assert got == "1379", f"{way}: {got}"
                yield f"{way}: a script heard 1379 and pressed it back"
                continue
            sound = {"wav": wav, "loop": False} if way == "inband" else {"tone": 350}
            with phone(server, f"20{i}", way, **sound) as a:
                a.register()
                with RtpCapture(phones=[a]) as capture:
                    a.dial("*1")
                    a.wait_event("established", 10, fail="closed")
                    press(a, way, "1379")
                    a.wait_event("closed", 15)
                got = arrived(a, way, capture)
                assert got == "1379", f"{way}: {got}"
                yield f"{way}: a script heard 1379 and pressed it back"
        log = open(os.path.join(server.data, "log.txt"), errors="replace").read()
        assert "1379" not in log, "keys were logged"
        records = server.get("/call-records")["items"]
        kept = "".join(str(server.get(f"/call-records/{record['id']}/sip")) for record in records)
        assert "INFO sip:" in kept and not re.search(r"ignal=\w|dtmf.{0,80}n[1379]\b", kept), "keys were kept"
        yield "no key stands in the log or in the trace"


def keys_by_hand(binary):
    """POST /calls/{id}/dtmf reaches either party, and nobody else."""
    with Server(binary) as server:
        office(server, {"101": "auto", "102": "info"})
        with phone(server, "101", "auto") as a, phone(server, "102", "info") as b:
            a.register()
            b.register()
            a.dial("102")
            b.answer()
            a.wait_event("established", 10, fail="closed")
            call = server.until(lambda: server.get("/calls")["items"], 5, "the call")[0]["id"]
            server.call("POST", f"/calls/{call}/dtmf", {"keys": "42#"})
            server.call("POST", f"/calls/{call}/dtmf", {"keys": "7D", "to": "caller"})
            server.until(lambda: b.dtmf_received() == "42#" and a.dtmf_received() == "7D", 5, "the keys")
            a.hangup()
            yield "the called party heard 42#, the caller 7D"


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    run([each_way_to_each, a_script_hears_and_presses, keys_by_hand])
