//! The certificates that listeners show: one for each name a client may ask for (SNI, RFC 6066 §3), read anew when
//! their files change. Connections that are open keep what they have seen; a pair that cannot be used is refused, and
//! the one before it is shown on.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use webpki::EndEntityCert;

use crate::peers::{Asker, Peers};
use crate::tls::{self, TlsError};

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(5);

/// A PEM chain, leaf first, and its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// How the certificates stand.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CertificateState {
    /// When the first of those shown ends, Unix milliseconds.
    pub expires_at_ms: Option<i64>,
    /// Why the files as they are now are not shown.
    pub refused: Option<String>,
}

/// The pairs and what was read from them.
#[derive(Debug)]
pub struct Certificates {
    pairs: Vec<Pair>,
    book: Mutex<Book>,
}

#[derive(Debug)]
struct Book {
    shown: Shown,
    refused: Option<String>,
    /// The files when they were read last, and when they were looked at last.
    read: Vec<Stamp>,
    seen: Vec<Stamp>,
}

/// What tells a file from the one that takes its place.
type Stamp = Option<(i64, i64, u64, u64)>;

#[derive(Debug, Default)]
struct Shown {
    /// For every name that is not another's.
    first: Option<Arc<CertifiedKey>>,
    /// By name, lower case; `*.example.net` as written.
    by_name: HashMap<String, Arc<CertifiedKey>>,
    expires_at_ms: Option<i64>,
}

impl Certificates {
    /// Reads them; the first is shown to everybody who asks for no other's name.
    ///
    /// # Errors
    /// The first pair that cannot be used.
    pub fn load(pairs: Vec<Pair>) -> Result<Arc<Certificates>, TlsError> {
        let stamps = stamps(&pairs);
        let book = Book {
            shown: read(&pairs)?,
            refused: None,
            read: stamps.clone(),
            seen: stamps,
        };
        Ok(Arc::new(Certificates {
            pairs,
            book: Mutex::new(book),
        }))
    }

    /// How the certificates stand.
    pub fn state(&self) -> CertificateState {
        let book = self.book();
        CertificateState {
            expires_at_ms: book.shown.expires_at_ms,
            refused: book.refused.clone(),
        }
    }

    /// Reads all files again. New connections get what they say; when one cannot be used, all stay as they were.
    ///
    /// # Errors
    /// The first pair that cannot be used.
    pub fn reload(&self) -> Result<(), TlsError> {
        let stamps = stamps(&self.pairs);
        let read = read(&self.pairs);
        let mut book = self.book();
        book.read.clone_from(&stamps);
        book.seen = stamps;
        match read {
            Ok(shown) => {
                book.shown = shown;
                book.refused = None;
                tracing::info!("the TLS certificates were read again");
                Ok(())
            }
            Err(error) => {
                tracing::error!(%error, "new TLS certificates are refused; those before are shown on");
                book.refused = Some(error.to_string());
                Err(error)
            }
        }
    }

    /// Reloads when files have changed and then rested for one look: certificate and key do not come at once.
    pub fn look(&self) {
        let now = stamps(&self.pairs);
        let settled = {
            let mut book = self.book();
            let rests = book.seen == now;
            let changed = book.read != now;
            book.seen = now;
            rests && changed
        };
        if settled {
            // Told by it already.
            let _refused = self.reload();
        }
    }

    /// Looks for ever. Polling, because the files are often links into folders that are replaced as a whole.
    pub async fn watch(self: Arc<Self>) {
        loop {
            tokio::time::sleep(LOOK).await;
            let this = Arc::clone(&self);
            let _stopping = tokio::task::spawn_blocking(move || this.look()).await;
        }
    }

    /// Settings of listeners that show these, also after a reload, and know `peers` by theirs. TLS 1.2 and 1.3.
    pub fn server_config(self: &Arc<Self>, peers: &Arc<Peers>) -> Arc<ServerConfig> {
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring supports both TLS versions")
            .with_client_cert_verifier(Arc::new(Asker::new(Arc::clone(peers))))
            .with_cert_resolver(Arc::clone(self) as Arc<dyn ResolvesServerCert>);
        Arc::new(config)
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let book = self.book();
        let named = hello
            .server_name()
            .and_then(|name| book.shown.of(&name.to_ascii_lowercase()));
        named.or(book.shown.first.as_ref()).cloned()
    }
}

