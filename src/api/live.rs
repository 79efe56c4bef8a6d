//! The office as the Switch told it last: live calls, registrations, how trunks stand.

use directory::{Ban, LegRecord, Registration};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;
use switch::{CallId, LiveCall, LiveConference, Notice, Reach, TrunkState};
use tokio::sync::Notify;

/// How long the figures of a call may take.
const PATIENCE: Duration = Duration::from_millis(500);

/// The live view. The wiring feeds it every notice; requests read it. It holds as much as the Switch
/// does, whose tables are bounded.
#[derive(Default)]
pub struct Live {
    view: Mutex<View>,
    waiting: OnceLock<Box<dyn Fn() -> usize + Send + Sync>>,
    measured: Notify,
}

/// A registration and whether its phone is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Phone {
    pub registration: Registration,
    pub reach: Reach,
}

#[derive(Default)]
struct View {
    calls: BTreeMap<CallId, LiveCall>,
    /// By name.
    conferences: BTreeMap<String, LiveConference>,
    /// Of calls that were asked for: how often their figures were told, and the last ones.
    figures: BTreeMap<CallId, (u64, Vec<LegRecord>)>,
    /// By extension and binding.
    registrations: BTreeMap<(String, String), Phone>,
    /// Why the last push notification failed, if it did.
    push_failure: Option<String>,
    trunks: BTreeMap<String, TrunkState>,
    bans: BTreeMap<String, Ban>,
}

impl View {
    fn measured(&mut self, call: CallId, legs: &[LegRecord]) {
        // A call that ended meanwhile would never be forgotten.
        if self.calls.contains_key(&call) {
            let (times, last) = self.figures.entry(call).or_default();
            *times += 1;
            *last = legs.to_vec();
        }
    }
}

impl Live {
    /// An empty view.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes in what the Switch told.
    pub fn apply(&self, notice: &Notice) {
        let mut view = self.view();
        match notice {
            Notice::Call(call) => {
                view.calls.insert(call.call, call.clone());
            }
            Notice::Measured { call, legs } => {
                view.measured(*call, legs);
                self.measured.notify_waiters();
            }
            Notice::CallEnded { call, .. } => {
                view.calls.remove(call);
                view.figures.remove(call);
            }
            Notice::Conference(room) => {
                view.conferences.insert(room.name.clone(), room.clone());
            }
            Notice::ConferenceEnded { name } => {
                view.conferences.remove(name);
            }
            Notice::Registered(r) => {
                let key = (r.extension.clone(), r.binding.clone());
                let before = view.registrations.get(&key);
                let phone = Phone {
                    registration: r.clone(),
                    reach: before.map_or(Reach::Unknown, |phone| phone.reach),
                };
                view.registrations.insert(key, phone);
            }
            Notice::Unregistered { extension, binding } => {
                view.registrations
                    .remove(&(extension.clone(), binding.clone()));
            }
            Notice::Banned(ban) => {
                view.bans.insert(ban.id.clone(), ban.clone());
            }
            Notice::BanLifted { id } => {
                view.bans.remove(id);
            }
            Notice::Reach {
                extension,
                binding,
                reach,
            } => {
                let key = (extension.clone(), binding.clone());
                if let Some(phone) = view.registrations.get_mut(&key) {
                    phone.reach = *reach;
                }
            }
            Notice::Push { failure, .. } => view.push_failure.clone_from(failure),
            Notice::Trunk { name, state } => {
                view.trunks.insert(name.clone(), state.clone());
            }
            Notice::TrunkGone { name } => {
                view.trunks.remove(name);
            }
            Notice::Stopped => *view = View::default(),
            Notice::Emergency { .. } | Notice::Warning { .. } | Notice::Panicked { .. } => {}
        }
    }

    /// The legs of a call and how their sound goes, as it is told after `ask` was done; `None` when nothing was told in time.
    pub(crate) async fn figures(&self, call: CallId, ask: impl FnOnce()) -> Option<Vec<LegRecord>> {
        let before = self
            .view()
            .figures
            .get(&call)
            .map_or(0, |(times, _)| *times);
        ask();
        let told = async {
            loop {
                let next = self.measured.notified();
                tokio::pin!(next);
                // From here on nothing told is missed.
                next.as_mut().enable();
                if let Some(legs) = self.told_since(call, before) {
                    return legs;
                }
                next.await;
            }
        };
        tokio::time::timeout(PATIENCE, told).await.ok()
    }

    /// The figures of a call when they were told more than `before` times.
    fn told_since(&self, call: CallId, before: u64) -> Option<Vec<LegRecord>> {
        let view = self.view();
        let (times, legs) = view.figures.get(&call)?;
        (*times > before).then(|| legs.clone())
    }

