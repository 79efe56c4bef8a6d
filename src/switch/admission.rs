//! Who is calling, and may they: digest for extensions, the source address for trunks. Also which entry
//! point a call starts at: the host's rule, never SIP data.

use crate::call::{Call, Leg, LegState, Party, answer, emergency, end, script};
use crate::cause::Verdict;
use crate::defence::{self, Look};
use crate::office::Office;
use crate::registrar::gruu::{self, Device};
use crate::target;
use crate::verb::{Entry, SessionInfo};
use crate::{diversion, identity};
use directory::{Direction, number};
use sip::digest::{self, Credentials, NonceState};
use sip::{DialogId, Flow, HeaderId, Message, Method};

/// A final answer with its headers.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
}

impl Answer {
    pub(crate) fn status(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
        }
    }
}

/// The extension that proves to have sent `request` (RFC 3261 §22.2, RFC 7616) and may be where it came from, or what
/// to answer instead.
pub(crate) fn authenticate(
    office: &mut Office,
    request: &Message,
    flow: &Flow,
) -> Result<String, Answer> {
    let user = prove(office, request, flow)?;
    let at = flow.remote.ip().to_canonical();
    let extension = office.directory.extensions.get(&user);
    if extension.is_some_and(|e| e.allows(at)) {
        return Ok(user);
    }
    let method = request.method();
    let why = format!("{method} of {user} refused: {at} is in none of its allowed networks");
    office.warn(None, why);
    Err(Answer::status(403))
}

fn prove(office: &mut Office, request: &Message, flow: &Flow) -> Result<String, Answer> {
    let given = request
        .headers(HeaderId::Authorization)
        .chain(request.headers(HeaderId::ProxyAuthorization))
        .filter_map(|value| Credentials::parse(&value))
        .find(|c| c.realm == office.config.realm);
    let Some(given) = given else {
        return Err(challenge(office, request, flow, false));
    };
    match defence::look(office, &given.username, &given.nonce) {
        Look::Well => {}
        Look::AskAgain => return Err(challenge(office, request, flow, true)),
        Look::Refuse => return Err(Answer::status(403)),
    }
    let extension = office.directory.extensions.get(&given.username);
    let ha1 = extension.map(|e| match given.algorithm {
        digest::Algorithm::Md5 => e.ha1.md5.clone(),
        digest::Algorithm::Sha256 => e.ha1.sha256.clone(),
    });
    // An unknown user costs the same comparison and gets the same answer as a wrong password.
    let known = ha1.is_some();
    let right = digest::verify(
        &given,
        request.method().as_str(),
        &ha1.unwrap_or_else(|| "0".repeat(32)),
    );
    if !(known && right) {
        defence::disproved(office, &given.username, &given.nonce, known);
        return Err(Answer::status(403));
    }
    if !is_about(&given.uri, &request.request_uri().unwrap_or_default()) {
        return Err(Answer::status(400));
    }
    match office
        .nonces
        .accept(office.now, &given.nonce, given.nc.unwrap_or(1))
    {
        NonceState::Fresh => {
            defence::proved(office, &given.username);
            Ok(given.username)
        }
        NonceState::Stale => Err(challenge(office, request, flow, true)),
        NonceState::Unknown | NonceState::Replayed => Err(challenge(office, request, flow, false)),
    }
}

/// Whether credentials for `proven` are about `asked`, the Request-URI (RFC 7616 §3.4.6; RFC 3261 §22.4 items 3 and 6
/// leave the measure to us): octet by octet, or at least the same user at the same host, for some phones add a port
/// or parameters to only one of the two. SIPp's digest names our host without a user, and an IPv6 one without brackets.
fn is_about(proven: &str, asked: &str) -> bool {
    if proven == asked {
        return true;
    }
    let Ok(asked) = sip::Uri::parse(asked) else {
        return false;
    };
    let Ok(proven) = sip::Uri::parse(proven) else {
        let bare = format!("{}:{}:", asked.scheme, asked.host);
        let port = proven.strip_prefix(&bare);
        return port.is_some_and(|port| port.parse::<u16>().is_ok());
    };
    proven.scheme == asked.scheme
        && proven.host.eq_ignore_ascii_case(&asked.host)
        && (proven.user.is_none() || proven.user == asked.user)
}

