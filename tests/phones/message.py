#!/usr/bin/env python3
"""Text messages with real phones: baresip and linphone write to each other, SIPp to both, and what is written to a phone
that is away waits for it, also over a restart. `message.py PATH-TO-OFFHOOK [case ...]` runs all cases or those named."""
import time

from desk import phone, run
from phonekit import LinphonePhone, util
from server import Server


def secret(number):
    return f"secret-of-{number}-ok"


def office(server):
    for number in ("101", "102", "103"):
        server.extension(number)


def linphone(server, number):
    return LinphonePhone(number, password=secret(number), server=server.address())


def to(server, *numbers):
    """baresip writes only to whom it knows."""
    return [f"sip:{number}@{server.address()}" for number in numbers]


def got(who, text, seconds=8):
    """`who` received a MESSAGE with this text."""
    def there():
        return any(m.rx and m.method == "MESSAGE" and text in m.text for m in who.sip)
    util.wait_for(there, seconds, f"the message {text!r}")


def count(who, text):
    return sum(m.rx and m.method == "MESSAGE" and text in m.text for m in who.sip)


def both_ways(binary):
    with Server(binary) as server:
        office(server)
        ann = phone(server, "101", contacts=to(server, "102", "555"))
        bob = linphone(server, "102")
        try:
            ann.register(), bob.register()
            status = ann.message("102", "Coffee at ten?")
            assert status == 200, status
            got(bob, "Coffee at ten?")
            yield "baresip to linphone: 200, and it is there"
            status = bob.message("101", "Make it eleven.")
            assert status in (200, 202), status
            got(ann, "Make it eleven.")
            yield f"linphone to baresip: {status}, and it is there"
            status = ann.message("555", "Anybody?")
            assert status == 404, status
            yield "to nobody: 404"
        finally:
            ann.close(), bob.close()


def kept(binary):
    with Server(binary) as server:
        office(server)
        ann = phone(server, "101", contacts=to(server, "103"))
        carol = None
        try:
            ann.register()
            for text in ("first of two", "second of two"):
                status = ann.message("103", text)
                assert status == 202, status
            yield "to a phone that is away: 202, twice"
            server.stop()
            server.start()
            carol = phone(server, "103")
            carol.register()
            got(carol, "second of two")
            texts = [m.text for m in carol.sip if m.rx and m.method == "MESSAGE"]
            order = [next(i for i, t in enumerate(texts) if word in t) for word in ("first of", "second of")]
            assert order == sorted(order), texts
            carol.unregister()
            carol.register()
            time.sleep(2)
            assert count(carol, "of two") == 2, "delivered again"
            yield "after a restart: delivered on registration, in order, each once"
        finally:
            ann.close()
            if carol:
                carol.close()


if __name__ == "__main__":
    run([both_ways, kept])
