//! Trunks as they live: registration at the provider, renewed and retried, and whose address is whose.

use crate::notice::{Notice, TrunkState};
use crate::office::{Office, Query};
use crate::proof::Proofs;
use crate::target;
use crate::timers::{Timer, TimerKey};
use directory::number::Network;
use directory::{Directory, Trunk, TrunkAuth};
use sip::{Flow, HeaderId, Login, Message, OutRequest, TransactionId, Transport};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// Asked for at the provider, seconds: short, so that a provider that lost its memory knows us again soon.
const EXPIRES: u32 = 120;
/// A trunk's name is looked up again this often.
const LOOK_UP: Duration = Duration::from_secs(300);
/// How long a provider's server may say nothing before the next one is asked (RFC 3263 §4.3). RFC 3261's 32 s are longer
/// than callers wait.
pub(crate) const FAILOVER: Duration = Duration::from_secs(4);
const FIRST_RETRY_S: u64 = 2;
const LAST_RETRY_S: u64 = 300;

#[derive(Debug)]
struct Line {
    trunk: Arc<Trunk>,
    addresses: Vec<IpAddr>,
    /// Of a trunk that is known by its address, when that was written as such.
    network: Option<Network>,
    flow: Option<Flow>,
    /// Where else to register when `flow` fails, best first.
    others: Vec<Flow>,
    call_id: Option<String>,
    cseq: u32,
    expires: u32,
    failures: u32,
    timer: Option<TimerKey>,
    password: Option<String>,
}

impl Line {
    fn has(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        self.addresses.iter().any(|a| a.to_canonical() == ip)
            || self.network.is_some_and(|network| network.contains(ip))
    }

    fn is_at(&self, flow: &Flow) -> bool {
        let strict = self.trunk.match_port && flow.transport == Transport::Udp;
        let port = !strict || flow.remote.port() == self.trunk.port.unwrap_or(5060);
        port && self.has(flow.remote.ip())
    }
}

#[derive(Debug, Default)]
pub(crate) struct Trunks {
    lines: BTreeMap<String, Line>,
    pending: HashMap<TransactionId, String>,
    /// REGISTERs that take our registration back and have no final answer yet.
    farewells: HashSet<TransactionId>,
    pub(crate) proofs: Proofs,
}

impl Trunks {
    /// Every provider that was told that we leave has heard it, as far as one knows.
    pub(crate) fn have_left(&self) -> bool {
        self.farewells.is_empty()
    }

    /// The trunk that a request over `flow` comes from, by its source address, or by its certificate where that is asked for.
    pub(crate) fn of_source(&self, directory: &Directory, flow: &Flow) -> Option<String> {
        let mut names = directory.trunk_order.iter();
        let is_from = |name: &&String| {
            let line = self.lines.get(*name);
            line.is_some_and(|line| self.comes_from(line, flow))
        };
        names.find(is_from).cloned()
    }

    /// Whether a request over `flow` comes from a trunk.
    pub(crate) fn is_at(&self, flow: &Flow) -> bool {
        self.lines.values().any(|line| self.comes_from(line, flow))
    }

    fn comes_from(&self, line: &Line, flow: &Flow) -> bool {
        if line.trunk.tls.client_ca.is_some() {
            return self.proofs.has(flow, &line.trunk.name);
        }
        line.is_at(flow)
    }

    /// Whether a trunk has this address, on whatever port.
    pub(crate) fn has_address(&self, ip: IpAddr) -> bool {
        self.lines.values().any(|line| line.has(ip))
    }

    /// The extension that `number` leads to on `trunk`; a leading `+` more or less makes no difference.
    pub(crate) fn extension_of(
        &self,
        directory: &Directory,
        trunk: &str,
        number: &str,
    ) -> Option<String> {
        let bare = number.trim_start_matches('+');
        let found = directory
            .inbound_extension(trunk, number)
            .or_else(|| directory.inbound_extension(trunk, bare))
            .or_else(|| directory.inbound_extension(trunk, &format!("+{bare}")));
        found.map(str::to_owned)
    }
}

