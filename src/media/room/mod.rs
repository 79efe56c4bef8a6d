//! A room: three and more who hear one another, or two and somebody who listens in. Every 20 ms each member's voice is
//! taken from its jitter buffer, all are added up, and each hears the sum without its own.
//!
//! Who only listens hears what all the other listeners hear: that is encoded once for each codec. Not here: which calls
//! are in which conference (the `switch` crate knows), and a call of two, which is relayed (`bridge.rs`).
//! Next: `ear.rs` (packets to samples), `mouth.rs` (samples to packets), `chime.rs`, `announcement.rs`.

mod announcement;
mod chime;
mod ear;
mod mouth;
mod rooms;

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use slab::Slab;

use crate::bridge::{MAX_PACKET, frame_ms};
use crate::rtp::packet::HEADER_LEN;
use crate::sender::{Load, Maker};
use crate::stream::{Heard, Stream};
use crate::{Negotiated, PlayId, StreamId, Transmit};
pub use announcement::ANNOUNCEMENT_CODEC;
use announcement::Announcement;
use chime::{Chime, Ringing};
use ear::Ear;
use mouth::{Cut, Mouth, SLOT};
pub(crate) use rooms::{Place, Rooms};

/// Names a room, in all engines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RoomId(pub u64);

/// What a member of a room may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seat {
    /// Who hears it.
    pub voice: Audience,
    /// Whether it hears the others; if not, silence.
    pub hears: bool,
}

/// Whom a voice reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Audience {
    /// Muted.
    Nobody,
    Everybody,
    /// One other member alone: a whisper.
    Only(StreamId),
}

impl Default for Seat {
    fn default() -> Self {
        Seat {
            voice: Audience::Everybody,
            hears: true,
        }
    }
}

/// The length of a slot, whatever the members' packets are.
const SLOT_TIME: Duration = Duration::from_millis(20);
/// Ticks come every 5 ms and a little late; a slot that is due before the next one is due now.
const EARLY: Duration = Duration::from_micros(2_500);
/// When slots come later than this, the room goes on from there and makes no burst.
const MAX_BEHIND: Duration = Duration::from_millis(200);
/// Packets of one slot: two of 10 ms.
const PACKETS: usize = 2;
/// The longest payload: that of an Opus packet of 20 ms.
const MAX_PAYLOAD: usize = 1_280;

#[derive(Debug)]
pub(crate) struct Room {
    rate_hz: u32,
    /// The next slot; the first is set apart from those of other rooms by `phase`.
    due: Option<Instant>,
    phase: Duration,
    members: Slab<Member>,
    shared: Vec<Shared>,
    sum: Box<[i32; SLOT]>,
    mix: Box<[i16; SLOT]>,
    chime: Option<Ringing>,
    announcement: Option<Announcement>,
}

#[derive(Debug)]
struct Member {
    /// Its key in the engine's table.
    stream: usize,
    id: StreamId,
    seat: Seat,
    /// Whether the others are told of its coming and going.
    chimes: bool,
    sound: Option<Sound>,
    voice: Box<[i16; SLOT]>,
    /// Whether `voice` is to be heard by anybody.
    speaks: bool,
}

/// What is known of a member once it has negotiated.
#[derive(Debug)]
struct Sound {
    ear: Ear,
    mouth: Mouth,
    cut: Cut,
}

/// What all who only listen hear, in one kind of packet.
#[derive(Debug)]
struct Shared {
    cut: Cut,
    mouth: Mouth,
    packets: [Packet; PACKETS],
    /// How many were made in this slot, once they were.
    made: Option<usize>,
}

#[derive(Debug)]
struct Packet {
    bytes: Box<[u8; MAX_PAYLOAD]>,
    length: usize,
}

impl Room {
    fn new(phase: Duration) -> Room {
        Room {
            rate_hz: 8_000,
            due: None,
            phase,
            members: Slab::new(),
            shared: Vec::new(),
            sum: Box::new([0; SLOT]),
            mix: Box::new([0; SLOT]),
            chime: None,
            announcement: None,
        }
    }