    /// Every live call, the oldest first.
    pub fn calls(&self) -> Vec<LiveCall> {
        self.view().calls.values().cloned().collect()
    }

    /// One live call.
    pub fn call(&self, id: CallId) -> Option<LiveCall> {
        self.view().calls.get(&id).cloned()
    }

    /// Every conference that somebody is in, by name.
    pub fn conferences(&self) -> Vec<LiveConference> {
        self.view().conferences.values().cloned().collect()
    }

    /// One conference.
    pub fn conference(&self, name: &str) -> Option<LiveConference> {
        self.view().conferences.get(name).cloned()
    }

    /// How many calls there are.
    pub fn call_count(&self) -> usize {
        self.view().calls.len()
    }

    /// Every registration told, ordered by extension and binding. One that ran out a moment ago may be among them.
    pub fn phones(&self) -> Vec<Phone> {
        self.view().registrations.values().cloned().collect()
    }

    /// Every ban told, the oldest first. One that ended a moment ago may be among them.
    pub fn bans(&self) -> Vec<Ban> {
        self.view().bans.values().cloned().collect()
    }

    pub(crate) fn has_ban(&self, id: &str) -> bool {
        self.view().bans.contains_key(id)
    }

    /// Before the Switch tells of it.
    pub(crate) fn add_ban(&self, ban: Ban) {
        self.view().bans.insert(ban.id.clone(), ban);
    }

    /// Before the Switch tells of it.
    pub(crate) fn remove_ban(&self, id: &str) {
        self.view().bans.remove(id);
    }

    /// Those of one extension.
    pub fn phones_of(&self, extension: &str) -> Vec<Phone> {
        let first = (extension.to_owned(), String::new());
        let view = self.view();
        let from = view.registrations.range(first..);
        let own = from.take_while(|((number, _), _)| number == extension);
        own.map(|(_, phone)| phone.clone()).collect()
    }

    /// Why the last push notification failed; `None`: it did not, or there was none.
    pub fn push_failure(&self) -> Option<String> {
        self.view().push_failure.clone()
    }

    /// How the trunk stands; `None` when the Switch has said nothing of it.
    pub fn trunk_state(&self, name: &str) -> Option<TrunkState> {
        self.view().trunks.get(name).cloned()
    }

    /// How every trunk stands that the Switch told of.
    pub fn trunk_states(&self) -> Vec<TrunkState> {
        self.view().trunks.values().cloned().collect()
    }

    /// Gives the view a way to ask how many call records are not in the database yet. Only the first one counts.
    pub fn watch_records(&self, waiting: impl Fn() -> usize + Send + Sync + 'static) {
        // A second watch would count the same records.
        let _ = self.waiting.set(Box::new(waiting));
    }

    /// How many call records are not in the database yet; `None` before [`Live::watch_records`].
    pub fn records_waiting(&self) -> Option<usize> {
        self.waiting.get().map(|waiting| waiting())
    }

    /// A panic elsewhere cannot leave the maps half changed, so a poisoned lock is as good as any.
    fn view(&self) -> MutexGuard<'_, View> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_view_follows_the_notices() {
        let live = Live::new();
        let registration = Registration {
            extension: "101".into(),
            binding: "b".into(),
            contact: "sip:101@192.0.2.1".into(),
            source: "192.0.2.1:5060".into(),
            local: "192.0.2.9:5060".into(),
            transport: "udp".into(),
            user_agent: String::new(),
            call_id: "x".into(),
            cseq: 1,
            expires_at_ms: 1,
            ..Registration::default()
        };
        live.apply(&Notice::Registered(registration.clone()));
        live.apply(&Notice::Registered(Registration {
            cseq: 2,
            ..registration
        }));
        live.apply(&Notice::Reach {
            extension: "101".into(),
            binding: "b".into(),
            reach: Reach::Unreachable { since_ms: 5 },
        });
        assert_eq!(live.phones_of("10"), []);
        let known: Vec<_> = live.phones_of("101").iter().map(|p| p.reach).collect();
        assert_eq!(known, [Reach::Unreachable { since_ms: 5 }]);
        live.apply(&Notice::Unregistered {
            extension: "101".into(),
            binding: "b".into(),
        });
        assert_eq!(live.phones(), []);

        let name = "itsp".to_owned();
        let state = TrunkState::Registered;
        live.apply(&Notice::Trunk {
            name: name.clone(),
            state: state.clone(),
        });
        assert_eq!(live.trunk_state("itsp"), Some(state));
        live.apply(&Notice::TrunkGone { name });
        assert_eq!(live.trunk_state("itsp"), None);
    }
}
