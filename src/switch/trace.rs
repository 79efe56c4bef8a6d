//! The SIP trace: which call a message belongs to, by its Call-ID. What is done with it is not decided here: each is a
//! command on its way out, its bytes shared, and nothing of it is kept but a count.

use crate::command::Command;
use crate::event::CallId;
use crate::office::Office;
use bytes::Bytes;
use directory::Traced;
use memchr::memchr;
use sip::{DialogId, Flow};
use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hasher};
use std::time::{Duration, Instant};

/// Most messages and octets kept of one call.
const MESSAGES: u32 = 500;
const OCTETS: usize = 512 << 10;
/// How long after the end of a dialog its repeats are still known: 64·T1 and a little.
const LINGER: Duration = Duration::from_secs(40);
/// Most dialogs that are known.
const DIALOGS: usize = 60_000;
/// Messages remembered that are no call's yet: a call begins with what was said before it was one, such as a challenge.
const BEFORE: usize = 128;

/// What ties a Call-ID to a call.
struct Thread {
    dialog: DialogId,
    /// The call it began in: there its messages are counted.
    counted: CallId,
    /// Where the dialog sat last; a transfer moves it to another call.
    seat: (CallId, usize),
}

/// What was kept of a call.
#[derive(Default)]
struct Amount {
    messages: u32,
    octets: usize,
    dialogs: u32,
}

/// A message that is no call's yet.
struct Before {
    thread: u64,
    at: Instant,
    inward: bool,
    flow: Flow,
    bytes: Bytes,
}

pub(crate) struct Trace {
    enabled: bool,
    hasher: DefaultHasher,
    threads: HashMap<u64, Thread>,
    by_dialog: HashMap<DialogId, u64>,
    amounts: HashMap<CallId, Amount>,
    over: VecDeque<(Instant, u64)>,
    before: VecDeque<Before>,
}

impl Trace {
    pub(crate) fn new(enabled: bool, seed: &[u8; 32]) -> Trace {
        let mut hasher = DefaultHasher::new();
        hasher.write(seed);
        Trace {
            enabled,
            hasher,
            threads: HashMap::new(),
            by_dialog: HashMap::new(),
            amounts: HashMap::new(),
            over: VecDeque::new(),
            before: VecDeque::new(),
        }
    }

    fn thread(&self, call_id: &[u8]) -> u64 {
        let mut hasher = self.hasher.clone();
        hasher.write(call_id);
        hasher.finish()
    }

    /// Forgets the dialogs that ended long ago.
    fn prune(&mut self, now: Instant) {
        while let Some((at, thread)) = self.over.front().copied() {
            if now < at + LINGER && self.threads.len() < DIALOGS {
                return;
            }
            self.over.pop_front();
            // A transfer may have seated it elsewhere since.
            let Some(Thread { counted, .. }) = self.threads.remove(&thread) else {
                continue;
            };
            if let Some(amount) = self.amounts.get_mut(&counted) {
                amount.dialogs -= 1;
                if amount.dialogs == 0 {
                    self.amounts.remove(&counted);
                }
            }
        }
    }

    /// Whether one more message of `call` is kept; `None`: it is the first that is not.
    fn counts(&mut self, call: CallId, octets: usize) -> Option<bool> {
        let Some(amount) = self.amounts.get_mut(&call) else {
            return Some(false);
        };
        if amount.messages > MESSAGES {
            return Some(false);
        }
        amount.messages += 1;
        amount.octets += octets;
        if amount.messages > MESSAGES || amount.octets > OCTETS {
            amount.messages = MESSAGES + 1;
            return None;
        }
        Some(true)
    }
}

/// A message came or goes.
pub(crate) fn note(office: &mut Office, inward: bool, flow: &Flow, bytes: &Bytes) {
    if !office.trace.enabled {
        return;
    }
    let Some(call_id) = call_id(bytes) else {
        return;
    };
    let thread = office.trace.thread(call_id);
    let message = Before {
        thread,
        at: office.now,
        inward,
        flow: *flow,
        bytes: bytes.clone(),
    };
    let Some(known) = office.trace.threads.get_mut(&thread) else {
        if office.trace.before.len() >= BEFORE {
            office.trace.before.pop_front();
        }
        return office.trace.before.push_back(message);
    };
    let counted = known.counted;
    let seat = office.dialogs.get(&known.dialog).copied();
    let seat = seat.unwrap_or(known.seat);
    known.seat = seat;
    keep(office, counted, seat, message);
}

