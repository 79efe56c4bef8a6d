//! TLS with providers, each as its trunk wants it: what their certificate must be, what we show them, and who is let in
//! as them. Whoever belongs to no trunk is not asked for a certificate's sake alone, and none is refused here: that
//! a connection is a trunk's is told to the switch, which decides.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock, PoisonError, RwLock, RwLockReadGuard};

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    ClientConfig, DigitallySignedStruct, DistinguishedName, RootCertStore, SignatureScheme,
};
use sip::Flow;
use webpki::EndEntityCert;

use crate::pinned::{Anybody, Pinned};
use crate::tls;

/// How TLS is spoken with a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsPeer {
    pub trunk: String,
    /// The name its certificate has to bear (RFC 5922 §4: the one that was configured, not what SRV led to).
    pub host: String,
    pub verify: Verify,
    /// What we show when asked: certificate chain and key, both PEM.
    pub shown: Option<(String, String)>,
    /// Who connects to us is this trunk if his certificate is signed by one of these (PEM) …
    pub client_ca: Option<String>,
    /// … and bears this name.
    pub client_name: Option<String>,
}

/// What a provider's certificate must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verify {
    /// Signed by an authority this system trusts, and for the host's name.
    System,
    /// Signed by one of these (PEM), and for the host's name.
    Authorities(String),
    /// The one with this SHA-256, in hexadecimal digits; name and time do not matter.
    Pin(String),
    /// Any: whoever is in the way can listen.
    Nothing,
}

/// All providers that TLS is spoken with.
#[derive(Debug, Default)]
pub struct Peers {
    book: RwLock<Book>,
}

#[derive(Debug, Default)]
struct Book {
    by_id: HashMap<u64, Arc<Outgoing>>,
    by_trunk: HashMap<String, u64>,
    rules: Vec<Rule>,
    last: u64,
}

/// How to connect to one of them.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) peer: TlsPeer,
    config: OnceLock<Arc<ClientConfig>>,
}

#[derive(Debug)]
struct Rule {
    trunk: String,
    verifier: Arc<dyn ClientCertVerifier>,
    name: Option<String>,
}

impl Peers {
    /// Takes these in the place of those before. A trunk whose settings are other ones makes new connections.
    pub fn set(&self, peers: Vec<TlsPeer>) {
        let mut book = self.book.write().unwrap_or_else(PoisonError::into_inner);
        book.rules = peers.iter().filter_map(rule).collect();
        let old = std::mem::take(&mut book.by_trunk);
        let mut kept = std::mem::take(&mut book.by_id);
        for peer in peers {
            let same = old
                .get(&peer.trunk)
                .and_then(|id| Some((*id, kept.remove(id)?)))
                .filter(|(_, outgoing)| outgoing.peer == peer);
            let (id, outgoing) = same.unwrap_or_else(|| {
                book.last += 1;
                let config = OnceLock::new();
                (Flow::WISH | book.last, Arc::new(Outgoing { peer, config }))
            });
            book.by_trunk.insert(outgoing.peer.trunk.clone(), id);
            book.by_id.insert(id, outgoing);
        }
    }

    /// The id of flows to a trunk that have no connection yet; 0 for one without settings.
    pub(crate) fn wish_of(&self, trunk: &str) -> u64 {
        let book = self.book();
        book.by_trunk.get(trunk).copied().unwrap_or_default()
    }

    pub(crate) fn outgoing(&self, wish: u64) -> Option<Arc<Outgoing>> {
        self.book().by_id.get(&wish).cloned()
    }

    /// The trunks whose certificate this is, leaf first.
    pub(crate) fn trunks_of(&self, chain: &[CertificateDer<'_>]) -> Vec<String> {
        let Some((leaf, rest)) = chain.split_first() else {
            return Vec::new();
        };
        let book = self.book();
        let known = book.rules.iter().filter(|rule| {
            let signed = rule
                .verifier
                .verify_client_cert(leaf, rest, UnixTime::now());
            signed.is_ok() && rule.name.as_ref().is_none_or(|name| bears(leaf, name))
        });
        known.map(|rule| rule.trunk.clone()).collect()
    }

    fn wants_certificates(&self) -> bool {
        !self.book().rules.is_empty()
    }

    fn book(&self) -> RwLockReadGuard<'_, Book> {
        self.book.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// RFC 5922 §7.1: the name is a DNS name of the certificate, or the host of a SIP URI in it.
fn bears(leaf: &CertificateDer<'_>, wanted: &str) -> bool {
    let Ok(leaf) = EndEntityCert::try_from(leaf) else {
        return false;
    };
    let dns = leaf
        .valid_dns_names()
        .any(|name| name.eq_ignore_ascii_case(wanted));
    let uri = leaf.valid_uri_names().any(|uri| {
        let host = uri.strip_prefix("sip:").or(uri.strip_prefix("sips:"));
        host.is_some_and(|host| host.eq_ignore_ascii_case(wanted))
    });
    dns || uri
}

fn rule(peer: &TlsPeer) -> Option<Rule> {
    let roots = roots(peer.client_ca.as_ref()?);
    let provider = Arc::new(ring::default_provider());
    let built = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
    let verifier = built
        .inspect_err(|error| {
            tracing::error!(trunk = peer.trunk, %error, "its client authorities cannot be used: nobody is let in as it");
        })
        .ok()?;
    Some(Rule {
        trunk: peer.trunk.clone(),
        verifier,
        name: peer.client_name.clone(),
    })
}

fn roots(pem: &str) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let read = CertificateDer::pem_slice_iter(pem.as_bytes()).flatten();
    roots.add_parsable_certificates(read);
    roots
}

impl Outgoing {
    /// Made at the first connection: reading the system's authorities takes some 10 ms of disk.
    pub(crate) fn config(&self) -> Result<Arc<ClientConfig>, rustls::Error> {
        if let Some(config) = self.config.get() {
            return Ok(config.clone());
        }
        let made = self.make()?;
        Ok(self.config.get_or_init(|| Arc::new(made)).clone())
    }

    fn make(&self) -> Result<ClientConfig, rustls::Error> {
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()?;
        let builder = match &self.peer.verify {
            Verify::System => builder.with_root_certificates(tls::system_roots()),
            Verify::Authorities(pem) => builder.with_root_certificates(roots(pem)),
            Verify::Pin(pin) => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Pinned::new(pin, provider))),
            Verify::Nothing => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Anybody::new(provider))),
        };
        let Some((certificate, key)) = &self.peer.shown else {
            return Ok(builder.with_no_client_auth());
        };
        let unreadable =
            |why: rustls::pki_types::pem::Error| rustls::Error::General(why.to_string());
        let chain = CertificateDer::pem_slice_iter(certificate.as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .map_err(unreadable)?;
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(unreadable)?;
        builder.with_client_auth_cert(chain, key)
    }
}

/// Asks for a certificate where some trunk is known by one, and takes any, or none: desk phones have one from their maker,
/// and are to get in by their password all the same. Only who really has its key gets further.
#[derive(Debug)]
pub(crate) struct Asker {
    peers: Arc<Peers>,
    provider: CryptoProvider,
}

impl Asker {
    pub(crate) fn new(peers: Arc<Peers>) -> Asker {
        Asker {
            peers,
            provider: ring::default_provider(),
        }
    }
}

impl ClientCertVerifier for Asker {
    fn offer_client_auth(&self) -> bool {
        self.peers.wants_certificates()
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
