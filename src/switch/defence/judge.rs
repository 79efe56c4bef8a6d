//! Faults and what follows from them: each is remembered for a while, and who has too many at once is banned.
//!
//! A ban needs proof that somebody is at that address: a connection, or an answer to a challenge that was sent there.
//! Without it, a source is silenced for a minute and nothing is kept. Where phones have logged in nobody is banned by
//! address: faults then count for the extension they are done in the name of.

use super::Defence;
use super::source::Source;
use crate::command::Command;
use crate::notice::Notice;
use crate::office::Office;
use crate::timers::Timer;
use directory::Ban;
use sip::Flow;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;
use std::time::Duration;

/// So long the faults that are too many would be remembered, made all at once.
const WINDOW: Duration = Duration::from_secs(600);
/// With them remembered this long they are: the first are forgotten a little while the last are made.
const TOO_MANY: Duration = Duration::from_secs(570);
/// What cannot be proven silences for so long at most.
const UNPROVEN: Duration = Duration::from_secs(60);

/// What a source may do wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// It bears the name of a program that looks for PBXs.
    Scanner,
    /// It was asked for a password. Phones are too, and then give it.
    Challenged,
    Malformed,
    WrongPassword,
    UnknownUser,
}

impl Fault {
    /// How many of them alone are too many.
    fn most(self, wrong_tries: u32) -> u32 {
        match self {
            Fault::Scanner => 2,
            Fault::Challenged => 500,
            Fault::Malformed => 20,
            Fault::WrongPassword | Fault::UnknownUser => wrong_tries,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Fault::Scanner => "it bears the name of a scanner",
            Fault::Challenged => "it asks without ever proving who it is",
            Fault::Malformed => "what it sends is no SIP",
            Fault::WrongPassword => "wrong passwords",
            Fault::UnknownUser => "users that do not exist",
        }
    }
}

/// A short mark of a challenge: whoever cannot read it where it was sent would have to guess it.
fn mark(nonce: &str) -> u32 {
    let mut hasher = DefaultHasher::new();
    nonce.hash(&mut hasher);
    (hasher.finish() as u32) | 1
}

/// What is done in the name of `extension` from `source`, as a table's key.
fn pair(source: Source, extension: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    (source, extension).hash(&mut hasher);
    hasher.finish()
}

/// A message that was heard could not be read.
pub(crate) fn malformed(office: &mut Office, flow: &Flow) {
    fault(office, flow, Fault::Malformed, flow.transport.reliable());
}

pub(super) fn scanned(office: &mut Office, flow: &Flow) {
    fault(office, flow, Fault::Scanner, flow.transport.reliable());
}

/// The sender of the message in hand is asked for a password with `nonce`.
pub(crate) fn challenged(office: &mut Office, nonce: &str) {
    let Some(flow) = office.hearing else {
        return;
    };
    let clock = office.defence.clock(office.now);
    let source = Source::of(flow.remote.ip());
    let entry = office.defence.sources.entry(source.key(), clock);
    entry.was_sent(mark(nonce));
    fault(office, &flow, Fault::Challenged, flow.transport.reliable());
}

/// The sender of the message in hand has the password of `extension`.
pub(crate) fn proved(office: &mut Office, extension: &str) {
    let Some(flow) = office.hearing else {
        return;
    };
    let Office { defence, now, .. } = office;
    let clock = defence.clock(*now);
    let source = Source::of(flow.remote.ip());
    defence.known.add(*now, flow.remote, extension);
    defence.sources.entry(source.key(), clock).forgive();
    defence
        .pairs
        .entry(pair(source, extension), clock)
        .forgive();
}

/// The sender of the message in hand gave a wrong password for `user`, who may not exist.
pub(crate) fn disproved(office: &mut Office, user: &str, nonce: &str, exists: bool) {
    let Some(flow) = office.hearing else {
        return;
    };
    let what = if exists {
        Fault::WrongPassword
    } else {
        Fault::UnknownUser
    };
    let source = Source::of(flow.remote.ip());
    let clock = office.defence.clock(office.now);
    if !office.defence.known.has_source(office.now, source) {
        let entry = office.defence.sources.entry(source.key(), clock);
        let proven = flow.transport.reliable() || entry.has_heard(mark(nonce));
        return fault(office, &flow, what, proven);
    }
    let weight = WINDOW / what.most(office.defence.settings.wrong_tries).max(1);
    let entry = office.defence.pairs.entry(pair(source, user), clock);
    if entry.fault(clock, weight, true).0 >= TOO_MANY {
        entry.forgive();
        ban(office, flow.remote.ip(), Some(user), (what, true));
    }
}

/// Whether what the message in hand says in the name of `user` is not even looked at. A phone of that very user is.
pub(crate) fn is_locked(office: &Office, user: &str) -> bool {
    let defence = &office.defence;
    let Some(flow) = office.hearing.filter(|_| !defence.bans.is_empty()) else {
        return false;
    };
    let last = defence.bans.last(Source::of(flow.remote.ip()), Some(user));
    last.is_some_and(|ban| ban.holds(office.wall(office.now)))
        && !defence.known.is_of(office.now, flow.remote, user)
}

