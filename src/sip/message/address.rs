//! Addresses: `"Display" <uri>;params`, and the bare `uri;params` form.

use std::fmt;

use super::ParseError;
use super::params::Params;
use super::scan;
use super::uri::Uri;

/// The value of a From, To, Contact, Route, Refer-To and their like (RFC 3261 §20.10).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NameAddr {
    /// Without quotes and escapes; None when absent or empty.
    pub display: Option<String>,
    pub uri: Uri,
    /// The header's parameters, such as `tag`; the URI's own are in `uri`.
    pub params: Params,
    /// The URI exactly as received: what goes into a Request-URI.
    pub uri_text: String,
}

impl NameAddr {
    /// Reads one address that fills `text`. Unquoted display names may hold more than
    /// tokens, because phones send such, but no comma, semicolon or quote.
    pub fn parse(text: &str) -> Result<NameAddr, ParseError> {
        let text = text.trim();
        let (display, rest) = if text.starts_with('"') {
            let end = scan::quoted_end(text.as_bytes(), 0)
                .ok_or(ParseError::new("a display name whose quote does not close"))?;
            let (quoted, rest) = text.split_at(end);
            (scan::unquote(quoted), rest.trim_start())
        } else {
            match text.find('<') {
                Some(at) => {
                    let (name, rest) = text.split_at(at);
                    (Some(plain_display(name.trim())?), rest)
                }
                None => return NameAddr::parse_bare(text),
            }
        };
        let (uri_text, params) = rest
            .strip_prefix('<')
            .and_then(|rest| rest.split_once('>'))
            .ok_or(ParseError::new("an address without <…>"))?;
        Ok(NameAddr {
            display: display.filter(|d| !d.is_empty()),
            uri: Uri::parse(uri_text)?,
            params: Params::of_header(params)?,
            uri_text: uri_text.to_owned(),
        })
    }

    /// The `tag` parameter; None when absent or empty.
    pub fn tag(&self) -> Option<&str> {
        self.params.get("tag").filter(|t| !t.is_empty())
    }

    /// The `expires` parameter in seconds; one too large for 32 bits is `u32::MAX`.
    pub fn expires(&self) -> Option<u32> {
        self.params.get("expires").and_then(scan::delta_seconds)
    }

    /// The `q` parameter, 0.0 to 1.0 (RFC 3261 §20.10).
    pub fn q(&self) -> Option<f32> {
        let q: f32 = self.params.get("q")?.parse().ok()?;
        (0.0..=1.0).contains(&q).then_some(q)
    }

    fn parse_bare(text: &str) -> Result<NameAddr, ParseError> {
        // RFC 3261 §20.10: without <> every parameter is the header's, and a URI with a
        // comma or a question mark has to stand in <>.
        let end = text.find(';').unwrap_or(text.len());
        let (uri_text, params) = text.split_at(end);
        let uri_text = uri_text.trim_end();
        if uri_text.contains([',', '?']) {
            return Err(ParseError::new("a URI that needs <> around it"));
        }
        Ok(NameAddr {
            display: None,
            uri: Uri::parse(uri_text)?,
            params: Params::of_header(params)?,
            uri_text: uri_text.to_owned(),
        })
    }
}

fn plain_display(name: &str) -> Result<String, ParseError> {
    match name.find(|c: char| ",;\"<>".contains(c) || c.is_control() && c != '\t') {
        Some(at) => Err(ParseError {
            what: "a display name that needs quotes",
            at,
        }),
        None => Ok(name.to_owned()),
    }
}

impl fmt::Display for NameAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(display) = &self.display {
            scan::write_quoted(f, display)?;
            f.write_str(" ")?;
        }
        // Peers of RFC 2543 compare From and To as text, so an unchanged URI is written
        // as it came.
        if Uri::parse(&self.uri_text).as_ref() == Ok(&self.uri) {
            write!(f, "<{}>", self.uri_text)?;
        } else {
            write!(f, "<{}>", self.uri)?;
        }
        self.params.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everyday_addresses() {
        let a = NameAddr::parse(
            r#""Doe, J \"x\" <y>" <sip:101@pbx;transport=tcp>;tag=a1 ; expires = 60;q=0.5"#,
        )
        .unwrap();
        assert_eq!(a.display.as_deref(), Some("Doe, J \"x\" <y>"));
        assert_eq!(a.uri.user.as_deref(), Some("101"));
        assert_eq!(a.uri_text, "sip:101@pbx;transport=tcp");
        assert_eq!(
            (a.tag(), a.expires(), a.q()),
            (Some("a1"), Some(60), Some(0.5))
        );
        assert_eq!(NameAddr::parse(&a.to_string()).unwrap(), a);

        let a = NameAddr::parse("sip:+1972@gw1.example.net;user=phone").unwrap();
        assert_eq!(
            (a.uri.params.has("user"), a.params.get("user")),
            (false, Some("phone"))
        );
        let a = NameAddr::parse("Jürgen (Lager) <sip:7@x>").unwrap();
        assert_eq!(a.display.as_deref(), Some("Jürgen (Lager)"));
        let a = NameAddr::parse("<sip:%75ser@x>").unwrap();
        assert_eq!(
            (a.display.clone(), a.to_string().as_str()),
            (None, "<sip:%75ser@x>")
        );
        let a = NameAddr::parse("\"\"<sip:7@x>").unwrap();
        assert_eq!(a.display, None);
        let a = NameAddr::parse("<sip:b@x?Replaces=a%40b%3Bto-tag%3D1>").unwrap();
        assert_eq!(
            a.uri.headers.as_deref(),
            Some("Replaces=a%40b%3Bto-tag%3D1")
        );
    }

    #[test]
    fn a_changed_uri_is_written_changed() {
        let mut a = NameAddr::parse("<sip:%75ser@x>").unwrap();
        a.uri.user = Some("other".into());
        assert_eq!(a.to_string(), "<sip:other@x>");
    }

    #[test]
    fn malformed_addresses_are_refused() {
        for bad in [
            "",
            "*",
            "\"J <sip:a@b>",
            "\"J\" sip:a@b",
            "Bell, A <sip:a@b>",
            "< sip:a@b >",
            "<sip:a@b",
            "<sip:a@b>x",
            "<sip:a@b>;;",
            "sip:a@b?Route=x",
            "sip:a@b, sip:c@d",
            "<>",
            "<sip:a@b>, <sip:c@d>",
        ] {
            assert!(NameAddr::parse(bad).is_err(), "{bad:?}");
        }
    }
}
