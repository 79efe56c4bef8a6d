//! The puppets' own way of writing SIP down and reading it.

use crate::world::phone::header;
use std::net::{IpAddr, SocketAddr};

/// A request before it is sent, and sent again with credentials.
#[derive(Debug, Clone)]
pub(super) struct Draft {
    pub(super) method: String,
    pub(super) uri: String,
    pub(super) from: String,
    pub(super) to: String,
    pub(super) call_id: String,
    pub(super) cseq: u32,
    pub(super) more: Vec<String>,
    pub(super) body: Option<(&'static str, String)>,
}

impl Draft {
    pub(super) fn text(&self, address: SocketAddr, branch: &str) -> String {
        let mut lines = vec![
            format!("{} {} SIP/2.0", self.method, self.uri),
            format!("Via: SIP/2.0/UDP {address};branch={branch};rport"),
            "Max-Forwards: 70".to_owned(),
            format!("From: {}", self.from),
            format!("To: {}", self.to),
            format!("Call-ID: {}", self.call_id),
            format!("CSeq: {} {}", self.cseq, self.method),
        ];
        lines.extend(self.more.iter().cloned());
        let body = self.body.as_ref().map_or("", |(_, body)| body);
        if let Some((kind, _)) = &self.body {
            lines.push(format!("Content-Type: {kind}"));
        }
        format!(
            "{}\r\nContent-Length: {}\r\n\r\n{body}",
            lines.join("\r\n"),
            body.len()
        )
    }
}

/// An answer to `request` of the puppet `number`; one tag for all its answers.
pub(super) fn response(
    code: u16,
    request: &str,
    number: &str,
    (more, sdp): (&[String], Option<String>),
) -> String {
    let mut lines = vec![format!("SIP/2.0 {code} Said")];
    let head = request.split("\r\n\r\n").next().unwrap_or_default();
    lines.extend(
        head.lines()
            .filter(|l| l.starts_with("Via:"))
            .map(str::to_owned),
    );
    let to = field(request, "To");
    let to = if to.contains(";tag=") {
        to
    } else {
        format!("{to};tag={}", tag_of(number))
    };
    lines.push(format!("From: {}", field(request, "From")));
    lines.push(format!("To: {to}"));
    for name in ["Call-ID", "CSeq"] {
        lines.push(format!("{name}: {}", field(request, name)));
    }
    lines.extend(more.iter().cloned());
    let body = sdp.unwrap_or_default();
    if !body.is_empty() {
        lines.push("Content-Type: application/sdp".to_owned());
    }
    format!(
        "{}\r\nContent-Length: {}\r\n\r\n{body}",
        lines.join("\r\n"),
        body.len()
    )
}

/// The first value of a header.
pub(super) fn field(text: &str, name: &str) -> String {
    header(text, name)
}

pub(super) fn parameter(text: &str, name: &str) -> String {
    let tail = text.split(&format!("{name}=")).nth(1).unwrap_or_default();
    let tail = tail.strip_prefix('"').unwrap_or(tail);
    tail.split(['"', ';', ',', '>', ' '])
        .next()
        .unwrap_or_default()
        .to_owned()
}

pub(super) fn status(text: &str) -> Option<u16> {
    text.strip_prefix("SIP/2.0 ")?.get(..3)?.parse().ok()
}

pub(super) fn uri_of(address: &str) -> String {
    let inner = address.split('<').nth(1).unwrap_or(address);
    inner.split('>').next().unwrap_or_default().to_owned()
}

pub(super) fn tag_of(number: &str) -> String {
    format!("u{number}")
}

pub(super) fn sdp(ip: IpAddr, version: u32, direction: &str) -> String {
    format!(
        "v=0\r\no=- 1 {version} IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0 8\r\na={direction}\r\n"
    )
}
