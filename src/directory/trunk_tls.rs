//! How TLS is spoken with a trunk: whom to believe, what to show, whom to let in.

use crate::{Invalid, WITHHELD};
use serde::{Deserialize, Serialize, Serializer};

/// What a trunk's own certificate must be when we connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TlsVerify {
    /// Signed by an authority that the system trusts, and for the host's name.
    #[default]
    System,
    /// Signed by one of `ca`, and for the host's name.
    Ca,
    /// The one with the digest `pin`.
    Pin,
    /// Any: whoever is in the way can listen, and pretend to be the provider.
    None,
}

/// The TLS side of a trunk. All files are PEM texts.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TrunkTls {
    pub verify: TlsVerify,
    /// For [`TlsVerify::Ca`].
    pub ca: Option<String>,
    /// SHA-256 of the certificate in 64 hexadecimal digits, with or without colons; for [`TlsVerify::Pin`].
    pub pin: Option<String>,
    /// The chain we show when the provider asks for one; with `key`.
    pub certificate: Option<String>,
    pub key: Option<TlsKey>,
    /// Who connects to us is the trunk if his certificate is signed by one of these, and otherwise not, whatever his
    /// address.
    pub client_ca: Option<String>,
    /// The name that his certificate must bear besides.
    pub client_name: Option<String>,
}

/// A private key, PEM. It is not written to journals and logs.
#[derive(Clone, PartialEq, Eq, Deserialize)]
pub struct TlsKey(pub String);

impl std::fmt::Debug for TlsKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TlsKey(…)")
    }
}

impl Serialize for TlsKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(WITHHELD)
    }
}

impl TrunkTls {
    /// Everything wrong with the fields, named as the API names them.
    pub(crate) fn check(&self) -> Vec<Invalid> {
        let mut wrong = Vec::new();
        let pems = [
            ("tls_ca", &self.ca),
            ("tls_certificate", &self.certificate),
            ("tls_client_ca", &self.client_ca),
        ];
        for (field, text) in pems {
            if text
                .as_deref()
                .is_some_and(|text| !is_pem(text, "CERTIFICATE"))
            {
                wrong.push(Invalid::new(
                    field,
                    "must be certificates in PEM form, at most 64 KiB",
                ));
            }
        }
        let key = self.key.as_ref().map(|key| key.0.as_str());
        if key.is_some_and(|key| !is_pem(key, "PRIVATE KEY")) {
            wrong.push(Invalid::new("tls_key", "must be a private key in PEM form"));
        }
        if self.certificate.is_some() != self.key.is_some() {
            let why = "goes together with tls_key: give both or neither";
            wrong.push(Invalid::new("tls_certificate", why));
        }
        if self.verify == TlsVerify::Ca && self.ca.is_none() {
            wrong.push(Invalid::new(
                "tls_ca",
                "is required when tls_verify is \"ca\"",
            ));
        }
        let digits = self.pin.as_deref().map(|pin| pin.replace(':', ""));
        let is_pin = |pin: &String| pin.len() == 64 && pin.bytes().all(|b| b.is_ascii_hexdigit());
        if digits.as_ref().is_some_and(|pin| !is_pin(pin)) {
            let why = "must be the certificate's SHA-256: 64 hexadecimal digits";
            wrong.push(Invalid::new("tls_pin", why));
        } else if self.verify == TlsVerify::Pin && digits.is_none() {
            wrong.push(Invalid::new(
                "tls_pin",
                "is required when tls_verify is \"pin\"",
            ));
        }
        let name = self.client_name.as_deref();
        if name.is_some_and(|name| name.is_empty() || name.len() > 253) {
            wrong.push(Invalid::new("tls_client_name", "must be 1 to 253 bytes"));
        }
        if name.is_some() && self.client_ca.is_none() {
            let why = "needs tls_client_ca: a name alone proves nothing";
            wrong.push(Invalid::new("tls_client_name", why));
        }
        wrong
    }
}

fn is_pem(text: &str, kind: &str) -> bool {
    text.len() <= 65_536 && text.contains("-----BEGIN ") && text.contains(&format!("{kind}-----"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEM: &str = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";

    #[test]
    fn what_does_not_go_together_is_named() {
        let fields =
            |tls: TrunkTls| -> Vec<String> { tls.check().into_iter().map(|i| i.field).collect() };
        assert_eq!(fields(TrunkTls::default()), [""; 0]);
        let lonely = TrunkTls {
            verify: TlsVerify::Ca,
            certificate: Some(PEM.into()),
            client_name: Some("sip.example".into()),
            ..TrunkTls::default()
        };
        assert_eq!(
            fields(lonely),
            ["tls_certificate", "tls_ca", "tls_client_name"]
        );
        let wrong = TrunkTls {
            verify: TlsVerify::Pin,
            ca: Some("text".into()),
            pin: Some("abc".into()),
            ..TrunkTls::default()
        };
        assert_eq!(fields(wrong), ["tls_ca", "tls_pin"]);
        let right = TrunkTls {
            verify: TlsVerify::Pin,
            pin: Some(["AB"; 32].join(":")),
            ..TrunkTls::default()
        };
        assert_eq!(fields(right), [""; 0]);
    }

    #[test]
    fn a_key_is_never_written_down() {
        let tls = TrunkTls {
            key: Some(TlsKey("the real one".into())),
            ..TrunkTls::default()
        };
        let text = serde_json::to_string(&tls).expect("it can be written");
        assert!(!text.contains("real") && !format!("{tls:?}").contains("real"));
    }
}
