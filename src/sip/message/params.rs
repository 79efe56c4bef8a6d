//! `;name=value` lists, as they follow a URI, an address or a Via.

use std::fmt;

use super::ParseError;
use super::scan;

/// The parameters of a URI or a header value, in the order received. Quoted values are
/// kept without their quotes and written back with them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Params(Vec<(String, Value)>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Value {
    Flag,
    Plain(String),
    Quoted(String),
}

impl Value {
    fn text(&self) -> Option<&str> {
        match self {
            Value::Flag => None,
            Value::Plain(text) | Value::Quoted(text) => Some(text),
        }
    }
}

impl Params {
    pub fn new() -> Params {
        Params::default()
    }

    /// The value of the first parameter of that name, in any case; "" for a flag.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.find(name).map(|v| v.text().unwrap_or(""))
    }

    pub fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// Replaces every parameter of that name by one at its first place, or appends it.
    pub fn set(&mut self, name: &str, value: Option<&str>) {
        let place = self.position(name);
        self.remove(name);
        self.push(name, value);
        if let Some(place) = place {
            // The first of that name was at `place`, so nothing before it was removed.
            self.0.get_mut(place..).unwrap_or_default().rotate_right(1);
        }
    }

    /// Appends a parameter. A value that is not a token, a host or made of URI characters
    /// is written in quotes.
    pub fn push(&mut self, name: &str, value: Option<&str>) {
        let value = match value {
            None => Value::Flag,
            Some(text) if text.bytes().all(is_plain) => Value::Plain(text.to_owned()),
            Some(text) => Value::Quoted(text.to_owned()),
        };
        self.0.push((name.to_owned(), value));
    }

    pub fn remove(&mut self, name: &str) {
        self.0.retain(|(n, _)| !n.eq_ignore_ascii_case(name));
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.0.iter().map(|(n, v)| (n.as_str(), v.text()))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Reads what follows a header value: empty, or `;a=b ; c="d"`. Spaces are allowed
    /// around `;` and `=`, a nameless parameter is not.
    pub(crate) fn of_header(text: &str) -> Result<Params, ParseError> {
        let mut params = Params::default();
        let text = text.trim();
        if text.is_empty() {
            return Ok(params);
        }
        let Some(text) = text.strip_prefix(';') else {
            return Err(ParseError::new("text where a parameter should begin"));
        };
        let mut rest = Some(text);
        while let Some(all) = rest {
            let (part, more) = match scan::find_top(all.as_bytes(), b';') {
                Some(at) => (all.get(..at), all.get(at + 1..)),
                None => (Some(all), None),
            };
            params.0.push(header_param(part.unwrap_or("").trim())?);
            rest = more;
        }
        Ok(params)
    }

    /// Reads what follows the host of a URI, after its first `;`: no spaces, no quotes.
    pub(crate) fn of_uri(text: &str) -> Result<Params, ParseError> {
        let mut params = Params::default();
        for part in text.split(';') {
            let (name, value) = match part.split_once('=') {
                Some((name, value)) => (name, Value::Plain(value.to_owned())),
                None => (part, Value::Flag),
            };
            if name.is_empty() {
                return Err(ParseError::new("a URI parameter without a name"));
            }
            params.0.push((name.to_owned(), value));
        }
        Ok(params)
    }

    fn position(&self, name: &str) -> Option<usize> {
        self.0
            .iter()
            .position(|(n, _)| n.eq_ignore_ascii_case(name))
    }

    fn find(&self, name: &str) -> Option<&Value> {
        self.0
            .iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, v)| v)
    }
}

fn header_param(part: &str) -> Result<(String, Value), ParseError> {
    let (name, value) = match part.split_once('=') {
        Some((name, value)) => (name.trim_end(), Some(value.trim_start())),
        None => (part, None),
    };
    if !scan::is_token(name.as_bytes()) {
        return Err(ParseError::new("a parameter's name is not a token"));
    }
    let value = match value {
        None => Value::Flag,
        Some(text) if text.starts_with('"') => Value::Quoted(
            scan::unquote(text).ok_or(ParseError::new("a quoted parameter does not end"))?,
        ),
        // Peers leave quotes off where the grammar wants them; only what could be taken
        // for something else is refused.
        Some(text) if text.bytes().any(|b| b" \t\"<>,".contains(&b) || b < 0x20) => {
            return Err(ParseError::new(
                "a parameter's value is neither token nor quoted",
            ));
        }
        Some(text) => Value::Plain(text.to_owned()),
    };
    Ok((name.to_owned(), value))
}

/// Characters of a token, a host, or a URI parameter (RFC 3261 §25.1 `paramchar`).
fn is_plain(b: u8) -> bool {
    scan::is_token_byte(b) || b"[]:/&+$()".contains(&b)
}

impl fmt::Display for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in &self.0 {
            write!(f, ";{name}")?;
            match value {
                Value::Flag => {}
                Value::Plain(text) => write!(f, "={text}")?,
                Value::Quoted(text) => {
                    f.write_str("=")?;
                    scan::write_quoted(f, text)?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_values_keep_their_quotes_on_the_wire_only() {
        let text = r#";+sip.instance="<urn:uuid:0-1;2>";reg-id=1;audio="TRUE";ob"#;
        let params = Params::of_header(text).unwrap();
        assert_eq!(params.get("+SIP.instance"), Some("<urn:uuid:0-1;2>"));
        assert_eq!(params.get("ob"), Some(""));
        assert_eq!(params.get("x"), None);
        assert_eq!(params.to_string(), text);
    }

    #[test]
    fn set_replaces_in_place() {
        let mut params = Params::of_header(" ; a = 1 ;rport; c").unwrap();
        params.set("RPORT", Some("5060"));
        params.set("received", Some("2001:db8::1"));
        params.set("d", Some("a b"));
        assert_eq!(
            params.to_string(),
            ";a=1;RPORT=5060;c;received=2001:db8::1;d=\"a b\""
        );
        params.remove("A");
        assert!(!params.has("a") && !params.is_empty());
    }

    #[test]
    fn garbage_is_refused() {
        for bad in [
            ";",
            ";;a",
            ";a;",
            "a",
            ";=b",
            ";a=\"b",
            ";a=b c",
            ";a b=c",
            ";a=\"b\"c",
        ] {
            assert!(Params::of_header(bad).is_err(), "{bad}");
        }
        assert!(Params::of_uri("lr;;x").is_err());
    }
}
