//! Names of single phones (RFC 5627): a public one, which shows the extension and the phone's instance, and temporary
//! ones, which show neither. A request to one reaches exactly that phone.

use super::Binding;
use crate::office::Office;
use crate::target::user_part;
use directory::Registration;
use sip::digest::{Algorithm, ha1};
use sip::{NameAddr, Uri};

/// What temporary names begin with. They are this, a number and its proof.
const TEMPORARY: &str = "tgruu.";
/// Hexadecimal digits of the number, and as many of the proof.
const DIGITS: usize = 16;

/// One phone of an extension.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Device {
    pub(crate) extension: String,
    pub(crate) instance: String,
}

/// The secret of a binding, from which its temporary names come. RFC 5627 §3.1.2: they hold as long as the phone goes on
/// with its Call-ID, so it is the same then.
pub(super) fn key(office: &mut Office, kept: &Registration) -> String {
    let phone = (kept.extension.clone(), kept.binding.clone());
    let known = office.registrar.binding(&phone).map(|b| &b.kept);
    let known = known.filter(|old| old.call_id == kept.call_id && !old.gruu_key.is_empty());
    match known {
        Some(old) => old.gruu_key.clone(),
        None => fresh(office),
    }
}

/// What nobody can guess: 64 hexadecimal digits.
fn fresh(office: &mut Office) -> String {
    office.registrar.secrets += 1;
    let seed: String = office
        .config
        .seed
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    let count = office.registrar.secrets.to_string();
    ha1(Algorithm::Sha256, &seed, "gruu", &count)
}

/// `;pub-gruu="…";temp-gruu="…"` for the phone `instance` of `aor`.
pub(super) fn parameters(office: &mut Office, aor: &Uri, instance: &str, key: &str) -> String {
    let host = NameAddr {
        uri: Uri {
            scheme: aor.scheme.clone(),
            host: aor.host.clone(),
            port: aor.port,
            ..Uri::default()
        },
        ..NameAddr::default()
    };
    let host = host.uri.to_string();
    let (scheme, host) = host.split_once(':').unwrap_or(("sip", ""));
    let user = user_part(aor.user.as_deref().unwrap_or_default());
    let instance = escaped(instance.trim_matches(['<', '>']));
    let number: String = fresh(office).chars().take(DIGITS).collect();
    let proof = proof(key, &number);
    format!(
        ";pub-gruu=\"{scheme}:{user}@{host};gr={instance}\";temp-gruu=\"{scheme}:{TEMPORARY}{number}{proof}@{host};gr\""
    )
}

fn proof(key: &str, number: &str) -> String {
    let all = ha1(Algorithm::Sha256, key, "temp-gruu", number);
    all.chars().take(DIGITS).collect()
}

/// RFC 3261 §25.1 `paramchar`.
fn escaped(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.!~*'()[]/:&+$".contains(&b);
    text.bytes().fold(String::new(), |mut out, byte| {
        if plain(byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
        out
    })
}

/// The phone that `uri` names. `None`: it is no GRUU of an extension. `Some(Err)`: it names no phone there ever was, or
/// one that has gone (RFC 5627 §5.3: 404).
pub(crate) fn resolve(office: &Office, uri: &Uri) -> Option<Result<Device, u16>> {
    let (gr, user) = (uri.param("gr")?, uri.user.as_deref()?);
    if let Some(token) = user.strip_prefix(TEMPORARY) {
        return Some(of_token(office, token).ok_or(404));
    }
    office
        .directory
        .extensions
        .get(user)
        .filter(|_| !gr.is_empty())?;
    let wanted = |b: &&Binding| escaped(b.kept.instance.trim_matches(['<', '>'])) == gr;
    let found = office.registrar.bindings(user).find(wanted);
    // RFC 5627 §5.3: a public name holds for ever, so a phone that is not here now is only unavailable.
    let instance = found.map_or_else(|| format!("<{gr}>"), |b| b.kept.instance.clone());
    Some(Ok(Device {
        extension: user.to_owned(),
        instance,
    }))
}

fn of_token(office: &Office, token: &str) -> Option<Device> {
    let (number, given) = token.split_at_checked(DIGITS)?;
    let extensions = &office.registrar.extensions;
    let keyed =
        |b: &&Binding| !b.kept.gruu_key.is_empty() && proof(&b.kept.gruu_key, number) == given;
    let found = extensions.values().flatten().find(keyed)?;
    Some(Device {
        extension: found.kept.extension.clone(),
        instance: found.kept.instance.clone(),
    })
}
