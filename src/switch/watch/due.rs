//! What a NOTIFY carries: how things are at the moment it is sent.

use super::list::{self, Resource};
use super::view::{self, LegView};
use super::{Package, Watched, dialogs, presence, reg, summary};
use crate::call::Call;
use crate::event::CallId;
use crate::office::Office;
use sip::{News, SubscriptionId};
use std::collections::{BTreeMap, BTreeSet};

type Calls = BTreeMap<CallId, Call>;

/// The subscriber is to be told.
pub(super) fn due(
    office: &mut Office,
    calls: &Calls,
    id: SubscriptionId,
    (version, full): (u32, bool),
) {
    // Taken out, so that everything else can be looked at meanwhile.
    let Some(mut watcher) = office.watch.watchers.remove(&id) else {
        // Let go before it was told the last: RFC 6665 §4.2.2 wants no body then.
        return office.sip.notify(office.now, id, &News::default());
    };
    let (package, host) = (watcher.package, watcher.host.clone());
    let changed = std::mem::take(&mut watcher.changed);
    let told = &mut watcher.told;
    let news = match &watcher.watched {
        Watched::Extension(number) => {
            let body = of_one(office, calls, package, (number, &host, version), told);
            News {
                headers: Vec::new(),
                body: Some((package.content_type().to_owned(), body.into_bytes())),
            }
        }
        Watched::ListOf(_) => {
            let wanted = watcher
                .members
                .iter()
                .filter(|n| full || changed.contains(*n));
            let resources: Vec<Resource> = wanted
                .map(|number| Resource {
                    name: name_of(office, number),
                    content_type: package.content_type(),
                    body: of_one(office, calls, package, (number, &host, version), told),
                    number: number.clone(),
                })
                .collect();
            let (content_type, body) = list::body(&host, (version, full), &resources);
            News {
                // RFC 4662 §4.4.
                headers: vec![("Require", "eventlist".to_owned())],
                body: Some((content_type, body.into_bytes())),
            }
        }
    };
    office.watch.watchers.insert(id, watcher);
    office.sip.notify(office.now, id, &news);
}

fn name_of(office: &Office, number: &str) -> String {
    let known = office.directory.extensions.get(number);
    known.map(|e| e.name.clone()).unwrap_or_default()
}

/// The document about one extension.
fn of_one(
    office: &Office,
    calls: &Calls,
    package: Package,
    (number, host, version): (&str, &str, u32),
    told: &mut BTreeMap<String, Vec<LegView>>,
) -> String {
    let about = (number, host);
    let live = || {
        let none = BTreeSet::new();
        let lamp = office.watch.lamps.get(number);
        let among = lamp.map_or(&none, |lamp| &lamp.calls);
        view::of(office, calls, among, number)
    };
    match package {
        Package::Dialog => {
            let live = live();
            let before = told.remove(number).unwrap_or_default();
            let gone = |v: &LegView| live.iter().all(|l| l.stream != v.stream);
            let over: Vec<LegView> = before.into_iter().filter(gone).collect();
            let body = dialogs::body(about, version, &live, &over);
            if !live.is_empty() {
                told.insert(number.to_owned(), live);
            }
            body
        }
        Package::Presence => match office.watch.publications.newest(number) {
            Some(published) => published.to_owned(),
            None => {
                let is_registered = office.registrar.bindings(number).next().is_some();
                presence::body(about, is_registered, &live())
            }
        },
        Package::MessageSummary => {
            let counts = office.watch.summaries.get(number);
            summary::body(about, &counts.copied().unwrap_or_default())
        }
        Package::Reg => reg::body(office, about, version),
    }
}
