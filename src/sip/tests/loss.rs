//! Two endpoints over a network that loses, doubles and reorders, in virtual time: whatever happens, every call ends once
//! on both sides and nothing is left.

#![expect(
    clippy::disallowed_methods,
    reason = "virtual time begins at some time, and sums have no order"
)]

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::time::{Duration, Instant};

use bytes::Bytes;
use sip::{Ask, Config, DialogId, Endpoint, Flow, Invite, Output, SipEvent, Transport};

const SDP: &[u8] = b"v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\n";

/// A small generator (xorshift), so that a seed is a whole run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % sides
    }
}

#[derive(Debug, Clone, Copy)]
enum Deed {
    Call,
    Ring,
    RingWithMedia,
    Answer,
    Refuse,
    Bye,
    Cancel,
    Reinvite,
    Identify,
    Ask,
    Reply { accept: bool },
}

enum What {
    Arrive { flow: Flow, bytes: Bytes },
    Do { dialog: DialogId, deed: Deed },
}

/// What one side knows of one dialog.
#[derive(Default, Debug)]
struct Seen {
    ended: usize,
    finals: usize,
    reoffers: usize,
    offers: usize,
    reanswers: usize,
    asked: usize,
    told: usize,
    expired: usize,
}

struct Net {
    sides: [Endpoint; 2],
    seen: [HashMap<DialogId, Seen>; 2],
    now: Instant,
    queue: BinaryHeap<Reverse<(Instant, u64)>>,
    waiting: HashMap<u64, (usize, What)>,
    count: u64,
    dice: Dice,
    loss: u64,
    transport: Transport,
    completed: usize,
}

impl Net {
    fn new(seed: u64, loss: u64, transport: Transport) -> Net {
        let endpoint = |n: u8| {
            Endpoint::new(Config {
                seed: [n; 32],
                session_expires: Duration::from_secs(90),
                ..Config::default()
            })
        };
        Net {
            sides: [endpoint(1), endpoint(2)],
            seen: [HashMap::new(), HashMap::new()],
            now: Instant::now(),
            queue: BinaryHeap::new(),
            waiting: HashMap::new(),
            count: 0,
            dice: Dice(seed * 0x9e37_79b9 + 1),
            loss,
            transport,
            completed: 0,
        }
    }

    fn later(&mut self, ms: u64, side: usize, what: What) {
        self.count += 1;
        self.queue
            .push(Reverse((self.now + Duration::from_millis(ms), self.count)));
        self.waiting.insert(self.count, (side, what));
    }

    fn plan(&mut self, within_ms: u64, side: usize, dialog: DialogId, deed: Deed) {
        let ms = self.dice.roll(within_ms);
        self.later(ms, side, What::Do { dialog, deed });
    }

    fn flow(&self, side: usize) -> Flow {
        let address = |n: usize| {
            format!("10.0.0.{}:5060", n + 1)
                .parse()
                .expect("an address")
        };
        Flow {
            transport: self.transport,
            local: address(side),
            remote: address(1 - side),
            id: u64::from(self.transport.reliable()),
        }
    }

    fn drain(&mut self, side: usize) {
        while let Some(output) = self.sides[side].poll() {
            match output {
                Output::Send { flow, bytes } => {
                    assert_eq!(flow, self.flow(side));
                    self.travel(1 - side, &bytes);
                }
                Output::Event(event) => self.hear(side, event),
            }
        }
    }

    fn travel(&mut self, to: usize, bytes: &Bytes) {
        let flow = self.flow(to);
        let mut copies = 1;
        let mut delay = 5;
        if !self.transport.reliable() {
            copies = u64::from(self.dice.roll(100) >= self.loss)
                * (1 + u64::from(self.dice.roll(10) == 0));
            delay = 200;
        }
        for _ in 0..copies {
            let ms = if delay == 5 {
                5
            } else {
                1 + self.dice.roll(delay)
            };
            let bytes = bytes.clone();
            self.later(ms, to, What::Arrive { flow, bytes });
        }
    }

