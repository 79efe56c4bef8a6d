//! Broken, shuffled and invented messages into one endpoint that has calls of its own: no panic, bounded tables, and
//! nothing left in the end.

#![expect(
    clippy::disallowed_methods,
    reason = "virtual time begins at some time"
)]

mod wire;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use bytes::Bytes;
use sip::{Ask, Config, DialogId, Endpoint, Output, SipEvent, Transport};
use wire::{SDP, call, flow, inside, invite, request};

fn roll(state: &mut u64, sides: usize) -> usize {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    (state.wrapping_mul(0x2545_f491_4f6c_dd1d) % sides as u64) as usize
}

fn wired(text: &str) -> Vec<u8> {
    let head = text.replace('\n', "\r\n");
    format!(
        "{head}\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{SDP}",
        SDP.len()
    )
    .into_bytes()
}

/// Answers whatever we sent, sometimes with rubbish tags, so that calls go far before they break.
fn response(sent: &[u8], dice: &mut u64) -> Vec<u8> {
    let text = String::from_utf8_lossy(sent);
    let status = [100, 180, 183, 200, 200, 401, 422, 481, 486, 491, 503][roll(dice, 11)];
    let mut lines = vec![format!("SIP/2.0 {status} X")];
    for line in text.lines().skip(1).take_while(|line| !line.is_empty()) {
        let name = line.split(':').next().unwrap_or_default();
        if name == "To" && !line.contains("tag=") {
            lines.push(format!("{line};tag=f{}", roll(dice, 12)));
        } else if ["Via", "From", "To", "Call-ID", "CSeq"].contains(&name) {
            lines.push(line.to_owned());
        }
    }
    lines.push("Contact: <sip:x@192.0.2.9>".to_owned());
    let more = [
        "Allow: INVITE, PRACK, UPDATE",
        "Session-Expires: 90;refresher=uac",
        "Session-Expires: 30;refresher=uas",
        "Min-SE: 2000",
        "Retry-After: 1",
    ];
    lines.push(more[roll(dice, more.len())].to_owned());
    if roll(dice, 2) == 0 {
        lines.push(format!("Require: 100rel\nRSeq: {}", 1 + roll(dice, 4)));
    }
    wired(&lines.join("\n"))
}

/// Does something, sensible or not, with whatever was told.
fn react(endpoint: &mut Endpoint, now: Instant, event: &SipEvent, dice: &mut u64) {
    let (SipEvent::Incoming { dialog, .. }
    | SipEvent::Answered { dialog, .. }
    | SipEvent::Ringing { dialog, .. }
    | SipEvent::Confirmed { dialog, .. }
    | SipEvent::Pracked { dialog, .. }
    | SipEvent::Inside { dialog, .. }
    | SipEvent::Reoffered { dialog, .. }) = *event
    else {
        return;
    };
    if let SipEvent::Inside { transaction, .. } = *event {
        endpoint.respond(now, transaction, 202, &[]);
    }
    let who = ("P-Asserted-Identity", "<sip:300@192.0.2.1>".to_owned());
    match roll(dice, 12) {
        0 => endpoint.refuse(now, dialog, 486, &[]),
        1 => endpoint.bye(now, dialog, None),
        2 => endpoint.reinvite(now, dialog, SDP.as_bytes(), &[]),
        3 => endpoint.accept_reoffer(now, dialog, SDP.as_bytes()),
        4 => endpoint.refuse_reoffer(now, dialog, 488),
        5 => endpoint.ring(now, dialog, 183, None, &[]),
        6 => endpoint.cancel(now, dialog, None),
        7 => endpoint.identify(now, dialog, &[who]),
        8 => endpoint.ring(now, dialog, 183, Some(SDP.as_bytes()), &[who]),
        9 => {
            let method = ["NOTIFY", "INFO", "PRACK"][roll(dice, 3)].to_owned();
            let (headers, body) = (Vec::new(), None);
            let ask = Ask {
                method,
                headers,
                body,
            };
            endpoint.ask(now, dialog, ask);
        }
        _ => endpoint.answer(now, dialog, SDP.as_bytes(), &[]),
    }
}

/// A request of the peer in the dialog that we last said something in: its tags fit, what it asks may not.
fn inside_ours(sent: &[u8], branch: &str, cseq: u32, dice: &mut u64) -> Vec<u8> {
    let text = String::from_utf8_lossy(sent);
    let value = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.split_once(": "))
            .map_or("", |(_, value)| value)
    };
    let (mut from, mut to) = (value("From: "), value("To: "));
    if !text.starts_with("SIP/2.0") {
        std::mem::swap(&mut from, &mut to);
    }
    let methods = [
        "PRACK", "PRACK", "UPDATE", "INVITE", "REFER", "ACK", "BYE", "INFO",
    ];
    let method = methods[roll(dice, methods.len())];
    let rseq = value("RSeq: ");
    wired(&format!(
        "{method} sip:us@192.0.2.1 SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.9;branch={branch}\nFrom: {from}\nTo: {to}\n\
         Call-ID: {}\nCSeq: {cseq} {method}\nContact: <sip:x@192.0.2.9>\nRAck: {rseq} {} INVITE\n\
         Supported: timer\nSession-Expires: {}",
        value("Call-ID: "),
        value("CSeq: ").split(' ').next().unwrap_or_default(),
        60 + roll(dice, 60),
    ))
}

