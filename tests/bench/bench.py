#!/usr/bin/env python3
"""What a call costs: starts the release binary on loopback with an address trunk (number 1000 to extension 1000) and
runs callcost.py for signalling, relay and each transcoding. One JSON line a case. `bench.py PATH-TO-OFFHOOK [case ...]`"""
import json
import os
import socket
import subprocess
import sys
import hashlib
import re

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "phones"))
from server import Server  # noqa: E402

CALLEE, CALLER = 5170, 5180
PASSWORD = "a secret for the bench only"
# The range of an office: 300 calls a second need more than a test's.
PORTS = {"OFFHOOK_RTP__PORT_MIN": "10000", "OFFHOOK_RTP__PORT_MAX": "20000"}
CASES = {
    "signalling": (None, "PCMU", ["signalling", "--rate", "300", "--calls", "6000"]),
    "pcmu_relay": (["PCMU"], "PCMU", ["media", "--calls", "300", "--seconds", "20"]),
    "pcmu_pcma": (["PCMA"], "PCMA", ["media", "--calls", "200", "--seconds", "20"]),
    "pcmu_g722": (["G722"], "G722", ["media", "--calls", "100", "--seconds", "20"]),
    "pcmu_opus": (["opus"], "OPUS", ["media", "--calls", "60", "--seconds", "20"]),
}


def register(server, name, number="1000", port=CALLEE):
    """Registers an extension from the port where the callee will listen."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind(("127.0.0.1", port))
        s.settimeout(5)
        target = ("127.0.0.1", server.sip)
        md5 = lambda text: hashlib.md5(text.encode()).hexdigest()  # noqa: E731

        def ask(cseq, authorization=""):
            uri = f"sip:127.0.0.1:{server.sip}"
            s.sendto((f"REGISTER {uri} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bK{name}{cseq}\r\n"
                      f"Max-Forwards: 70\r\nFrom: <sip:{number}@127.0.0.1>;tag=bench\r\nTo: <sip:{number}@127.0.0.1>\r\n"
                      f"Call-ID: bench-{name}\r\nCSeq: {cseq} REGISTER\r\n"
                      f"Contact: <sip:{number}@127.0.0.1:{port}>\r\nExpires: 3600\r\n{authorization}"
                      "Content-Length: 0\r\n\r\n").encode(), target)
            return s.recv(4096).decode(), uri

        answer, uri = ask(1)
        challenge = next(line for line in answer.splitlines() if "algorithm=MD5" in line)
        nonce, realm = (re.search(f'{key}="([^"]*)"', challenge).group(1) for key in ("nonce", "realm"))
        response = md5(":".join([md5(f"{number}:{realm}:{PASSWORD}"), nonce, "00000001", "c", "auth", md5(f"REGISTER:{uri}")]))
        answer, _ = ask(2, f'Authorization: Digest username="{number}", realm="{realm}", nonce="{nonce}", uri="{uri}", '
                           f'response="{response}", algorithm=MD5, cnonce="c", nc=00000001, qop=auth\r\n')
        assert answer.startswith("SIP/2.0 200"), answer


def trunk(server):
    server.call("PUT", "/trunks/bench", {"name": "bench", "host": "127.0.0.1", "port": CALLER, "transport": "udp",
                                         "auth": "address", "match_port": True, "codecs": ["PCMU"],
                                         "numbers": {"1000": "1000"}})


def cost(server, answer, mode):
    """What callcost.py prints, as a dictionary."""
    run = subprocess.run([sys.executable, os.path.join(HERE, "callcost.py"), "--pid", str(server.process.pid),
                          "--target", server.address(), "--answer", answer, *mode], capture_output=True, text=True)
    if run.returncode:
        sys.exit(f"{run.stdout}{run.stderr}\n{server.tail()}")
    return json.loads(run.stdout.strip().splitlines()[-1])


def main():
    binary, names = sys.argv[1], sys.argv[2:] or list(CASES)
    with Server(binary, OFFHOOK_LOG__LEVEL="warn", **PORTS) as server:
        trunk(server)
        for name in names:
            codecs, answer, mode = CASES[name]
            server.extension("1000", codecs or ["PCMU"], PASSWORD)
            register(server, name)
            print(json.dumps({"case": name, **cost(server, answer, mode)}), flush=True)


if __name__ == "__main__":
    main()