    fn hear(&mut self, side: usize, event: SipEvent) {
        let dialog = of(&event);
        let seen = self.seen[side].entry(dialog).or_default();
        assert_eq!(seen.ended, 0, "{event:?} after the end");
        match event {
            SipEvent::Incoming { .. } => self.on_incoming(side, dialog),
            SipEvent::Answered { .. } => {
                seen.finals += 1;
                self.completed += 1;
                self.talks(side, dialog);
            }
            SipEvent::Confirmed { .. } => self.talks(side, dialog),
            SipEvent::Ringing { .. } => self.rings(side, dialog),
            SipEvent::Told { .. } => seen.told += 1,
            SipEvent::Expired { .. } => seen.expired += 1,
            SipEvent::Inside { transaction, .. } => {
                self.sides[side].respond(self.now, transaction, 202, &[]);
            }
            SipEvent::Refused { .. } => seen.finals += 1,
            SipEvent::Reoffered { .. } => {
                seen.reoffers += 1;
                let accept = self.dice.roll(3) > 0;
                self.plan(1_000, side, dialog, Deed::Reply { accept });
            }
            SipEvent::Reanswered { .. } => seen.reanswers += 1,
            SipEvent::Ended { .. } => {
                seen.ended += 1;
                assert!(
                    seen.finals <= 1
                        && seen.reanswers <= seen.offers
                        && seen.told <= seen.asked
                        && seen.expired <= 1,
                    "{seen:?}"
                );
            }
            _ => {}
        }
    }

    fn rings(&mut self, side: usize, dialog: DialogId) {
        if self.dice.roll(4) == 0 {
            self.plan(2_000, side, dialog, Deed::Reinvite);
            self.plan(2_000, side, dialog, Deed::Identify);
        }
    }

    /// Most calls last seconds, some longer than their session does without a refresh.
    fn talks(&mut self, side: usize, dialog: DialogId) {
        let lasts = if self.dice.roll(5) == 0 {
            300_000
        } else {
            20_000
        };
        self.plan(lasts, side, dialog, Deed::Bye);
        self.plan(5_000, side, dialog, Deed::Reinvite);
        self.plan(5_000, side, dialog, Deed::Identify);
        self.plan(5_000, side, dialog, Deed::Ask);
    }

    fn on_incoming(&mut self, side: usize, dialog: DialogId) {
        let ring = [Deed::Ring, Deed::RingWithMedia];
        for _ in 0..1 + self.dice.roll(3) {
            let ring = ring[self.dice.roll(2) as usize];
            self.plan(3_000, side, dialog, ring);
        }
        if self.dice.roll(4) == 0 {
            self.plan(4_000, side, dialog, Deed::Reinvite);
            self.plan(4_000, side, dialog, Deed::Identify);
        }
        let last = match self.dice.roll(6) {
            0 => Deed::Refuse,
            1 => Deed::Bye,
            _ => Deed::Answer,
        };
        self.plan(6_000, side, dialog, last);
        if self.dice.roll(4) == 0 {
            self.plan(8_000, side, dialog, Deed::Bye);
        }
    }

    fn act(&mut self, side: usize, dialog: DialogId, deed: Deed) {
        let (now, flow) = (self.now, self.flow(side));
        let endpoint = &mut self.sides[side];
        match deed {
            Deed::Call => {
                let dialog = endpoint.invite(now, invite(flow));
                self.seen[side].insert(dialog, Seen::default());
                match self.dice.roll(4) {
                    0 => self.plan(6_000, side, dialog, Deed::Cancel),
                    1 => self.plan(8_000, side, dialog, Deed::Bye),
                    _ => {}
                }
            }
            Deed::Ring => endpoint.ring(now, dialog, 180, None, &[]),
            Deed::RingWithMedia => endpoint.ring(now, dialog, 183, Some(SDP), &[]),
            Deed::Answer => endpoint.answer(now, dialog, SDP, &[]),
            Deed::Refuse => endpoint.refuse(now, dialog, 486, &[]),
            Deed::Bye => endpoint.bye(now, dialog, None),
            Deed::Cancel => endpoint.cancel(now, dialog, None),
            Deed::Reinvite => {
                endpoint.reinvite(now, dialog, SDP, &[]);
                self.seen[side].entry(dialog).or_default().offers += 1;
            }
            Deed::Identify => {
                let who = ("P-Asserted-Identity", "<sip:300@10.0.0.1>".to_owned());
                endpoint.identify(now, dialog, &[who]);
            }
            Deed::Ask => {
                let asked = endpoint.ask(now, dialog, message());
                self.seen[side].entry(dialog).or_default().asked += usize::from(asked.is_some());
            }
            Deed::Reply { accept: true } => endpoint.accept_reoffer(now, dialog, SDP),
            Deed::Reply { accept: false } => endpoint.refuse_reoffer(now, dialog, 488),
        }
        self.drain(side);
    }

