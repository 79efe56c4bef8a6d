//! Providers' certificates that no authority vouches for: one that is known by its digest, or any at all. That the other
//! side has the certificate's key is checked all the same.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};
use sha2::{Digest, Sha256};

/// Takes the one certificate.
#[derive(Debug)]
pub(crate) struct Pinned {
    /// Lower-case hexadecimal digits.
    pin: String,
    provider: Arc<CryptoProvider>,
}

/// Takes every certificate.
#[derive(Debug)]
pub(crate) struct Anybody {
    provider: Arc<CryptoProvider>,
}

impl Pinned {
    /// `pin`: SHA-256 of the certificate, as `openssl x509 -fingerprint -sha256` writes it or without colons.
    pub(crate) fn new(pin: &str, provider: Arc<CryptoProvider>) -> Pinned {
        Pinned {
            pin: pin.replace(':', "").to_ascii_lowercase(),
            provider,
        }
    }

    fn is(&self, certificate: &CertificateDer<'_>) -> bool {
        let digest = Sha256::digest(certificate);
        let digits: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        digits == self.pin
    }
}

impl Anybody {
    pub(crate) fn new(provider: Arc<CryptoProvider>) -> Anybody {
        Anybody { provider }
    }
}

/// What both have in common: the signatures are checked.
macro_rules! check_signatures {
    () => {
        fn verify_tls12_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signed: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            let algorithms = &self.provider.signature_verification_algorithms;
            verify_tls12_signature(message, certificate, signed, algorithms)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signed: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            let algorithms = &self.provider.signature_verification_algorithms;
            verify_tls13_signature(message, certificate, signed, algorithms)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.provider
                .signature_verification_algorithms
                .supported_schemes()
        }
    };
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.is(certificate) {
            Ok(ServerCertVerified::assertion())
        } else {
            let why = CertificateError::ApplicationVerificationFailure;
            Err(Error::InvalidCertificate(why))
        }
    }

    check_signatures!();
}

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    check_signatures!();
}