/// The configuration was saved: starts what is new or changed, ends what is gone.
pub(crate) fn directory_changed(office: &mut Office) {
    let directory = Arc::clone(&office.directory);
    let gone: Vec<String> = office
        .trunks
        .lines
        .keys()
        .filter(|name| !directory.trunks.contains_key(*name))
        .cloned()
        .collect();
    for name in gone {
        unregister(office, &name);
        office.tell(Notice::TrunkGone { name });
    }
    for (name, trunk) in &directory.trunks {
        let password = directory.trunk_passwords.get(name).cloned();
        let same = |line: &Line| line.trunk == *trunk && line.password == password;
        if office.trunks.lines.get(name).is_some_and(same) {
            continue;
        }
        unregister(office, name);
        let line = Line {
            trunk: Arc::clone(trunk),
            addresses: Vec::new(),
            network: Network::parse(&trunk.host).filter(|_| trunk.auth == TrunkAuth::Address),
            flow: None,
            others: Vec::new(),
            call_id: None,
            cseq: 0,
            expires: EXPIRES,
            failures: 0,
            timer: None,
            password,
        };
        office.trunks.lines.insert(name.clone(), line);
        let state = if trunk.auth == TrunkAuth::Address {
            TrunkState::Static
        } else {
            TrunkState::Registering
        };
        office.tell(Notice::Trunk {
            name: name.clone(),
            state,
        });
        due(office, name);
    }
}

/// Removes a line; a provider that knows us is told (RFC 3261 §10.2.2).
fn unregister(office: &mut Office, name: &str) {
    let Some(line) = office.trunks.lines.get_mut(name) else {
        return;
    };
    let timer = line.timer.take();
    let registered = line.failures == 0 && line.call_id.is_some();
    office.trunks.proofs.forget(name);
    office.timers.cancel(timer);
    if registered {
        register(office, name, 0);
    }
    office.trunks.lines.remove(name);
}

/// Every provider is told that we leave.
pub(crate) fn stop(office: &mut Office) {
    let names: Vec<String> = office.trunks.lines.keys().cloned().collect();
    for name in names {
        unregister(office, &name);
    }
}

/// It is time to look the trunk's name up (and then, where it registers, to register).
pub(crate) fn due(office: &mut Office, name: &str) {
    let Some(line) = office.trunks.lines.get(name) else {
        return;
    };
    let trunk = Arc::clone(&line.trunk);
    if trunk.auth == TrunkAuth::Address && Network::parse(&trunk.host).is_some() {
        return;
    }
    office.resolve(Query::Trunk(name.to_owned()), &trunk);
}

/// The resolver answered.
pub(crate) fn resolved(office: &mut Office, name: &str, flows: Vec<Flow>) {
    let Some(line) = office.trunks.lines.get_mut(name) else {
        return;
    };
    // Without an answer, what the name led to before is as good a guess as any.
    if flows.is_empty() {
        return failed(office, name, "its host name leads nowhere".to_owned());
    }
    line.addresses = flows.iter().map(|flow| flow.remote.ip()).collect();
    if line.trunk.auth == TrunkAuth::Registration {
        // What worked last is asked first as long as it is there.
        let used = flows.iter().position(|flow| line.flow == Some(*flow));
        line.others = flows;
        let first = line.others.remove(used.unwrap_or(0));
        line.flow = Some(first);
        let expires = line.expires;
        return register(office, name, expires);
    }
    if std::mem::take(&mut line.failures) > 0 {
        office.tell(Notice::Trunk {
            name: name.to_owned(),
            state: TrunkState::Static,
        });
    }
    retry(office, name, LOOK_UP);
}

fn retry(office: &mut Office, name: &str, after: Duration) {
    let key = office.arm(after, Timer::Trunk(name.to_owned()));
    if let Some(line) = office.trunks.lines.get_mut(name) {
        let old = line.timer.replace(key);
        office.timers.cancel(old);
    }
}

