//! Lamps in the town: each phone watches the next, and when everybody is home the last each was told is that nothing goes on.

use super::puppet::{Puppet, Stage};
use super::town::{NUMBERS, Town};

/// Long enough for one order, so that the end of a subscription is part of it.
const SECONDS: u64 = 900;

impl Puppet {
    fn watches(&mut self, number: &str) {
        let more = vec![
            self.contact(),
            "Event: dialog".to_owned(),
            format!("Expires: {SECONDS}"),
        ];
        let draft = self.outside("SUBSCRIBE", number, more);
        self.send(draft);
    }
}

impl Town {
    /// Nothing is lost of this.
    pub(super) fn watch_each_other(&mut self) {
        let lost = std::mem::take(&mut self.lost);
        for (index, puppet) in self.puppets.iter_mut().take(NUMBERS.len()).enumerate() {
            puppet.lamps.clear();
            puppet.dark.clear();
            puppet.registers();
            puppet.watches(NUMBERS[(index + 1) % NUMBERS.len()]);
        }
        self.settles(1_000);
        assert_eq!(self.switch.sizes().subscriptions, NUMBERS.len());
        self.lost = lost;
    }

    /// While calls are up and nothing moves, a lamp shows as many talks of its phone as the phone itself knows.
    pub(super) fn lamps_show_the_talks(&mut self) {
        for index in 0..NUMBERS.len() {
            let watched = &self.puppets[(index + 1) % NUMBERS.len()];
            let talks = watched
                .legs
                .iter()
                .filter(|leg| leg.stage == Stage::Up)
                .count();
            let watcher = &self.puppets[index];
            let shown: usize = watcher
                .lamps
                .values()
                .map(|document| document.matches("<state>confirmed").count())
                .sum();
            if shown != talks {
                let lamps = watcher.lamps.values();
                let fault = format!(
                    "{} has {talks} talks, {} sees {:?}",
                    watched.number,
                    watcher.number,
                    lamps.collect::<Vec<_>>()
                );
                self.faults.push(fault);
            }
        }
    }

    /// Every subscription lives, and the last it was told is the truth; then its time is over.
    pub(super) fn lamps_are_out(&mut self) {
        for puppet in self.puppets.iter().take(NUMBERS.len()) {
            let lamps: Vec<&String> = puppet.lamps.values().collect();
            let out = lamps.iter().all(|document| {
                let states = document.split("<state>").skip(1);
                document.contains("<dialog-info ")
                    && states.into_iter().all(|s| s.starts_with("terminated"))
            });
            if lamps.len() != 1 || !puppet.dark.is_empty() || !out {
                let fault = format!("{} sees {lamps:?}, over: {:?}", puppet.number, puppet.dark);
                self.faults.push(fault);
            }
        }
        self.settles(SECONDS * 1_000 + 40_000);
    }
}
