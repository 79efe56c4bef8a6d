//! A world in virtual time: the Switch, phones that write their own SIP, a network that may lose, double and
//! reorder, and a script that rings what was dialled.

#![expect(
    clippy::disallowed_methods,
    reason = "virtual time begins at some time"
)]

mod joins;
pub(crate) mod kept;
pub(crate) mod phone;
pub(crate) mod phone_early;
mod phone_keys;
mod phone_letters;
pub(crate) mod phone_media;
mod phone_message;
pub(crate) mod phone_prack;
mod phone_transfer;
pub(crate) mod phone_watch;
pub(crate) mod sound;
pub(crate) mod sound_rooms;

use bytes::Bytes;
use directory::{CallRecord, Codec, Directory, Extension, Ha1};
use kept::Kept;
use phone::{Phone, header};
use sip::digest::{Algorithm, ha1};
use sip::{Flow, Transport};
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use switch::{
    Command, Config, DialOptions, Entry, Event, Outcome, Phones, ScriptEnd, SessionInfo, Sizes,
    Switch, TargetSpec, Verb,
};

/// RFC 2617 §3.2.2.1 with qop=auth. `ha1` is MD5 of `a:b:c`, whatever the three are, and serves for all three hashes.
pub(crate) fn digest(first: &str, nonce: &str, method: &str, uri: &str) -> String {
    let (scheme, rest) = uri.split_once(':').unwrap_or((uri, ""));
    let second = ha1(Algorithm::Md5, method, scheme, rest);
    ha1(
        Algorithm::Md5,
        first,
        nonce,
        &format!("00000001:c:auth:{second}"),
    )
}

pub(crate) const EMPTY: Sizes = Sizes {
    calls: 0,
    legs: 0,
    streams: 0,
    dialogs: 0,
    transactions: 0,
    timers: 0,
    ports: 0,
    subscriptions: 0,
};

pub(crate) struct World {
    pub(crate) switch: Switch,
    pub(crate) now: Instant,
    start: Instant,
    pub(crate) phones: BTreeMap<SocketAddr, Phone>,
    /// (when, to the PBX?, phone, text).
    wire: Vec<(Instant, bool, SocketAddr, String)>,
    pub(crate) records: Vec<CallRecord>,
    pub(crate) kept: Kept,
    random: u64,
    /// Per cent of datagrams lost, doubled and delayed.
    pub(crate) trouble: u64,
    pub(crate) log: Vec<String>,
    /// The SIP messages of calls.
    pub(crate) traced: Vec<directory::Traced>,
    /// As a database would keep them.
    pub(crate) bans: BTreeMap<String, directory::Ban>,
    /// Who called whom: the INVITEs with credentials that arrived, by Call-ID.
    pub(crate) asked: BTreeMap<String, (String, String)>,
    /// The calls that were taken.
    pub(crate) taken: BTreeSet<switch::CallId>,
    /// Who hears what.
    pub(crate) sound: sound::Sound,
    /// Who is joined with whom.
    joins: joins::Joins,
    /// The tones that were played, oldest first.
    pub(crate) tones: Vec<media::Tone>,
    /// The media streams that are open, and where.
    pub(crate) streams: BTreeMap<media::StreamId, SocketAddr>,
    /// Of every datagram either way, with its time.
    pub(crate) wire_hash: DefaultHasher,
    /// The connections of phones that do not use UDP.
    pub(crate) links: BTreeMap<SocketAddr, (Transport, u64)>,
    /// The push notifications that were sent.
    pub(crate) notes: Vec<switch::Note>,
    ring: Duration,
    /// What the script does first, when it is not to ring what was dialled.
    pub(crate) first: Option<Verb>,
    /// Whom the script dials after what failed and after what it did first, one after the other.
    pub(crate) then: Vec<TargetSpec>,
    /// What scripts were started with.
    pub(crate) sessions: Vec<SessionInfo>,
    /// The messages the database holds.
    pub(crate) messages: BTreeMap<i64, directory::StoredMessage>,
    /// What it does after that.
    pub(crate) after: Vec<Verb>,
    /// The trunk the script calls out by, instead of the first.
    pub(crate) way_out: Option<String>,
    /// Where names lead; an address leads to itself.
    pub(crate) names: BTreeMap<String, std::net::IpAddr>,
    /// Whom our REGISTERs went to.
    pub(crate) registered_at: Vec<std::net::IpAddr>,
    /// Where they lead besides, if that fails.
    pub(crate) others: BTreeMap<String, Vec<std::net::IpAddr>>,
    /// Where nobody takes a connection.
    pub(crate) closed: Vec<std::net::IpAddr>,
}

