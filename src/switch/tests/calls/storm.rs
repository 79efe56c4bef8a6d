//! 24 pairs of phones call each other over 50 rounds, on a network that loses, doubles and reorders on every leg, whatever
//! the people do: each call ends once, nothing is left of any, and the seed alone decides how it all went.

use crate::world::phone::{Manner, State};
use crate::world::{EMPTY, World};
use directory::Ending;
use std::collections::BTreeSet;
use std::hash::{Hash, Hasher};

const PHONES: u32 = 48;
const ROUNDS: usize = 50;
/// Per cent of the datagrams lost, and as many doubled; a fifth is overtaken by later ones.
const TROUBLE: u64 = 10;

/// How often people did what.
#[derive(Debug, Default, PartialEq, Eq, Hash)]
struct Deeds {
    dialled: usize,
    cancelled: usize,
    caller_hung_up: usize,
    callee_hung_up: usize,
    both_hung_up: usize,
}

struct Storm {
    world: World,
    pairs: Vec<(String, String)>,
    deeds: Deeds,
}

impl Storm {
    fn new(seed: u64) -> Storm {
        let numbers: Vec<String> = (100..100 + PHONES).map(|n| n.to_string()).collect();
        let all: Vec<&str> = numbers.iter().map(String::as_str).collect();
        let mut world = World::new(&all, seed);
        world.trouble = TROUBLE;
        Storm {
            world,
            pairs: numbers
                .chunks(2)
                .map(|pair| (pair[0].clone(), pair[1].clone()))
                .collect(),
            deeds: Deeds::default(),
        }
    }

    fn state(&mut self, number: &str) -> State {
        self.world.phone(number).state.clone()
    }

    fn is_free(&mut self, number: &str) -> bool {
        matches!(self.state(number), State::Idle | State::Over(_))
    }

    /// Everybody who can calls their partner, within a second or so.
    fn dial(&mut self) {
        for (from, to) in self.pairs.clone() {
            if !self.is_free(&from) || !self.is_free(&to) {
                continue;
            }
            self.world.phone(&to).manner = match self.world.roll(4) {
                0 => Manner::RingsOnly,
                1 => Manner::Refuses(486),
                _ => Manner::Answers,
            };
            self.world.dials(&from, &to);
            self.deeds.dialled += 1;
            let pause = self.world.roll(100);
            self.world.passes(pause);
        }
    }

    /// Some have had enough: of waiting, of talking, both of them at once.
    fn end(&mut self) {
        for (from, to) in self.pairs.clone() {
            let now = self.world.now;
            match (self.state(&from), self.state(&to), self.world.roll(5)) {
                (State::Calling, _, 0..=2) => {
                    self.world.phone(&from).cancels(now);
                    self.deeds.cancelled += 1;
                }
                (State::Up, _, 0) => {
                    self.world.phone(&from).hangs_up(now);
                    self.deeds.caller_hung_up += 1;
                }
                (_, State::Up, 1) => {
                    self.world.phone(&to).hangs_up(now);
                    self.deeds.callee_hung_up += 1;
                }
                (State::Up, State::Up, 2 | 3) => {
                    self.world.phone(&from).hangs_up(now);
                    self.world.phone(&to).hangs_up(now);
                    self.deeds.both_hung_up += 1;
                }
                _ => {}
            }
            let pause = self.world.roll(50);
            self.world.passes(pause);
        }
    }

    /// The last ones hang up, and time passes.
    fn settle(&mut self) {
        self.world.passes(60_000);
        for (from, to) in self.pairs.clone() {
            let now = self.world.now;
            self.world.phone(&from).hangs_up(now);
            self.world.phone(&to).hangs_up(now);
        }
        self.world.passes(60_000);
        assert_eq!(self.world.is_silent(), EMPTY);
        assert!(self.world.streams.is_empty(), "{:?}", self.world.streams);
        for (from, to) in self.pairs.clone() {
            assert!(self.is_free(&from) && self.is_free(&to), "{from} {to}");
        }
        let panicked = |notice: &&String| notice.contains("Panicked");
        assert_eq!(self.world.log.iter().find(panicked), None);
    }

    /// Every INVITE that was let in is one call, and every call has one record.
    fn assert_one_record_each(&self) {
        let world = &self.world;
        let ids: BTreeSet<String> = world.records.iter().map(|r| r.id.clone()).collect();
        let taken: BTreeSet<String> = world.taken.iter().map(ToString::to_string).collect();
        assert_eq!(ids.len(), world.records.len(), "an id is there twice");
        assert_eq!(ids, taken);
        let mut asked: Vec<_> = world.asked.values().cloned().collect();
        let parties = world.records.iter().map(|r| (r.from.clone(), r.to.clone()));
        let mut recorded: Vec<_> = parties.collect();
        asked.sort_unstable();
        recorded.sort_unstable();
        assert_eq!(asked, recorded);
    }

    /// The storm was one: a thousand calls, and each kind of end among them.
    fn assert_rough(&self) {
        let Storm { world, deeds, .. } = self;
        assert!(world.records.len() >= 1_000, "{deeds:?}");
        for ending in [
            Ending::Completed,
            Ending::Busy,
            Ending::NoAnswer,
            Ending::Cancelled,
        ] {
            let ended = world.records.iter().filter(|r| r.cause == ending).count();
            assert!(ended >= 50, "{ended} {ending:?}");
        }
        let least = [
            deeds.cancelled,
            deeds.caller_hung_up,
            deeds.callee_hung_up,
            deeds.both_hung_up,
        ];
        assert!(least.iter().all(|times| *times >= 50), "{deeds:?}");
    }

    /// Every datagram with its time, every record and every notice.
    fn digest(&self) -> u64 {
        let mut hash = self.world.wire_hash.clone();
        format!("{:?}", self.world.records).hash(&mut hash);
        (&self.world.log, &self.deeds).hash(&mut hash);
        hash.finish()
    }
}

/// How one storm went, in a number.
fn storm(seed: u64) -> u64 {
    let mut storm = Storm::new(seed);
    for _ in 0..ROUNDS {
        storm.dial();
        storm.world.passes(4_000);
        storm.end();
        storm.world.passes(28_000);
    }
    storm.settle();
    storm.assert_one_record_each();
    storm.assert_rough();
    storm.digest()
}

#[test]
fn a_thousand_calls_in_a_storm_leave_nothing_behind_and_go_the_same_way_again() {
    let first = storm(11);
    assert_eq!(first, storm(11));
    assert_ne!(first, storm(12));
}
