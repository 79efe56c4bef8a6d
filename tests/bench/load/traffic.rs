//! RTP through the calls: 50 packets a second each way, evenly spread, and what comes back of them.

use crate::figures::{Delays, Seen};
use crate::sockets::{self, BATCH, Batch, Outgoing, PORTS, Ports, place};
use crate::{Call, Caller, Plan, cpu};
use media::Codec;
use media::codec::Encoder;
use media::rtp::packet::{self, HEADER_LEN, Header};
use std::collections::HashMap;
use std::io;
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The time between two packets of a party, and in how many steps the parties take turns within it.
const FRAME_NS: u64 = 20_000_000;
const STEPS: u64 = 100;
const STEP_NS: u64 = FRAME_NS / STEPS;
/// Packets sent at once: the first of them waits for the last.
const AT_ONCE: usize = 8;
/// Before it is measured, and after the last packet that counts.
const WARM_UP_S: u64 = 3;
const REST_MS: u64 = 1_000;
/// Packets whose time of sending is remembered.
const REMEMBERED: usize = 256;
/// Frames of sound that are repeated.
const SOUND: usize = 250;

/// One party's RTP.
struct Party {
    codec: Codec,
    payload_type: u8,
    ssrc: u32,
    /// Where the server hears it.
    server: u16,
    sent_ns: Box<[u64; REMEMBERED]>,
    /// The other party, in the same thread.
    other: usize,
    /// What to add to a sequence number that comes to know which one of the other party's it was; how much more often this was
    /// seen than anything else.
    offset: u16,
    votes: u32,
}

struct Work {
    sockets: Vec<UdpSocket>,
    parties: Vec<Party>,
    /// By step and port.
    turns: Vec<Vec<usize>>,
    by_server: HashMap<u16, usize>,
    sound: HashMap<Codec, Arc<Vec<Vec<u8>>>>,
    /// Packets to send in all; from which on they count.
    rounds: u64,
    counted: u64,
    round: u64,
    delays: Delays,
    lateness: Delays,
}

/// Streams through all calls for the time planned.
pub fn run(
    plan: &Plan,
    ports: &mut Ports,
    calls: &[Call],
    caller: &mut dyn Caller,
) -> io::Result<Seen> {
    let codecs = [plan.from, plan.to];
    let sound: HashMap<_, _> = codecs
        .iter()
        .map(|&codec| (codec, Arc::new(speech(codec))))
        .collect();
    let rounds = (WARM_UP_S + plan.seconds) * 50;
    let begun = Arc::new(AtomicU64::new(0));
    let mut threads = Vec::new();
    for (thread, sockets) in ports.of_thread.iter().enumerate() {
        let sockets = sockets
            .iter()
            .map(UdpSocket::try_clone)
            .collect::<io::Result<_>>()?;
        let mut work = Work::new((thread, ports.of_thread.len()), codecs, calls, sockets);
        work.sound = sound.clone();
        work.rounds = rounds;
        let begun = Arc::clone(&begun);
        threads.push(std::thread::spawn(move || {
            let realtime = sockets::raise();
            begun.fetch_add(1, Ordering::AcqRel);
            work.run();
            (work, realtime)
        }));
    }
    caller.wait(Duration::from_secs(WARM_UP_S));
    let own = std::process::id();
    let (from, server, mine) = (
        sockets::steady_ns(),
        cpu::nanoseconds(plan.pid),
        cpu::nanoseconds(own),
    );
    caller.wait(Duration::from_secs(plan.seconds) - Duration::from_millis(200));
    let wall_s = (sockets::steady_ns() - from) as f64 / 1e9;
    let (server_ns, own_ns) = (
        cpu::nanoseconds(plan.pid) - server,
        cpu::nanoseconds(own) - mine,
    );
    let mut seen = Seen {
        delays: Delays::default(),
        sent: calls.len() as u64 * 2 * plan.seconds * 50,
        wall_s,
        server_ns,
        own_ns,
        realtime: true,
        own_p99_us: 0,
    };
    let mut lateness = Delays::default();
    for thread in threads {
        let (work, realtime) = thread
            .join()
            .map_err(|_| io::Error::other("a thread panicked"))?;
        seen.delays.add(&work.delays);
        lateness.add(&work.lateness);
        seen.realtime &= realtime;
    }
    seen.own_p99_us = lateness.quantile(0.99);
    Ok(seen)
}

impl Work {
    fn new(
        (thread, threads): (usize, usize),
        codecs: [Codec; 2],
        calls: &[Call],
        sockets: Vec<UdpSocket>,
    ) -> Work {
        let mut work = Work {
            sockets,
            parties: Vec::new(),
            turns: vec![Vec::new(); STEPS as usize * PORTS],
            by_server: HashMap::new(),
            sound: HashMap::new(),
            rounds: 0,
            counted: WARM_UP_S * 50,
            round: 0,
            delays: Delays::default(),
            lateness: Delays::default(),
        };
        for (number, call) in calls.iter().enumerate() {
            for side in 0..2 {
                let (mine, port) = place(number, side, threads);
                if mine != thread {
                    continue;
                }
                let index = work.parties.len();
                // Parties that share a port are spread over the steps, and the two of a call apart.
                let step = (index * 37) % STEPS as usize;
                work.turns[step * PORTS + port].push(index);
                work.by_server.insert(call.ports[side], index);
                work.parties.push(Party {
                    codec: codecs[side],
                    payload_type: call.types[side],
                    ssrc: (number * 2 + side) as u32 + 1,
                    server: call.ports[side],
                    sent_ns: Box::new([0; REMEMBERED]),
                    other: index ^ 1,
                    offset: 0,
                    votes: 0,
                });
            }
        }
        work
    }

