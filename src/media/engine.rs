//! The doors: commands, packets and ticks in; packets and events out.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::Instant;

use slab::Slab;

use crate::bridge::{self, MAX_PACKET, Path, Route};
use crate::play::Player;
use crate::room::{Place, Rooms};
use crate::sender::Load;
use crate::stream::{Heard, Stream};
use crate::{
    Command, Event, Kind, Negotiated, NtpTime, PlayId, RoomId, Seat, Settings, Source, StreamId,
    StreamStats, Transmit,
};

/// Room made for events and latches with each stream, so that packets and ticks need not allocate.
const QUEUE_PER_STREAM: usize = 8;
const QUEUE_LEAST: usize = 256;

/// The streams of one media thread. See the crate's page.
#[derive(Debug)]
pub struct Engine {
    streams: Slab<Stream>,
    keys: HashMap<StreamId, usize>,
    rooms: Rooms,
    events: VecDeque<Event>,
    latches: VecDeque<(StreamId, Option<SocketAddr>, Kind)>,
    buffer: Box<[u8; MAX_PACKET]>,
    seed: u64,
}

/// A stream on its way from one engine to another: see [`Engine::release`].
#[derive(Debug)]
pub struct Moving(Box<Stream>);

impl Engine {
    /// `seed` makes SSRCs, first sequence numbers and timestamps; two engines must not share it.
    pub fn new(seed: u64) -> Engine {
        Engine {
            streams: Slab::new(),
            keys: HashMap::new(),
            rooms: Rooms::default(),
            events: VecDeque::with_capacity(QUEUE_LEAST),
            latches: VecDeque::with_capacity(QUEUE_LEAST),
            buffer: Box::new([0; MAX_PACKET]),
            seed,
        }
    }

    /// Obeys. The only door that allocates.
    pub fn command(&mut self, now: Instant, _wall: NtpTime, command: Command) {
        match command {
            Command::Open {
                stream,
                local: _,
                settings,
            } => self.open(now, stream, settings),
            Command::Negotiated { stream, negotiated } => self.negotiate(now, stream, negotiated),
            Command::Join { a, b } => self.join(a, b),
            Command::Part { stream } => self.with_key(stream, Engine::part),
            Command::Play {
                stream,
                play,
                source,
                repeat,
            } => self.play(stream, play, source, repeat),
            Command::StopPlay { stream } => self.with_key(stream, Engine::stop_play),
            Command::Echo { stream } => self.with_key(stream, Engine::echo),
            Command::Enter {
                stream,
                room,
                seat,
                chimes,
            } => self.enter(stream, room, (seat, chimes)),
            Command::Seat { stream, seat } => self.seat(stream, seat),
            Command::Announce {
                stream,
                play,
                source,
            } => self.announce(stream, (play, source)),
            Command::Report { stream } => self.report(now, stream),
            Command::Press {
                stream,
                keys,
                on_ms,
                off_ms,
            } => self.with_key(stream, |engine, key| {
                engine.press(key, &keys, (on_ms, off_ms));
            }),
            Command::Pressed { stream, key, ms } => {
                self.with_key(stream, |engine, at| engine.pressed(now, at, key, ms));
            }
            Command::Close { stream } => self.close(now, stream),
        }
    }

    /// A datagram came to the RTP socket of `stream`. It is rewritten in place where that will do.
    #[expect(clippy::too_many_arguments, reason = "the facts of one datagram")]
    pub fn rtp(
        &mut self,
        now: Instant,
        stream: StreamId,
        from: SocketAddr,
        packet: &mut [u8],
        out: &mut impl Transmit,
    ) {
        let Some(&key) = self.keys.get(&stream) else {
            return;
        };
        let Some(received) = self
            .streams
            .get_mut(key)
            .map(|s| s.receive(now, from, packet))
        else {
            return;
        };
        if received.locked {
            self.latches.push_back((stream, Some(from), Kind::Rtp));
        }
        if let Some(way) = received.way {
            self.pass_keys((now, key), (stream, way), &received.edges);
        }
        if let Some(heard) = received.heard {
            self.pass_on((now, key), &heard, packet, out);
        }
    }

