//! A leg: one party on one dialog with one stream.

use super::early::Fork;
use super::keys::Keys;
use super::secrecy::Secrecy;
use crate::cause::Told;
use crate::identity::Identity;
use crate::office::Office;
use crate::registrar::way::Way;
use crate::target;
use media::{
    Direction as MediaDirection, DtmfMode, LocalMedia, Negotiated, PlayId, Protection, SdpError,
    Settings, StreamId, StreamStats,
};
use sip::{DialogId, Flow};
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

/// Who is on the leg.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Party {
    /// An extension's number, or the number on the trunk.
    pub(crate) number: String,
    /// The trunk's name when it is on one.
    pub(crate) trunk: Option<String>,
}

/// How far the leg is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum LegState {
    /// Its address is being looked up; there is no dialog.
    Resolving,
    Ringing,
    /// Media flows before the answer.
    Early,
    Up,
    Ended,
}

#[derive(Debug)]
pub(crate) struct Leg {
    pub(crate) party: Party,
    pub(crate) state: LegState,
    /// The party called us.
    pub(crate) incoming: bool,
    pub(crate) dialog: Option<DialogId>,
    /// Its own for life, also in another call.
    pub(crate) stream: StreamId,
    pub(crate) flow: Option<Flow>,
    /// The Request-URI of a phone's leg; a trunk's is made when its address is known.
    pub(crate) uri: String,
    /// The proxies on the way (RFC 3327), as Route.
    pub(crate) route: Vec<String>,
    /// Ways still to try when this one fails (RFC 3263 §4.3, RFC 5626 §5.3).
    pub(crate) alternatives: Vec<Way>,
    /// Its phone may not be there.
    pub(crate) doubtful: bool,
    pub(crate) codecs: Vec<media::Codec>,
    /// The SDP offer the party sent with its INVITE; empty when it wants ours.
    pub(crate) offered: Vec<u8>,
    pub(crate) port: Option<u16>,
    pub(crate) open: bool,
    pub(crate) version: u64,
    pub(crate) negotiated: Option<Negotiated>,
    /// What the forks of the party answered before one of them took the call, the latest last.
    pub(crate) forks: Vec<Fork>,
    /// The music that the held party hears.
    pub(crate) music: Option<PlayId>,
    pub(crate) stats: Option<StreamStats>,
    pub(crate) diagnosis: Option<String>,
    /// Its figures were asked for and have not come.
    pub(crate) measured: bool,
    /// Since when the party is on the phone.
    pub(crate) up_since: Option<Instant>,
    /// When the silent party was asked for a sign of life that has not come.
    pub(crate) asked: Option<Instant>,
    /// It has sent a REFER in its dialog.
    pub(crate) refers: bool,
    /// It talks until then, with whomever: what its `dial` allowed.
    pub(crate) until: Option<Instant>,
    /// Why the party hung up, as it told.
    pub(crate) told: Told,
    /// Whom a trusted trunk says it reached.
    pub(crate) asserted: Option<Identity>,
    pub(crate) secrecy: Secrecy,
    /// How it tells keys: what is configured when its first SDP is written.
    pub(crate) dtmf: Option<DtmfMode>,
    pub(crate) keys: Keys,
}

/// Why a leg cannot have media.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum MediaTrouble {
    NoPort,
    /// The caller sent no offer: it cannot hear us before it is answered.
    NoOffer,
    Sdp(String, u16),
}

impl Leg {
    pub(crate) fn new(party: Party, codecs: Vec<media::Codec>) -> Self {
        Self {
            party,
            state: LegState::Resolving,
            incoming: false,
            dialog: None,
            stream: StreamId(u64::MAX),
            flow: None,
            uri: String::new(),
            route: Vec::new(),
            alternatives: Vec::new(),
            doubtful: false,
            codecs,
            offered: Vec::new(),
            port: None,
            open: false,
            version: 0,
            negotiated: None,
            forks: Vec::new(),
            music: None,
            stats: None,
            diagnosis: None,
            measured: false,
            up_since: None,
            asked: None,
            refers: false,
            until: None,
            told: Told::default(),
            asserted: None,
            secrecy: Secrecy::default(),
            dtmf: None,
            keys: Keys::default(),
        }
    }