    fn run(&mut self) {
        let mut batch = Batch::new();
        let start = sockets::steady_ns() + FRAME_NS;
        for round in 0..self.rounds {
            self.round = round;
            for step in 0..STEPS {
                let due = start + round * FRAME_NS + step * STEP_NS;
                sockets::sleep_until(due);
                self.lateness.note(sockets::steady_ns().saturating_sub(due));
                for port in 0..PORTS {
                    self.speak(&mut batch, round, (step as usize, port));
                }
                if step % 5 == 4 {
                    self.listen(&mut batch);
                }
            }
        }
        let end = sockets::steady_ns() + REST_MS * 1_000_000;
        while sockets::steady_ns() < end {
            sockets::sleep_until(sockets::steady_ns() + 1_000_000);
            self.listen(&mut batch);
        }
    }

    fn speak(&mut self, batch: &mut Batch, round: u64, (step, port): (usize, usize)) {
        let turn = &self.turns[step * PORTS + port];
        for some in turn.chunks(AT_ONCE) {
            let now = sockets::wall_ns();
            let mut what = Vec::with_capacity(AT_ONCE);
            for (n, &index) in some.iter().enumerate() {
                let Some(party) = self.parties.get_mut(index) else {
                    continue;
                };
                let sound = &self.sound[&party.codec];
                let payload = &sound[(round as usize + index * 11) % sound.len()];
                let length = HEADER_LEN + payload.len();
                let header = Header {
                    marker: round == 0,
                    payload_type: party.payload_type,
                    sequence: round as u16,
                    timestamp: (round as u32).wrapping_mul(party.codec.clock_rate() / 50),
                    ssrc: party.ssrc,
                };
                packet::write(&header, &mut batch.bytes[n]);
                batch.bytes[n][HEADER_LEN..length].copy_from_slice(payload);
                party.sent_ns[round as usize % REMEMBERED] = now;
                what.push(Outgoing {
                    length,
                    port: party.server,
                });
            }
            batch.send(&self.sockets[port], &what);
        }
    }

    fn listen(&mut self, batch: &mut Batch) {
        for port in 0..PORTS {
            loop {
                let count = batch.receive(&self.sockets[port]);
                for n in 0..count {
                    let came = batch.came(n);
                    if let Some((header, _)) = packet::parse(&batch.bytes[n][..came.length]) {
                        self.heard(came.port, &header, came.at_ns);
                    }
                }
                if count < BATCH {
                    break;
                }
            }
        }
    }

    fn heard(&mut self, server: u16, header: &Header, at_ns: u64) {
        let Some(&index) = self.by_server.get(&server) else {
            return;
        };
        let other = self.parties[index].other;
        if self.round < self.counted {
            // Which one it was is seen from the time: the last one sent before it came.
            if let Some(sequence) = self.last_before(other, at_ns) {
                self.parties[index].vote(sequence.wrapping_sub(header.sequence));
            }
        }
        let sequence = header.sequence.wrapping_add(self.parties[index].offset);
        let round = u64::from(sequence);
        if round < self.counted || round >= self.rounds {
            return;
        }
        let sent = self.parties[other].sent_ns[round as usize % REMEMBERED];
        match at_ns.checked_sub(sent).filter(|_| sent != 0) {
            Some(delay) => self.delays.note(delay),
            // Later than we could tell from its number which one it was.
            None => self.delays.received += 1,
        }
    }

    fn last_before(&self, party: usize, at_ns: u64) -> Option<u16> {
        let sent = &self.parties[party].sent_ns;
        let rounds = self.round.saturating_sub(20)..=self.round;
        let before = |round: &u64| (1..=at_ns).contains(&sent[*round as usize % REMEMBERED]);
        // A turn not yet taken in this round has the time of a round long ago.
        let newest = rounds
            .filter(before)
            .max_by_key(|round| sent[*round as usize % REMEMBERED]);
        newest.map(|round| round as u16)
    }
}

impl Party {
    fn vote(&mut self, offset: u16) {
        if offset == self.offset {
            self.votes += 1;
        } else if self.votes == 0 {
            (self.offset, self.votes) = (offset, 1);
        } else {
            self.votes -= 1;
        }
    }
}

/// Frames of something like speech: a voice that glides, with pauses and noise.
fn speech(codec: Codec) -> Vec<Vec<u8>> {
    let rate = codec.sample_rate();
    let Ok(mut encoder) = Encoder::new(codec, rate) else {
        return vec![vec![0; 160]];
    };
    let (mut phase, mut noise) = (0.0f64, 1u32);
    let mut frames = Vec::with_capacity(SOUND);
    for frame in 0..SOUND {
        let loud = if frame % 50 < 40 { 5_000.0 } else { 60.0 };
        let pitch = 110.0 + 40.0 * (frame as f64 / 9.0).sin();
        let pcm: Vec<i16> = (0..rate / 50)
            .map(|_| {
                phase = (phase + pitch / f64::from(rate)).fract();
                noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let hiss = f64::from(noise >> 16) / 65_536.0 - 0.5;
                let voice: f64 = (1..12)
                    .map(|h| (std::f64::consts::TAU * phase * f64::from(h)).sin() / f64::from(h))
                    .sum();
                (loud * (voice * 0.6 + hiss * 0.2)) as i16
            })
            .collect();
        let mut payload = [0; 400];
        let length = encoder.encode(&pcm, &mut payload);
        frames.push(payload[..length.max(1)].to_vec());
    }
    frames
}