/// One message of the peer, sensible or an echo of ours.
fn message(n: usize, sent: &mut Vec<Vec<u8>>, dice: &mut u64) -> Vec<u8> {
    let branch = format!("z9hG4bK{}", roll(dice, 4000));
    let tag = format!("{}", roll(dice, 3));
    let cseq = roll(dice, 50) as u32;
    let us = "<sip:200@192.0.2.1>";
    let which = roll(dice, if sent.is_empty() { 5 } else { 9 });
    let at = roll(dice, sent.len().max(1));
    match which {
        0 | 1 => {
            let more = ["X: 1", "Supported: 100rel, timer\nAllow: UPDATE"][roll(dice, 2)];
            let text = format!("{}\n{more}", invite(&branch, cseq));
            wired(&text.replace("call-1", &format!("call-{n}")))
        }
        2 => wired(&inside("BYE", &branch, cseq, &tag)),
        3 => wired(&request("CANCEL", &branch, cseq, us)),
        4 => wired(&request("REGISTER", &branch, cseq, us)),
        6 => inside_ours(&sent[at], &branch, cseq, dice),
        // What we said, back at us: tags and branches fit.
        5 => sent.swap_remove(at),
        _ => response(&sent[at], dice),
    }
}

fn damage(bytes: &mut Vec<u8>, dice: &mut u64) {
    for _ in 0..=roll(dice, 4) {
        let at = roll(dice, bytes.len());
        match roll(dice, 3) {
            0 => bytes[at] = roll(dice, 256) as u8,
            1 => bytes.truncate(at.max(1)),
            _ => bytes.insert(at, b"\r\n;,<>\"=:\0 "[roll(dice, 11)]),
        }
    }
}

#[derive(Default)]
struct Ears {
    sent: Vec<Vec<u8>>,
    dialogs: BTreeSet<DialogId>,
    ended: usize,
}

impl Ears {
    /// Hears everything; reacts when there are dice.
    fn hear(&mut self, endpoint: &mut Endpoint, now: Instant, mut dice: Option<&mut u64>) {
        while let Some(output) = endpoint.poll() {
            match output {
                Output::Send { bytes, .. } if self.sent.len() < 300 => {
                    self.sent.push(bytes.to_vec())
                }
                Output::Send { .. } => {}
                Output::Event(event) => {
                    if let SipEvent::Incoming { dialog, .. } = &event {
                        self.dialogs.insert(*dialog);
                    }
                    self.ended += usize::from(matches!(event, SipEvent::Ended { .. }));
                    if let Some(dice) = dice.as_deref_mut() {
                        react(endpoint, now, &event, dice);
                    }
                }
            }
        }
    }
}

#[test]
fn noise_neither_breaks_nor_fills_an_endpoint() {
    let mut endpoint = Endpoint::new(Config {
        max_transactions: 500,
        max_dialogs: 200,
        ..Config::default()
    });
    let mut now = Instant::now();
    let mut dice = 42;
    let mut ears = Ears::default();
    for n in 0..30_000usize {
        let mut bytes = message(n, &mut ears.sent, &mut dice);
        if roll(&mut dice, 3) == 0 {
            damage(&mut bytes, &mut dice);
        }
        if n % 20 == 0 {
            ears.dialogs
                .insert(endpoint.invite(now, call(Transport::Udp)));
        }
        endpoint.receive(now, flow(Transport::Udp), Bytes::from(bytes));
        now += Duration::from_millis(roll(&mut dice, 300) as u64);
        endpoint.expire(now);
        ears.hear(&mut endpoint, now, Some(&mut dice));
        let (transactions, live) = endpoint.sizes();
        assert!(live <= 200 && transactions <= 1500, "{transactions} {live}");
    }
    for dialog in &ears.dialogs {
        endpoint.bye(now, *dialog, None);
    }
    while let Some(next) = endpoint.deadline() {
        endpoint.expire(next);
        ears.hear(&mut endpoint, next, None);
    }
    assert_eq!(endpoint.sizes(), (0, 0));
    assert_eq!(ears.ended, ears.dialogs.len());
    assert!(ears.dialogs.len() > 1000, "{}", ears.dialogs.len());
}