impl World {
    pub(crate) fn new(numbers: &[&str], seed: u64) -> World {
        World::with_trunks(numbers, &[], seed)
    }

    /// Address trunks `trunks` at 10.1.0.1 and on, each with a provider's phone of the trunk's name.
    pub(crate) fn with_trunks(numbers: &[&str], trunks: &[&str], seed: u64) -> World {
        World::with_config(numbers, trunks, seed, |_| {})
    }

    /// With settings of its own.
    pub(crate) fn with_config(
        numbers: &[&str],
        trunks: &[&str],
        seed: u64,
        change: impl FnOnce(&mut Config),
    ) -> World {
        let start = Instant::now();
        let mut config = settings(start, seed);
        change(&mut config);
        let mut world = World {
            switch: Switch::new(config.clone()),
            now: start,
            start,
            phones: BTreeMap::new(),
            wire: Vec::new(),
            records: Vec::new(),
            kept: Kept::new(config.clone()),
            random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            trouble: 0,
            log: Vec::new(),
            traced: Vec::new(),
            bans: BTreeMap::new(),
            asked: BTreeMap::new(),
            taken: BTreeSet::new(),
            sound: sound::Sound::default(),
            joins: joins::Joins::default(),
            tones: Vec::new(),
            streams: BTreeMap::new(),
            wire_hash: DefaultHasher::new(),
            ring: Duration::from_secs(20),
            first: None,
            then: Vec::new(),
            after: Vec::new(),
            sessions: Vec::new(),
            messages: BTreeMap::new(),
            way_out: None,
            names: BTreeMap::new(),
            others: BTreeMap::new(),
            closed: Vec::new(),
            registered_at: Vec::new(),
            links: BTreeMap::new(),
            notes: Vec::new(),
        };
        let directory = Directory::new(
            numbers.iter().map(|number| extension(number)).collect(),
            trunks
                .iter()
                .enumerate()
                .map(|(i, name)| (trunk(name, i), None))
                .collect(),
        );
        world.give(Event::Directory(Arc::new(directory)));
        for (i, number) in numbers.iter().enumerate() {
            let address = home(number, i);
            let mut phone = Phone::new(number, address);
            phone.registers(world.now);
            world.phones.insert(address, phone);
        }
        for (i, name) in trunks.iter().enumerate() {
            let address = SocketAddr::new(provider(i), 5060);
            world.phones.insert(address, Phone::new(name, address));
        }
        world.passes(2_000);
        world
    }

    pub(crate) fn phone(&mut self, number: &str) -> &mut Phone {
        self.phones
            .values_mut()
            .find(|p| p.number == number)
            .expect("a phone of that number")
    }

    pub(crate) fn dials(&mut self, from: &str, number: &str) {
        let now = self.now;
        self.phone(from).dials(now, number);
    }

