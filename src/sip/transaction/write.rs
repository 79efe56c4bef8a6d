//! What transactions write by themselves: the frame of every request, the ACK of a refusal, CANCEL, stateless answers.

use bytes::Bytes;

use super::Layer;
use crate::endpoint::{ALLOW, Config, TransactionId, supported};
use crate::flow::Flow;
use crate::message::{Builder, HeaderId, Message, Method};

/// A request being written: its Via and Max-Forwards are there already.
#[derive(Clone)]
pub(crate) struct Draft {
    pub(crate) flow: Flow,
    pub(crate) method: String,
    pub(crate) branch: String,
    pub(crate) builder: Builder,
}

impl Draft {
    pub(crate) fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Draft {
        self.builder = self.builder.header(name, value);
        self
    }

    pub(crate) fn headers(mut self, headers: &[(String, String)]) -> Draft {
        for (name, value) in headers {
            self.builder = self.builder.header(name, value);
        }
        self
    }

    pub(crate) fn body(mut self, content_type: &str, body: &[u8]) -> Draft {
        self.builder = self.builder.body(content_type, body);
        self
    }
}

impl Layer {
    /// Begins a request of ours.
    pub(crate) fn draft(&mut self, flow: Flow, method: &str, uri: &str) -> Draft {
        self.draft_within(flow, method, uri, 70)
    }

    /// As [`Layer::draft`], of a request that may go on for so many hops.
    pub(crate) fn draft_within(
        &mut self,
        flow: Flow,
        method: &str,
        uri: &str,
        max_forwards: u8,
    ) -> Draft {
        // RFC 3261 §8.1.1.7: the magic cookie, then what nobody can guess.
        let branch = format!("z9hG4bK{}", self.secret.token());
        let via = format!(
            "SIP/2.0/{} {};branch={branch};rport",
            flow.transport.via_name(),
            sent_by(&self.config, flow)
        );
        let builder = Builder::request(method, uri)
            .header("Via", via)
            .header("Max-Forwards", max_forwards.to_string())
            .header("User-Agent", &self.config.user_agent);
        Draft {
            flow,
            method: method.to_owned(),
            branch,
            builder,
        }
    }

    /// Answers a request and keeps nothing (RFC 3261 §8.2.7): a repeat gets the same answer, its ACK is dropped.
    pub(crate) fn reject(
        &mut self,
        request: &Message,
        flow: Flow,
        status: u16,
        headers: &[(&str, String)],
    ) {
        // RFC 3261 §8.2.6.2 copies the Via as it is. An unreadable one hides no way back, for the answer goes where
        // the request came from (RFC 4475 §3.1.2.1 and §3.1.2.16 want it answered); without any there is no response.
        let vias = request.raw(HeaderId::Via).count();
        if matches!(request.method(), Method::Ack) || vias == 0 {
            return;
        }
        let tag = self.tag_for(request);
        let mut builder = self.draft_response(request, status, &tag);
        for (name, value) in headers {
            builder = builder.header(name, value);
        }
        if let Ok(bytes) = builder.build() {
            self.send(flow, bytes);
        }
    }

    /// Answers a request outside dialogs through its transaction.
    pub(crate) fn respond(&mut self, id: TransactionId, status: u16, headers: &[(&str, String)]) {
        let Some((request, _)) = self.request(id) else {
            return;
        };
        let tag = self.tag_for(request);
        let mut builder = self.draft_response(request, status, &tag);
        if matches!(request.method(), Method::Options) || status == 405 {
            builder = builder.header("Allow", ALLOW);
        }
        if matches!(request.method(), Method::Options) && status == 200 {
            builder = builder.header("Supported", supported(&self.config));
        }
        let plain = builder.clone();
        for (name, value) in headers {
            builder = builder.header(name, value);
        }
        // A header that cannot be written must not leave the request unanswered.
        if let Ok(bytes) = builder.build().or_else(|_| plain.build()) {
            self.reply(id, status, bytes);
        }
    }

    /// Our To tag in answers outside dialogs: the same for the same request.
    fn tag_for(&self, request: &Message) -> String {
        let mut what = request
            .call_id()
            .unwrap_or_default()
            .into_owned()
            .into_bytes();
        if let Some(via) = request.via() {
            what.extend_from_slice(via.branch().unwrap_or_default().as_bytes());
        }
        self.secret.token_of(&what)
    }
}

