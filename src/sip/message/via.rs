//! The Via header value: the way a response goes back (RFC 3261 §20.42).

use std::fmt;

use super::ParseError;
use super::params::Params;
use super::scan;
use super::uri;

/// One Via value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Via {
    /// As written, usually `UDP`, `TCP`, `TLS`; any other token is kept.
    pub transport: String,
    /// IPv6 without brackets.
    pub host: String,
    pub port: Option<u16>,
    pub params: Params,
}

impl Via {
    /// Reads one value that fills `text`; spaces around `/` and `:` are legal.
    pub fn parse(text: &str) -> Result<Via, ParseError> {
        let end = scan::find_top(text.as_bytes(), b';').unwrap_or(text.len());
        let (head, params) = text.split_at_checked(end).unwrap_or((text, ""));
        let mut parts = head.splitn(3, '/');
        let mut part = || parts.next().map(str::trim).unwrap_or("");
        let (protocol, version, rest) = (part(), part(), part());
        if !protocol.eq_ignore_ascii_case("SIP") || version != "2.0" {
            return Err(ParseError::new("a Via that is not SIP/2.0"));
        }
        let (transport, sent_by) = rest
            .split_once([' ', '\t'])
            .ok_or(ParseError::new("a Via without an address"))?;
        if !scan::is_token(transport.as_bytes()) {
            return Err(ParseError::new("a Via's transport is not a token"));
        }
        let (host, port) =
            uri::host_port(sent_by.trim()).ok_or(ParseError::new("a Via's host or port"))?;
        Ok(Via {
            transport: transport.to_owned(),
            host,
            port,
            params: Params::of_header(params)?,
        })
    }

    pub fn branch(&self) -> Option<&str> {
        self.params.get("branch").filter(|b| !b.is_empty())
    }

    /// RFC 3581: None = not asked for; Some(None) = asked for; Some(Some(port)) = filled in.
    pub fn rport(&self) -> Option<Option<u16>> {
        self.params.get("rport").map(|port| port.parse().ok())
    }

    pub fn received(&self) -> Option<&str> {
        self.params.get("received").filter(|r| !r.is_empty())
    }
}

impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SIP/2.0/{} ", self.transport)?;
        uri::write_host_port(f, &self.host, self.port, true)?;
        self.params.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_but_legal_values() {
        let via =
            Via::parse("SIP  / 2.0  / TCP     spindle.example.com   ;  branch  =   z9hG4bK9ikj8")
                .unwrap();
        assert_eq!(
            via.to_string(),
            "SIP/2.0/TCP spindle.example.com;branch=z9hG4bK9ikj8"
        );
        let via =
            Via::parse("SIP/2.0/UDP [2001:db8::1]:5070;rport;received=2001:db8::2;branch=z9hG4bKa")
                .unwrap();
        assert_eq!((via.host.as_str(), via.port), ("2001:db8::1", Some(5070)));
        assert_eq!(
            (via.rport(), via.received()),
            (Some(None), Some("2001:db8::2"))
        );
        assert_eq!(Via::parse(&via.to_string()).unwrap(), via);
        let via = Via::parse("SIP/2.0/UNKNOWN t4.example.com : 5060;rport=9").unwrap();
        assert_eq!(
            (via.port, via.rport(), via.branch()),
            (Some(5060), Some(Some(9)), None)
        );
    }

    #[test]
    fn malformed_values_are_refused() {
        for bad in [
            "",
            "SIP/2.0",
            "SIP/2.0/UDP",
            "SIP/2.0/UDP ",
            "SIP/3.0/UDP a",
            "HTTP/2.0/UDP a",
            "SIP/2.0/UDP a;;",
            "SIP/2.0/UDP a:b",
            "SIP/2.0/UDP a b",
            "SIP/2.0/U,P a",
            "SIP/2.0/UDP [::1",
            "SIP/2.0/UDP <a>;x",
            ";",
        ] {
            assert!(Via::parse(bad).is_err(), "{bad:?}");
        }
    }
}