    /// 0 to `sides` - 1.
    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % sides
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.roll(100) < percent
    }

    fn put(&mut self, inward: bool, address: SocketAddr, text: String) {
        (self.elapsed(), inward, address, &text).hash(&mut self.wire_hash);
        if self.trouble > 0 && self.chance(self.trouble) {
            return;
        }
        let delay = if self.trouble > 0 && self.chance(20) {
            35
        } else {
            5
        };
        if self.trouble > 0 && self.chance(self.trouble) {
            self.wire.push((
                self.now + Duration::from_millis(11),
                inward,
                address,
                text.clone(),
            ));
        }
        self.wire.push((
            self.now + Duration::from_millis(delay),
            inward,
            address,
            text,
        ));
    }

    pub(crate) fn flow(address: SocketAddr) -> Flow {
        let local = if address.is_ipv4() {
            "10.9.9.9:5060"
        } else {
            "[2001:db8::9]:5060"
        };
        Flow {
            transport: Transport::Udp,
            local: local.parse().expect("an address"),
            remote: address,
            id: 0,
        }
    }

    fn places(&self, host: &str) -> Vec<Flow> {
        let ip = host.parse().ok().or(self.names.get(host).copied());
        let others = self.others.get(host).into_iter().flatten().copied();
        let found = ip.into_iter().chain(others);
        found
            .map(|ip| World::flow(SocketAddr::new(ip, 5060)))
            .collect()
    }

    /// What the PBX knows a phone's messages by.
    fn link(&self, address: SocketAddr) -> Flow {
        let flow = World::flow(address);
        match self.links.get(&address) {
            Some(&(transport, id)) => Flow {
                transport,
                id,
                ..flow
            },
            None => flow,
        }
    }

    /// Whether `flow` leads somewhere: with id 0 any connection to the place will do.
    fn carries(&self, flow: &Flow) -> bool {
        let link = self.links.get(&flow.remote);
        let fits = |&(transport, id): &(Transport, u64)| {
            transport == flow.transport && (flow.id == 0 || flow.id == id)
        };
        let open = flow.transport == Transport::Udp || link.is_some_and(fits);
        open && !self.closed.contains(&flow.remote.ip())
    }

    /// A phone's connection ends.
    pub(crate) fn cuts(&mut self, address: SocketAddr) {
        let flow = self.link(address);
        self.links.remove(&address);
        self.give(Event::FlowClosed { flow });
    }

    /// The phone at `address`.
    pub(crate) fn at(&mut self, address: &str) -> &mut Phone {
        let address = address.parse().expect("an address");
        self.phones.get_mut(&address).expect("a phone there")
    }

    pub(crate) fn give(&mut self, event: Event) {
        self.kept.hears(&event);
        self.switch.handle(self.now, event);
        self.carry_out();
    }

    /// A message goes on its way, if there is such a connection.
    fn carries_away(&mut self, flow: Flow, bytes: &Bytes, events: &mut Vec<Event>) {
        if !self.carries(&flow) {
            return events.push(Event::FlowClosed { flow });
        }
        let text = String::from_utf8_lossy(bytes).into_owned();
        if text.starts_with("REGISTER ") {
            self.registered_at.push(flow.remote.ip());
        }
        self.put(false, flow.remote, text);
    }

    fn carry_out(&mut self) {
        let mut events = Vec::new();
        while let Some(command) = self.polled() {
            self.sound.follows(&command);
            match command {
                Command::Send { flow, bytes } => self.carries_away(flow, &bytes, &mut events),
                Command::StartScript {
                    call,
                    entry,
                    session,
                } => {
                    self.taken.insert(call);
                    events.push(self.begins(call, entry, *session));
                }
                Command::Resume { call, outcome } => events.push(self.goes_on(call, outcome)),
                Command::StopScript { call } => events.push(script(call, Outcome::Gone)),
                Command::Media(media::Command::Open { stream, local, .. }) => {
                    let taken = self.streams.values().any(|other| *other == local);
                    assert!(!taken, "{local} is another stream's");
                    self.streams.insert(stream, local);
                }
                Command::Media(media::Command::Close { stream }) => {
                    self.streams.remove(&stream);
                    let stats = self.sound.figures.get(&stream).cloned();
                    events.push(Event::Media(media::Event::Closed {
                        stream,
                        stats: Box::new(stats.unwrap_or_default()),
                    }));
                }
                Command::Media(media::Command::Report { stream }) => {
                    if let Some(stats) = self.sound.figures.get(&stream).cloned() {
                        let stats = Box::new(stats);
                        events.push(Event::Media(media::Event::Report { stream, stats }));
                    }
                }
                Command::Record(record) => self.records.push(*record),
                Command::Resolve { query, host, .. } => {
                    let flows = self.places(&host);
                    events.push(Event::Resolved { query, flows });
                }
                other => self.keeps(other),
            }
        }
        for event in events {
            self.give(event);
        }
    }

    /// What a log and a database would keep; the rest is nothing to anybody here.
    fn keeps(&mut self, command: Command) {
        match command {
            Command::Notice(notice) => self.log.push(format!("{notice:?}")),
            Command::Trace(message) => self.traced.push(message),
            Command::KeepMessage(message) => {
                self.messages.insert(message.id, *message);
            }
            Command::DropMessage { id } => {
                self.messages.remove(&id);
            }
            Command::Push(note) => self.notes.push(*note),
            Command::KeepBan(ban) => {
                self.bans.insert(ban.id.clone(), ban);
            }
            Command::DropBan { id } => {
                self.bans.remove(&id);
            }
            other => self.kept.takes(other),
        }
    }

    fn dial(&self, entry: Entry, session: &SessionInfo) -> Verb {
        let number = session.dialed.clone();
        let way_out = self.way_out.as_ref().unwrap_or(&session.first_trunk);
        let target = if entry == Entry::Outbound && !way_out.is_empty() {
            let name = way_out.clone();
            TargetSpec::Trunk { name, number }
        } else {
            TargetSpec::Extension(number)
        };
        Verb::Dial {
            targets: vec![target],
            options: DialOptions {
                timeout: self.ring,
                caller_id: None,
                max_duration: None,
                privacy: None,
            },
            caller_id: session.caller_id.clone(),
        }
    }

    /// What a script does first.
    fn begins(&mut self, call: switch::CallId, entry: Entry, session: SessionInfo) -> Event {
        let first = self.first.clone();
        let verb = first.unwrap_or_else(|| self.dial(entry, &session));
        self.sessions.push(session);
        Event::Verb { call, verb }
    }

    /// What the script does next.
    fn goes_on(&mut self, call: switch::CallId, outcome: Outcome) -> Event {
        if let Some(verb) = self.after.pop_if(|_| outcome != Outcome::Gone) {
            return Event::Verb { call, verb };
        }
        let goes_on = match &outcome {
            Outcome::Dialed(dialed) => dialed.sip_code != 200,
            other => *other == Outcome::Done,
        };
        if !goes_on || self.then.is_empty() {
            return script(call, outcome);
        }
        let verb = Verb::Dial {
            targets: vec![self.then.remove(0)],
            options: DialOptions {
                timeout: self.ring,
                caller_id: None,
                max_duration: None,
                privacy: None,
            },
            caller_id: "101".to_owned(),
        };
        Event::Verb { call, verb }
    }

    /// Lets `ms` milliseconds pass, from one thing that happens to the next.
    pub(crate) fn passes(&mut self, ms: u64) {
        let end = self.now + Duration::from_millis(ms);
        self.speak();
        while let Some(at) = self.next().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.deliver();
            if self.switch.deadline().is_some_and(|at| at <= self.now) {
                self.switch.expire(self.now);
                self.carry_out();
            }
            self.speak();
        }
        self.now = end;
    }

    /// When something happens next.
    fn next(&self) -> Option<Instant> {
        let wire = self.wire.iter().map(|(at, ..)| *at);
        let phones = self.phones.values().filter_map(Phone::deadline);
        wire.chain(phones).chain(self.switch.deadline()).min()
    }

    fn deliver(&mut self) {
        let now = self.now;
        let due: Vec<_> = self.wire.extract_if(.., |(at, ..)| *at <= now).collect();
        for (_, inward, address, text) in due {
            if inward {
                self.hears(address, text);
            } else if let Some(phone) = self.phones.get_mut(&address) {
                phone.hears(now, &text);
            }
        }
    }

    /// The PBX hears a phone.
    fn hears(&mut self, address: SocketAddr, text: String) {
        if text.starts_with("INVITE ") && !header(&text, "Authorization").is_empty() {
            let user = |name| user_of(&header(&text, name));
            let who = (user("From"), user("To"));
            self.asked.insert(header(&text, "Call-ID"), who);
        }
        self.give(Event::Sip {
            flow: self.link(address),
            bytes: Bytes::from(text),
        });
    }

    /// What the phones have to say goes on its way.
    fn speak(&mut self) {
        let mut said = Vec::new();
        for (address, phone) in &mut self.phones {
            phone.ticks(self.now);
            said.extend(phone.out.drain(..).map(|text| (*address, text)));
        }
        for (address, text) in said {
            self.put(true, address, text);
        }
    }

    /// What is played to the caller has come to its end.
    pub(crate) fn play_ends(&mut self) {
        let Some((stream, play)) = self.sound.last else {
            return;
        };
        let finished = true;
        self.sound.obeys(&media::Command::StopPlay { stream });
        self.give(Event::Media(media::Event::PlayEnded {
            stream,
            play,
            finished,
        }));
    }

    /// After the last transaction's time: nothing may be left.
    pub(crate) fn is_silent(&mut self) -> Sizes {
        self.trouble = 0;
        self.passes(80_000);
        self.switch.sizes()
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.now.duration_since(self.start)
    }
}

