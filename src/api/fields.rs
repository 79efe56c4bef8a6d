//! Reads the members of a body one by one and collects everything that is wrong with them.

use crate::error::Error;
use directory::{Codec, DtmfMode, Invalid, Srtp};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// The words for whether audio is encrypted.
pub(crate) const SRTP: [(&str, Srtp); 3] = [
    ("off", Srtp::Off),
    ("optional", Srtp::Optional),
    ("required", Srtp::Required),
];

/// How keys are told.
pub(crate) const DTMF_MODES: [(&str, DtmfMode); 4] = [
    ("auto", DtmfMode::Auto),
    ("rfc4733", DtmfMode::Rfc4733),
    ("info", DtmfMode::Info),
    ("inband", DtmfMode::Inband),
];

/// The members of a body not read yet, and what was wrong with those read.
///
/// A getter returns a stand-in for a member that is wrong; [`Fields::finish`] then refuses the whole.
pub(crate) struct Fields {
    members: Map<String, Value>,
    wrong: Vec<Invalid>,
}

/// A write-only member: absent leaves what is stored, null removes it.
pub(crate) enum Secret {
    Keep,
    Clear,
    Set(String),
}

impl Fields {
    pub(crate) fn new(members: Map<String, Value>) -> Self {
        Self {
            members,
            wrong: Vec::new(),
        }
    }

    /// Notes that `field` is wrong. Only the first note of a field counts.
    pub(crate) fn refuse(&mut self, invalid: Invalid) {
        if !self.wrong.iter().any(|known| known.field == invalid.field) {
            self.wrong.push(invalid);
        }
    }

    /// A string; required when there is no `default`.
    pub(crate) fn text(&mut self, field: &str, default: Option<&str>) -> String {
        match (self.members.remove(field), default) {
            (Some(Value::String(text)), _) => return text,
            (None, Some(default)) => return default.to_owned(),
            (None, None) => self.refuse(Invalid::new(field, "is required")),
            (Some(_), _) => self.refuse(Invalid::new(field, "must be a string")),
        }
        String::new()
    }

    /// A string or null; null when absent.
    pub(crate) fn text_or_null(&mut self, field: &str) -> Option<String> {
        match self.members.remove(field) {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => Some(text),
            Some(_) => {
                self.refuse(Invalid::new(field, "must be a string or null"));
                None
            }
        }
    }

    pub(crate) fn secret(&mut self, field: &str) -> Secret {
        match self.members.remove(field) {
            None => Secret::Keep,
            Some(Value::Null) => Secret::Clear,
            Some(Value::String(text)) => Secret::Set(text),
            Some(_) => {
                self.refuse(Invalid::new(field, "must be a string"));
                Secret::Keep
            }
        }
    }

    pub(crate) fn flag(&mut self, field: &str) -> bool {
        match self.members.remove(field) {
            None => false,
            Some(Value::Bool(flag)) => flag,
            Some(_) => {
                self.refuse(Invalid::new(field, "must be true or false"));
                false
            }
        }
    }

    /// A whole number. One that does not fit is read as 0, which the resource's own check refuses with its limits.
    pub(crate) fn number(&mut self, field: &str, default: u16) -> u16 {
        match self.members.remove(field) {
            None => default,
            Some(Value::Number(n)) if n.is_i64() || n.is_u64() => {
                n.as_u64().and_then(|n| n.try_into().ok()).unwrap_or(0)
            }
            Some(_) => {
                self.refuse(Invalid::new(field, "must be a whole number"));
                default
            }
        }
    }

    /// Whole seconds or null; null when absent. What does not fit is read as 0, which is to be refused.
    pub(crate) fn seconds_or_null(&mut self, field: &str) -> Option<u64> {
        match self.members.remove(field) {
            None | Some(Value::Null) => None,
            Some(Value::Number(n)) if n.is_i64() || n.is_u64() => Some(n.as_u64().unwrap_or(0)),
            Some(_) => {
                self.refuse(Invalid::new(field, "must be a whole number or null"));
                None
            }
        }
    }

