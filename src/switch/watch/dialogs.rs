//! The package `dialog`: what busy lamps show. RFC 4235.

use super::view::{LegView, Progress};
use super::xml::{escape, uri};
use std::fmt::Write;

/// The full state of extension `number` (RFC 4235 §4.1). `over`: dialogs that were told before and have ended since;
/// they are named once more as terminated, because some phones put a lamp out only then.
pub(super) fn body(
    (number, host): (&str, &str),
    version: u32,
    live: &[LegView],
    over: &[LegView],
) -> String {
    let entity = uri(number, host);
    let mut xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<dialog-info xmlns=\"urn:ietf:params:xml:ns:dialog-info\" \
         version=\"{version}\" state=\"full\" entity=\"{}\">\n",
        escape(&entity)
    );
    for view in live {
        let state = match view.progress {
            Progress::Trying => "trying",
            Progress::Early => "early",
            Progress::Confirmed => "confirmed",
        };
        dialog(&mut xml, &entity, host, (view, state));
    }
    for view in over {
        dialog(&mut xml, &entity, host, (view, "terminated"));
    }
    xml.push_str("</dialog-info>\n");
    xml
}

/// One dialog, seen from the watched phone: `local-tag` is the phone's. Whoever wants the call sends an INVITE whose
/// Replaces has these three names (RFC 4235 §4.1.2, RFC 3891): aliases, good for that alone.
fn dialog(xml: &mut String, entity: &str, host: &str, (view, state): (&LegView, &str)) {
    let local_tag = match &view.phone_tag {
        Some(tag) => format!(" local-tag=\"{}\"", escape(tag)),
        None => String::new(),
    };
    let direction = if view.initiator {
        "initiator"
    } else {
        "recipient"
    };
    // RFC 4235 §5.1: the watched phone renders nothing of a call that it holds.
    let rendering = if view.holds { "no" } else { "yes" };
    let display = match view.other_name.as_str() {
        "" => String::new(),
        name => format!(" display=\"{}\"", escape(name)),
    };
    let (entity, other) = (escape(entity), uri(&view.other, host));
    let other = escape(&other);
    // Writing to a String cannot fail.
    let _infallible = write!(
        xml,
        "<dialog id=\"d{:x}\" call-id=\"{}\"{local_tag} remote-tag=\"{}\" direction=\"{direction}\">\n\
         <state>{state}</state>\n\
         <local><identity>{entity}</identity><target uri=\"{entity}\">\
         <param pname=\"+sip.rendering\" pval=\"{rendering}\"/></target></local>\n\
         <remote><identity{display}>{other}</identity><target uri=\"{other}\"/></remote>\n\
         </dialog>\n",
        view.stream.0,
        escape(&view.call_id),
        escape(&view.our_tag),
    );
}
