//! Certificates and TLS settings. Not the handshakes: those are in `stream`.

use std::fs;
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore};

/// Why TLS cannot be set up; one sentence with the file it is about.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("{} cannot be read: {why}", file.display())]
    Read { file: PathBuf, why: String },
    #[error("{} cannot be written: {why}", file.display())]
    Write { file: PathBuf, why: io::Error },
    #[error("{} holds no certificate in PEM form", .0.display())]
    Empty(PathBuf),
    #[error("certificate {} and key {} do not work together: {why}", certificate.display(), key.display())]
    Unusable {
        certificate: PathBuf,
        key: PathBuf,
        why: rustls::Error,
    },
    #[error("no certificate can be made for {names:?}: {why}")]
    Make {
        names: Vec<String>,
        why: rcgen::Error,
    },
}

/// Certificate and key in `dir` (`cert.pem`, `key.pem`), made on first use for `names` (host names and IP addresses)
/// and kept ever after. Phones have to trust it by hand; a real certificate is for the administrator to bring.
///
/// # Errors
/// When the folder cannot be written or a name is none.
pub fn self_signed(dir: &Path, names: &[String]) -> Result<(PathBuf, PathBuf), TlsError> {
    let certificate = dir.join("cert.pem");
    let key = dir.join("key.pem");
    if certificate.is_file() && key.is_file() {
        return Ok((certificate, key));
    }
    let fail = |why| TlsError::Make {
        names: names.to_vec(),
        why,
    };
    let pair = KeyPair::generate().map_err(fail)?;
    let mut params = CertificateParams::new(names.to_vec()).map_err(fail)?;
    let mut subject = DistinguishedName::new();
    let first = names.first().map_or("Offhook", String::as_str);
    subject.push(DnType::CommonName, first);
    params.distinguished_name = subject;
    params.not_before = rcgen::date_time_ymd(2025, 1, 1);
    params.not_after = rcgen::date_time_ymd(2055, 1, 1);
    let made = params.self_signed(&pair).map_err(fail)?;
    let write = |file: &Path, text: &str, mode| {
        fs::create_dir_all(dir)
            .and_then(|()| replace(file, text, mode))
            .map_err(|why| TlsError::Write {
                file: file.to_owned(),
                why,
            })
    };
    write(&key, &pair.serialize_pem(), 0o600)?;
    write(&certificate, &made.pem(), 0o644)?;
    Ok((certificate, key))
}

/// Writes a file anew and moves it into place, so that it is never seen half written or with a wider mode.
fn replace(file: &Path, text: &str, mode: u32) -> io::Result<()> {
    let fresh = file.with_extension("new");
    let _ = fs::remove_file(&fresh);
    let mut out = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&fresh)?;
    out.write_all(text.as_bytes())?;
    out.sync_all()?;
    fs::rename(&fresh, file)
}

/// A certificate (a PEM chain, leaf first) with its key (PEM: PKCS#8, SEC1 or PKCS#1).
///
/// # Errors
/// When a file is missing, empty or of another kind, or the two do not belong together.
pub(crate) fn certified_key(certificate: &Path, key: &Path) -> Result<CertifiedKey, TlsError> {
    let chain = read_certificates(certificate)?;
    let secret = PrivateKeyDer::from_pem_file(key).map_err(|why| TlsError::Read {
        file: key.to_owned(),
        why: why.to_string(),
    })?;
    let provider = ring::default_provider();
    CertifiedKey::from_der(chain, secret, &provider).map_err(|why| TlsError::Unusable {
        certificate: certificate.to_owned(),
        key: key.to_owned(),
        why,
    })
}

/// Settings for connecting to others: their certificate must be signed by an authority the system trusts, or by one in
/// the PEM file `extra`, and must bear the name we looked up.
///
/// # Errors
/// When `extra` cannot be read. A system without authorities is warned of, not refused.
pub fn client_config(extra: Option<&Path>) -> Result<Arc<ClientConfig>, TlsError> {
    let mut roots = system_roots();
    if let Some(file) = extra {
        roots.add_parsable_certificates(read_certificates(file)?);
    }
    if roots.is_empty() {
        tracing::warn!(
            "this system trusts no certificate authority (package ca-certificates?): no TLS connection will be made"
        );
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring supports both TLS versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// The authorities the system trusts.
pub(crate) fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let system = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(system.certs);
    roots
}

fn read_certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read = |why: rustls::pki_types::pem::Error| TlsError::Read {
        file: file.to_owned(),
        why: why.to_string(),
    };
    let chain: Vec<_> = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect)
        .map_err(read)?;
    if chain.is_empty() {
        return Err(TlsError::Empty(file.to_owned()));
    }
    Ok(chain)
}

/// What a peer's certificate must be for: the name it was looked up by, else its address.
pub(crate) fn server_name(
    host: Option<String>,
    address: IpAddr,
) -> rustls::pki_types::ServerName<'static> {
    host.and_then(|host| rustls::pki_types::ServerName::try_from(host).ok())
        .unwrap_or_else(|| rustls::pki_types::ServerName::from(address))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_certificate_is_made_once_and_its_key_is_private() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("tls");
        let names = ["pbx.example".to_owned(), "127.0.0.1".to_owned()];
        let (certificate, key) = self_signed(&dir, &names).unwrap();
        assert_eq!(
            fs::metadata(&key).unwrap().permissions().mode() & 0o777,
            0o600
        );
        let read = certified_key(&certificate, &key).unwrap();
        let end = crate::validity::not_after_ms(&read.cert[0]);
        assert_eq!(end, Some(2_682_374_400_000), "2055-01-01");
        let before = fs::read(&certificate).unwrap();
        self_signed(&dir, &names).unwrap();
        assert_eq!(fs::read(&certificate).unwrap(), before);
    }

    #[test]
    fn broken_files_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let names = ["pbx.example".to_owned()];
        let (certificate, key) = self_signed(dir.path(), &names).unwrap();
        let missing = dir.path().join("none.pem");
        let error = certified_key(&missing, &key).unwrap_err().to_string();
        assert!(error.contains("none.pem"), "{error}");
        let error = certified_key(&certificate, &certificate).unwrap_err();
        assert!(matches!(error, TlsError::Read { .. }), "{error}");
        fs::write(&missing, "").unwrap();
        assert!(matches!(
            certified_key(&missing, &key),
            Err(TlsError::Empty(_))
        ));
    }
}
