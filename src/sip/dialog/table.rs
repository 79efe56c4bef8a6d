//! All dialogs, and the one place that lets one go.

use std::collections::HashMap;

use super::{Dialog, Phase, key};
use crate::arena::Arena;
use crate::endpoint::{DialogId, SipEvent};
use crate::message::Message;
use crate::secret::Key;
use crate::transaction::{Layer, shrink};

pub(crate) struct Dialogs {
    table: Arena<Dialog>,
    by_key: HashMap<Key, DialogId>,
}

impl Dialogs {
    pub(crate) fn new() -> Dialogs {
        Dialogs {
            table: Arena::new(),
            by_key: HashMap::new(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    /// Gives back what a flood made large.
    pub(crate) fn give_back(&mut self) {
        self.table.give_back();
        shrink(&mut self.by_key);
    }

    pub(crate) fn insert(&mut self, dialog: Dialog) -> DialogId {
        let id = DialogId(self.table.insert(dialog));
        if let Some(dialog) = self.table.get_mut(id.0) {
            dialog.id = id;
        }
        id
    }

    pub(crate) fn get(&self, id: DialogId) -> Option<&Dialog> {
        self.table.get(id.0)
    }

    /// The dialog a request of the peer belongs to: our tag is in its To.
    pub(crate) fn find(&self, layer: &Layer, request: &Message) -> Option<DialogId> {
        let (from, to) = (request.from()?, request.to()?);
        let remote = from.tag().unwrap_or_default();
        let key = key(&layer.secret, &request.call_id()?, to.tag()?, remote);
        self.by_key.get(&key).copied()
    }

    pub(crate) fn named(
        &self,
        layer: &Layer,
        call_id: &str,
        local_tag: &str,
        remote_tag: &str,
    ) -> Option<DialogId> {
        let key = key(&layer.secret, call_id, local_tag, remote_tag);
        self.by_key.get(&key).copied()
    }

    /// Lets something happen to a dialog; afterwards the table knows its new tags, or that it ended.
    pub(crate) fn with<T>(
        &mut self,
        layer: &mut Layer,
        id: DialogId,
        act: impl FnOnce(&mut Dialog, &mut Layer) -> T,
    ) -> Option<T> {
        let dialog = self.table.get_mut(id.0)?;
        let result = act(dialog, layer);
        for stale in dialog.stale.drain(..) {
            self.by_key.remove(&stale);
        }
        for key in dialog.keys.iter().skip(dialog.registered) {
            self.by_key.insert(*key, id);
        }
        dialog.registered = dialog.keys.len();
        if matches!(dialog.phase, Phase::Over) {
            for key in &dialog.keys {
                self.by_key.remove(key);
            }
            self.table.remove(id.0);
            layer.event(SipEvent::Ended { dialog: id });
        }
        Some(result)
    }
}