    /// Runs until nothing more will ever happen.
    fn run(&mut self) {
        loop {
            let next = self.queue.peek().map(|Reverse((at, _))| *at);
            let ring = [0, 1].map(|side| self.sides[side].deadline());
            let Some(at) = [next, ring[0], ring[1]].into_iter().flatten().min() else {
                return;
            };
            self.now = self.now.max(at);
            for side in [0, 1] {
                self.sides[side].expire(self.now);
                self.drain(side);
            }
            while let Some(Reverse((at, id))) = self
                .queue
                .peek()
                .copied()
                .filter(|Reverse((at, _))| *at <= self.now)
            {
                assert!(at <= self.now);
                self.queue.pop();
                match self.waiting.remove(&id).expect("queued once") {
                    (side, What::Arrive { flow, bytes }) => {
                        self.sides[side].receive(self.now, flow, bytes);
                        self.drain(side);
                    }
                    (side, What::Do { dialog, deed }) => self.act(side, dialog, deed),
                }
            }
        }
    }
}

fn message() -> Ask {
    Ask {
        method: "MESSAGE".to_owned(),
        headers: Vec::new(),
        body: Some(("text/plain".to_owned(), b"hello".to_vec())),
    }
}

fn invite(flow: Flow) -> Invite {
    Invite {
        flow,
        uri: "sip:far@10.0.0.2".to_owned(),
        to: "<sip:far@10.0.0.2>".to_owned(),
        from: "<sip:near@10.0.0.1>".to_owned(),
        contact_user: "near".to_owned(),
        sdp: SDP.to_vec(),
        headers: Vec::new(),
        credentials: None,
        reliable: sip::Reliable::Supported,
        session_timer: sip::SessionTimer::Default,
        call_id: None,
        route: Vec::new(),
        max_forwards: 70,
    }
}

/// 500 calls, from both sides, within a minute.
fn storm(seed: u64, loss: u64, transport: Transport) -> Net {
    let mut net = Net::new(seed, loss, transport);
    for n in 0..500usize {
        net.plan(60_000, n % 2, DialogId(0), Deed::Call);
    }
    net.run();
    for side in [0, 1] {
        assert_eq!(
            net.sides[side].sizes(),
            (0, 0),
            "seed {seed}, loss {loss} %"
        );
        assert!(net.sides[side].is_idle());
        for (dialog, seen) in &net.seen[side] {
            assert!(
                *dialog == DialogId(0) || seen.ended == 1,
                "{dialog:?} {seen:?}, seed {seed}, loss {loss} %"
            );
        }
    }
    net
}

#[test]
fn all_calls_end_whatever_is_lost() {
    for (seed, loss) in [(1, 0), (2, 10), (3, 30), (4, 50), (5, 80)] {
        let net = storm(seed, loss, Transport::Udp);
        let enough = match loss {
            0..=30 => 150,
            31..=50 => 100,
            _ => 0,
        };
        assert!(
            net.completed >= enough,
            "{} of 500 at {loss} %",
            net.completed
        );
        let reoffers: usize = net
            .seen
            .iter()
            .flat_map(|s| s.values())
            .map(|s| s.reoffers)
            .sum();
        assert!(
            loss > 50 || reoffers > 50,
            "{reoffers} re-INVITEs at {loss} %"
        );
        let all = || net.seen.iter().flat_map(|s| s.values());
        let told: usize = all().map(|s| s.told).sum();
        assert!(loss > 50 || told > 50, "{told} answers at {loss} %");
        let expired: usize = all().map(|s| s.expired).sum();
        assert!(loss > 0 || expired == 0, "{expired} expired for nothing");
    }
}

#[test]
fn all_calls_end_over_a_stream() {
    storm(9, 0, Transport::Tcp);
}

#[test]
fn a_dead_network_leaves_nothing() {
    let net = storm(11, 100, Transport::Udp);
    assert_eq!(net.completed, 0);
}

/// Whose event it is.
fn of(event: &SipEvent) -> DialogId {
    match event {
        SipEvent::Incoming { dialog, .. }
        | SipEvent::Cancelled { dialog, .. }
        | SipEvent::Confirmed { dialog, .. }
        | SipEvent::Lost { dialog }
        | SipEvent::Ringing { dialog, .. }
        | SipEvent::Answered { dialog, .. }
        | SipEvent::Refused { dialog, .. }
        | SipEvent::Reoffered { dialog, .. }
        | SipEvent::Reanswered { dialog, .. }
        | SipEvent::Refreshed { dialog, .. }
        | SipEvent::Inside { dialog, .. }
        | SipEvent::Expired { dialog }
        | SipEvent::Pracked { dialog, .. }
        | SipEvent::Told { dialog, .. }
        | SipEvent::Info { dialog, .. }
        | SipEvent::Probed { dialog, .. }
        | SipEvent::HungUp { dialog, .. }
        | SipEvent::Strayed { dialog, .. }
        | SipEvent::Ended { dialog } => *dialog,
        SipEvent::Unproven { .. }
        | SipEvent::Request { .. }
        | SipEvent::Response { .. }
        | SipEvent::Subscription { .. } => panic!("nobody asked"),
    }
}
