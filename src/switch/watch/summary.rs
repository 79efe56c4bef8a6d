//! The package `message-summary`: how many messages wait. RFC 3842.
//!
//! Phones that subscribe are told like all watchers. One that does not is told by a NOTIFY of its own, outside any
//! subscription, when its extension has `push_message_summary`: after it registered, and when the counts change.

use super::{Package, Topic, Watched};
use crate::office::Office;
use directory::MessageSummary;
use sip::{OutRequest, TransactionId};

/// RFC 3842 §5.2.
pub(super) fn body((number, host): (&str, &str), counts: &MessageSummary) -> String {
    let MessageSummary {
        new,
        old,
        urgent_new,
        urgent_old,
    } = counts;
    let waiting = if *new > 0 { "yes" } else { "no" };
    format!(
        "Messages-Waiting: {waiting}\r\nMessage-Account: {}\r\n\
         Voice-Message: {new}/{old} ({urgent_new}/{urgent_old})\r\n",
        super::xml::uri(number, host)
    )
}

/// The counts are these from now on.
pub(crate) fn set_summaries(office: &mut Office, all: Vec<(String, MessageSummary)>) {
    for (extension, counts) in all {
        if !office.directory.extensions.contains_key(&extension) {
            continue;
        }
        let watch = &mut office.watch;
        let before = watch.summaries.insert(extension.clone(), counts);
        if before.unwrap_or_default() != counts {
            watch.touch(&extension, Topic::Messages);
            watch.push.insert(extension);
        }
    }
}

/// What a phone said to a NOTIFY of ours outside subscriptions. One that was not reached is told when it is heard of.
pub(crate) fn answered(office: &mut Office, transaction: TransactionId, status: u16) {
    if let Some(phone) = office.watch.pushes.remove(&transaction)
        && matches!(status, 408 | 500..=599)
    {
        office.watch.pushed.remove(&phone);
    }
}

pub(super) fn directory_changed(office: &mut Office) {
    let known = std::sync::Arc::clone(&office.directory);
    let watch = &mut office.watch;
    watch
        .summaries
        .retain(|n, _| known.extensions.contains_key(n));
    let wants = |n: &String| {
        known
            .extensions
            .get(n)
            .is_some_and(|e| e.push_message_summary)
    };
    watch.pushed.retain(|(n, _), _| wants(n));
    let newly: Vec<String> = known
        .extensions
        .keys()
        .filter(|n| wants(n))
        .cloned()
        .collect();
    watch.push.extend(newly);
}

/// Tells the phones that did not subscribe and do not know yet.
pub(super) fn push(office: &mut Office) {
    for extension in std::mem::take(&mut office.watch.push) {
        let configured = office.directory.extensions.get(&extension);
        if office.stopping || !configured.is_some_and(|e| e.push_message_summary) {
            continue;
        }
        if has_subscribed(office, &extension) {
            continue;
        }
        push_to(office, &extension);
    }
}

/// Phones of an extension that subscribed to its own messages know by that.
fn has_subscribed(office: &Office, extension: &str) -> bool {
    let lamp = office.watch.lamps.get(extension);
    lamp.is_some_and(|lamp| {
        lamp.watchers.iter().any(|id| {
            office.watch.watchers.get(id).is_some_and(|w| {
                w.package == Package::MessageSummary
                    && w.by == extension
                    && w.watched == Watched::Extension(extension.to_owned())
            })
        })
    })
}

fn push_to(office: &mut Office, extension: &str) {
    let counts = office.watch.summaries.get(extension).copied();
    let counts = counts.unwrap_or_default();
    let phones: Vec<_> = office
        .registrar
        .bindings(extension)
        .map(|b| (b.kept.binding.clone(), b.kept.clone(), b.flow))
        .collect();
    for (binding, kept, flow) in phones {
        let phone = (extension.to_owned(), binding);
        if office.watch.pushed.insert(phone.clone(), counts) == Some(counts) {
            continue;
        }
        let host = office.host_for(&flow);
        let account = format!("<{}>", super::xml::uri(extension, &host));
        let request = OutRequest {
            flow,
            method: "NOTIFY".to_owned(),
            uri: kept.contact,
            to: account.clone(),
            from: account,
            call_id: None,
            cseq: None,
            headers: vec![
                ("Contact".to_owned(), format!("<sip:{}>", flow.local)),
                (
                    "Event".to_owned(),
                    Package::MessageSummary.name().to_owned(),
                ),
                ("Subscription-State".to_owned(), "active".to_owned()),
            ],
            body: Some((
                Package::MessageSummary.content_type().to_owned(),
                body((extension, &host), &counts).into_bytes(),
            )),
            credentials: None,
            // RFC 3327 §5.2.
            route: kept.path,
        };
        let transaction = office.sip.request(office.now, request);
        office.watch.pushes.insert(transaction, phone);
    }
}
