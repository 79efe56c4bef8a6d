//! Phones that come and go: who watches where an extension is, and where the watchers themselves are by now.

use super::Topic;
use crate::notice::Notice;
use crate::office::Office;
use directory::Registration;
use sip::Uri;

/// A notice: phones come and go.
pub(crate) fn heard(office: &mut Office, notice: &Notice) {
    if let Notice::Registered(kept) = notice {
        office.watch.touch(&kept.extension, Topic::Phones);
        let configured = office.directory.extensions.get(&kept.extension);
        if configured.is_some_and(|e| e.push_message_summary) {
            office.watch.push.insert(kept.extension.clone());
        }
        found(office, kept);
    }
    if let Notice::Unregistered { extension, binding } = notice {
        office.watch.touch(extension, Topic::Phones);
        let phone = (extension.clone(), binding.clone());
        office.watch.pushed.remove(&phone);
    }
}

/// A phone that registers anew, over another connection perhaps, is notified there from now on.
fn found(office: &mut Office, kept: &Registration) {
    let Some(own) = office.watch.of.get(&kept.extension).cloned() else {
        return;
    };
    let binding = office
        .registrar
        .bindings(&kept.extension)
        .find(|b| b.kept.binding == kept.binding);
    let Some(flow) = binding.map(|b| b.flow) else {
        return;
    };
    for id in own {
        let lives_there = |target: &str| same_place(target, &kept.contact);
        let place = office.sip.subscriber(id);
        if place.is_some_and(|(target, at)| at != flow && lives_there(target)) {
            office.sip.found_subscriber(office.now, id, flow);
        }
    }
}

/// Whether two Contacts are the same phone's: who and where, whatever the parameters.
fn same_place(one: &str, other: &str) -> bool {
    let place = |uri: &str| Some(Uri::parse(uri).map(|u| (u.user, u.host, u.port)));
    one == other || place(one).is_some_and(|one| one.is_ok() && Some(one) == place(other))
}