    /// A datagram came to the RTCP socket of `stream`. It may be decrypted in place.
    #[expect(clippy::too_many_arguments, reason = "the facts of one datagram")]
    pub fn rtcp(
        &mut self,
        now: Instant,
        wall: NtpTime,
        stream: StreamId,
        from: SocketAddr,
        packet: &mut [u8],
        _out: &mut impl Transmit,
    ) {
        let Some(at) = self
            .keys
            .get(&stream)
            .and_then(|&key| self.streams.get_mut(key))
        else {
            return;
        };
        if at.receive_rtcp((now, wall), from, packet) {
            self.latches.push_back((stream, Some(from), Kind::Rtcp));
        }
    }

    /// To be called every 5 ms: playback, tones, RTCP reports, silence.
    pub fn tick(&mut self, now: Instant, wall: NtpTime, out: &mut impl Transmit) {
        for (_, stream) in &mut self.streams {
            while let Some((digit, ms)) = stream.tell_keys(now, &mut self.buffer, out) {
                let stream = stream.id;
                if self.events.len() < self.events.capacity() {
                    self.events.push_back(Event::InfoDue { stream, digit, ms });
                }
            }
            if let Some(play) = stream.play(now, &mut self.buffer, out) {
                let stream = stream.id;
                self.events.push_back(Event::PlayEnded {
                    stream,
                    play,
                    finished: true,
                });
            }
            stream.report((now, wall), &mut self.buffer, out);
            self.events.extend(stream.silence(now));
        }
        let wires = (&mut *self.buffer, out);
        self.rooms
            .tick(now, (&mut self.streams, &mut self.events), wires);
    }

    /// To be called before a stream is closed: its party is told (RFC 3550 §6.6).
    pub fn farewell(
        &mut self,
        now: Instant,
        wall: NtpTime,
        stream: StreamId,
        out: &mut impl Transmit,
    ) {
        let key = self.keys.get(&stream).copied();
        if let Some(stream) = key.and_then(|key| self.streams.get_mut(key)) {
            stream.farewell((now, wall), &mut self.buffer, out);
        }
    }

    /// Takes a stream out, with all that is known of it, to be put into another engine. Whom it heard and who heard it
    /// are left behind; what is played to it goes along.
    pub fn release(&mut self, stream: StreamId) -> Option<Moving> {
        let key = self.keys.remove(&stream)?;
        self.part(key);
        self.streams.try_remove(key).map(Box::new).map(Moving)
    }

    /// Takes in a stream that another engine released.
    pub fn adopt(&mut self, Moving(stream): Moving) {
        let id = stream.id;
        let key = self.streams.insert(*stream);
        self.keys.insert(id, key);
        self.make_room();
    }