/// MD5 first: phones that know only one algorithm often look at the first challenge alone, and those that know
/// SHA-256 find theirs. RFC 7616 §3.7 lets the server order them.
fn challenge(office: &mut Office, request: &Message, flow: &Flow, stale: bool) -> Answer {
    let nonce = office.nonces.issue(office.now, flow.remote);
    defence::challenged(office);
    let [sha256, md5] = digest::challenges(&office.config.realm, &nonce, stale);
    let mut headers = vec![("WWW-Authenticate", md5)];
    if !only_md5(request) {
        headers.push(("WWW-Authenticate", sha256));
    }
    Answer {
        status: 401,
        headers,
    }
}

/// What an INVITE or REGISTER without credentials hears; nothing is kept of it.
pub(crate) fn challenge_stranger(
    office: &mut Office,
    calls: usize,
    request: &Message,
    flow: &Flow,
) -> Answer {
    let invite = matches!(request.method(), Method::Invite);
    let full =
        calls >= office.config.max_calls && emergency::number(office, &dialled(request)).is_none();
    if invite && (office.stopping || full) {
        return Answer {
            status: 503,
            headers: vec![("Retry-After", "10".to_owned())],
        };
    }
    // Whose registration this would be is asked before who asks.
    if !invite && request.to().is_none_or(|to| to.uri.user.is_none()) {
        return Answer::status(400);
    }
    challenge(office, request, flow, false)
}

/// User agents that give up when any of several challenges has an algorithm they do not know: libre up to 2, and JsSIP,
/// which is most phones in web pages; what comes over WebSocket is taken for one.
fn only_md5(request: &Message) -> bool {
    let agent = request
        .header(HeaderId::UserAgent)
        .unwrap_or_default()
        .to_ascii_lowercase();
    let browser = || {
        request
            .via()
            .is_some_and(|via| via.transport.starts_with("WS"))
    };
    agent.starts_with("baresip v0.")
        || browser()
        || agent.starts_with("baresip v1.")
        || agent.starts_with("baresip v2.")
}

/// A new INVITE: becomes a call, to be let in by [`begin`], or is refused on the spot.
pub(crate) fn invite(
    office: &mut Office,
    calls: usize,
    dialog: DialogId,
    request: &Message,
    flow: Flow,
) -> Option<Call> {
    let from = request.from();
    let user = from.and_then(|f| f.uri.user).unwrap_or_default();
    let trunk = office
        .trunks
        .of_source(&office.directory, &flow)
        .filter(|_| !office.registrar.knows(&user, &flow));
    // A full house has room for an emergency. Whether a phone of ours asks for it is proven below.
    let urgent = || trunk.is_none() && emergency::number(office, &dialled(request)).is_some();
    if office.stopping || (calls >= office.config.max_calls && !urgent()) {
        let headers = [("Retry-After", "10".to_owned())];
        office.sip.refuse(office.now, dialog, 503, &headers);
        return None;
    }
    let call = match trunk {
        Some(trunk) => from_trunk(office, &trunk, request),
        None => caller(office, request, &flow).map(|(extension, device)| {
            let mut call = from_extension(office, &extension, request);
            aim(&mut call, device);
            call
        }),
    };
    let mut call = match call {
        Ok(call) => call,
        Err(answer) => {
            office
                .sip
                .refuse(office.now, dialog, answer.status, &answer.headers);
            return None;
        }
    };
    // RFC 3261 §16.6 step 3, which a back-to-back user agent does well to obey too (RFC 7332 §4).
    let hops = request.max_forwards().unwrap_or(diversion::MAX_FORWARDS);
    call.hops = hops.min(diversion::MAX_FORWARDS).saturating_sub(1);
    let id = call.id;
    if let Some(leg) = call.legs.first_mut() {
        leg.dialog = Some(dialog);
        leg.flow = Some(flow);
        leg.incoming = true;
        leg.state = LegState::Ringing;
        leg.offered = request.body().to_vec();
    }
    office.dialogs.insert(dialog, (id, 0));
    Some(call)
}

/// Lets a new call of [`invite`] in, unless its offer is of no use.
pub(crate) fn begin(office: &mut Office, call: &mut Call) {
    call.announce(office);
    #[cfg(debug_assertions)]
    assert!(
        office.panic_on.as_ref() != Some(&call.dialed),
        "forced on arrival"
    );
    match answer::check_offer(call) {
        Ok(()) => enter(office, call),
        Err(trouble) => end::end(
            office,
            call,
            Verdict::refused(trouble.code(), trouble.why()),
        ),
    }
}

