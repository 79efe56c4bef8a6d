//! What phones publish of their users: PUBLISH with the package `presence`. RFC 3903.

use super::{ALLOW_EVENTS, Package, Topic, xml};
use crate::admission::{self, Answer};
use crate::office::Office;
use crate::timers::Timer;
use directory::Directory;
use sip::{Flow, HeaderId, Message, Uri};
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

/// The largest document, the most of one extension and of all.
const MAX_BYTES: usize = 8_192;
const MAX_OF_EXTENSION: usize = 5;
const MAX: usize = 2_000;
/// Seconds granted at most, at least, and when none are asked for.
const MAX_EXPIRES: u32 = 3_600;
const MIN_EXPIRES: u32 = 60;

#[derive(Debug)]
struct Publication {
    etag: String,
    document: String,
    expires: Instant,
}

/// All documents, by extension, the newest last.
#[derive(Debug, Default)]
pub(super) struct Publications {
    of: BTreeMap<String, Vec<Publication>>,
    count: u64,
}

impl Publications {
    pub(super) fn newest(&self, number: &str) -> Option<&str> {
        let newest = self.of.get(number)?.last()?;
        Some(&newest.document)
    }

    pub(super) fn len(&self) -> usize {
        self.of.values().map(Vec::len).sum()
    }

    pub(super) fn directory_changed(&mut self, known: &Directory) {
        self.of.retain(|n, _| known.extensions.contains_key(n));
    }
}

/// A PUBLISH came (RFC 3903 §6).
pub(crate) fn publish(office: &mut Office, request: &Message, flow: &Flow) -> Answer {
    match take(office, request, flow) {
        Ok(answer) | Err(answer) => answer,
    }
}

fn take(office: &mut Office, request: &Message, flow: &Flow) -> Result<Answer, Answer> {
    let event = request.header(HeaderId::Event).unwrap_or_default();
    if Package::of(&event) != Some(Package::Presence) {
        return Err(Answer {
            status: 489,
            headers: vec![("Allow-Events", ALLOW_EVENTS.to_owned())],
        });
    }
    let user = admission::authenticate(office, request, flow)?;
    let uri = request.request_uri().unwrap_or_default();
    let about = Uri::parse(&uri).ok().and_then(|uri| uri.user);
    // Nobody says for another how that is.
    if about.as_deref() != Some(user.as_str()) {
        return Err(Answer::status(403));
    }
    let seconds = match request.expires() {
        Some(1..MIN_EXPIRES) => {
            return Err(Answer {
                status: 423,
                headers: vec![("Min-Expires", MIN_EXPIRES.to_string())],
            });
        }
        asked => asked.unwrap_or(MAX_EXPIRES).min(MAX_EXPIRES),
    };
    let given = request.header(HeaderId::SipIfMatch);
    let document = document(request)?;
    if document
        .as_deref()
        .is_some_and(|text| !is_about(text, &user))
    {
        return Err(Answer::status(403));
    }
    let etag = match given {
        Some(etag) => change(office, &user, (&etag, seconds), document)?,
        None => begin(office, &user, seconds, document)?,
    };
    office.watch.touch(&user, Topic::Published);
    arm(office);
    Ok(Answer {
        status: 200,
        headers: vec![("SIP-ETag", etag), ("Expires", seconds.to_string())],
    })
}

/// The body, when there is one (RFC 3903 §6 items 5 and 6).
fn document(request: &Message) -> Result<Option<String>, Answer> {
    if request.body().is_empty() {
        return Ok(None);
    }
    if request.content_type().as_deref() != Some(Package::Presence.content_type()) {
        return Err(Answer {
            status: 415,
            headers: vec![("Accept", Package::Presence.content_type().to_owned())],
        });
    }
    if request.body().len() > MAX_BYTES {
        return Err(Answer::status(413));
    }
    let text = std::str::from_utf8(request.body()).ok();
    let sound = text.filter(|text| xml::is_sound(text, "presence"));
    sound
        .map(|text| Some(text.to_owned()))
        .ok_or_else(|| Answer::status(400))
}

/// Whether the document says whom it is about, and that is `user` (RFC 3863 §4.1.1): a watcher believes what stands there.
fn is_about(document: &str, user: &str) -> bool {
    let entity = xml::root_attribute(document, "entity").unwrap_or_default();
    // RFC 3859 §3: the same user as a presentity.
    let entity = match entity.strip_prefix("pres:") {
        Some(pres) => format!("sip:{pres}"),
        None => entity.to_owned(),
    };
    Uri::parse(&entity).is_ok_and(|uri| uri.user.as_deref() == Some(user))
}

/// A first publication; without a document there is nothing to publish.
fn begin(
    office: &mut Office,
    user: &str,
    seconds: u32,
    document: Option<String>,
) -> Result<String, Answer> {
    let document = document.ok_or_else(|| Answer::status(400))?;
    let etag = next_etag(office, user);
    if seconds == 0 {
        return Ok(etag);
    }
    let publications = &mut office.watch.publications;
    let of_user = publications.of.get(user).map_or(0, Vec::len);
    if of_user >= MAX_OF_EXTENSION || publications.len() >= MAX {
        return Err(Answer {
            status: 503,
            headers: vec![("Retry-After", "60".to_owned())],
        });
    }
    let publication = Publication {
        etag: etag.clone(),
        document,
        expires: office.now + Duration::from_secs(u64::from(seconds)),
    };
    let of = &mut office.watch.publications.of;
    of.entry(user.to_owned()).or_default().push(publication);
    Ok(etag)
}

/// Refreshes, changes or removes a publication; each gives it another name (RFC 3903 §4.1).
fn change(
    office: &mut Office,
    user: &str,
    (etag, seconds): (&str, u32),
    document: Option<String>,
) -> Result<String, Answer> {
    let next = next_etag(office, user);
    let expires = office.now + Duration::from_secs(u64::from(seconds));
    let of = &mut office.watch.publications.of;
    let list = of.get_mut(user).ok_or_else(|| Answer::status(412))?;
    let at = list.iter().position(|p| p.etag == etag.trim());
    let mut publication = at
        .map(|at| list.remove(at))
        .ok_or_else(|| Answer::status(412))?;
    if seconds > 0 {
        publication.etag.clone_from(&next);
        publication.expires = expires;
        let place = match document {
            Some(document) => {
                publication.document = document;
                list.len()
            }
            None => at.unwrap_or_default(),
        };
        list.insert(place, publication);
    }
    if list.is_empty() {
        of.remove(user);
    }
    Ok(next)
}

/// A name that no publication had, and nobody can guess.
fn next_etag(office: &mut Office, user: &str) -> String {
    office.watch.publications.count += 1;
    let mut hasher = DefaultHasher::new();
    (office.config.seed, user, office.watch.publications.count).hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

/// Forgets what nobody refreshed.
pub(crate) fn sweep(office: &mut Office) {
    let now = office.now;
    let mut changed = Vec::new();
    office.watch.publications.of.retain(|user, list| {
        let before = list.len();
        list.retain(|p| p.expires > now);
        if list.len() != before {
            changed.push(user.clone());
        }
        !list.is_empty()
    });
    for user in changed {
        office.watch.touch(&user, Topic::Published);
    }
    arm(office);
}

fn arm(office: &mut Office) {
    office.timers.cancel(office.watch.timer.take());
    let all = office.watch.publications.of.values().flatten();
    let next = all.map(|p| p.expires).min();
    office.watch.timer = next.map(|at| office.timers.arm(at, Timer::Publications));
}
