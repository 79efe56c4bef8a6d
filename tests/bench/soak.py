#!/usr/bin/env python3
"""What stays behind of finished calls: rounds of calls with a rest between, so that every transaction has run out
(RFC 3261 timers B, F, H and J: 32 s). One JSON line a round; fails when a finished call keeps more than 4 kB, or when
memory still grows after the first 20,000. `soak.py PATH-TO-OFFHOOK [rounds]`"""
import json
import sys
import time

from bench import PASSWORD, PORTS, Server, cost, register, trunk
from callcost import usage

CALLS, RATE, REST = 10_000, 300, 40


def main():
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    with Server(sys.argv[1], OFFHOOK_LOG__LEVEL="warn", **PORTS) as server:
        trunk(server)
        server.extension("1000", ["PCMU"], PASSWORD)
        register(server, "soak")
        memory = [usage(server.process.pid)[1]]
        for number in range(1, rounds + 1):
            seen = cost(server, "PCMU", ["signalling", "--rate", str(RATE), "--calls", str(CALLS)])
            time.sleep(REST)
            memory.append(usage(server.process.pid)[1])
            kept = (memory[-1] - memory[-2]) * 1024 / CALLS
            print(json.dumps({"case": "soak", "calls": number * CALLS, "failed": seen["failed"],
                              "rss_mib": round(memory[-1], 1), "peak_rss_mib": seen["peak_rss_mib"],
                              "kept_kb_per_call": round(kept, 3)}), flush=True)
            assert kept <= 4, f"a finished call keeps {kept:.1f} kB"
            assert number <= 2 or kept < 0.1, f"memory still grows after {number * CALLS} calls: {kept:.2f} kB a call"


if __name__ == "__main__":
    main()
