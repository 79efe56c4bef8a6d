//! SIP, SIPS and tel URIs (RFC 3261 §19.1, RFC 3966). URIs of other schemes are kept
//! whole, not understood.

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::net::Ipv6Addr;

use super::ParseError;
use super::params::Params;

/// A URI taken apart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Uri {
    /// Lower case: `sip`, `sips`, `tel` or another.
    pub scheme: String,
    /// Percent-decoded; of a `tel` URI the number as written.
    pub user: Option<String>,
    /// As written, not decoded.
    pub password: Option<String>,
    /// IPv6 without brackets. Empty for `tel`. For a scheme we do not know, everything
    /// after the first colon.
    pub host: String,
    pub port: Option<u16>,
    pub params: Params,
    /// What follows `?`, as written (RFC 3261 §19.1.1 `headers`).
    pub headers: Option<String>,
}

impl Uri {
    /// Reads a URI that fills `text`: no spaces, no angle brackets.
    pub fn parse(text: &str) -> Result<Uri, ParseError> {
        if let Some(at) = text.find(|c: char| c <= ' ' || c == '\x7f' || "<>\"".contains(c)) {
            return Err(ParseError {
                what: "a character no URI has",
                at,
            });
        }
        let (scheme, rest) = text
            .split_once(':')
            .ok_or(ParseError::new("a URI without a scheme"))?;
        let mut letters = scheme.bytes();
        if !letters.next().is_some_and(|b| b.is_ascii_alphabetic())
            || !letters.all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
        {
            return Err(ParseError::new("the URI's scheme is not a name"));
        }
        let scheme = scheme.to_ascii_lowercase();
        match scheme.as_str() {
            "sip" | "sips" => Uri::parse_sip(scheme, rest),
            "tel" => Uri::parse_tel(scheme, rest),
            _ if rest.is_empty() => Err(ParseError::new("a URI of a scheme only")),
            _ => Ok(Uri {
                scheme,
                host: rest.to_owned(),
                ..Uri::default()
            }),
        }
    }

    /// A parameter's value, "" for a flag such as `lr`.
    pub fn param(&self, name: &str) -> Option<&str> {
        self.params.get(name)
    }

    fn parse_sip(scheme: String, rest: &str) -> Result<Uri, ParseError> {
        // The user part may hold ';' and '?' unescaped, so '@' is looked for first.
        let (userinfo, rest) = match rest.split_once('@') {
            Some((userinfo, rest)) => (Some(userinfo), rest),
            None => (None, rest),
        };
        let (user, password) = match userinfo.map(|u| u.split_once(':').ok_or(u)) {
            None => (None, None),
            Some(Ok(("", _)) | Err("")) => {
                return Err(ParseError::new("a URI with an empty user"));
            }
            Some(Err(user)) => (Some(percent_decode(user)?), None),
            Some(Ok((user, password))) => (Some(percent_decode(user)?), Some(password.to_owned())),
        };
        let (rest, headers) = match rest.split_once('?') {
            Some((rest, headers)) => (rest, Some(headers.to_owned())),
            None => (rest, None),
        };
        let (hostport, params) = match rest.split_once(';') {
            Some((hostport, params)) => (hostport, Params::of_uri(params)?),
            None => (rest, Params::default()),
        };
        let (host, port) = host_port(hostport).ok_or(ParseError::new("the URI's host or port"))?;
        Ok(Uri {
            scheme,
            user,
            password,
            host,
            port,
            params,
            headers,
        })
    }

    fn parse_tel(scheme: String, rest: &str) -> Result<Uri, ParseError> {
        let (number, params) = match rest.split_once(';') {
            Some((number, params)) => (number, Params::of_uri(params)?),
            None => (rest, Params::default()),
        };
        // RFC 3966 §3: digits, letters of hexadecimal, '*', '#' and visual separators.
        let digits = number.strip_prefix('+').unwrap_or(number);
        let fits = |b: u8| b.is_ascii_hexdigit() || b"*#-.()".contains(&b);
        if digits.is_empty() || !digits.bytes().all(fits) {
            return Err(ParseError::new("a tel URI without a number"));
        }
        let user = Some(number.to_owned());
        Ok(Uri {
            scheme,
            user,
            params,
            ..Uri::default()
        })
    }
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.scheme)?;
        if self.scheme == "tel" {
            f.write_str(self.user.as_deref().unwrap_or(""))?;
            return self.params.fmt(f);
        }
        if let Some(user) = &self.user {
            percent_encode(f, user)?;
            if let Some(password) = &self.password {
                write!(f, ":{password}")?;
            }
            f.write_char('@')?;
        }
        let known = matches!(self.scheme.as_str(), "sip" | "sips");
        write_host_port(f, &self.host, self.port, known)?;
        self.params.fmt(f)?;
        if let Some(headers) = &self.headers {
            write!(f, "?{headers}")?;
        }
        Ok(())
    }
}

