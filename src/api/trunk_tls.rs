//! The TLS side of a trunk in the API: flat members that begin with `tls_`. The key goes in and never comes out.

use crate::fields::{Fields, Secret};
use directory::{TlsKey, TlsVerify, TrunkTls};

const VERIFY: [(&str, TlsVerify); 4] = [
    ("system", TlsVerify::System),
    ("ca", TlsVerify::Ca),
    ("pin", TlsVerify::Pin),
    ("none", TlsVerify::None),
];

/// What the members say; a key that is left out stays what it is in `old`.
pub(crate) fn read(fields: &mut Fields, old: Option<&TrunkTls>) -> TrunkTls {
    let certificate = fields.text_or_null("tls_certificate");
    let key = match fields.secret("tls_key") {
        // A key without its certificate is of no use.
        Secret::Keep if certificate.is_none() => None,
        Secret::Keep => old.and_then(|old| old.key.clone()),
        Secret::Clear => None,
        Secret::Set(key) => Some(TlsKey(key)),
    };
    TrunkTls {
        verify: fields.word("tls_verify", &VERIFY, TlsVerify::default()),
        ca: fields.text_or_null("tls_ca"),
        pin: fields.text_or_null("tls_pin"),
        certificate,
        key,
        client_ca: fields.text_or_null("tls_client_ca"),
        client_name: fields.text_or_null("tls_client_name"),
    }
}