fn settings(start: Instant, seed: u64) -> Config {
    Config {
        realm: "offhook".into(),
        seed: [seed as u8; 32],
        origin: start,
        origin_unix_ms: 1_700_000_000_000,
        external_host: None,
        external_media: None,
        local_networks: Vec::new(),
        phones: Phones::default(),
        nat_keepalive: Duration::from_secs(30),
        session_expires: Duration::from_secs(1_800),
        min_se: Duration::from_secs(90),
        rtp_port_min: 10_000,
        rtp_port_max: 14_000,
        rtp_timeout: Duration::from_secs(30),
        rtp_hold_timeout: Duration::from_secs(3_600),
        music_on_hold: "music-on-hold".into(),
        outbound_prefix: "9".into(),
        emergency: vec!["112".into()],
        calls: switch::Calls::default(),
        max_calls: 5_000,
        trace: true,
        defence: switch::DefenceConfig::default(),
    }
}

/// Where a phone lives: on IPv6 when its number begins with a 6.
fn home(number: &str, index: usize) -> SocketAddr {
    let (high, low) = ((index / 200) as u8, (index % 200) as u8 + 1);
    if number.starts_with('6') {
        let host = u16::from_be_bytes([high, low]);
        return SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 1, host], 5060));
    }
    SocketAddr::from(([10, 0, high, low], 5060))
}