    /// Takes a member in; its key. Allocates.
    fn enter(&mut self, stream: (usize, &Stream), seat: Seat, chimes: bool) -> usize {
        let (key, stream) = stream;
        if chimes && !self.members.is_empty() {
            self.chime = Some(Ringing::new(Chime::Joined));
        }
        let member = self.members.insert(Member {
            stream: key,
            id: stream.id,
            seat,
            chimes,
            sound: None,
            voice: Box::new([0; SLOT]),
            speaks: false,
        });
        self.negotiated(member, stream.negotiated());
        member
    }

    fn leave(&mut self, member: usize) {
        if let Some(left) = self.members.try_remove(member)
            && left.chimes
        {
            self.chime = Some(Ringing::new(Chime::Left));
        }
    }

    fn seat(&mut self, member: usize, seat: Seat) {
        if let Some(member) = self.members.get_mut(member) {
            member.seat = seat;
        }
    }

    /// The codec of a member is known, or another. Allocates.
    fn negotiated(&mut self, member: usize, negotiated: Option<&Negotiated>) {
        let Some(negotiated) = negotiated else { return };
        let cut = Cut {
            codec: negotiated.codec,
            frame_ms: frame_ms(negotiated),
        };
        let room_hz = self.rate_hz;
        if let Some(member) = self.members.get_mut(member) {
            let same = member.sound.as_ref().is_some_and(|sound| sound.cut == cut);
            if !same {
                member.sound = Sound::new(cut, room_hz).ok();
            }
        }
        self.retune();
        self.share();
    }

    /// Nobody is heard better than at its own rate, and nobody hears itself: the second highest rate is enough. Once
    /// there, a room stays at its rate, for every change is heard. Allocates.
    fn retune(&mut self) {
        let mut best = (8_000, 8_000);
        for (_, member) in &self.members {
            let rate = member
                .sound
                .as_ref()
                .map_or(8_000, |sound| sound.cut.codec.sample_rate());
            if rate > best.0 {
                best = (rate, best.0);
            } else if rate > best.1 {
                best.1 = rate;
            }
        }
        if best.1 <= self.rate_hz {
            return;
        }
        self.rate_hz = best.1;
        for (_, member) in &mut self.members {
            if let Some(mut sound) = member.sound.take() {
                member.sound = sound.retune(best.1).is_ok().then_some(sound);
            }
        }
        if let Some(announcement) = &mut self.announcement {
            announcement.retune(best.1);
        }
        self.shared.clear();
    }

    /// Makes what the members share. Allocates.
    fn share(&mut self) {
        for (_, member) in &self.members {
            let Some(cut) = member.sound.as_ref().map(|sound| sound.cut) else {
                continue;
            };
            let wanted = cut.is_shared() && !self.shared.iter().any(|shared| shared.cut == cut);
            if wanted && let Ok(mouth) = Mouth::new(cut, self.rate_hz) {
                self.shared.push(Shared::new(cut, mouth));
            }
        }
    }

    /// A packet of a member.
    pub(crate) fn hear(&mut self, now: Instant, member: usize, heard: &Heard, payload: &[u8]) {
        let sound = self.members.get_mut(member).and_then(|m| m.sound.as_mut());
        let Some(sound) = sound else { return };
        match heard.load {
            Load::Voice => sound.ear.put(now, &heard.header, payload, false),
            Load::Noise => sound.ear.put(now, &heard.header, payload, true),
            Load::Event => sound.ear.pass_over(&heard.header),
        }
    }

    /// Does what is due at `now`. Tells which announcements are over.
    fn tick(
        &mut self,
        now: Instant,
        streams: &mut Slab<Stream>,
        (buffer, out): (&mut [u8; MAX_PACKET], &mut impl Transmit),
        mut over: impl FnMut(StreamId, PlayId),
    ) {
        let first = now + self.phase;
        let mut due = *self.due.get_or_insert(first);
        if now.saturating_duration_since(due) > MAX_BEHIND {
            due = now;
            for (_, member) in &self.members {
                if let Some(stream) = streams.get_mut(member.stream) {
                    stream.sender.end_turn_of(Maker::Room);
                }
            }
        }
        while due <= now + EARLY {
            if let Some((owner, play)) = self.add_up(due) {
                over(owner, play);
            }
            self.speak(due, streams, (buffer, out));
            due += SLOT_TIME;
        }
        self.due = Some(due);
    }