impl Shown {
    fn of(&self, name: &str) -> Option<&Arc<CertifiedKey>> {
        // RFC 9525 §6.3: a wildcard is one whole label, the leftmost.
        let wild = || {
            let (_, parent) = name.split_once('.')?;
            self.by_name.get(&format!("*.{parent}"))
        };
        self.by_name.get(name).or_else(wild)
    }
}

fn read(pairs: &[Pair]) -> Result<Shown, TlsError> {
    let mut shown = Shown::default();
    for pair in pairs {
        let key = Arc::new(tls::certified_key(&pair.certificate, &pair.key)?);
        let leaf = key.cert.first();
        for name in leaf.map(names).unwrap_or_default() {
            shown.by_name.entry(name).or_insert_with(|| key.clone());
        }
        let end = leaf.and_then(|leaf| crate::validity::not_after_ms(leaf));
        shown.expires_at_ms = [shown.expires_at_ms, end].into_iter().flatten().min();
        shown.first.get_or_insert(key);
    }
    Ok(shown)
}

/// The names a certificate is for, lower case.
fn names(leaf: &rustls::pki_types::CertificateDer<'_>) -> Vec<String> {
    let Ok(leaf) = EndEntityCert::try_from(leaf) else {
        return Vec::new();
    };
    leaf.valid_dns_names()
        .map(str::to_ascii_lowercase)
        .collect()
}

fn stamps(pairs: &[Pair]) -> Vec<Stamp> {
    let files = pairs.iter().flat_map(|pair| [&pair.certificate, &pair.key]);
    let stamp = |file: &PathBuf| {
        let data = fs::metadata(file).ok()?;
        Some((data.mtime(), data.mtime_nsec(), data.ino(), data.len()))
    };
    files.map(stamp).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(dir: &std::path::Path, names: &[&str]) -> Pair {
        let names: Vec<String> = names.iter().map(|n| (*n).to_owned()).collect();
        let (certificate, key) = tls::self_signed(dir, &names).unwrap();
        Pair { certificate, key }
    }

    #[test]
    fn the_name_asked_for_chooses() {
        let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let first = pair(dirs[0].path(), &["pbx.example", "shared.example"]);
        let second = pair(dirs[1].path(), &["*.other.example", "shared.example"]);
        let certificates = Certificates::load(vec![first, second]).unwrap();
        let book = certificates.book();
        let first = book.shown.first.as_ref().unwrap();
        let second = book.shown.of("a.other.example").unwrap();
        assert!(!Arc::ptr_eq(first, second));
        for name in ["pbx.example", "shared.example"] {
            assert!(Arc::ptr_eq(book.shown.of(name).unwrap(), first), "{name}");
        }
        for name in ["other.example", "a.b.other.example", "nobody.example"] {
            assert!(book.shown.of(name).is_none(), "{name}");
        }
    }

    #[test]
    fn changed_files_are_read_once_they_rest() {
        let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let used = pair(dir.path(), &["one.example"]);
        let certificates = Certificates::load(vec![used.clone()]).unwrap();
        let knows = |name: &str| certificates.book().shown.of(name).is_some();
        let fresh = pair(other.path(), &["two.example"]);
        fs::copy(&fresh.certificate, &used.certificate).unwrap();
        certificates.look();
        assert!(knows("one.example") && certificates.state().refused.is_none());
        // The key has not come: the new certificate does not fit the old one.
        certificates.look();
        let refused = certificates.state().refused.unwrap();
        assert!(refused.contains("do not work together"), "{refused}");
        assert!(knows("one.example"));
        fs::copy(&fresh.key, &used.key).unwrap();
        certificates.look();
        certificates.look();
        assert!(knows("two.example") && !knows("one.example"));
        assert_eq!(certificates.state().refused, None);
        fs::remove_file(&used.key).unwrap();
        certificates.look();
        certificates.look();
        assert!(knows("two.example") && certificates.state().refused.is_some());
    }
}
