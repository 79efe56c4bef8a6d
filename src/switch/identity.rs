//! Who is calling and who was reached, as one side may know it of the other: P-Asserted-Identity, Remote-Party-ID and
//! Privacy (RFC 3325, RFC 3323). A trunk is believed when it is marked so; an extension is who the directory says.
//! Forwarding is `diversion.rs`.

use crate::admission::number_of;
use crate::call::{Activity, Call, Leg};
use crate::office::Office;
use crate::target::{host_of, user_part};
use directory::TrunkAuth;
use sip::{Flow, HeaderId, Message, NameAddr};

/// RFC 3323 §4.1.1.3.
const ANONYMOUS: &str = "\"Anonymous\" <sip:anonymous@anonymous.invalid>";
/// Most identities of one header that are looked at.
const MAX_VALUES: usize = 4;

/// A party as a message names it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) name: String,
    pub(crate) number: String,
    /// It does not want to be known to who does not have to know it.
    pub(crate) private: bool,
}

impl Identity {
    /// Nothing of it is shown.
    fn is_hidden(&self) -> bool {
        self.private || self.number.is_empty()
    }
}

/// Who a called party is told is calling.
pub(crate) struct Shown {
    pub(crate) from: String,
    pub(crate) contact_user: String,
    pub(crate) headers: Vec<(String, String)>,
}

/// The sender of a request over a trunk: what the trunk asserts when it is `trusted`, else what From says.
pub(crate) fn of_trunk(request: &Message, trusted: bool) -> Identity {
    let claimed = request.from().map(|from| identity(&from));
    let mut identity = asserted(request)
        .filter(|_| trusted)
        .or(claimed)
        .unwrap_or_default();
    identity.private |= wants_privacy(request);
    identity
}

/// What a trusted peer asserts (RFC 3325 §9.1, draft-ietf-sip-privacy-04 for who is older).
pub(crate) fn asserted(message: &Message) -> Option<Identity> {
    let of = |id| {
        let values = message.values(id).take(MAX_VALUES);
        values.filter_map(|value| NameAddr::parse(&value).ok())
    };
    let known = |address: &NameAddr| address.uri.user.is_some();
    if let Some(address) = of(HeaderId::PAssertedIdentity).find(known) {
        return Some(identity(&address));
    }
    let party = of(HeaderId::RemotePartyId).find(known)?;
    let privacy = party.params.get("privacy").unwrap_or("off");
    let private = !privacy.eq_ignore_ascii_case("off");
    Some(Identity {
        private,
        ..identity(&party)
    })
}

fn identity(address: &NameAddr) -> Identity {
    let name = address.display.as_deref().unwrap_or_default();
    Identity {
        name: name.chars().filter(|c| !c.is_control()).take(100).collect(),
        number: number_of(address.uri.user.as_deref().unwrap_or_default()),
        private: false,
    }
}

/// RFC 3323 §4.2 and RFC 3325 §9.3; and what a user agent does that hides by itself (§4.1).
pub(crate) fn wants_privacy(request: &Message) -> bool {
    let asked = request
        .headers(HeaderId::Privacy)
        .take(MAX_VALUES)
        .any(|value| {
            let mut words = value.split([';', ',']).map(str::trim);
            words.any(|word| {
                ["id", "header", "user", "session"]
                    .iter()
                    .any(|known| word.eq_ignore_ascii_case(known))
            })
        });
    let nameless = |from: &NameAddr| {
        let user = from.uri.user.as_deref().unwrap_or_default();
        from.uri.host.eq_ignore_ascii_case("anonymous.invalid")
            || user.eq_ignore_ascii_case("anonymous")
    };
    asked || request.from().is_some_and(|from| nameless(&from))
}

/// The number that `extension` wants shown: one of its own that it prefers (RFC 3325 §9.2), else its own.
pub(crate) fn preferred(office: &Office, extension: &str, request: &Message) -> String {
    let wanted = request
        .values(HeaderId::PPreferredIdentity)
        .take(MAX_VALUES)
        .filter_map(|value| NameAddr::parse(&value).ok())
        .map(|address| identity(&address).number);
    let owned = |number: &String| {
        let owners = office.directory.inbound.get(number);
        owners.is_some_and(|owners| owners.iter().any(|(_, owner)| owner == extension))
    };
    let mut wanted = wanted.filter(owned);
    wanted.next().unwrap_or_else(|| extension.to_owned())
}