    fn samples(&self) -> usize {
        (self.rate_hz / 50) as usize
    }

    /// Takes the members' voices of this slot and adds up those that everybody hears. The announcement, at its end.
    fn add_up(&mut self, now: Instant) -> Option<(StreamId, PlayId)> {
        let samples = self.samples();
        let sum = self.sum.get_mut(..samples).unwrap_or_default();
        sum.fill(0);
        for (_, member) in &mut self.members {
            let voice = member.voice.get_mut(..samples).unwrap_or_default();
            let ear = member.sound.as_mut().map(|sound| &mut sound.ear);
            let heard = ear.is_some_and(|ear| ear.listen(now, voice));
            member.speaks = heard && member.seat.voice != Audience::Nobody;
            if member.speaks && member.seat.voice == Audience::Everybody {
                for (total, sample) in sum.iter_mut().zip(&*voice) {
                    *total += i32::from(*sample);
                }
            }
        }
        if let Some(chime) = &mut self.chime
            && !chime.add(self.rate_hz, sum)
        {
            self.chime = None;
        }
        let announcement = self.announcement.as_mut()?;
        if announcement.add(now, sum) {
            return None;
        }
        self.announcement.take().map(|over| over.names())
    }

    /// Sends everybody what it hears.
    fn speak(
        &mut self,
        now: Instant,
        streams: &mut Slab<Stream>,
        (buffer, out): (&mut [u8; MAX_PACKET], &mut impl Transmit),
    ) {
        for shared in &mut self.shared {
            shared.made = None;
        }
        let whispers = |m: &Member| m.speaks && matches!(m.seat.voice, Audience::Only(_));
        let whispered = self.members.iter().any(|(_, member)| whispers(member));
        // The keys of a slab end below its capacity.
        for key in 0..self.members.capacity() {
            let Some(member) = self.members.get(key) else {
                continue;
            };
            let Some(stream) = streams.get_mut(member.stream) else {
                continue;
            };
            let own = self.hears_alone(key, member, whispered);
            let (Some(member), true) = (self.members.get_mut(key), stream.listens()) else {
                stream.sender.end_turn_of(Maker::Room);
                continue;
            };
            let Some(sound) = &mut member.sound else {
                continue;
            };
            if own {
                self.mix_for(key);
                let mix = self.mix.get(..self.samples()).unwrap_or_default();
                if let Some(sound) = self.members.get_mut(key).and_then(|m| m.sound.as_mut()) {
                    sound.mouth.say(mix);
                    tell(now, &mut sound.mouth, stream, (buffer, out));
                }
                continue;
            }
            sound.mouth.forget();
            let cut = sound.cut;
            self.share_with(now, cut, stream, (buffer, out));
        }
    }

    /// Whether the member hears something that the other listeners do not.
    fn hears_alone(&self, key: usize, member: &Member, whispered: bool) -> bool {
        let cut = member.sound.as_ref().map(|sound| sound.cut);
        let speaks = member.speaks && member.seat.voice == Audience::Everybody;
        let to_me = |(other, m): (usize, &Member)| {
            other != key && m.speaks && m.seat.voice == Audience::Only(member.id)
        };
        speaks
            || !member.seat.hears
            || !cut.is_some_and(Cut::is_shared)
            || (whispered && self.members.iter().any(to_me))
    }

    /// Everybody but the member itself, and what is whispered to it.
    fn mix_for(&mut self, key: usize) {
        let samples = self.samples();
        let mix = self.mix.get_mut(..samples).unwrap_or_default();
        let Some(member) = self.members.get(key) else {
            return;
        };
        if !member.seat.hears {
            return mix.fill(0);
        }
        let own = member.speaks && member.seat.voice == Audience::Everybody;
        for ((slot, total), voice) in mix.iter_mut().zip(&*self.sum).zip(&*member.voice) {
            let own = if own { i32::from(*voice) } else { 0 };
            *slot = saturated(*total - own);
        }
        let to_me = Audience::Only(member.id);
        for (_, other) in &self.members {
            if other.speaks && other.seat.voice == to_me {
                for (slot, voice) in mix.iter_mut().zip(&*other.voice) {
                    *slot = slot.saturating_add(*voice);
                }
            }
        }
    }

