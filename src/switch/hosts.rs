//! What phones call us: the host of the address they registered at, which no configuration need know.
//!
//! Asked when a phone names a party by such an address in a REFER. It opens no door: what is dialled then is decided by
//! the dialplan and the phone's own rights.

use crate::office::Office;
use sip::{Flow, Message, Uri};
use std::collections::BTreeSet;

/// The most names we keep; an office has a few.
const MAX: usize = 64;
/// RFC 1035 §2.3.4.
const LONGEST: usize = 255;

#[derive(Debug, Default)]
pub(crate) struct Hosts(BTreeSet<String>);

impl Hosts {
    /// A phone registered by `request`.
    pub(crate) fn learn(&mut self, request: &Message) {
        let host = asked(request).map(|host| bare(&host));
        if let Some(host) = host
            && self.0.len() < MAX
            && host.len() <= LONGEST
        {
            self.0.insert(host);
        }
    }
}

/// Whether `host` means us, in a request that came over `flow`.
pub(crate) fn is_ours(office: &Office, host: &str, request: &Message, flow: Option<&Flow>) -> bool {
    let host = bare(host);
    let local = flow.map(|flow| flow.local.ip().to_canonical().to_string());
    let known = [
        Some(office.config.realm.clone()),
        office.config.external_host.clone(),
        local,
        asked(request),
        // What the phone called us in the call it made, or we ourselves in the one we made.
        request.to().map(|to| to.uri.host),
    ];
    let mut known = known.into_iter().flatten();
    office.hosts.0.contains(&host) || known.any(|known| bare(&known) == host)
}

fn asked(request: &Message) -> Option<String> {
    let uri = request.request_uri()?;
    Some(Uri::parse(&uri).ok()?.host)
}

fn bare(host: &str) -> String {
    host.trim_matches(['[', ']']).to_ascii_lowercase()
}