/// `host`, `host:port`, `[v6]`, `[v6]:port`; None when it is none of them.
pub(crate) fn host_port(text: &str) -> Option<(String, Option<u16>)> {
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (address, rest) = rest.split_once(']')?;
        address.parse::<Ipv6Addr>().ok()?;
        (address, rest.trim_start())
    } else {
        let end = text.find(':').unwrap_or(text.len());
        let (host, rest) = text.split_at(end);
        let host = host.trim_end();
        let fits = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
        if host.is_empty() || !host.bytes().all(fits) {
            return None;
        }
        (host, rest)
    };
    let port = match rest_port(port)? {
        "" => None,
        digits => Some(digits.parse().ok()?),
    };
    Some((host.to_owned(), port))
}

/// The digits after the colon; "" when there is no port; None when it is not one.
fn rest_port(text: &str) -> Option<&str> {
    if text.is_empty() {
        return Some("");
    }
    let digits = text.strip_prefix(':')?.trim_start();
    let all_digits = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    all_digits.then_some(digits)
}

/// Writes host and port, an IPv6 address in brackets when `bracket`.
pub(crate) fn write_host_port(
    f: &mut fmt::Formatter<'_>,
    host: &str,
    port: Option<u16>,
    bracket: bool,
) -> fmt::Result {
    if bracket && host.contains(':') {
        write!(f, "[{host}]")?;
    } else {
        f.write_str(host)?;
    }
    match port {
        Some(port) => write!(f, ":{port}"),
        None => Ok(()),
    }
}

/// Decodes `%XX`. Octets that are not UTF-8 become U+FFFD.
fn percent_decode(text: &str) -> Result<String, ParseError> {
    if !text.contains('%') {
        return Ok(text.to_owned());
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(b) = rest.next() {
        if b != b'%' {
            bytes.push(b);
            continue;
        }
        let mut digit = || rest.next().and_then(|b| char::from(b).to_digit(16));
        let (Some(high), Some(low)) = (digit(), digit()) else {
            return Err(ParseError::new("a % without two hexadecimal digits"));
        };
        bytes.push((high * 16 + low) as u8);
    }
    Ok(match String::from_utf8_lossy(&bytes) {
        Cow::Borrowed(text) => text.to_owned(),
        Cow::Owned(text) => text,
    })
}

/// RFC 3261 §25.1 `user`: unreserved and user-unreserved stand, all else is escaped.
fn percent_encode(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    for b in text.bytes() {
        if b.is_ascii_alphanumeric() || b"-_.!~*'()&=+$,;?/".contains(&b) {
            f.write_char(char::from(b))?;
        } else {
            write!(f, "%{b:02X}")?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everyday_uris_round_trip() {
        for text in [
            "sip:101@pbx.example.com",
            "sip:pbx.example.com:5080",
            "sips:alice:secret@[2001:db8::1]:5061;transport=tls;lr?subject=a&x=b",
            "sip:[::1]",
            "tel:+1-201-555-0123",
            "tel:863-1234;phone-context=+1-914-555",
            "sip:*97@10.0.0.1;user=phone",
            "sip:b@x?Replaces=425928%40bobster.example.org%3Bto-tag%3D7743%3Bfrom-tag%3D6472",
            "sip:user;par=u%40example.net@example.com",
            "nobodyKnows:totally@opaque?text".to_lowercase().as_str(),
            "soap.beep://192.0.2.103:3002",
            "urn:service:sos",
        ] {
            let uri = Uri::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
            assert_eq!(Uri::parse(&uri.to_string()).unwrap(), uri, "{text}");
            if !text.contains("%40example") {
                assert_eq!(uri.to_string(), text);
            }
        }
    }

    #[test]
    fn parts_are_where_they_belong() {
        let uri = Uri::parse("SIP:%75ser;a=1:pw@[2001:db8::9]:5070;Transport=tcp;lr?h=v").unwrap();
        assert_eq!(uri.scheme, "sip");
        assert_eq!(uri.user.as_deref(), Some("user;a=1"));
        assert_eq!(uri.password.as_deref(), Some("pw"));
        assert_eq!((uri.host.as_str(), uri.port), ("2001:db8::9", Some(5070)));
        assert_eq!(uri.param("transport"), Some("tcp"));
        assert_eq!(uri.param("lr"), Some(""));
        assert_eq!(uri.headers.as_deref(), Some("h=v"));
        let nul = Uri::parse("sip:null-%00-null@example.com").unwrap();
        assert_eq!(nul.user.as_deref(), Some("null-\0-null"));
        assert_eq!(nul.to_string(), "sip:null-%00-null@example.com");
    }

    #[test]
    fn malformed_uris_are_refused() {
        for bad in [
            "",
            "sip",
            "sip:",
            ":x",
            "1sip:a@b",
            "sip:@b",
            "sip:a@",
            "sip:a@b:",
            "sip:a@b:x",
            "sip:a@b:65536",
            "sip:a@b:+5",
            "sip:[::1",
            "sip:a@[zz]",
            "sip:a@b c",
            "<sip:a@b>",
            "sip:a@b;",
            "sip:a@b;;lr",
            "sip:%zz@b",
            "sip:%4",
            "sip:a@b@c",
            "tel:",
            "tel:+",
            "tel:abcxyz",
            "sip:a@b\0",
            "foo:",
        ] {
            assert!(Uri::parse(bad).is_err(), "{bad:?}");
        }
    }
}