    /// The party answered, or we answered it.
    pub(crate) fn up(&mut self, now: Instant) {
        self.state = LegState::Up;
        self.up_since = Some(now);
    }

    pub(crate) fn is_live(&self) -> bool {
        self.state != LegState::Ended
    }

    /// Where the party reached us: its media goes there too.
    pub(crate) fn local_ip(&self) -> IpAddr {
        self.flow
            .map_or(IpAddr::from([127, 0, 0, 1]), |flow| flow.local.ip())
    }

    /// What we say of ourselves in the next SDP on this leg; takes a port when it has none.
    pub(crate) fn local(&mut self, office: &mut Office) -> Result<LocalMedia, MediaTrouble> {
        let port = match self.port {
            Some(port) => port,
            None => office.ports.take(office.now).ok_or(MediaTrouble::NoPort)?,
        };
        self.port = Some(port);
        let ip = self.local_ip();
        let shown = office
            .config
            .external_media
            .filter(|e| e.is_ipv4() == ip.is_ipv4())
            .filter(|_| !self.flow.is_some_and(|flow| office.is_inside(&flow)))
            .unwrap_or(ip);
        // RFC 3264 §8: the version grows by one with every SDP we send.
        self.version += 1;
        let dtmf = target::dtmf(office, &self.party);
        let dtmf = *self.dtmf.get_or_insert(dtmf);
        Ok(LocalMedia {
            address: SocketAddr::new(shown, port),
            codecs: self.codecs.clone(),
            session: self.stream.0,
            version: self.version,
            direction: MediaDirection::SendRecv,
            protection: self.protection(&office.config.seed),
            dtmf,
        })
    }

    /// Whether and how its audio may be encrypted, with keys that only who has `secret` can tell.
    pub(crate) fn protection(&self, secret: &[u8; 32]) -> Protection {
        self.secrecy
            .protection(secret, self.stream, self.flow.as_ref())
    }

    /// Opens the stream's sockets, once.
    pub(crate) fn open(&mut self, office: &mut Office) {
        let (Some(port), Some(flow), false) = (self.port, self.flow, self.open) else {
            return;
        };
        self.open = true;
        let settings = Settings {
            timeout: office.config.rtp_timeout,
            hold_timeout: office.config.rtp_hold_timeout,
            dtmf: self.dtmf.unwrap_or_default(),
        };
        office.media(media::Command::Open {
            stream: self.stream,
            local: SocketAddr::new(flow.local.ip(), port),
            settings,
        });
    }

    /// Takes over what was negotiated and tells the media plane.
    pub(crate) fn settle(&mut self, office: &mut Office, negotiated: Negotiated) {
        self.open(office);
        self.secrecy.settled(self.state, &negotiated.security);
        office.media(media::Command::Negotiated {
            stream: self.stream,
            negotiated: negotiated.clone(),
        });
        self.negotiated = Some(negotiated);
    }
}

/// The trouble and the status it is refused with: RFC 3264 §6 and RFC 3261 §13.3.1.3 (488), §21.4.1 (400).
pub(crate) fn sdp_trouble(error: &SdpError) -> MediaTrouble {
    let code = if matches!(error, SdpError::Malformed(_)) {
        400
    } else {
        488
    };
    MediaTrouble::Sdp(error.to_string(), code)
}

impl MediaTrouble {
    pub(crate) fn code(&self) -> u16 {
        match self {
            MediaTrouble::NoPort => 503,
            MediaTrouble::NoOffer => 488,
            MediaTrouble::Sdp(_, code) => *code,
        }
    }

    pub(crate) fn why(&self) -> String {
        match self {
            MediaTrouble::NoPort => "all RTP ports are in use".to_owned(),
            MediaTrouble::NoOffer => "the caller offered no media".to_owned(),
            MediaTrouble::Sdp(why, _) => why.clone(),
        }
    }
}
