#!/usr/bin/env python3
"""What lamps show: SIPp watches a phone ring, talk and hang up; message lamps of a phone that subscribes (baresip) and of
one that does not (linphone); and a restart that no lamp notices. `lamps.py PATH-TO-OFFHOOK [case ...]` runs all cases or
those named."""
import re
import signal

from desk import phone, run
from phonekit import LinphonePhone, sipp, util
from server import Server

NUMBERS = ("101", "102", "103")


def secret(number):
    return f"secret-of-{number}-ok"


def office(server, **fields):
    for number in NUMBERS:
        server.call("PUT", f"/extensions/{number}", {"number": number, "password": secret(number), **fields})


def watch(server, target, by="103", event="dialog"):
    return sipp.Watch(server.address(), (by, secret(by)), target, event)


def shown(watcher, least=1):
    """The states it was told, each once as long as it lasts."""
    util.wait_for(lambda: len(watcher.states()) >= least, 8, f"{least} states")
    states = watcher.states()
    return [s for i, s in enumerate(states) if i == 0 or states[i - 1] != s]


def a_call(binary):
    """The busy lamp of the called phone and of the calling one, from the first ring to the end."""
    with Server(binary) as server:
        office(server)
        with watch(server, "102") as called, watch(server, "101") as calling, \
                phone(server, "101") as ann, phone(server, "102") as bob:
            ann.register(), bob.register()
            shown(called), shown(calling)
            ann.dial("102")
            called.wait("early"), calling.wait("early")
            document = called.bodies()[-1]
            assert 'direction="recipient"' in document and "<identity>sip:101@" in document, document
            for name in ("call-id", "local-tag", "remote-tag"):
                assert re.search(f'{name}="[^"]+"', document), f"a pickup needs {name}: {document}"
            assert 'direction="initiator"' in calling.bodies()[-1], calling.bodies()[-1]
            bob.answer()
            called.wait("confirmed"), calling.wait("confirmed")
            ann.hangup()
            called.wait("terminated"), calling.wait("terminated")
            for watcher in (called, calling):
                states = [s for s in shown(watcher) if s != "trying"]
                assert states == ["none", "early", "confirmed", "terminated"], watcher.states()
                versions = [int(v) for v in re.findall(r'version="(\d+)" state="full"', "".join(watcher.bodies()))]
                assert versions == sorted(set(versions)), versions
            yield f"the called phone's lamp: {', '.join(called.states())}"
            yield f"the calling phone's lamp: {', '.join(calling.states())}"


def counts(server, new, old):
    server.call("PUT", "/extensions/101/message-summary", {"new": new, "old": old})


def messages_for_who_subscribes(binary):
    with Server(binary) as server:
        office(server)
        counts(server, 1, 2)
        with phone(server, "101", mwi=True) as ann:
            ann.register()
            first = ann.wait_event("mwi", 10)
            assert "1/2" in first["text"] and "yes" in first["text"], first
            counts(server, 0, 3)
            after = ann.wait_event("mwi", 10)
            assert "0/3" in after["text"] and ": no" in after["text"], after
            yield "baresip subscribed, and saw 1 new message come and go"


def messages_for_who_does_not(binary):
    with Server(binary) as server:
        office(server, push_message_summary=True)
        counts(server, 3, 0)
        with LinphonePhone("101", secret("101"), server.address()) as ann:
            ann.register()
            first = ann.wait_event("mwi", 10)
            assert "Voice-Message: 3/0" in first["text"], first
            counts(server, 0, 3)
            after = ann.wait_event("mwi", 10)
            assert "Messages-Waiting: no" in after["text"], after
            answers = [m for m in ann.sip if not m.rx and m.status == 200 and m.cseq_method == "NOTIFY"]
            assert len(answers) >= 2, "linphone took them"
            yield "linphone did not subscribe, and saw 3 new messages come and go"


def presence(binary):
    with Server(binary) as server:
        office(server)
        with watch(server, "102", event="presence") as watcher:
            assert shown(watcher) == ["closed"], watcher.states()
            with phone(server, "102") as bob:
                bob.register()
                watcher.wait("open")
        yield "presence turned open when the phone registered"


def a_restart(binary):
    """Killed and started again, the PBX tells every lamp anew, and goes on telling."""
    with Server(binary) as server:
        office(server)
        with watch(server, "102") as watcher, phone(server, "101") as ann, phone(server, "102") as bob:
            ann.register(), bob.register()
            told = len(watcher.bodies()) or len(shown(watcher))
            ann.dial("102")
            bob.answer()
            watcher.wait("confirmed")
            # Written behind: within a moment.
            server.until(lambda: stored(server), 5, "the subscription in the database")
            server.stop(signal.SIGKILL)
            server.start()
            util.wait_for(lambda: watcher.states()[-1] == "none", 8, "the lamp to go out after the restart")
            ann.hangup(), bob.hangup()
            ann.dial("102")
            watcher.wait("early")
            bob.answer()
            watcher.wait("confirmed")
            ann.hangup()
            watcher.wait("terminated")
            numbers = [int(v) for v in re.findall(r'version="(\d+)" state="full"', "".join(watcher.bodies()))]
            assert numbers == sorted(set(numbers)), numbers
            yield f"after SIGKILL in a call the lamp went out and followed the next call ({len(watcher.bodies()) - told} NOTIFYs)"


def stored(server):
    import sqlite3
    with sqlite3.connect(f"file:{server.data}/offhook.db?mode=ro", uri=True) as database:
        return database.execute("SELECT COUNT(*) FROM subscriptions").fetchone()[0]


if __name__ == "__main__":
    run([a_call, messages_for_who_subscribes, messages_for_who_does_not, presence, a_restart])
