//! The package `reg`: where an extension's phones are. RFC 3680.

use super::xml::{escape, uri};
use crate::office::Office;
use std::fmt::Write;

/// The full state (RFC 3680 §5.1) of extension `number`.
pub(super) fn body(office: &Office, (number, host): (&str, &str), version: u32) -> String {
    let mut contacts = String::new();
    for (index, binding) in office.registrar.bindings(number).enumerate() {
        let left = binding
            .expires
            .saturating_duration_since(office.now)
            .as_secs();
        // Writing to a String cannot fail.
        let _infallible = writeln!(
            contacts,
            "<contact id=\"c{index}\" state=\"active\" event=\"registered\" expires=\"{left}\" callid=\"{}\" \
             cseq=\"{}\"><uri>{}</uri></contact>",
            escape(&binding.kept.call_id),
            binding.kept.cseq,
            escape(&binding.kept.contact),
        );
    }
    let state = match (contacts.as_str(), office.directory.extensions.get(number)) {
        ("", None) => "terminated",
        ("", Some(_)) => "init",
        _ => "active",
    };
    let aor = uri(number, host);
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<reginfo xmlns=\"urn:ietf:params:xml:ns:reginfo\" \
         version=\"{version}\" state=\"full\">\n<registration aor=\"{}\" id=\"r{number}\" state=\"{state}\">\n{contacts}\
         </registration>\n</reginfo>\n",
        escape(&aor)
    )
}
