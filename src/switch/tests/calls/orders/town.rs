//! Four phones and a provider around a Switch, whose messages arrive in whatever order chance picks.

use super::puppet::{Puppet, Stage};
use crate::world::{World, extension, trunk};
use bytes::Bytes;
use directory::{CallRecord, Directory};
use sip::{Flow, Transport};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use switch::{
    CallId, Command, DialOptions, Entry, Event, Notice, Outcome, ScriptEnd, SessionInfo, Switch,
    TargetSpec, Verb,
};

pub(super) const NUMBERS: [&str; 4] = ["101", "102", "103", "104"];
const TRUNK: &str = "line";

struct Letter {
    inward: bool,
    address: SocketAddr,
    text: String,
}

pub(super) struct Town {
    pub(super) switch: Switch,
    now: Instant,
    pub(super) puppets: Vec<Puppet>,
    post: Vec<Letter>,
    pub(super) records: Vec<CallRecord>,
    /// Media streams that are open.
    streams: BTreeSet<media::StreamId>,
    /// Calls that were heard of.
    pub(super) calls: BTreeSet<CallId>,
    pub(super) faults: Vec<String>,
    random: u64,
    /// Per cent of the letters that are lost.
    pub(super) lost: usize,
    /// Whether the diary is kept.
    pub(super) tells: bool,
    /// What happened, for whoever has to find out why.
    pub(super) diary: Vec<String>,
}

impl Town {
    pub(super) fn new(seed: u64) -> Town {
        let world = World::with_config(&[], &[TRUNK], seed, |config| {
            config.nat_keepalive = Duration::ZERO;
        });
        let mut line = trunk(TRUNK, 0);
        for number in NUMBERS {
            line.numbers
                .insert(format!("+49{number}"), number.to_owned());
        }
        let mut puppets: Vec<Puppet> = (1u8..)
            .zip(NUMBERS)
            .map(|(n, number)| Puppet::new(number, SocketAddr::from(([10, 0, 0, n], 5060))))
            .collect();
        puppets.push(Puppet::new(TRUNK, SocketAddr::from(([10, 1, 0, 1], 5060))));
        let mut town = Town {
            switch: world.switch,
            now: world.now,
            puppets,
            post: Vec::new(),
            records: Vec::new(),
            streams: BTreeSet::new(),
            calls: BTreeSet::new(),
            faults: Vec::new(),
            random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            lost: 0,
            tells: false,
            diary: Vec::new(),
        };
        let extensions = NUMBERS.map(extension).to_vec();
        let directory = Directory::new(extensions, vec![(line, None)]);
        town.give(Event::Directory(Arc::new(directory)));
        for puppet in town.puppets.iter_mut().take(NUMBERS.len()) {
            puppet.registers();
        }
        town.settles(2_000);
        town
    }

