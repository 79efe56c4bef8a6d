//! Trunks as the network's TLS knows them.

use directory::{Directory, TlsVerify, Trunk, TrunkTransport};
use net::{TlsPeer, Verify};

/// Every trunk that TLS may be spoken with.
pub(crate) fn tls_peers(directory: &Directory) -> Vec<TlsPeer> {
    let trunks = directory.trunks.values();
    trunks.filter_map(|trunk| tls_peer(trunk)).collect()
}

fn tls_peer(trunk: &Trunk) -> Option<TlsPeer> {
    let outgoing = matches!(trunk.transport, TrunkTransport::Tls | TrunkTransport::Auto);
    if !outgoing && trunk.tls.client_ca.is_none() {
        return None;
    }
    let tls = &trunk.tls;
    let verify = match (tls.verify, &tls.ca, &tls.pin) {
        (TlsVerify::Ca, Some(ca), _) => Verify::Authorities(ca.clone()),
        (TlsVerify::Pin, _, Some(pin)) => Verify::Pin(pin.clone()),
        (TlsVerify::None, _, _) => Verify::Nothing,
        // What is configured by halves, which is checked when it is saved, is believed least.
        (TlsVerify::System | TlsVerify::Ca | TlsVerify::Pin, _, _) => Verify::System,
    };
    let shown = tls.certificate.clone().zip(tls.key.clone());
    Some(TlsPeer {
        trunk: trunk.name.clone(),
        host: trunk.host.trim_end_matches('.').to_owned(),
        verify,
        shown: shown.map(|(certificate, key)| (certificate, key.0)),
        client_ca: tls.client_ca.clone(),
        client_name: tls.client_name.clone(),
    })
}