/// Starts what the host's rule says: an emergency call, or the script at its entry point.
pub(crate) fn enter(office: &mut Office, call: &mut Call) {
    if call.direction == Direction::Inbound {
        return script::start(office, call, Entry::Inbound);
    }
    if let Some(number) = emergency::number(office, &call.session.dialed).map(str::to_owned) {
        return emergency::start(office, call, number);
    }
    let (entry, dialed) = entry(office, &call.session.dialed);
    call.session.dialed = dialed;
    if entry == Entry::Outbound {
        call.direction = Direction::Outbound;
    }
    script::start(office, call, entry);
}

/// Where a script begins that an extension starts by dialling `number`, and what is left of it there.
pub(crate) fn entry(office: &Office, number: &str) -> (Entry, String) {
    let prefix = office.config.outbound_prefix.as_str();
    let rest = number.strip_prefix(prefix);
    match rest.filter(|rest| !prefix.is_empty() && !rest.is_empty()) {
        Some(rest) => (Entry::Outbound, rest.to_owned()),
        None => (Entry::Internal, number.to_owned()),
    }
}

/// The number that the user part of a URI is. What follows a `;` in it are the parameters of a telephone number
/// (RFC 3261 §19.1.6, RFC 3966 §3), such as `phone-context`.
pub(crate) fn number_of(user: &str) -> String {
    let (number, _parameters) = user.split_once(';').unwrap_or((user, ""));
    number::normalise(number)
}

/// The user part of the Request-URI: what was dialled.
fn dialled(request: &Message) -> String {
    let uri = request
        .request_uri()
        .and_then(|uri| sip::Uri::parse(&uri).ok());
    number_of(&uri.and_then(|uri| uri.user).unwrap_or_default())
}

/// The extension that calls, and the one phone it wants, if it named one (RFC 5627).
fn caller(
    office: &mut Office,
    request: &Message,
    flow: &Flow,
) -> Result<(String, Option<Device>), Answer> {
    let extension = authenticate(office, request, flow)?;
    let uri = request.request_uri().unwrap_or_default();
    let named = sip::Uri::parse(&uri)
        .ok()
        .filter(|uri| uri.params.has("gr"));
    let device = named
        .and_then(|uri| gruu::resolve(office, &uri))
        .transpose();
    Ok((extension, device.map_err(Answer::status)?))
}

/// A call to a name of one phone is a call to its extension that reaches that phone only.
fn aim(call: &mut Call, device: Option<Device>) {
    if let Some(device) = &device {
        for number in [&mut call.session.dialed, &mut call.dialed, &mut call.to] {
            number.clone_from(&device.extension);
        }
    }
    call.device = device;
}

fn from_extension(office: &mut Office, extension: &str, request: &Message) -> Call {
    let id = office.new_call_id();
    let configured = office.directory.extensions.get(extension).cloned();
    let session = SessionInfo {
        id: id.to_string(),
        from: extension.to_owned(),
        dialed: dialled(request),
        did: String::new(),
        user: extension.to_owned(),
        trunk: String::new(),
        caller_id: identity::preferred(office, extension, request),
        did_extension: String::new(),
        first_trunk: office
            .directory
            .ways_out()
            .next()
            .cloned()
            .unwrap_or_default(),
        private: identity::wants_privacy(request),
        ..SessionInfo::default()
    };
    let mut call = Call::new(office, id, Direction::Internal, session);
    call.from_name = configured
        .as_ref()
        .map(|e| e.name.clone())
        .unwrap_or_default();
    let mut codecs = configured
        .map(|e| target::codecs(&e.codecs))
        .unwrap_or_default();
    let for_help = emergency::number(office, &call.session.dialed).is_some();
    if for_help {
        // The extension's own list goes first, but keeps nobody from calling for help.
        let mut others = media::Codec::ALL.to_vec();
        others.retain(|codec| !codecs.contains(codec));
        codecs.extend(others);
    }
    let party = Party {
        number: extension.to_owned(),
        trunk: None,
    };
    call.add(office, Leg::new(party, codecs));
    if let Some(leg) = call.subject().filter(|_| for_help) {
        leg.secrecy = leg.secrecy.lenient();
    }
    call
}