/// What `leg` over `flow` is told of the caller. A provider we register at serves accounts, not numbers: it knows its
/// customer by From, as in our REGISTER, and learns the number from RFC 3325 §9.1.
pub(crate) fn shown(office: &Office, leg: &Leg, flow: &Flow, caller: &Identity) -> Shown {
    let trunk = leg.party.trunk.as_ref();
    let trunk = trunk.and_then(|name| office.directory.trunks.get(name));
    let number = &caller.number;
    let account = trunk
        .filter(|trunk| trunk.auth == TrunkAuth::Registration)
        .and_then(|trunk| Some((trunk.username.clone()?, host_of(trunk))));
    let plain = || name_addr(&caller.name, number, &office.host_for(flow));
    let (mut from, mut contact_user, identity) = match account {
        Some((username, host)) => (
            name_addr(number, &username, &host),
            username,
            Some(name_addr("", number, &host)),
        ),
        // RFC 3325 §5: asserted to who belongs to the trust domain only. Our own phones do.
        None if trunk.is_none_or(|trunk| trunk.trust_identity) => {
            let from = plain();
            let told = !caller.private || trunk.is_some();
            let identity = told.then(|| from.clone());
            (from, number.clone(), identity)
        }
        None => (plain(), number.clone(), None),
    };
    let mut headers = Vec::new();
    if caller.private {
        ANONYMOUS.clone_into(&mut from);
        if trunk.is_none_or(|trunk| trunk.auth == TrunkAuth::Address) {
            "anonymous".clone_into(&mut contact_user);
        }
        headers.push(("Privacy".to_owned(), "id".to_owned()));
    }
    if let Some(identity) = identity {
        // For those that know no RFC 3325. Our phones know both, and are spared it.
        if trunk.is_some_and(|trunk| trunk.trust_identity) {
            let privacy = if caller.private { "full" } else { "off" };
            let older = format!("{identity};party=calling;privacy={privacy};screen=yes");
            headers.push(("Remote-Party-ID".to_owned(), older));
        }
        headers.push(("P-Asserted-Identity".to_owned(), identity));
    }
    Shown {
        from,
        contact_user,
        headers,
    }
}

/// The headers that tell the peer of `leg` that it talks to, or rings, `party`; none for a trunk that is not trusted, or
/// when the party is not to be known. For answers and for [`sip::Endpoint::identify`].
pub(crate) fn connected(
    office: &Office,
    leg: &Leg,
    party: &Identity,
) -> Vec<(&'static str, String)> {
    let flow = leg
        .flow
        .filter(|_| trusts(office, leg) && !party.is_hidden());
    let Some(flow) = flow else {
        return Vec::new();
    };
    let address = name_addr(&party.name, &party.number, &office.host_for(&flow));
    let older = format!("{address};party={};privacy=off;screen=yes", side(leg));
    vec![("P-Asserted-Identity", address), ("Remote-Party-ID", older)]
}

/// The same when `party` took the place of another in mid-call: the display has to lose the name that it shows, also
/// for one that is not to be known.
pub(crate) fn changed(office: &Office, leg: &Leg, party: &Identity) -> Vec<(&'static str, String)> {
    if !party.is_hidden() {
        return connected(office, leg, party);
    }
    if !trusts(office, leg) {
        return Vec::new();
    }
    let older = format!("{ANONYMOUS};party={};privacy=full", side(leg));
    vec![
        ("P-Asserted-Identity", ANONYMOUS.to_owned()),
        ("Remote-Party-ID", older),
        ("Privacy", "id".to_owned()),
    ]
}

/// RFC 3325 §5: our own phones, and trunks that are marked so.
fn trusts(office: &Office, leg: &Leg) -> bool {
    let trunk = leg.party.trunk.as_ref();
    let trunk = trunk.and_then(|name| office.directory.trunks.get(name));
    trunk.is_none_or(|trunk| trunk.trust_identity)
}

/// draft-ietf-sip-privacy-04 §5.1: whom Remote-Party-ID speaks of.
fn side(leg: &Leg) -> &'static str {
    if leg.incoming { "called" } else { "calling" }
}

/// The headers that tell the caller of `call` whom a `dial` reached so far; none while it rings several.
pub(crate) fn of_reached(office: &Office, call: &Call) -> Vec<(&'static str, String)> {
    let (Activity::Dial(dial), Some(subject)) = (&call.activity, call.legs.get(call.subject))
    else {
        return Vec::new();
    };
    let mut ringing = dial
        .branches
        .iter()
        .chain(&dial.answered)
        .filter_map(|index| call.legs.get(*index));
    let Some(first) = ringing.next() else {
        return Vec::new();
    };
    if ringing.any(|leg| leg.party != first.party) {
        return Vec::new();
    }
    connected(office, subject, &of_party(office, first))
}

/// The party of `leg` as others may know it.
pub(crate) fn of_party(office: &Office, leg: &Leg) -> Identity {
    if let Some(asserted) = &leg.asserted {
        return asserted.clone();
    }
    let number = &leg.party.number;
    let own = office.directory.extensions.get(number);
    let own = own.filter(|_| leg.party.trunk.is_none());
    Identity {
        name: own.map(|e| e.name.clone()).unwrap_or_default(),
        number: number.clone(),
        private: false,
    }
}

/// Keeps whom a trusted trunk says it reached.
pub(crate) fn note(office: &Office, leg: &mut Leg, response: &Message) {
    let trunk = leg.party.trunk.as_ref();
    let trusted = trunk
        .and_then(|name| office.directory.trunks.get(name))
        .is_some_and(|trunk| trunk.trust_identity);
    if trusted && let Some(mut identity) = asserted(response) {
        identity.private |= wants_privacy(response);
        leg.asserted = Some(identity);
    }
}

/// `"name" <sip:user@host>`, with what a caller may have put into its name made harmless.
pub(crate) fn name_addr(name: &str, user: &str, host: &str) -> String {
    let uri = format!("<sip:{}@{host}>", user_part(user));
    let plain: String = name
        .chars()
        .filter(|c| !c.is_control())
        .take(100)
        .flat_map(|c| escape(c).into_iter().flatten())
        .collect();
    if plain.is_empty() {
        uri
    } else {
        format!("\"{plain}\" {uri}")
    }
}

/// RFC 3261 §25.1 `quoted-pair`.
fn escape(c: char) -> [Option<char>; 2] {
    if matches!(c, '"' | '\\') {
        [Some('\\'), Some(c)]
    } else {
        [Some(c), None]
    }
}