    /// Sends what all listeners hear, made for the first of them.
    fn share_with(
        &mut self,
        now: Instant,
        cut: Cut,
        stream: &mut Stream,
        (buffer, out): (&mut [u8; MAX_PACKET], &mut impl Transmit),
    ) {
        let samples = self.samples();
        let Some(shared) = self.shared.iter_mut().find(|shared| shared.cut == cut) else {
            return;
        };
        let made = match shared.made {
            Some(made) => made,
            None => {
                let mix = self.mix.get_mut(..samples).unwrap_or_default();
                for (slot, total) in mix.iter_mut().zip(&*self.sum) {
                    *slot = saturated(*total);
                }
                shared.make(mix)
            }
        };
        let payload_type = stream.payload_type(Load::Voice);
        let Some(payload_type) = payload_type.filter(|_| !stream.keys.speak()) else {
            return;
        };
        let ticks = shared.mouth.ticks();
        for packet in shared.packets.iter().take(made) {
            let header = stream.sender.own(now, Maker::Room, ticks);
            let payload = packet.bytes.get(..packet.length).unwrap_or_default();
            let room = buffer.get_mut(..HEADER_LEN + packet.length);
            let Some(room) = room.filter(|_| packet.length > 0) else {
                continue;
            };
            if let Some(place) = room.get_mut(HEADER_LEN..) {
                place.copy_from_slice(payload);
            }
            stream.transmit(payload_type, header, room, out);
        }
    }
}

impl Cut {
    /// Packets that end where slots end can be shared by members who come at any time.
    fn is_shared(self) -> bool {
        matches!(self.frame_ms, 10 | 20)
    }
}

impl Sound {
    fn new(cut: Cut, room_hz: u32) -> Result<Sound, crate::codec::CodecError> {
        Ok(Sound {
            ear: Ear::new(cut.codec, room_hz)?,
            mouth: Mouth::new(cut, room_hz)?,
            cut,
        })
    }

    fn retune(&mut self, room_hz: u32) -> Result<(), crate::codec::CodecError> {
        self.ear.retune(room_hz)?;
        if !self.mouth.makes(self.cut, room_hz) {
            self.mouth = Mouth::new(self.cut, room_hz)?;
        }
        Ok(())
    }
}

impl Shared {
    fn new(cut: Cut, mouth: Mouth) -> Shared {
        let packet = || Packet {
            bytes: Box::new([0; MAX_PAYLOAD]),
            length: 0,
        };
        Shared {
            cut,
            mouth,
            packets: std::array::from_fn(|_| packet()),
            made: None,
        }
    }

    fn make(&mut self, mix: &[i16]) -> usize {
        self.mouth.say(mix);
        let mut made = 0;
        for packet in &mut self.packets {
            let Some(length) = self.mouth.frame(packet.bytes.as_mut_slice()) else {
                break;
            };
            packet.length = length;
            made += 1;
        }
        self.made = Some(made);
        made
    }
}

/// Sends what is ready to one who hears it alone.
fn tell(
    now: Instant,
    mouth: &mut Mouth,
    stream: &mut Stream,
    (buffer, out): (&mut [u8; MAX_PACKET], &mut impl Transmit),
) {
    let Some(payload_type) = stream.payload_type(Load::Voice) else {
        return;
    };
    let ticks = mouth.ticks();
    while let Some(length) = mouth.frame(buffer.get_mut(HEADER_LEN..).unwrap_or_default()) {
        if stream.keys.speak() {
            continue;
        }
        let header = stream.sender.own(now, Maker::Room, ticks);
        // A packet the encoder could not make is a pause.
        if let Some(packet) = buffer.get_mut(..HEADER_LEN + length).filter(|_| length > 0) {
            stream.transmit(payload_type, header, packet, out);
        }
    }
}

fn saturated(sample: i32) -> i16 {
    sample.clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16
}