/// Sends a REGISTER for `expires` seconds.
fn register(office: &mut Office, name: &str, expires: u32) {
    let Some(line) = office.trunks.lines.get(name) else {
        return;
    };
    let (Some(flow), Some(user)) = (line.flow, line.trunk.username.clone()) else {
        return;
    };
    let host = target::host_of(&line.trunk);
    let port = line.trunk.port.map(|p| format!(":{p}")).unwrap_or_default();
    let user_part = target::user_part(&user);
    let aor = format!("<sip:{user_part}@{host}{port}>");
    let transport = flow.transport.uri_param();
    let contact = format!(
        "<sip:{user_part}@{}:{}{transport}>;expires={expires}",
        office.host_for(&flow),
        flow.local.port()
    );
    let request = OutRequest {
        flow,
        method: "REGISTER".to_owned(),
        uri: format!("sip:{host}{port}"),
        to: aor.clone(),
        from: aor,
        call_id: line.call_id.clone(),
        cseq: (line.cseq > 0).then_some(line.cseq + 1),
        headers: vec![
            ("Contact".to_owned(), contact),
            ("Expires".to_owned(), expires.to_string()),
        ],
        body: None,
        credentials: line.password.clone().map(|password| Login {
            username: user,
            password,
        }),
        route: Vec::new(),
    };
    let another = !line.others.is_empty();
    let transaction = office.sip.request(office.now, request);
    if another {
        office
            .sip
            .expect_response_within(office.now, transaction, FAILOVER);
    }
    if expires > 0 {
        office.trunks.pending.insert(transaction, name.to_owned());
    } else {
        office.trunks.farewells.insert(transaction);
    }
}

/// The provider answered a REGISTER. `false`: the transaction is none of ours.
pub(crate) fn response(
    office: &mut Office,
    transaction: TransactionId,
    status: u16,
    response: Option<&Message>,
) -> bool {
    if office.trunks.farewells.remove(&transaction) {
        return true;
    }
    let Some(name) = office.trunks.pending.remove(&transaction) else {
        return false;
    };
    let Some(line) = office.trunks.lines.get_mut(&name) else {
        return true;
    };
    // RFC 3261 §10.2: all registrations of one line share a Call-ID and count CSeq up.
    if let Some(message) = response {
        line.call_id = message.call_id().map(|id| id.into_owned());
        line.cseq = message.cseq().map_or(0, |(number, _)| number);
    }
    match status {
        200..=299 => {
            line.failures = 0;
            let granted = response
                .and_then(granted)
                .unwrap_or(line.expires)
                .clamp(10, 3_600);
            office.tell(Notice::Trunk {
                name: name.clone(),
                state: TrunkState::Registered,
            });
            retry(
                office,
                &name,
                Duration::from_secs(u64::from(granted) * 4 / 5),
            );
        }
        423 => {
            // RFC 3261 §10.2.8: ask again for as long as the provider wants.
            let minimum =
                response.and_then(|m| m.header(HeaderId::MinExpires)?.trim().parse().ok());
            line.expires = minimum.unwrap_or(3_600u32).clamp(EXPIRES, 86_400);
            let expires = line.expires;
            if line.failures == 0 {
                line.failures = 1;
                register(office, &name, expires);
            } else {
                failed(office, &name, "423 Interval Too Brief".to_owned());
            }
        }
        // RFC 3263 §4.3: these are reasons to ask the next server at once.
        408 | 503 if !line.others.is_empty() => {
            line.flow = Some(line.others.remove(0));
            let expires = line.expires;
            register(office, &name, expires);
        }
        code => failed(
            office,
            &name,
            format!("{code} {}", sip::status::reason(code)),
        ),
    }
    true
}

/// What the provider granted, seconds: our Contact's parameter, else the Expires header (RFC 3261 §10.2.4).
fn granted(response: &Message) -> Option<u32> {
    response
        .contact()
        .and_then(|contact| contact.expires())
        .or(response.expires())
}

fn failed(office: &mut Office, name: &str, why: String) {
    let Some(line) = office.trunks.lines.get_mut(name) else {
        return;
    };
    line.failures = line.failures.saturating_add(1);
    let seconds = FIRST_RETRY_S
        .saturating_mul(1 << line.failures.min(10).saturating_sub(1))
        .min(LAST_RETRY_S);
    office.tell(Notice::Trunk {
        name: name.to_owned(),
        state: TrunkState::Failed { why },
    });
    retry(office, name, Duration::from_secs(seconds));
}