fn fault(office: &mut Office, flow: &Flow, what: Fault, proven: bool) {
    let address = flow.remote.ip();
    let source = Source::of(address);
    if office.defence.known.has_source(office.now, source) {
        return;
    }
    let weight = WINDOW / what.most(office.defence.settings.wrong_tries).max(1);
    let clock = office.defence.clock(office.now);
    let entry = office.defence.sources.entry(source.key(), clock);
    let (all, of_proven) = entry.fault(clock, weight, proven);
    if of_proven >= TOO_MANY {
        entry.forgive();
        ban(office, address, None, (what, true));
    } else if all >= TOO_MANY {
        entry.start_over();
        ban(office, address, None, (what, false));
    }
}

/// Bans a source, or what it says in an extension's name.
fn ban(office: &mut Office, address: IpAddr, extension: Option<&str>, why: (Fault, bool)) {
    let (what, proven) = why;
    let first = Duration::from_secs(office.defence.settings.ban_s);
    if first.is_zero() || office.defence.allows(address) || office.trunks.has_address(address) {
        return;
    }
    let (source, now_ms) = (Source::of(address), office.wall(office.now));
    let last = office.defence.bans.last(source, extension);
    let last = last.filter(|ban| !ban.by_hand && ban.is_remembered(now_ms));
    let before = last.map_or(0, |ban| ban.times);
    let longest = Duration::from_secs(office.defence.settings.longest_ban_s).max(first);
    // Who mends the password of a phone is not to wait for days: guessing is slow enough by then.
    let (times, length) = match (proven, extension) {
        (false, _) => (before, first.min(UNPROVEN)),
        (true, Some(_)) => (before + 1, first),
        (true, None) => {
            let length = first.saturating_mul(1 << before.min(20));
            (before + 1, length.min(longest))
        }
    };
    let length_ms = i64::try_from(length.as_millis()).unwrap_or(i64::MAX);
    office.defence.bans_made = office.defence.bans_made.wrapping_add(1);
    let ban = Ban {
        id: Ban::id_of(now_ms, office.defence.bans_made & 0x7_ffff),
        network: source.to_string(),
        extension: extension.map(str::to_owned),
        reason: what.words().to_owned(),
        by_hand: false,
        times,
        since_ms: now_ms,
        until_ms: Some(now_ms.saturating_add(length_ms)),
    };
    add(office, ban);
}

/// An administrator's ban.
pub(crate) fn add_by_hand(office: &mut Office, ban: Ban) {
    add(office, ban);
}

fn add(office: &mut Office, ban: Ban) {
    let now_ms = office.wall(office.now);
    let gone = office.defence.bans.add(ban.clone(), now_ms);
    for old in gone {
        drop_ban(office, old);
    }
    // What was never proven is of the moment.
    if ban.by_hand || ban.times > 0 {
        office.out.push_back(Command::KeepBan(ban.clone()));
    }
    office.tell(Notice::Banned(ban));
    rearm(office);
}

fn drop_ban(office: &mut Office, ban: Ban) {
    if ban.by_hand || ban.times > 0 {
        let id = ban.id.clone();
        office.out.push_back(Command::DropBan { id });
    }
    office.tell(Notice::BanLifted { id: ban.id });
}

/// An administrator lifts a ban: as if it had never been.
pub(crate) fn lift(office: &mut Office, id: &str) {
    if let Some(ban) = office.defence.bans.remove(id) {
        drop_ban(office, ban);
        rearm(office);
    }
}

/// The bans of an earlier run.
pub(crate) fn restore(office: &mut Office, bans: Vec<Ban>) {
    let now_ms = office.wall(office.now);
    for ban in bans {
        if !ban.is_remembered(now_ms) {
            office.out.push_back(Command::DropBan { id: ban.id });
            continue;
        }
        let told = ban.clone();
        for old in office.defence.bans.add(ban, now_ms) {
            office.out.push_back(Command::DropBan { id: old.id });
        }
        if told.holds(now_ms) {
            office.tell(Notice::Banned(told));
        }
    }
    rearm(office);
}

/// Some bans are over.
pub(crate) fn sweep(office: &mut Office) {
    let now_ms = office.wall(office.now);
    for id in office.defence.bans.over(now_ms) {
        office.tell(Notice::BanLifted { id });
    }
    for ban in office.defence.bans.forgotten(now_ms) {
        if ban.by_hand || ban.times > 0 {
            office.out.push_back(Command::DropBan { id: ban.id });
        }
    }
    rearm(office);
}

fn rearm(office: &mut Office) {
    office.timers.cancel(office.defence.timer.take());
    let next_ms = office.defence.bans.next_ms();
    let left = next_ms.map(|next| next.saturating_sub(office.wall(office.now)).max(0));
    let timer = left.map(|ms| office.arm(Duration::from_millis(ms.unsigned_abs()), Timer::Bans));
    office.defence.timer = timer;
}

impl Defence {
    /// The phones of an earlier run are no strangers.
    pub(crate) fn expect(&mut self, now: std::time::Instant, source: &str, extension: &str) {
        if let Ok(remote) = source.parse() {
            self.known.add(now, remote, extension);
        }
    }
}