fn from_trunk(office: &mut Office, trunk: &str, request: &Message) -> Result<Call, Answer> {
    let configured = office.directory.trunks.get(trunk).cloned();
    let trusted = configured.as_ref().is_some_and(|t| t.trust_identity);
    let to = request
        .to()
        .and_then(|to| to.uri.user)
        .map(|user| number_of(&user))
        .unwrap_or_default();
    // A provider that registers us by username may put the number only into To.
    let (did, extension) = [dialled(request), to]
        .iter()
        .find_map(|n| {
            office
                .trunks
                .extension_of(&office.directory, trunk, n)
                .map(|e| (n.clone(), e))
        })
        .unwrap_or_else(|| (dialled(request), String::new()));
    // RFC 3261 §16.3 item 4. What we sent may well come back for a number of ours, but for no other.
    if extension.is_empty() && diversion::is_ours(office, request) {
        return Err(Answer::status(482));
    }
    let Ok(mut diverted) = diversion::read(request) else {
        return Err(Answer::status(483));
    };
    if !trusted {
        diverted.clear();
    }
    let caller = identity::of_trunk(request, trusted);
    let last = diverted.last().cloned();
    let (diverted_from, diverted_why) = last.map(|hop| (hop.number, hop.why)).unwrap_or_default();
    let (id, from) = (office.new_call_id(), caller.number);
    let session = SessionInfo {
        id: id.to_string(),
        caller_id: from.clone(),
        from: from.clone(),
        dialed: did.clone(),
        did,
        user: String::new(),
        trunk: trunk.to_owned(),
        did_extension: extension,
        first_trunk: String::new(),
        private: caller.private,
        diverted_from,
        diverted_why,
    };
    let mut call = Call::new(office, id, Direction::Inbound, session);
    (call.from_name, call.diverted) = (caller.name, diverted);
    let codecs = configured
        .map(|t| target::codecs(&t.codecs))
        .unwrap_or_default();
    let party = Party {
        number: from,
        trunk: Some(trunk.to_owned()),
    };
    call.add(office, Leg::new(party, codecs));
    Ok(call)
}

#[cfg(test)]
mod tests {
    use super::{is_about, only_md5};
    use sip::Message;

    #[test]
    fn who_gives_up_at_a_second_algorithm_is_shown_one() {
        for (transport, agent, only) in [
            ("WSS", "JsSIP 3.13.8", true),
            ("WS", "a page", true),
            ("UDP", "baresip v1.0.0 (x86_64/Linux)", true),
            ("UDP", "baresip v3.1.0 (x86_64/Linux)", false),
            ("TLS", "a desk phone", false),
        ] {
            let text = format!(
                "REGISTER sip:pbx SIP/2.0\r\nVia: SIP/2.0/{transport} a.invalid;branch=z9hG4bK1\r\n\
                 User-Agent: {agent}\r\nContent-Length: 0\r\n\r\n"
            );
            let request = Message::parse(text.into()).expect("a request");
            assert_eq!(only_md5(&request), only, "{transport} {agent}");
        }
    }

    #[test]
    fn a_digest_is_about_the_user_and_host_it_names() {
        for (proven, asked) in [
            ("sip:102@pbx", "sip:102@pbx"),
            ("sip:102@pbx:5060", "sip:102@PBX;transport=tcp"),
            ("sip:%31%30%32@pbx", "sip:102@pbx"),
            ("sip:[::1]", "sip:102@[::1]:5060"),
            ("tel:+4930", "tel:+4930;phone-context=x"),
            // As SIPp writes them.
            ("sip:192.0.2.1:5060", "sip:102@192.0.2.1:5060"),
            ("sip:::1:5060", "sip:102@[::1]:5060"),
        ] {
            assert!(is_about(proven, asked), "{proven} {asked}");
        }
        for (proven, asked) in [
            ("sip:103@pbx", "sip:102@pbx"),
            ("sip:102@pbx", "sip:pbx"),
            ("sip:102@elsewhere", "sip:102@pbx"),
            ("sips:102@pbx", "sip:102@pbx"),
            ("sip:::2:5060", "sip:102@[::1]:5060"),
            ("sip:::1:5060x", "sip:[::1]:5060"),
            ("sip:pbx:x", "sip:pbx"),
            ("tel:+4931", "tel:+4930"),
            ("/", "sip:102@pbx"),
            ("", "sip:102@pbx"),
        ] {
            assert!(!is_about(proven, asked), "{proven} {asked}");
        }
    }
}
