//! What is stored while a world lives, and a restart of its PBX with it.

use super::World;
use directory::{Directory, Registration, Subscription};
use std::collections::BTreeMap;
use std::sync::Arc;
use switch::{Command, Config, Event, Switch};

/// The database, as far as stories need one.
#[derive(Debug)]
pub(crate) struct Kept {
    config: Config,
    directory: Arc<Directory>,
    pub(crate) registrations: BTreeMap<(String, String), Registration>,
    pub(crate) subscriptions: BTreeMap<String, Subscription>,
}

impl Kept {
    pub(super) fn new(config: Config) -> Kept {
        Kept {
            config,
            directory: Arc::default(),
            registrations: BTreeMap::new(),
            subscriptions: BTreeMap::new(),
        }
    }

    pub(super) fn hears(&mut self, event: &Event) {
        if let Event::Directory(directory) = event {
            self.directory = Arc::clone(directory);
        }
    }

    pub(super) fn takes(&mut self, command: Command) {
        match command {
            Command::KeepRegistration(one) => {
                let key = (one.extension.clone(), one.binding.clone());
                self.registrations.insert(key, *one);
            }
            Command::DropRegistration { extension, binding } => {
                self.registrations.remove(&(extension, binding));
            }
            Command::KeepSubscription(one) => {
                self.subscriptions.insert(one.id.clone(), *one);
            }
            Command::DropSubscription { id } => {
                self.subscriptions.remove(&id);
            }
            _ => {}
        }
    }
}

impl World {
    /// The PBX dies and another starts on what was stored.
    pub(crate) fn restarts(&mut self) {
        self.kept.config.seed[1] ^= 0x55;
        self.switch = Switch::new(self.kept.config.clone());
        self.streams.clear();
        let registrations = self.kept.registrations.values().cloned().collect();
        let subscriptions = self.kept.subscriptions.values().cloned().collect();
        self.give(Event::Directory(Arc::clone(&self.kept.directory)));
        self.give(Event::Restored(registrations));
        self.give(Event::RestoredSubscriptions(subscriptions));
    }
}
