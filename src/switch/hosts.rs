//! What phones call us: the host of the address they registered at, which no configuration need know. It is kept with
//! each registration.
//!
//! Asked when a phone names a party by such an address in a REFER. It opens no door: what is dialled then is decided by
//! the dialplan and the phone's own rights.

use crate::office::Office;
use sip::{Flow, Message, Uri};

/// RFC 1035 §2.3.4.
const LONGEST: usize = 255;

/// What the sender of `request` calls us; empty when that is no name.
pub(crate) fn asked(request: &Message) -> String {
    let uri = request.request_uri().unwrap_or_default();
    let host = Uri::parse(&uri).map(|uri| bare(&uri.host));
    host.ok()
        .filter(|host| host.len() <= LONGEST)
        .unwrap_or_default()
}

/// Whether `host` means us, in a request of a phone of `extension` that came over `flow`.
pub(crate) fn is_ours(
    office: &Office,
    host: &str,
    request: &Message,
    (extension, flow): (&str, Option<&Flow>),
) -> bool {
    let host = bare(host);
    if host.is_empty() {
        return false;
    }
    let local = flow.map(|flow| flow.local.ip().to_canonical().to_string());
    let known = [
        Some(office.config.realm.clone()),
        office.config.external_host.clone(),
        local,
        Some(asked(request)),
        // What the phone called us in the call it made, or we ourselves in the one we made.
        request.to().map(|to| to.uri.host),
    ];
    let mut known = known.into_iter().flatten();
    let mut phones = office.registrar.bindings(extension);
    phones.any(|phone| phone.kept.host == host) || known.any(|known| bare(&known) == host)
}

fn bare(host: &str) -> String {
    host.trim_matches(['[', ']']).to_ascii_lowercase()
}
