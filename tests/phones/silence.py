#!/usr/bin/env python3
"""Whether a call lives: callers that send no sound but answer, or forgot their call, or never answer our offer; and
RTP ports that another program holds. The phone that is killed is in first_call.py.
`silence.py PATH-TO-OFFHOOK [case ...]` runs all cases or those named."""
import contextlib
import socket
import time

from desk import run
from server import Server
from wire import Client

TIMEOUT = 5


@contextlib.contextmanager
def echo_call(server):
    """101 hears itself, were it not mute."""
    with Client(server, "101") as a:
        answer = a.call("*43")
        assert answer.status == 200, answer
        yield a, answer


def reply(client, request, status):
    same = [f"{name}: {request.get(name)}" for name in ("Via", "From", "To", "Call-ID", "CSeq")]
    client.link.send("\r\n".join([f"SIP/2.0 {status} As asked", *same, "Content-Length: 0", "", ""]).encode())


def until_bye(client, seconds, answers):
    """Answers each OPTIONS with the next of `answers` (None: not at all; the last one for ever) until the BYE; how many
    came, and how long that took. No BYE: no time."""
    began, asked = time.monotonic(), 0
    while (left := began + seconds - time.monotonic()) > 0:
        message = client.link.receive(left)
        if message is None or message.status:
            continue
        if message.start.startswith("BYE"):
            reply(client, message, 200)
            return asked, time.monotonic() - began
        assert message.start.startswith("OPTIONS") and message.get("call-id") == client.dialog["call_id"], message
        asked += 1
        status = answers[min(asked, len(answers)) - 1]
        if status:
            reply(client, message, status)
    return asked, None


def mute(binary):
    with Server(binary, OFFHOOK_RTP__TIMEOUT_S=str(TIMEOUT)) as server:
        server.extension("101", ["PCMU"])
        with echo_call(server) as (a, _):
            asked, ended = until_bye(a, 3 * TIMEOUT, [200, 405])
            assert ended is None and 4 <= asked <= 6, (asked, ended)
            yield f"a caller without sound that answers: still up after {3 * TIMEOUT} s, asked {asked} times"
            _, ended = until_bye(a, 2 * TIMEOUT, [None])
            assert ended and ended < TIMEOUT + 0.5, ended
            why = server.record(1)["legs"][0]["diagnosis"]
            assert "and did not answer; one-way audio: none came from it" in why, why
            yield f"it answers no more: hung up {ended:.1f} s later, the record says {why!r}"
        with echo_call(server) as (a, _):
            asked, ended = until_bye(a, 2 * TIMEOUT, [481])
            assert asked == 1 and ended and ended < TIMEOUT / 2 + 0.5, (asked, ended)
            why = server.record(2)["legs"][0]["diagnosis"]
            yield f"a caller that forgot its call: hung up after {ended:.1f} s, the record says {why!r}"


def offers(binary):
    """The INVITE has no offer, and the ACK no answer to ours."""
    with Server(binary) as server:
        server.extension("101", ["PCMU"])
        with Client(server, "101") as a:
            answer = a.prove("INVITE", f"sip:*43@{a.domain}")
            assert answer.status == 200 and b"m=audio" in answer.body, answer
            a.up(answer)
            asked, ended = until_bye(a, 5, [None])
            assert asked == 0 and ended is not None, "the call lives without media"
            record = server.record(1)
            assert record["reason"] == "the ACK brought no answer to our offer", record
            assert server.get("/calls")["items"] == []
            yield f"an ACK that owes the answer: BYE after {ended * 1000:.0f} ms, the record says {record['reason']!r}"


def held(binary):
    """Another program has the first RTP port, and the RTCP port of the second."""
    with contextlib.ExitStack() as stack:
        server = Server(binary)
        server.env["OFFHOOK_RTP__PORT_MAX"] = str(server.rtp + 39)
        for port in (server.rtp, server.rtp + 3):
            other = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            other.bind(("0.0.0.0", port))
        stack.enter_context(server)
        server.extension("101", ["PCMU"])
        for count in (1, 2):
            with echo_call(server) as (a, _):
                assert until_bye(a, 5, [None])[1] is not None
                assert server.record(count)["reason"] == "its RTP port could not be opened"
        # Twice round all 20: the two are not among them. A port rests 2 s after its call.
        for _ in range(40):
            with echo_call(server) as (a, answer):
                port = int(answer.body.split(b"m=audio ")[1].split()[0])
                assert port not in (server.rtp, server.rtp + 2), "a held port was given out again"
                time.sleep(0.15)
                assert a.bye().status == 200
        yield "two held ports cost one call each; in 40 calls later, from a range of 20, neither was given out again"


if __name__ == "__main__":
    run([mute, offers, held])