    /// The next event; drain until `None`.
    pub fn poll(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Sockets to connect to the one source they shall hear, or (`None`) to open to all again; drain until `None`.
    pub fn latched(&mut self) -> Option<(StreamId, Option<SocketAddr>, Kind)> {
        self.latches.pop_front()
    }

    fn pass_on(
        &mut self,
        (now, key): (Instant, usize),
        heard: &Heard,
        packet: &mut [u8],
        out: &mut impl Transmit,
    ) {
        let Some(from) = self.streams.get_mut(key) else {
            return;
        };
        let partner = match from.path {
            Path::Nowhere => return,
            Path::Echo if from.listens() => return bridge::relay(now, heard, packet, from, out),
            Path::Echo => return,
            Path::Partner(partner, _) => partner,
            Path::Room(place) => return self.rooms.hear(now, place, heard, packet),
        };
        let Some((from, to)) = self.streams.get2_mut(key, partner) else {
            return;
        };
        if !to.listens_to_partner(now) {
            return;
        }
        match (&mut from.path, heard.load) {
            (Path::Partner(_, Route::Relay), _) => bridge::relay(now, heard, packet, to, out),
            (Path::Partner(_, Route::Transcode(coder)), Load::Noise) => {
                coder.pass_over(&heard.header);
            }
            (Path::Partner(_, Route::Transcode(coder)), Load::Event) => {
                bridge::relay_event(now, (heard, packet), coder, to, out);
            }
            (Path::Partner(_, Route::Transcode(coder)), Load::Voice) => {
                let payload = packet.get(heard.payload.clone()).unwrap_or_default();
                bridge::transcode(now, (heard, payload), coder, to, (out, &mut self.buffer));
            }
            (Path::Partner(_, Route::Mute) | Path::Echo | Path::Nowhere | Path::Room(_), _) => {}
        }
    }

    pub(crate) fn tell(&mut self, event: Event) {
        if self.events.len() < self.events.capacity() {
            self.events.push_back(event);
        }
    }

    pub(crate) fn stream_mut(&mut self, key: usize) -> Option<&mut Stream> {
        self.streams.get_mut(key)
    }

    /// The stream that hears the one with this key.
    pub(crate) fn partner_of(&mut self, key: usize) -> Option<&mut Stream> {
        let partner = self.streams.get(key)?.path.partner()?;
        self.streams.get_mut(partner)
    }

    fn with_key(&mut self, stream: StreamId, act: impl FnOnce(&mut Engine, usize)) {
        if let Some(&key) = self.keys.get(&stream) {
            act(self, key);
        }
    }

    fn open(&mut self, now: Instant, id: StreamId, settings: Settings) {
        if self.keys.contains_key(&id) {
            return;
        }
        let seed = [(); 4].map(|()| self.random());
        let key = self.streams.insert(Stream::new(now, id, settings, seed));
        self.keys.insert(id, key);
        self.make_room();
    }

    fn make_room(&mut self) {
        let room = (self.streams.len() * QUEUE_PER_STREAM).max(QUEUE_LEAST);
        self.events.reserve(room.saturating_sub(self.events.len()));
        self.latches
            .reserve(room.saturating_sub(self.latches.len()));
    }

    /// SplitMix64: every seed gives other numbers.
    fn random(&mut self) -> u32 {
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.seed ^ (self.seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 32) as u32
    }

    fn negotiate(&mut self, now: Instant, id: StreamId, negotiated: Negotiated) {
        let Some(&key) = self.keys.get(&id) else {
            return;
        };
        let Some(stream) = self.streams.get_mut(key) else {
            return;
        };
        let codec = negotiated.codec;
        let (rtp, rtcp) = stream.negotiate(now, negotiated);
        let partner = stream.path.partner();
        let playable = stream
            .player
            .as_mut()
            .is_none_or(|player| player.prepare(codec));
        for (kind, unlocked) in [(Kind::Rtp, rtp), (Kind::Rtcp, rtcp)] {
            if unlocked {
                self.latches.push_back((id, None, kind));
            }
        }
        if let Some(place) = stream.path.place() {
            self.rooms.negotiated(place, stream);
        }
        if !playable {
            self.stop_play(key);
        }
        if let Some(partner) = partner {
            self.route(key, partner);
            self.route(partner, key);
        }
    }

    fn join(&mut self, a: StreamId, b: StreamId) {
        let (Some(&a), Some(&b)) = (self.keys.get(&a), self.keys.get(&b)) else {
            return;
        };
        if a == b {
            return;
        }
        self.stop_endless(a);
        self.stop_endless(b);
        let joined = self.streams.get(a).and_then(|s| s.path.partner()) == Some(b);
        if joined {
            return;
        }
        self.part(a);
        self.part(b);
        self.route(a, b);
        self.route(b, a);
    }

    fn stop_endless(&mut self, key: usize) {
        let player = self.streams.get(key).and_then(|s| s.player.as_ref());
        if player.is_some_and(Player::endless) {
            self.stop_play(key);
        }
    }

    fn enter(&mut self, id: StreamId, room: RoomId, (seat, chimes): (Seat, bool)) {
        let Some(&key) = self.keys.get(&id) else {
            return;
        };
        self.stop_endless(key);
        let place = self.streams.get(key).and_then(|s| s.path.place());
        if place.is_some_and(|place| self.rooms.is_in(place, room)) {
            return self.seat(id, seat);
        }
        self.part(key);
        if let Some(stream) = self.streams.get_mut(key)
            && let Some(place) = self.rooms.enter(room, (key, stream), (seat, chimes))
        {
            stream.path = Path::Room(place);
        }
    }

    fn seat(&mut self, id: StreamId, seat: Seat) {
        if let Some(place) = self.place(id) {
            self.rooms.seat(place, seat);
        }
    }

    fn place(&self, id: StreamId) -> Option<Place> {
        let key = self.keys.get(&id)?;
        self.streams.get(*key)?.path.place()
    }

    fn announce(&mut self, id: StreamId, what: (PlayId, Source)) {
        let unheard = self.rooms.announce(self.place(id), id, what);
        self.cut_short(unheard);
    }

    fn cut_short(&mut self, unheard: impl IntoIterator<Item = Option<(StreamId, PlayId)>>) {
        for (stream, play) in unheard.into_iter().flatten() {
            self.events.push_back(Event::PlayEnded {
                stream,
                play,
                finished: false,
            });
        }
    }

    /// Says how what `from` hears gets to `to`.
    fn route(&mut self, from: usize, to: usize) {
        let Some((from, listener)) = self.streams.get2_mut(from, to) else {
            return;
        };
        let before = match std::mem::replace(&mut from.path, Path::Nowhere) {
            Path::Partner(key, route) if key == to => route,
            Path::Partner(..) | Path::Echo | Path::Nowhere | Path::Room(_) => Route::Mute,
        };
        let route = Route::between(from.negotiated(), listener.negotiated(), before);
        from.path = Path::Partner(to, route);
    }

    fn part(&mut self, key: usize) {
        let Some(stream) = self.streams.get_mut(key) else {
            return;
        };
        let path = std::mem::replace(&mut stream.path, Path::Nowhere);
        let partner = path.partner();
        if let Some(place) = path.place() {
            let unheard = self.rooms.leave(place);
            self.cut_short([unheard]);
        }
        if let Some(partner) = partner.and_then(|key| self.streams.get_mut(key)) {
            partner.path = Path::Nowhere;
        }
    }

    fn echo(&mut self, key: usize) {
        self.part(key);
        if let Some(stream) = self.streams.get_mut(key) {
            stream.path = Path::Echo;
        }
    }

    fn play(&mut self, id: StreamId, play: PlayId, source: Source, repeat: bool) {
        let Some(&key) = self.keys.get(&id) else {
            return;
        };
        self.stop_play(key);
        let Some(stream) = self.streams.get_mut(key) else {
            return;
        };
        let codec = stream.negotiated().map(|n| n.codec);
        let player = Player::new(play, source, repeat).and_then(|mut player| {
            let ready = codec.is_none_or(|codec| player.prepare(codec));
            ready.then_some(player)
        });
        if player.is_none() {
            self.events.push_back(Event::PlayEnded {
                stream: id,
                play,
                finished: false,
            });
        }
        stream.player = player;
    }

    fn stop_play(&mut self, key: usize) {
        let Some(stream) = self.streams.get_mut(key) else {
            return;
        };
        if let Some(player) = stream.player.take() {
            let (stream, play) = (stream.id, player.id);
            self.events.push_back(Event::PlayEnded {
                stream,
                play,
                finished: false,
            });
        }
    }

    fn report(&mut self, now: Instant, id: StreamId) {
        let key = self.keys.get(&id).copied();
        if let Some(stream) = key.and_then(|key| self.streams.get(key)) {
            let stats = Box::new(stream.stats(now));
            self.events.push_back(Event::Report { stream: id, stats });
        }
    }

    fn close(&mut self, now: Instant, id: StreamId) {
        let mut stats = StreamStats::default();
        if let Some(&key) = self.keys.get(&id) {
            self.stop_play(key);
            self.part(key);
            self.keys.remove(&id);
            stats = self
                .streams
                .try_remove(key)
                .map_or(stats, |stream| stream.stats(now));
        }
        let stats = Box::new(stats);
        self.events.push_back(Event::Closed { stream: id, stats });
    }
}
