//! Letting subscribers in: who asks, whom about, and in what form.

use super::{ALLOW_EVENTS, MAX_OF_EXTENSION, Package, Watched, Watcher, list, turn};
use crate::admission::{self, Answer};
use crate::call::Call;
use crate::event::CallId;
use crate::office::Office;
use directory::number;
use sip::{Flow, HeaderId, Message, SubscriptionId, Uri};
use std::collections::{BTreeMap, BTreeSet};

/// A SUBSCRIBE came.
pub(super) fn asked(
    office: &mut Office,
    calls: &BTreeMap<CallId, Call>,
    id: SubscriptionId,
    request: &Message,
    flow: Flow,
) {
    let watcher = match judge(office, request, &flow) {
        Ok(watcher) => watcher,
        Err(answer) => {
            let Answer { status, headers } = answer;
            return office
                .sip
                .refuse_subscription(office.now, id, status, &headers);
        }
    };
    // RFC 4662 §4.2: what it was let in to is a list.
    let headers = match watcher.watched {
        Watched::ListOf(_) => vec![("Require", "eventlist".to_owned())],
        Watched::Extension(_) => Vec::new(),
    };
    if office.sip.accept_subscription(office.now, id, &headers) {
        turn::enter(office, calls, id, watcher);
    }
}

fn judge(office: &mut Office, request: &Message, flow: &Flow) -> Result<Watcher, Answer> {
    if office.stopping {
        return Err(busy());
    }
    let event = request.header(HeaderId::Event).unwrap_or_default();
    // RFC 6665 §8.3.2.
    let package = Package::of(&event).ok_or_else(|| Answer {
        status: 489,
        headers: vec![("Allow-Events", ALLOW_EVENTS.to_owned())],
    })?;
    let by = admission::authenticate(office, request, flow)?;
    let asked = request.request_uri().unwrap_or_default();
    let uri = Uri::parse(&asked).map_err(|_| Answer::status(400))?;
    let user = uri.user.unwrap_or_default();
    let watched = if user.eq_ignore_ascii_case(list::USER) {
        wants_list(request)?;
        Watched::ListOf(by.clone())
    } else {
        Watched::Extension(number::normalise(
            user.split(';').next().unwrap_or_default(),
        ))
    };
    may_watch(office, &by, &watched, package)?;
    accepts(request, package, &watched)?;
    if office
        .watch
        .of
        .get(&by)
        .is_some_and(|all| all.len() >= MAX_OF_EXTENSION)
    {
        return Err(busy());
    }
    Ok(Watcher {
        watched,
        members: Vec::new(),
        package,
        // What the phone called us: it compares the URIs it is told with the one it subscribed to.
        host: host_of(&asked).unwrap_or_else(|| office.host_for(flow)),
        told: BTreeMap::new(),
        changed: BTreeSet::new(),
        password: password(office, &by),
        by,
        stored: None,
    })
}

/// What the extension proves itself with.
pub(super) fn password(office: &Office, extension: &str) -> String {
    let known = office.directory.extensions.get(extension);
    known.map(|e| e.ha1.sha256.clone()).unwrap_or_default()
}

fn busy() -> Answer {
    Answer {
        status: 503,
        headers: vec![("Retry-After", "60".to_owned())],
    }
}

/// Everybody in the office may watch everybody in it; where phones are is only for their own extension to know.
fn may_watch(office: &Office, by: &str, watched: &Watched, package: Package) -> Result<(), Answer> {
    match watched {
        Watched::Extension(number) if !office.directory.extensions.contains_key(number) => {
            Err(Answer::status(404))
        }
        Watched::Extension(number) if package == Package::Reg && number != by => {
            Err(Answer::status(403))
        }
        Watched::Extension(_) => Ok(()),
        Watched::ListOf(_) if matches!(package, Package::Dialog | Package::Presence) => {
            let own = office.directory.extensions.get(by);
            let empty = own.is_none_or(|e| e.watch_list.is_empty());
            if empty {
                Err(Answer::status(404))
            } else {
                Ok(())
            }
        }
        Watched::ListOf(_) => Err(Answer::status(403)),
    }
}

/// RFC 4662 §4.2: a list is only for those who say that they can read one.
fn wants_list(request: &Message) -> Result<(), Answer> {
    let mut extensions = request
        .values(HeaderId::Supported)
        .chain(request.values(HeaderId::Require));
    if extensions.any(|name| name.eq_ignore_ascii_case("eventlist")) {
        return Ok(());
    }
    Err(Answer {
        status: 421,
        headers: vec![("Require", "eventlist".to_owned())],
    })
}

/// RFC 6665 §4.1.2.2 and RFC 3261 §21.4.7: nobody is sent what it cannot read. Without Accept the package's own type goes.
fn accepts(request: &Message, package: Package, watched: &Watched) -> Result<(), Answer> {
    let ranges: Vec<String> = request
        .values(HeaderId::Accept)
        .filter_map(|value| Some(value.split(';').next()?.trim().to_ascii_lowercase()))
        .collect();
    let takes = |wanted: &str| {
        let family = wanted.split('/').next().unwrap_or_default();
        ranges.is_empty()
            || ranges
                .iter()
                .any(|r| r == wanted || r == "*/*" || *r == format!("{family}/*"))
    };
    let list = matches!(watched, Watched::ListOf(_));
    if takes(package.content_type()) && (!list || takes("multipart/related")) {
        Ok(())
    } else {
        Err(Answer {
            status: 406,
            headers: vec![("Accept", package.content_type().to_owned())],
        })
    }
}

/// The host of a URI as it is written, port and all.
fn host_of(uri: &str) -> Option<String> {
    let (_, rest) = uri.split_once(':')?;
    let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    let end = host.find([';', '?']).unwrap_or(host.len());
    let host = host.get(..end)?;
    let fine = |b: u8| b.is_ascii_alphanumeric() || b"-.:[]".contains(&b);
    (!host.is_empty() && host.len() <= 255 && host.bytes().all(fine)).then(|| host.to_owned())
}