/// RFC 3261 §17.1.1.3: the ACK of a refusal repeats the INVITE's Request-URI, topmost Via, From, Call-ID, CSeq number
/// and Route, and has the response's To.
pub(super) fn ack(invite: &Bytes, response: &Message) -> Option<Bytes> {
    let invite = Message::parse(invite.clone()).ok()?;
    let to = response.raw(HeaderId::To).next()?;
    echo(&invite, "ACK", to)?.build().ok()
}

/// RFC 3261 §9.1: the CANCEL repeats the same of the INVITE, To included.
pub(super) fn cancel(invite: &Message, flow: Flow, reason: Option<&str>) -> Option<Draft> {
    let mut builder = echo(invite, "CANCEL", invite.raw(HeaderId::To).next()?)?;
    if let Some(reason) = reason {
        builder = builder.header("Reason", reason);
    }
    Some(Draft {
        flow,
        method: "CANCEL".to_owned(),
        branch: invite.via()?.branch()?.to_owned(),
        builder,
    })
}

fn echo(invite: &Message, method: &str, to: &[u8]) -> Option<Builder> {
    let mut builder = Builder::request(method, &invite.request_uri()?)
        .header("Via", invite.raw(HeaderId::Via).next()?)
        .header("Max-Forwards", "70");
    for route in invite.raw(HeaderId::Route) {
        builder = builder.header("Route", route);
    }
    Some(
        builder
            .header("From", invite.raw(HeaderId::From).next()?)
            .header("To", to)
            .header("Call-ID", invite.raw(HeaderId::CallId).next()?)
            .header("CSeq", format!("{} {method}", invite.cseq()?.0)),
    )
}

/// A Contact value of ours for `flow`.
pub(crate) fn contact(config: &Config, flow: Flow, user: &str) -> String {
    let at = if user.is_empty() { "" } else { "@" };
    format!(
        "<sip:{}{at}{}{}>",
        escape_user(user),
        sent_by(config, flow),
        flow.transport.uri_param()
    )
}

fn sent_by(config: &Config, flow: Flow) -> String {
    let port = flow.local.port();
    match config.host_on(&flow) {
        Some(host) if host.contains(':') && !host.starts_with('[') => format!("[{host}]:{port}"),
        Some(host) => format!("{host}:{port}"),
        None => flow.local.to_string(),
    }
}

/// RFC 3261 §25.1 `user`: what is neither unreserved nor user-unreserved is escaped.
fn escape_user(user: &str) -> String {
    let mut escaped = String::with_capacity(user.len());
    for byte in user.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.!~*'()&=+$,;?/".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::Transport;

    #[test]
    fn a_contact_names_the_way_back() {
        let flow = Flow {
            transport: Transport::Tcp,
            local: "192.0.2.1:5060".parse().unwrap(),
            remote: "192.0.2.9:5060".parse().unwrap(),
            id: 3,
        };
        let mut config = Config::default();
        assert_eq!(
            contact(&config, flow, "a b>"),
            "<sip:a%20b%3E@192.0.2.1:5060;transport=tcp>"
        );
        config.external_host = Some("2001:db8::1".to_owned());
        assert_eq!(
            contact(&config, flow, ""),
            "<sip:[2001:db8::1]:5060;transport=tcp>"
        );
    }

    #[test]
    fn the_office_sees_the_local_address_and_the_world_the_configured_name() {
        let config = Config {
            external_host: Some("pbx.example.net".to_owned()),
            local_networks: vec!["10.0.0.0".parse().unwrap()..="10.255.255.255".parse().unwrap()],
            ..Config::default()
        };
        for (remote, shown) in [
            ("10.1.2.3:5060", "<sip:a@10.0.0.1:5061;transport=tls>"),
            (
                "[::ffff:10.1.2.3]:5060",
                "<sip:a@10.0.0.1:5061;transport=tls>",
            ),
            (
                "192.0.2.9:5060",
                "<sip:a@pbx.example.net:5061;transport=tls>",
            ),
            (
                "[2001:db8::9]:5060",
                "<sip:a@pbx.example.net:5061;transport=tls>",
            ),
        ] {
            let flow = Flow {
                transport: Transport::Tls,
                local: "10.0.0.1:5061".parse().unwrap(),
                remote: remote.parse().unwrap(),
                id: 3,
            };
            assert_eq!(contact(&config, flow, "a"), shown, "{remote}");
        }
    }
}
