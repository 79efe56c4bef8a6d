//! A number → whom to ring: the phones of an extension, or a trunk.

use crate::call::{Call, Leg, Party};
use crate::cause::{self, Verdict};
use crate::office::{Office, bracketed};
use crate::push;
use crate::registrar::way::{self, Way};
use crate::verb::TargetSpec;
use directory::{Ending, number};
use sip::{Flow, Login, Transport};

/// One phone or trunk to ring.
#[derive(Debug)]
pub(crate) struct Branch {
    pub(crate) party: Party,
    pub(crate) codecs: Vec<media::Codec>,
    /// The ways to try, the likeliest first; none: `host` has to be looked up.
    pub(crate) ways: Vec<Way>,
    /// The phone may not be there: without a sign of it, it is given up soon.
    pub(crate) doubtful: bool,
    /// The phone has to be woken first.
    pub(crate) asleep: Option<push::Device>,
}

/// Everybody that `spec` means; `Err`: why nobody can be rung.
pub(crate) fn branches(
    office: &Office,
    call: &Call,
    spec: &TargetSpec,
) -> Result<Vec<Branch>, Verdict> {
    match spec {
        TargetSpec::Extension(number) => phones(office, call, number),
        TargetSpec::Trunk { name, number } => trunk(office, call, name, number),
    }
}

fn phones(office: &Office, call: &Call, number: &str) -> Result<Vec<Branch>, Verdict> {
    let Some(extension) = office.directory.extensions.get(number) else {
        return Err(Verdict::of_status(404));
    };
    let party = Party {
        number: number.to_owned(),
        trunk: None,
    };
    // RFC 5627 §5.3: who called one phone by its name reaches no other.
    let aimed = call.device.as_ref().filter(|d| d.extension == number);
    let phones = way::phones(office, number);
    let branches: Vec<Branch> = phones
        .into_iter()
        .filter(|phone| aimed.is_none_or(|one| one.instance == phone.device.1))
        .map(|phone| Branch {
            party: party.clone(),
            codecs: codecs(&extension.codecs),
            ways: phone.ways,
            doubtful: phone.doubtful,
            asleep: phone.asleep.then_some(phone.device),
        })
        .collect();
    // RFC 3261 §21.4.18: the user is known and not logged in anywhere. Nobody was rung who could have answered.
    if branches.is_empty() {
        Err(Verdict {
            ending: Ending::Unavailable,
            sip_code: 480,
            why: format!("{number} is not registered"),
            told: cause::Told::default(),
        })
    } else {
        Ok(branches)
    }
}

fn trunk(office: &Office, call: &Call, name: &str, number: &str) -> Result<Vec<Branch>, Verdict> {
    let Some(trunk) = office.directory.trunks.get(name) else {
        return Err(Verdict::of_status(503));
    };
    if !number::is_dialable(number) {
        return Err(Verdict::of_status(484));
    }
    // A call from a trunk never leaves by a trunk: that is how toll fraud works.
    if !call.session.trunk.is_empty() && call.on_behalf.is_none() {
        return Err(Verdict::of_status(403));
    }
    if trunk.is_network() {
        let why = format!("{}: a network cannot be called", cause::phrase(503));
        return Err(Verdict::refused(503, why));
    }
    Ok(vec![Branch {
        party: Party {
            number: number.to_owned(),
            trunk: Some(name.to_owned()),
        },
        codecs: codecs(&trunk.codecs),
        ways: Vec::new(),
        doubtful: false,
        asleep: None,
    }])
}

/// The configured transport as SIP's; `None`: the resolver finds it.
pub(crate) fn transport(configured: directory::TrunkTransport) -> Option<Transport> {
    match configured {
        directory::TrunkTransport::Udp => Some(Transport::Udp),
        directory::TrunkTransport::Tcp => Some(Transport::Tcp),
        directory::TrunkTransport::Tls => Some(Transport::Tls),
        directory::TrunkTransport::Auto => None,
    }
}

/// The configured codecs as the media plane's.
pub(crate) fn codecs(configured: &[directory::Codec]) -> Vec<media::Codec> {
    let one = |codec: &directory::Codec| match codec {
        directory::Codec::Pcmu => media::Codec::Pcmu,
        directory::Codec::Pcma => media::Codec::Pcma,
        directory::Codec::G722 => media::Codec::G722,
        directory::Codec::Opus => media::Codec::Opus,
    };
    configured.iter().map(one).collect()
}

/// How keys are told to and by `party`, as configured.
pub(crate) fn dtmf(office: &Office, party: &Party) -> media::DtmfMode {
    let directory = &office.directory;
    let mode = match &party.trunk {
        Some(trunk) => directory.trunks.get(trunk).map(|trunk| trunk.dtmf),
        None => directory.extensions.get(&party.number).map(|e| e.dtmf),
    };
    match mode.unwrap_or_default() {
        directory::DtmfMode::Auto => media::DtmfMode::Auto,
        directory::DtmfMode::Rfc4733 => media::DtmfMode::Rfc4733,
        directory::DtmfMode::Info => media::DtmfMode::Info,
        directory::DtmfMode::Inband => media::DtmfMode::Inband,
    }
}

/// The Request-URI of a trunk's leg over `flow`; a phone's leg keeps its own.
pub(crate) fn request_uri(office: &Office, leg: &Leg, flow: &Flow) -> String {
    let Some(trunk) = leg
        .party
        .trunk
        .as_ref()
        .and_then(|name| office.directory.trunks.get(name))
    else {
        return leg.uri.clone();
    };
    let host = host_of(trunk);
    let port = trunk
        .port
        .map(|port| format!(":{port}"))
        .unwrap_or_default();
    format!(
        "sip:{}@{host}{port}{}",
        user_part(&leg.party.number),
        flow.transport.uri_param()
    )
}

/// The trunk's account, for the provider's challenge.
pub(crate) fn login(office: &Office, leg: &Leg) -> Option<Login> {
    let name = leg.party.trunk.as_ref()?;
    let username = office.directory.trunks.get(name)?.username.clone()?;
    let password = office.directory.trunk_passwords.get(name)?.clone();
    Some(Login { username, password })
}

/// The provider's own name is what it routes by; the address behind it is only the way there.
pub(crate) fn host_of(trunk: &directory::Trunk) -> String {
    match trunk.host.parse::<std::net::IpAddr>() {
        Ok(ip) => bracketed(ip),
        Err(_) => trunk.host.clone(),
    }
}

/// RFC 3261 §25.1 `user`: everything that is not unreserved is percent-encoded.
pub(crate) fn user_part(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.!~*'()&=+$,;?/".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}
