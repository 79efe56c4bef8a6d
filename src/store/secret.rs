//! The secret key and what it encrypts. The key lives in a file beside the database, never in it.

use crate::disk::{folder_of, private_file, sync_folder};
use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use std::io::{self, Write};
use std::path::Path;

/// Marks the format of a ciphertext, so that another can follow.
const FORMAT: &str = "aes256gcm:";
const NONCE_BYTES: usize = 12;

/// 32 random bytes that encrypt the passwords which must be readable again: those of trunks.
#[derive(Clone)]
pub struct SecretKey([u8; 32]);

impl SecretKey {
    /// The key in the file at `path`; when there is none, a new random one, written there with mode 0600.
    ///
    /// # Errors
    /// When the file cannot be read or made, or is not 32 bytes long (`InvalidData`): a damaged key is never
    /// replaced, for passwords encrypted with it may exist.
    pub fn load_or_create(path: &Path) -> io::Result<SecretKey> {
        match std::fs::read(path) {
            Ok(bytes) => key_from(path, &bytes),
            Err(e) if e.kind() == io::ErrorKind::NotFound => create(path),
            Err(e) => Err(e),
        }
    }

    /// A key of these bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> SecretKey {
        SecretKey(bytes)
    }

    /// `plain` as text that only this key turns back, and only in the same `context`.
    pub(crate) fn encrypt(&self, context: &str, plain: &str) -> io::Result<String> {
        let mut nonce = [0u8; NONCE_BYTES];
        getrandom::fill(&mut nonce).map_err(io::Error::other)?;
        let payload = Payload {
            msg: plain.as_bytes(),
            aad: context.as_bytes(),
        };
        let mut sealed = nonce.to_vec();
        let text = self
            .cipher()
            .encrypt(&Nonce::from(nonce), payload)
            .map_err(|_| io::Error::other("too long to encrypt"))?;
        sealed.extend_from_slice(&text);
        Ok(format!("{FORMAT}{}", STANDARD_NO_PAD.encode(sealed)))
    }

    /// What [`SecretKey::encrypt`] was given; `None` with another key, another context or a damaged text.
    pub(crate) fn decrypt(&self, context: &str, sealed: &str) -> Option<String> {
        let sealed = STANDARD_NO_PAD.decode(sealed.strip_prefix(FORMAT)?).ok()?;
        let (nonce, text) = sealed.split_first_chunk::<NONCE_BYTES>()?;
        let payload = Payload {
            msg: text,
            aad: context.as_bytes(),
        };
        let plain = self.cipher().decrypt(&Nonce::from(*nonce), payload).ok()?;
        String::from_utf8(plain).ok()
    }

    fn cipher(&self) -> Aes256Gcm {
        Aes256Gcm::new(&self.0.into())
    }
}

impl std::fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretKey(…)")
    }
}

fn key_from(path: &Path, bytes: &[u8]) -> io::Result<SecretKey> {
    let bytes: [u8; 32] = bytes.try_into().map_err(|_| {
        let why = format!(
            "{} is not a secret key: it has {} bytes instead of 32; restore it from a backup",
            path.display(),
            bytes.len()
        );
        io::Error::new(io::ErrorKind::InvalidData, why)
    })?;
    Ok(SecretKey(bytes))
}

/// Writes a whole file under another name and links it into place, so that neither a crash leaves half a
/// key nor two programs starting at once use different ones.
fn create(path: &Path) -> io::Result<SecretKey> {
    let mut key = [0u8; 32];
    getrandom::fill(&mut key).map_err(io::Error::other)?;
    let folder = folder_of(path);
    std::fs::create_dir_all(folder)?;
    let draft = path.with_extension(format!("new-{}", std::process::id()));
    let mut options = private_file();
    let mut file = options
        .write(true)
        .create(true)
        .truncate(true)
        .open(&draft)?;
    file.write_all(&key)?;
    file.sync_all()?;
    let linked = std::fs::hard_link(&draft, path);
    std::fs::remove_file(&draft)?;
    match linked {
        Ok(()) => {
            sync_folder(folder)?;
            Ok(SecretKey(key))
        }
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => key_from(path, &std::fs::read(path)?),
        Err(e) => Err(e),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_key_file_is_made_once_and_is_private() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("data/secret.key");
        let first = SecretKey::load_or_create(&path).expect("made");
        let again = SecretKey::load_or_create(&path).expect("read");
        assert_eq!(first.0, again.0);
        let mode = std::fs::metadata(&path).expect("file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let files = std::fs::read_dir(folder.path().join("data")).expect("folder");
        assert_eq!(files.count(), 1);
    }

    #[test]
    fn a_damaged_key_file_is_not_replaced() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("secret.key");
        std::fs::write(&path, b"short").expect("written");
        let error = SecretKey::load_or_create(&path).expect_err("refused");
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert_eq!(std::fs::read(&path).expect("still there"), b"short");
    }

    #[test]
    fn only_the_same_key_and_context_decrypt() {
        let key = SecretKey([7; 32]);
        let sealed = key.encrypt("trunk:a", "hunter2").expect("sealed");
        assert!(!sealed.contains("hunter2"));
        assert_ne!(sealed, key.encrypt("trunk:a", "hunter2").expect("sealed"));
        assert_eq!(key.decrypt("trunk:a", &sealed).as_deref(), Some("hunter2"));
        assert_eq!(key.decrypt("trunk:b", &sealed), None);
        assert_eq!(SecretKey([8; 32]).decrypt("trunk:a", &sealed), None);
        assert_eq!(key.decrypt("trunk:a", "aes256gcm:AAAA"), None);
        assert_eq!(key.decrypt("trunk:a", "hunter2"), None);
    }
}
