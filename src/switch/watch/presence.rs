//! The package `presence`: PIDF (RFC 3863) with what RFC 4480 says of people. What a phone published goes as it is
//! (`publish.rs`); else it is told from the registrations and the calls.

use super::view::{LegView, Progress};
use super::xml::{escape, uri};

/// `number` as we know it by ourselves.
pub(super) fn body((number, host): (&str, &str), is_registered: bool, live: &[LegView]) -> String {
    let entity = uri(number, host);
    let entity = escape(&entity);
    let basic = if is_registered { "open" } else { "closed" };
    let talks = live.iter().any(|v| v.progress == Progress::Confirmed);
    let (note, activity) = match (talks, live.is_empty()) {
        (true, _) => ("On the phone", "<rpid:on-the-phone/>"),
        (false, false) => ("Ringing", "<rpid:on-the-phone/>"),
        (false, true) if is_registered => ("Available", ""),
        (false, true) => ("Not registered", ""),
    };
    let activities = match activity {
        "" => String::new(),
        one => format!("<rpid:activities>{one}</rpid:activities>"),
    };
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" \
         xmlns:dm=\"urn:ietf:params:xml:ns:pidf:data-model\" xmlns:rpid=\"urn:ietf:params:xml:ns:pidf:rpid\" \
         entity=\"{entity}\">\n\
         <tuple id=\"t1\"><status><basic>{basic}</basic></status><contact>{entity}</contact></tuple>\n\
         <note>{note}</note>\n\
         <dm:person id=\"p1\">{activities}<dm:note>{note}</dm:note></dm:person>\n</presence>\n"
    )
}