/// The user part of an address.
fn user_of(address: &str) -> String {
    let user = address.split("sip:").nth(1).unwrap_or_default();
    user.split('@').next().unwrap_or_default().to_owned()
}

fn provider(index: usize) -> std::net::IpAddr {
    std::net::IpAddr::from([10, 1, 0, index as u8 + 1])
}

pub(crate) fn extension(number: &str) -> Extension {
    Extension {
        number: number.to_owned(),
        name: String::new(),
        ha1: Ha1 {
            md5: ha1(Algorithm::Md5, number, "offhook", "a good password"),
            sha256: ha1(Algorithm::Sha256, number, "offhook", "a good password"),
        },
        codecs: vec![Codec::Pcmu, Codec::Pcma],
        max_contacts: 3,
        allow_weak_password: false,
        redirects: directory::Redirects::Follow,
        srtp: directory::Srtp::Off,
        allowed_networks: Vec::new(),
        push_message_summary: false,
        watch_list: Vec::new(),
        dtmf: directory::DtmfMode::default(),
    }
}

pub(crate) fn trunk(name: &str, index: usize) -> directory::Trunk {
    directory::Trunk {
        name: name.to_owned(),
        host: provider(index).to_string(),
        port: None,
        transport: directory::TrunkTransport::Udp,
        auth: directory::TrunkAuth::Address,
        username: None,
        codecs: vec![Codec::Pcmu],
        numbers: BTreeMap::new(),
        match_port: false,
        tls: directory::TrunkTls::default(),
        trust_identity: false,
        reliable_provisionals: directory::Reliability::Supported,
        srtp: directory::Srtp::Off,
        dtmf: directory::DtmfMode::default(),
    }
}

fn script(call: switch::CallId, outcome: Outcome) -> Event {
    match outcome {
        Outcome::Dialed(dialed) if dialed.sip_code != 200 => Event::Verb {
            call,
            verb: Verb::Reject {
                code: dialed.sip_code,
            },
        },
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
