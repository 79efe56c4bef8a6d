#!/usr/bin/env python3
"""What the PBX says of how well a call goes: scores on a lossy line and on a clear one, live and recorded; one-way audio, a
wrong address and a wrong codec in words; extended reports and the goodbye of RTCP.
`quality.py PATH-TO-OFFHOOK [case ...]` runs all cases or those named."""
import re
import socket
import struct
import time

from desk import phone, run
from phonekit import BaresipPhone
from phonekit.lossy import LossyRelay
from server import Server
from wire import Client

EF = 46 << 2


def lossy(binary):
    """101 is behind a line that loses 5 % both ways."""
    with Server(binary) as server, LossyRelay(server.address(), loss=0.05, seed=7) as line:
        for number in ("101", "102"):
            server.extension(number, ["PCMU"])
        with BaresipPhone("101", "secret-of-101-ok", line.address, codecs=("pcmu",)) as a, phone(server, "102") as b:
            a.register()
            b.register()
            a.dial("102")
            b.answer()
            a.wait_event("established", 10, fail="closed")
            time.sleep(11)
            call = server.get("/calls")["items"][0]["id"]
            live = {leg["party"]: leg for leg in server.get(f"/calls/{call}")["legs"]}
            a.hangup()
            b.wait_event("closed", 5)
        ended = {leg["party"]: leg for leg in server.record(1)["legs"]}
        for when, legs in (("live", live), ("recorded", ended)):
            bad, good = legs["101"], legs["102"]
            assert 3.4 <= bad["mos_in"] <= 4.1 and bad["mos_out"] and 3.3 <= bad["mos_out"] <= 4.2, (when, bad)
            assert good["mos_in"] > 4.3 and good["mos_out"] > 4.2, (when, good)
            assert 4 <= bad["loss_in"] <= 6 and bad["burst_loss"] is not None, (when, bad)
            assert re.match(r"[456]\.\d % of its packets were lost", bad["diagnosis"]), (when, bad)
            assert "it reports that" in bad["diagnosis"], (when, bad)
            assert good["diagnosis"] is None, (when, good)
            yield f"{when}: 5 % lost both ways scores {bad['mos_in']} in and {bad['mos_out']} out, the clear line " \
                  f"{good['mos_in']} and {good['mos_out']}; {bad['diagnosis']!r}"


def one_way(binary):
    """101 is called by somebody whose sound never comes."""
    with Server(binary) as server:
        for number in ("101", "102"):
            server.extension(number, ["PCMU"])
        with phone(server, "102") as b, Client(server, "101") as a, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ear:
            ear.bind(("127.0.0.1", 0))
            b.register()
            b.set_answermode("auto")
            answer = a.call("102", ear.getsockname()[1])
            assert answer.status == 200, answer
            time.sleep(5)
            assert a.bye().status == 200
            b.wait_event("closed", 5)
        mute, other = server.record(1)["legs"]
        assert re.match(r"one-way audio: none came from it in [456] s, \d{3} packets were sent to it", mute["diagnosis"]), mute
        assert mute["mos_in"] is None and other["mos_in"] > 4.3, (mute, other)
        yield f"a caller without sound: {mute['diagnosis']!r}"


def datagrams(ear, seconds):
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        ear.settimeout(left)
        try:
            yield ear.recvmsg(2048, 256)
        except socket.timeout:
            return


def elsewhere(binary):
    """The SDP names an address of another network, what comes is of a codec that was not agreed on, and 30 ms long. The
    party wants extended reports."""
    with Server(binary) as server, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as voice, \
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        server.extension("101", ["PCMU"])
        voice.bind(("127.0.0.1", 0))
        control.bind(("127.0.0.1", voice.getsockname()[1] + 1))
        voice.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
        with Client(server, "101") as a:
            port = voice.getsockname()[1]
            sdp = a.sdp(port).replace("c=IN IP4 127.0.0.1", "c=IN IP4 10.9.9.9") + "a=rtcp-xr:voip-metrics rcvr-rtt=all\r\n"
            answer = a.prove("INVITE", f"sip:*43@{a.domain}", body=sdp)
            assert answer.status == 200 and b"a=rtcp-xr:voip-metrics rcvr-rtt=all\r\n" in answer.body, answer
            a.up(answer)
            there = ("127.0.0.1", int(answer.body.split(b"m=audio ")[1].split()[0]))
            begun = time.monotonic()
            for n in range(200):
                kind, size = (0, 240) if n < 150 else (8, 240)
                voice.sendto(struct.pack(">BBHII", 0x80, kind, n, 240 * n, 7) + b"\x55" * size, there)
                time.sleep(max(0, begun + 0.03 * (n + 1) - time.monotonic()))
            classes = {data[0][2] for _, ancillary, _, _ in datagrams(voice, 0.2) for data in [ancillary] if data}
            assert a.bye().status == 200
            reports = [packet for packet, *_ in datagrams(control, 1)]
        kinds = [[packet[1] for packet in packets(report)] for report in reports]
        assert any(207 in each for each in kinds), kinds
        assert kinds[-1][-1] == 203, kinds
        # IP_TOS comes as one octet.
        assert classes == {bytes([EF])}, classes
        yield f"extended reports where they were offered, BYE at the end ({kinds}), and RTP marked EF"
        why = server.record(1)["legs"][0]["diagnosis"]
        assert f"its SDP names the private address 10.9.9.9:{port}, its audio came from 127.0.0.1:{port}" in why, why
        assert "it sent 50 packets of payload type 8 (PCMA), which was not agreed on" in why, why
        assert "its packets are 30 ms long, 20 ms were asked for" in why, why
        yield f"the record says {why!r}"


def packets(compound):
    while compound:
        length = 4 * (1 + struct.unpack(">H", compound[2:4])[0])
        yield compound[:length]
        compound = compound[length:]


if __name__ == "__main__":
    run([lossy, one_way, elsewhere])
