//! What a request must stand before anybody acts on it: RFC 3261 §8.2, in its order. What the message's own text shows is
//! `message::check_request`; here is what depends on us. Who it is from is not asked here (`switch`).

use crate::dialog::too_short;
use crate::endpoint::{ALLOW, Config, supported};
use crate::message::{HeaderId, Message, Method, check_request};

/// What to refuse a request with.
pub(crate) struct Rejection {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
}

impl Rejection {
    pub(crate) fn new(status: u16) -> Rejection {
        Rejection {
            status,
            headers: Vec::new(),
        }
    }

    fn with(status: u16, name: &'static str, value: &str) -> Rejection {
        Rejection {
            status,
            headers: vec![(name, value.to_owned())],
        }
    }

    /// RFC 3261 §21.5.4: no room; come back soon.
    pub(crate) fn busy() -> Rejection {
        Rejection::with(503, "Retry-After", "10")
    }
}

/// The message is sound and asks nothing of us that we cannot do.
pub(crate) fn screen(request: &Message, config: &Config) -> Result<(), Rejection> {
    if let Err(refusal) = check_request(request) {
        // Max-Forwards counts hops to us, and these stop here (RFC 3261 §11.1).
        let ends_here = matches!(request.method(), Method::Options | Method::Register);
        if refusal.status != 483 || !ends_here {
            return Err(Rejection::new(refusal.status));
        }
    }
    if matches!(request.method(), Method::Ack | Method::Cancel) {
        return Ok(());
    }
    // RFC 3261 §8.2.2.3: what is required of us and unknown here is named.
    let required = request.values(HeaderId::Require);
    let unknown: Vec<_> = required
        .filter(|tag| !understands(tag, config) && !registers_with(request, tag))
        .collect();
    if !unknown.is_empty() {
        return Err(Rejection::with(420, "Unsupported", &unknown.join(", ")));
    }
    if matches!(
        request.method(),
        Method::Invite | Method::Update | Method::Prack
    ) {
        content(request)?;
        if let Some(min) = too_short(request, config) {
            return Err(Rejection::with(422, "Min-SE", &min.to_string()));
        }
    }
    Ok(())
}

/// RFC 3261 §19.2: the option tags of what we do.
fn understands(tag: &str, config: &Config) -> bool {
    let mut known = supported(config).split(", ");
    known.any(|known| known.eq_ignore_ascii_case(tag))
}

/// Extensions that a REGISTER may require of its registrar (RFC 3327 §5.1, RFC 5626 §4.2, RFC 5627 §4.1).
fn registers_with(request: &Message, tag: &str) -> bool {
    let known = ["path", "outbound", "gruu"];
    matches!(request.method(), Method::Register)
        && known.iter().any(|name| tag.eq_ignore_ascii_case(name))
}

/// Whether we take a request of this method outside dialogs.
pub(crate) fn method_outside(request: &Message) -> Result<(), Rejection> {
    match request.method() {
        Method::Invite
        | Method::Register
        | Method::Options
        | Method::Message
        | Method::Subscribe
        | Method::Notify
        | Method::Refer
        | Method::Publish => Ok(()),
        // These live in dialogs only.
        Method::Bye | Method::Info | Method::Update | Method::Prack => Err(Rejection::new(481)),
        Method::Other(_) => Err(Rejection::with(501, "Allow", ALLOW)),
        Method::Ack | Method::Cancel => Err(Rejection::with(405, "Allow", ALLOW)),
    }
}

/// RFC 3261 §8.2.3: offers and answers are SDP, as it is.
fn content(request: &Message) -> Result<(), Rejection> {
    if request.body().is_empty() {
        return Ok(());
    }
    if request.content_type().as_deref() != Some("application/sdp") {
        return Err(Rejection::with(415, "Accept", "application/sdp"));
    }
    let plain = |encoding: std::borrow::Cow<'_, str>| encoding.eq_ignore_ascii_case("identity");
    if !request.values(HeaderId::ContentEncoding).all(plain) {
        return Err(Rejection::with(415, "Accept-Encoding", "identity"));
    }
    Ok(())
}