/// A dialog has its seat in a call: what was said in it belongs to the call, and what will be.
pub(crate) fn begin(office: &mut Office, dialog: DialogId) {
    if !office.trace.enabled {
        return;
    }
    let (Some(seat), Some(call_id)) = (
        office.dialogs.get(&dialog).copied(),
        office.sip.call_id(dialog),
    ) else {
        return;
    };
    let now = office.now;
    let thread = office.trace.thread(call_id.as_bytes());
    let trace = &mut office.trace;
    trace.prune(now);
    if trace.threads.len() >= DIALOGS || trace.threads.contains_key(&thread) {
        return;
    }
    let counted = seat.0;
    trace.threads.insert(
        thread,
        Thread {
            dialog,
            counted,
            seat,
        },
    );
    trace.by_dialog.insert(dialog, thread);
    trace.amounts.entry(seat.0).or_default().dialogs += 1;
    // The newest first: those are at the end, where taking them out moves little.
    let places = trace.before.iter().enumerate().rev();
    let mine = places.filter(|(_, message)| message.thread == thread);
    let mine: Vec<usize> = mine.map(|(place, _)| place).collect();
    let mine: Vec<Before> = mine
        .into_iter()
        .filter_map(|place| trace.before.remove(place))
        .collect();
    for message in mine.into_iter().rev() {
        keep(office, counted, seat, message);
    }
}

/// The dialog is over; repeats may still come.
pub(crate) fn ended(office: &mut Office, dialog: DialogId) {
    let trace = &mut office.trace;
    let Some(thread) = trace.by_dialog.remove(&dialog) else {
        return;
    };
    if let (Some(known), Some(seat)) = (trace.threads.get_mut(&thread), office.dialogs.get(&dialog))
    {
        known.seat = *seat;
    }
    trace.over.push_back((office.now, thread));
}

fn keep(office: &mut Office, counted: CallId, seat: (CallId, usize), message: Before) {
    let (call, leg) = seat;
    let bytes = match office.trace.counts(counted, message.bytes.len()) {
        Some(true) => message.bytes,
        Some(false) => return,
        None => Bytes::new(),
    };
    let since = message
        .at
        .saturating_duration_since(office.config.origin)
        .as_micros();
    let origin_us = office.config.origin_unix_ms.saturating_mul(1_000);
    office.out.push_back(Command::Trace(Traced {
        call: call.0,
        leg: u8::try_from(leg).ok(),
        at_us: origin_us.saturating_add(i64::try_from(since).unwrap_or(i64::MAX)),
        inward: message.inward,
        transport: message.flow.transport.as_str().into(),
        local: message.flow.local,
        remote: message.flow.remote,
        bytes,
    }));
}

/// The value of the Call-ID header (RFC 3261 §20.8), without the space around it.
fn call_id(message: &[u8]) -> Option<&[u8]> {
    let mut rest = message;
    while let Some(end) = memchr(b'\n', rest) {
        let (line, more) = rest.split_at(end + 1);
        rest = more;
        let value = match line {
            [b'\r', b'\n'] | [b'\n'] => return None,
            [b'i' | b'I', b':' | b' ' | b'\t', ..] => line.get(1..)?,
            [b'c' | b'C', b'a' | b'A', ..] if starts_with(line, b"call-id") => line.get(7..)?,
            _ => continue,
        };
        return value
            .trim_ascii()
            .strip_prefix(b":")
            .map(<[u8]>::trim_ascii);
    }
    None
}

fn starts_with(line: &[u8], name: &[u8]) -> bool {
    line.get(..name.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dialog_that_moved_is_counted_where_it_began() {
        let mut trace = Trace::new(true, &[0; 32]);
        let (began, sits) = (CallId(1), CallId(2));
        for (thread, counted) in [(1, began), (2, sits)] {
            let known = Thread {
                dialog: DialogId(thread),
                counted,
                seat: (sits, 0),
            };
            trace.threads.insert(thread, known);
            trace.amounts.entry(counted).or_default().dialogs += 1;
        }
        let now = Instant::now();
        trace.over.push_back((now, 1));
        trace.prune(now + LINGER);
        assert!(!trace.amounts.contains_key(&began));
        assert_eq!(trace.counts(sits, 10), Some(true));
        // What nobody counts is not kept, nor said to be the first that is not.
        assert_eq!(trace.counts(began, 10), Some(false));
        trace.over.push_back((now, 2));
        trace.prune(now + LINGER);
        assert!(trace.amounts.is_empty());
    }

    #[test]
    fn a_call_id_is_found_however_it_is_written() {
        for text in [
            "INVITE sip:x SIP/2.0\r\nVia: x\r\nCall-ID: a@b\r\n\r\n",
            "SIP/2.0 200 OK\r\nCALL-id  : a@b \r\n\r\n",
            "SIP/2.0 200 OK\ni:a@b\n\n",
        ] {
            assert_eq!(call_id(text.as_bytes()), Some(&b"a@b"[..]), "{text}");
        }
        for text in [
            "INVITE sip:x SIP/2.0\r\n\r\nCall-ID: a@b\r\n",
            "Call-ID",
            "Call-IDs: x\r\n",
            "Call-Info: x\r\n",
            "",
        ] {
            assert_eq!(call_id(text.as_bytes()), None, "{text}");
        }
    }
}