    /// A count, 0 when absent.
    pub(crate) fn count(&mut self, field: &str) -> u32 {
        let count = match self.members.remove(field) {
            None => Some(0),
            Some(value) => value.as_u64().and_then(|n| u32::try_from(n).ok()),
        };
        count.filter(|n| *n <= 99_999).unwrap_or_else(|| {
            self.refuse(Invalid::new(field, "must be a whole number, 0 to 99999"));
            0
        })
    }

    /// [`Fields::number`] or null; null when absent.
    pub(crate) fn number_or_null(&mut self, field: &str) -> Option<u16> {
        if self.members.get(field).is_none_or(Value::is_null) {
            self.members.remove(field);
            return None;
        }
        Some(self.number(field, 0))
    }

    /// The meaning of one of `words`; `default` when absent.
    pub(crate) fn word<T: Copy>(&mut self, field: &str, words: &[(&str, T)], default: T) -> T {
        let value = match self.members.remove(field) {
            None => return default,
            Some(value) => value,
        };
        let text = value.as_str().unwrap_or_default();
        match words.iter().find(|(word, _)| *word == text) {
            Some((_, meaning)) => *meaning,
            None => {
                let names: Vec<String> =
                    words.iter().map(|(word, _)| format!("{word:?}")).collect();
                self.refuse(Invalid::new(
                    field,
                    format!("must be one of {}", names.join(", ")),
                ));
                default
            }
        }
    }

    /// A list of strings; empty when absent.
    pub(crate) fn list(&mut self, field: &str) -> Vec<String> {
        let texts = match self.members.remove(field) {
            None => return Vec::new(),
            Some(Value::Array(items)) => items.into_iter().map(|item| match item {
                Value::String(text) => Some(text),
                _ => None,
            }),
            Some(_) => {
                self.refuse(Invalid::new(field, "must be a list of strings"));
                return Vec::new();
            }
        };
        texts.collect::<Option<_>>().unwrap_or_else(|| {
            self.refuse(Invalid::new(field, "must list only strings"));
            Vec::new()
        })
    }

    /// Codec names in order of preference; all codecs when absent.
    pub(crate) fn codecs(&mut self, field: &str) -> Vec<Codec> {
        let names = match self.members.remove(field) {
            None => return Codec::ALL.to_vec(),
            Some(Value::Array(names)) => names,
            Some(_) => {
                self.refuse(Invalid::new(field, "must be a list of codec names"));
                return Vec::new();
            }
        };
        let mut codecs = Vec::new();
        for name in names {
            match name.as_str().and_then(Codec::parse) {
                Some(codec) => codecs.push(codec),
                None => {
                    let why = format!(
                        "must list only PCMU, PCMA, G722 and opus, not {}",
                        brief(&name)
                    );
                    self.refuse(Invalid::new(field, why));
                }
            }
        }
        codecs
    }

    /// An object whose members are all strings; empty when absent.
    pub(crate) fn texts(&mut self, field: &str) -> BTreeMap<String, String> {
        let members = match self.members.remove(field) {
            None => return BTreeMap::new(),
            Some(Value::Object(members)) => members,
            Some(_) => {
                self.refuse(Invalid::new(field, "must be an object"));
                return BTreeMap::new();
            }
        };
        let mut texts = BTreeMap::new();
        for (name, value) in members {
            match value {
                Value::String(text) => {
                    texts.insert(name, text);
                }
                _ => self.refuse(Invalid::new(format!("{field}.{name}"), "must be a string")),
            }
        }
        texts
    }

    /// Notes a member that is only ever shown.
    pub(crate) fn read_only(&mut self, field: &str) {
        if self.members.remove(field).is_some() {
            self.refuse(Invalid::new(field, "is read-only"));
        }
    }

    /// Adds what `check` found and every member left over, and refuses when anything at all was wrong.
    pub(crate) fn finish(mut self, check: Vec<Invalid>) -> Result<(), Error> {
        for invalid in check {
            self.refuse(invalid);
        }
        let unknown: Vec<String> = self.members.keys().cloned().collect();
        for field in unknown {
            self.refuse(Invalid::new(field, "is not a field of this resource"));
        }
        if self.wrong.is_empty() {
            Ok(())
        } else {
            Err(Error::Invalid(self.wrong))
        }
    }
}

/// A value for a message, cut short.
fn brief(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(32) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}