    /// 0 to `sides` - 1.
    pub(super) fn roll(&mut self, sides: usize) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        usize::try_from(self.random % sides.max(1) as u64).unwrap_or_default()
    }

    fn write(&mut self, line: impl FnOnce() -> String) {
        if self.tells {
            self.diary.push(line());
        }
    }

    pub(super) fn give(&mut self, event: Event) {
        self.switch.handle(self.now, event);
        self.carry_out();
    }

    fn carry_out(&mut self) {
        let mut events = Vec::new();
        while let Some(command) = self.switch.poll() {
            match command {
                Command::Send { flow, bytes } => self.post.push(Letter {
                    inward: false,
                    address: flow.remote,
                    text: String::from_utf8_lossy(&bytes).into_owned(),
                }),
                Command::StartScript {
                    call,
                    entry,
                    session,
                } => {
                    let verb = dial(entry, *session);
                    events.push(Event::Verb { call, verb });
                }
                Command::Resume { call, outcome } => events.push(after(call, outcome)),
                Command::StopScript { call } => events.push(Event::ScriptEnded {
                    call,
                    end: ScriptEnd::Stopped,
                }),
                Command::Media(media::Command::Open { stream, .. }) => {
                    self.streams.insert(stream);
                }
                Command::Media(media::Command::Close { stream }) => {
                    self.streams.remove(&stream);
                    let stats = Box::default();
                    events.push(Event::Media(media::Event::Closed { stream, stats }));
                }
                Command::Resolve { query, host, .. } => {
                    let ip = host.parse().expect("the trunk's address");
                    let flows = vec![flow(SocketAddr::new(ip, 5060))];
                    events.push(Event::Resolved { query, flows });
                }
                Command::Record(record) => self.records.push(*record),
                Command::Notice(Notice::Call(call)) => {
                    self.calls.insert(call.call);
                }
                Command::Notice(notice @ Notice::Panicked { .. }) => {
                    self.faults.push(format!("{notice:?}"));
                }
                _ => {}
            }
        }
        for event in events {
            self.give(event);
        }
    }

    /// Takes what the puppets have said.
    fn collect(&mut self) {
        for puppet in &mut self.puppets {
            let address = puppet.address;
            self.post.extend(puppet.out.drain(..).map(|text| Letter {
                inward: true,
                address,
                text,
            }));
        }
    }

    /// One letter arrives or is lost: any of them, when there is one.
    pub(super) fn delivers(&mut self) {
        self.collect();
        if self.post.is_empty() {
            return;
        }
        // Mostly the oldest, for else nothing ever gets anywhere.
        let at = if self.roll(4) == 0 {
            self.roll(self.post.len())
        } else {
            0
        };
        let letter = self.post.remove(at);
        if self.roll(100) < self.lost {
            return self.write(|| format!("lost: {}", first_line(&letter.text)));
        }
        self.arrives(letter);
    }

    fn arrives(&mut self, letter: Letter) {
        self.write(|| {
            let way = if letter.inward { "->" } else { "<-" };
            format!("{} {way} {}", letter.address.ip(), first_line(&letter.text))
        });
        if letter.inward {
            self.give(Event::Sip {
                flow: flow(letter.address),
                bytes: Bytes::from(letter.text),
            });
        } else if let Some(puppet) = self
            .puppets
            .iter_mut()
            .find(|p| p.address == letter.address)
        {
            puppet.hears(&letter.text);
        }
    }

    /// Time goes by; what is on its way stays there.
    pub(super) fn passes(&mut self, ms: u64) {
        let end = self.now + Duration::from_millis(ms);
        while let Some(at) = self.switch.deadline().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.switch.expire(self.now);
            self.carry_out();
        }
        self.now = end;
    }

    /// Time goes by and everything arrives, in order and nothing lost.
    pub(super) fn settles(&mut self, ms: u64) {
        let end = self.now + Duration::from_millis(ms);
        loop {
            self.collect();
            if !self.post.is_empty() {
                let letter = self.post.remove(0);
                self.arrives(letter);
                continue;
            }
            let Some(at) = self.switch.deadline().filter(|at| *at <= end) else {
                break;
            };
            self.now = self.now.max(at);
            self.switch.expire(self.now);
            self.carry_out();
        }
        self.now = end;
    }

    /// Nobody says a word any more: whoever is thought to be talking is asked.
    pub(super) fn is_silent(&mut self) {
        for stream in self.streams.clone() {
            let for_ms = 15_000;
            self.give(Event::Media(media::Event::Silent { stream, for_ms }));
        }
    }

    /// Everybody ends everything.
    pub(super) fn everybody_leaves(&mut self) {
        for puppet in &mut self.puppets {
            for index in 0..puppet.legs.len() {
                puppet.leaves(index);
            }
        }
    }

    /// Dialogs of all puppets, as (puppet, index).
    pub(super) fn legs(&self, stage: Stage) -> Vec<(usize, usize)> {
        let of = |(p, puppet): (usize, &Puppet)| {
            let legs = puppet.legs.iter().enumerate();
            legs.filter(|(_, leg)| leg.stage == stage)
                .map(|(i, _)| (p, i))
                .collect::<Vec<_>>()
        };
        self.puppets.iter().enumerate().flat_map(of).collect()
    }
}

fn first_line(text: &str) -> String {
    let cseq = super::text::field(text, "CSeq");
    let id = super::text::field(text, "Call-ID");
    format!("{} [{cseq}] {id}", text.lines().next().unwrap_or_default())
}

fn flow(remote: SocketAddr) -> Flow {
    Flow {
        transport: Transport::Udp,
        local: SocketAddr::from(([10, 9, 9, 9], 5060)),
        remote,
        id: 0,
    }
}

fn dial(entry: Entry, session: SessionInfo) -> Verb {
    let target = match entry {
        Entry::Outbound => TargetSpec::Trunk {
            name: TRUNK.to_owned(),
            number: session.dialed,
        },
        Entry::Inbound => TargetSpec::Extension(session.did_extension),
        Entry::Internal => TargetSpec::Extension(session.dialed),
    };
    Verb::Dial {
        targets: vec![target],
        options: DialOptions {
            timeout: Duration::from_secs(20),
            caller_id: None,
            max_duration: None,
            privacy: None,
        },
        caller_id: session.caller_id,
    }
}

fn after(call: CallId, outcome: Outcome) -> Event {
    match outcome {
        Outcome::Dialed(dialed) if dialed.sip_code != 200 => {
            let code = dialed.sip_code;
            Event::Verb {
                call,
                verb: Verb::Reject { code },
            }
        }
        Outcome::Gone => Event::ScriptEnded {
            call,
            end: ScriptEnd::Stopped,
        },
        _ => Event::ScriptEnded {
            call,
            end: ScriptEnd::Finished,
        },
    }
}
