//! Whether a leg's audio is encrypted: what was configured for its party, what came of it, and what the record says.
//!
//! Not here: agreeing on keys (`media::sdp`) and using them (`media::srtp`).

use super::{Leg, LegState, Party};
use directory::{Directory, Srtp};
use media::sdp::Offered;
use media::srtp::{KeySeed, Profile};
use media::{Protection, Security, StreamId, StreamStats};
use sip::Flow;

/// Our offers over TCP and TLS. Short tags are taken when a party offers them, but never proposed.
const OFFERED: &[Profile] = &[
    Profile::AesGcm256,
    Profile::AesGcm128,
    Profile::AesCm256Sha1_80,
    Profile::AesCm128Sha1_80,
];
/// Over UDP an INVITE has to fit into one packet (RFC 3261 §18.1.1).
const OFFERED_SHORT: &[Profile] = &[Profile::AesGcm128, Profile::AesCm128Sha1_80];

/// The encryption of one leg.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Secrecy {
    pub(crate) wish: Srtp,
    /// Of our keys. Another one each time the leg begins anew, so that no key serves twice.
    generation: u32,
    so_far: SoFar,
}

/// How it went.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum SoFar {
    /// Nothing was negotiated.
    #[default]
    Unknown,
    /// All was encrypted.
    Whole(Profile),
    /// At least a part was not.
    Open,
}

impl Secrecy {
    /// As configured for `party`.
    pub(crate) fn of(directory: &Directory, party: &Party) -> Secrecy {
        let wish = match &party.trunk {
            Some(trunk) => directory.trunks.get(trunk).map(|trunk| trunk.srtp),
            None => (directory.extensions.get(&party.number)).map(|extension| extension.srtp),
        };
        Secrecy {
            wish: wish.unwrap_or_default(),
            ..Secrecy::default()
        }
    }

    /// A call for help is not refused for want of encryption.
    pub(crate) fn lenient(self) -> Secrecy {
        let wish = match self.wish {
            Srtp::Off => Srtp::Off,
            Srtp::Optional | Srtp::Required => Srtp::Optional,
        };
        Secrecy { wish, ..self }
    }

    /// The leg is offered to somebody else: with other keys.
    pub(crate) fn renew(&mut self) {
        self.generation += 1;
        self.so_far = SoFar::Unknown;
    }

    /// What the next SDP may say.
    pub(crate) fn protection(
        &self,
        secret: &[u8; 32],
        stream: StreamId,
        flow: Option<&Flow>,
    ) -> Protection {
        let offered = || Offered {
            seed: KeySeed::of(secret, stream, self.generation),
            profiles: match flow.map(|flow| flow.transport) {
                Some(sip::Transport::Udp) => OFFERED_SHORT,
                _stream => OFFERED,
            },
        };
        match self.wish {
            Srtp::Off => Protection::Off,
            Srtp::Optional => Protection::Optional(offered()),
            Srtp::Required => Protection::Required(offered()),
        }
    }

    /// Notes what was agreed on by a leg in `state`.
    pub(crate) fn settled(&mut self, state: LegState, security: &Security) {
        self.so_far = match (self.so_far, security.profile()) {
            (SoFar::Open, _) | (_, None) => SoFar::Open,
            (SoFar::Unknown | SoFar::Whole(_), Some(profile)) => SoFar::Whole(profile),
        };
        if security.profile().is_none() && state == LegState::Up {
            // Numbers go on unseen meanwhile: keys that come later must not be those of before. Until the answer other
            // forks may still take the keys that were offered.
            self.generation += 1;
        }
    }

    /// The profile, when everything was encrypted.
    pub(crate) fn told(&self) -> Option<String> {
        match self.so_far {
            SoFar::Whole(profile) => Some(profile.name().to_owned()),
            SoFar::Unknown | SoFar::Open => None,
        }
    }
}

/// The party of `leg` refused it with `code`: whether that was for the encryption is not said, but likely.
pub(crate) fn refused(leg: &mut Leg, code: u16) {
    if leg.secrecy.wish == Srtp::Required && matches!(code, 488 | 606) && leg.diagnosis.is_none() {
        leg.diagnosis = Some("SRTP is required of it, and it refused our offer of that".to_owned());
    }
}

/// What is to be said of the encryption of `leg` when it is over.
pub(crate) fn remark(leg: &Leg, stats: &StreamStats) -> Option<String> {
    leg.secrecy.told()?;
    let (heard, sealed) = (stats.packets_in, stats.sealed_packets);
    if sealed > heard {
        return Some(format!(
            "{sealed} of its audio packets could not be decrypted with the key it told us"
        ));
    }
    match leg.flow.map(|flow| flow.transport) {
        None | Some(sip::Transport::Tls | sip::Transport::Wss) => None,
        // RFC 4568 §8.3: whoever can read the signalling has the keys.
        Some(open) => Some(format!(
            "the keys of its SRTP went over {}, where they can be read",
            open.as_str()
        )),
    }
}
