//! Which dialog a Replaces names (RFC 3891): in a REFER's target, or in an INVITE.

use crate::office::Office;
use sip::DialogId;

/// A dialog by its names, as Replaces has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Names {
    pub(super) call_id: String,
    /// The tag of whoever is asked to be replaced.
    to_tag: String,
    from_tag: String,
    /// RFC 3891 §6.1 `early-only`: not when it was answered.
    pub(super) early_only: bool,
}

impl Names {
    /// Reads a Replaces value; `None`: it is none (RFC 3891 §6.1).
    pub(super) fn parse(value: &str) -> Option<Names> {
        let mut parts = value.split(';').map(str::trim);
        let call_id = parts.next().filter(|id| !id.is_empty())?.to_owned();
        let (mut to_tag, mut from_tag, mut early_only) = (None, None, false);
        for part in parts {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let (name, value) = (name.trim().to_ascii_lowercase(), value.trim().to_owned());
            let slot = match name.as_str() {
                "to-tag" => &mut to_tag,
                "from-tag" => &mut from_tag,
                "early-only" => {
                    early_only = true;
                    continue;
                }
                _ => continue,
            };
            if slot.replace(value).is_some() {
                return None;
            }
        }
        Some(Names {
            call_id,
            to_tag: to_tag?,
            from_tag: from_tag?,
            early_only,
        })
    }

    /// The dialog, live or just ended. RFC 3891 §3 has our tag in `to-tag`; a busy lamp names the watched phone's dialog
    /// as that phone sees it (RFC 4235 §4.1.3), so that ours is the other one, and by aliases.
    pub(super) fn dialog(&self, office: &Office) -> Option<DialogId> {
        let named = |ours: &str, theirs: &str| office.sip.dialog_named(&self.call_id, ours, theirs);
        named(&self.to_tag, &self.from_tag)
            .or_else(|| named(&self.from_tag, &self.to_tag))
            .or_else(|| {
                let tags = (self.to_tag.as_str(), self.from_tag.as_str());
                office.sip.dialog_aliased(&self.call_id, tags)
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dialog_has_three_names() {
        let names = Names::parse("7@x ; from-tag=b;to-tag=a;x=y;early-only").unwrap();
        assert_eq!(names.call_id, "7@x");
        assert_eq!((names.to_tag.as_str(), names.from_tag.as_str()), ("a", "b"));
        assert!(names.early_only);
        for broken in [
            "",
            ";to-tag=a;from-tag=b",
            "7;to-tag=a",
            "7;to-tag=a;from-tag=b;to-tag=c",
        ] {
            assert_eq!(Names::parse(broken), None, "{broken}");
        }
    }
}
