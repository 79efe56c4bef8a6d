#!/usr/bin/env python3
"""What the PBX tells of a call's SIP messages, of a live one and of one that ended before a restart; and that whom it
banned it does not hear after a restart either. `ladder.py PATH-TO-OFFHOOK [case ...]`"""
import os
import shutil
import subprocess
import tempfile
import urllib.error
import urllib.request

from desk import phone, run
from server import KEY, Server
from wire import Client, Message


def capture(server, call, folder):
    """The capture file, and what tcpdump makes of it when it is there."""
    path = os.path.join(folder, f"{call}.pcap")
    request = urllib.request.Request(f"http://127.0.0.1:{server.http}/api/v1/call-records/{call}/sip?format=pcap",
                                     headers={"Authorization": f"Bearer {KEY}"})
    with urllib.request.urlopen(request, timeout=10) as answer, open(path, "wb") as f:
        f.write(answer.read())
    if not shutil.which("tcpdump"):
        return []
    shown = subprocess.run(["tcpdump", "-nn", "-vv", "-r", path], capture_output=True, text=True, check=True).stdout
    assert "bad" not in shown and "incorrect" not in shown, shown
    return [line for line in shown.splitlines() if "udp sum ok" in line]


def told(server, call):
    return server.get(f"/call-records/{call}/sip")["messages"]


def traces(binary):
    with tempfile.TemporaryDirectory() as data:
        with Server(binary, data=data) as server:
            server.extension("101", ["PCMU"])
            server.extension("102", ["PCMU"])
            with phone(server, "102", transport="tcp") as b, Client(server, "101", algorithm="MD5") as a:
                b.register()
                assert a.register().status == 200
                challenge = a.ask("INVITE", f"sip:102@{a.domain}", body=a.sdp(9)).challenge("MD5")
                line = a.credentials(challenge, "INVITE", f"sip:102@{a.domain}")
                octets = a.request("INVITE", f"sip:102@{a.domain}", [line], body=a.sdp(9))
                a.link.send(octets)
                call = server.until(lambda: server.get("/calls")["items"], 10, "the call")[0]["id"]
                rang = {"method": "INVITE", "status": 180, "direction": "in", "transport": "tcp"}
                live = server.until(lambda: [m for m in told(server, call) if rang.items() <= m.items()] and told(server, call),
                                    10, "a phone that rings, in the trace of a live call")
                yield f"a live call: {len(live)} messages so far"
                b.answer()
                answer = a.final(to=Message(octets))
                a.acknowledge(Message(octets), answer)
                a.up(answer)
                assert a.bye().status == 200
            server.record(1)
            server.until(lambda: any(m["method"] == "BYE" and m["status"] == 200 and m["direction"] == "in"
                                     for m in told(server, call)), 5, "the end of the call")
            all_of_it = told(server, call)
        with Server(binary, data=data) as server:
            server.until(lambda: told(server, call), 5, "the trace of an earlier run")
            assert told(server, call) == all_of_it
            legs = {m["leg"] for m in all_of_it}
            assert len(legs) == 2 and {m["transport"] for m in all_of_it} == {"udp", "tcp"}, legs
            text = "".join(m["text"] for m in all_of_it)
            assert 'response="' + "x" * 32 in text and challenge["nonce"] not in text, "a digest was kept"
            shown = capture(server, call, data)
            assert not shown or len(shown) == len(all_of_it), shown
            yield f"{len(all_of_it)} messages of two legs, the same after a restart; tcpdump reads {len(shown)} of them"
            try:
                told(server, "cal_0000000000000001")
                raise AssertionError("a trace of no call")
            except urllib.error.HTTPError as e:
                assert e.code == 404


def bans(binary):
    """Ten wrong passwords from one address; the phone at another goes on, and so does the ban after a restart."""
    with tempfile.TemporaryDirectory() as data:
        with Server(binary, data=data) as server:
            server.extension("101", ["PCMU"])
            with Client(server, "101") as good, Client(server, "101", password="wrong", source="127.0.0.77") as bad:
                assert good.register().status == 200
                statuses = [bad.register().status for _ in range(10)]
                assert set(statuses) == {403}, statuses
                bad.link.send(bad.request("OPTIONS"))
                assert bad.final(seconds=0.5) is None, "it is still heard"
                assert good.register().status == 200
            ban = server.until(lambda: server.get("/bans")["items"], 5, "the ban")[0]
            assert ban["network"] == "127.0.0.77" and ban["reason"] == "wrong passwords", ban
            yield f"banned after {len(statuses)} wrong passwords until {ban['expires_at']}"
        with Server(binary, data=data) as server:
            assert server.get("/bans")["items"] == [ban]
            with Client(server, "101", source="127.0.0.77") as bad:
                bad.link.send(bad.request("OPTIONS"))
                assert bad.final(seconds=0.5) is None, "it is heard after a restart"
                server.call("DELETE", f"/bans/{ban['id']}")
                assert bad.register().status == 200
            yield "after a restart too; lifted, it is heard"


if __name__ == "__main__":
    run([traces, bans])
