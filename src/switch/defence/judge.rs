//! Faults and what follows from them: each is remembered for a while, and who has too many at once is banned.
//!
//! A ban needs proof that somebody is at that address: a connection, or an answer to a challenge that was sent there.
//! Without it, a source is silenced for a minute, `mod.rs` says for whom, and nothing is kept or told. Where phones have
//! logged in nobody is banned by address: proven faults then count for the extension they are done in the name of, and
//! who has too many is looked at seldom, but looked at: the right password wins.

use super::source::Source;
use super::table::{Rate, micros};
use super::{Defence, of_flow};
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
/// What cannot be proven silences for so long at most.
const UNPROVEN: Duration = Duration::from_secs(60);
/// Of what is said in a locked extension's name each flow is looked at once in so long,
const TRIES_OF_FLOW: Rate = Rate::one_in(Duration::from_secs(5), Duration::ZERO);
/// and all flows of a source together no more often than this.
const TRIES_OF_PAIR: Rate = Rate::one_in(Duration::from_millis(100), Duration::from_secs(1));
/// Bans that are over are looked for no more often.
const SWEEP: Duration = Duration::from_secs(1);

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

    /// How long one of them is remembered. Who gives a wrong password was challenged before: that counts already.
    fn weight(self, wrong_tries: u32) -> Duration {
        let alone = WINDOW / self.most(wrong_tries).max(1);
        match self {
            Fault::Scanner | Fault::Challenged | Fault::Malformed => alone,
            Fault::WrongPassword | Fault::UnknownUser => {
                alone.saturating_sub(Fault::Challenged.weight(wrong_tries))
            }
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

/// What may be done in a name that was guessed at too often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    /// Look at the credentials.
    Well,
    /// They are over a nonce that was not sent there: first a new one.
    AskAgain,
    /// Not now.
    Refuse,
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

/// The sender of the message in hand is asked for a password.
pub(crate) fn challenged(office: &mut Office) {
    if let Some(flow) = office.hearing {
        fault(office, &flow, Fault::Challenged, flow.transport.reliable());
    }
}

/// Whether whoever answers `nonce` is where the flow says.
fn is_there(office: &Office, flow: &Flow, nonce: &str) -> bool {
    flow.transport.reliable() || office.nonces.was_sent_to(office.now, nonce, flow.remote)
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
    let proven = is_there(office, &flow, nonce);
    let source = Source::of(flow.remote.ip());
    if !office.defence.known.has_source(office.now, source) {
        return fault(office, &flow, what, proven);
    }
    // Anybody can write the address of phones; and a name that nobody has needs no protection.
    if !proven || !exists {
        return;
    }
    let clock = office.defence.clock(office.now);
    let weight = what.weight(office.defence.settings.wrong_tries);
    let entry = office.defence.pairs.entry(pair(source, user), clock);
    if entry.fault(clock, weight, true).0 > WINDOW.saturating_sub(weight) {
        entry.forgive();
        ban(office, flow.remote.ip(), Some(user), what);
    }
}

/// Whether the credentials of the message in hand are looked at, which are `user`'s and answer `nonce`. Those of a phone
/// of that very user always are.
pub(crate) fn look(office: &mut Office, user: &str, nonce: &str) -> Look {
    let locking = !office.defence.bans.is_empty();
    let Some(flow) = office.hearing.filter(|_| locking) else {
        return Look::Well;
    };
    let source = Source::of(flow.remote.ip());
    let last = office.defence.bans.last(source, Some(user));
    let locked = last.is_some_and(|ban| ban.holds(office.wall(office.now)));
    if !locked || office.defence.known.is_of(office.now, flow.remote, user) {
        return Look::Well;
    }
    if !is_there(office, &flow, nonce) {
        return Look::AskAgain;
    }
    let defence = &mut office.defence;
    let (clock, pair) = (defence.clock(office.now), pair(source, user));
    let of_flow = of_flow(pair, flow.remote.port());
    let mine = defence
        .pairs
        .entry(of_flow, clock)
        .take(TRIES_OF_FLOW, clock);
    if mine && defence.pairs.entry(pair, clock).take(TRIES_OF_PAIR, clock) {
        Look::Well
    } else {
        Look::Refuse
    }
}

fn fault(office: &mut Office, flow: &Flow, what: Fault, proven: bool) {
    let address = flow.remote.ip();
    let source = Source::of(address);
    if office.defence.known.has_source(office.now, source) {
        return;
    }
    let clock = office.defence.clock(office.now);
    let settings = &office.defence.settings;
    let weight = what.weight(settings.wrong_tries);
    let silence = Duration::from_secs(settings.ban_s).min(UNPROVEN);
    let entry = office.defence.sources.entry(source.key(), clock);
    let (all, of_proven) = entry.fault(clock, weight, proven);
    let too_many = WINDOW.saturating_sub(weight);
    if of_proven > too_many {
        entry.forgive();
        ban(office, address, None, what);
    } else if all > too_many {
        entry.silence(clock + micros(silence));
    }
}

/// Bans a source, or what it says in an extension's name.
fn ban(office: &mut Office, address: IpAddr, extension: Option<&str>, what: Fault) {
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
    let length = match extension {
        Some(_) => first,
        None => first.saturating_mul(1 << before.min(20)).min(longest),
    };
    let length_ms = i64::try_from(length.as_millis()).unwrap_or(i64::MAX);
    office.defence.bans_made = office.defence.bans_made.wrapping_add(1);
    let ban = Ban {
        id: Ban::id_of(now_ms, office.defence.bans_made & 0x7_ffff),
        network: source.to_string(),
        extension: extension.map(str::to_owned),
        reason: what.words().to_owned(),
        by_hand: false,
        times: before + 1,
        since_ms: now_ms,
        until_ms: Some(now_ms.saturating_add(length_ms)),
    };
    add(office, ban);
    if let Some(flow) = office.hearing.filter(|_| extension.is_none()) {
        hang_up(office, &flow);
    }
}

/// Whom nobody listens to needs no connection.
pub(super) fn hang_up(office: &mut Office, flow: &Flow) {
    if flow.transport.reliable() {
        office.out.push_back(Command::Close { flow: *flow });
    }
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
    office.out.push_back(Command::KeepBan(ban.clone()));
    office.tell(Notice::Banned(ban));
    rearm(office);
}

fn drop_ban(office: &mut Office, ban: Ban) {
    let id = ban.id.clone();
    office.out.push_back(Command::DropBan { id });
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
    let over = office.defence.bans.over(now_ms);
    let forgotten = office.defence.bans.forgotten(&over, now_ms);
    for id in over {
        office.tell(Notice::BanLifted { id });
    }
    for ban in forgotten {
        office.out.push_back(Command::DropBan { id: ban.id });
    }
    rearm(office);
}

fn rearm(office: &mut Office) {
    office.timers.cancel(office.defence.timer.take());
    let next_ms = office.defence.bans.next_ms();
    let left = next_ms.map(|next| next.saturating_sub(office.wall(office.now)).max(0));
    let left = left.map(|ms| Duration::from_millis(ms.unsigned_abs()).max(SWEEP));
    let timer = left.map(|left| office.arm(left, Timer::Bans));
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
