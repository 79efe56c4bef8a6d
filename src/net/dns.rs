//! Where a host speaks SIP, and how: RFC 3263 over the system's resolver or one of the administrator's. Answers are kept
//! as long as their TTL says, also that there are none. Finding our own address for each answer is the caller's.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{LookupIpStrategy, NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{RData, RecordType, rdata::SRV};
use sip::Transport;
use tokio::sync::OnceCell;

use crate::listen::default_port;

/// For all queries of one host together.
const PATIENCE: Duration = Duration::from_secs(10);
/// Addresses of one host that are tried at most.
const ANSWERS: usize = 16;

/// Answers that are kept: each as long as its TTL says, and no longer than this.
const KEPT: u64 = 1024;
const LONGEST: Duration = Duration::from_secs(86_400);
/// That a name leads nowhere is believed so long at most (RFC 2308 §5 advises against more than hours; a typing mistake in
/// a zone should not cost those).
const LONGEST_NOTHING: Duration = Duration::from_secs(300);

/// What speaks SIP at a host.
pub(crate) type Place = (Transport, SocketAddr);

/// The system's resolver, or the one of the servers given, made at first use.
#[derive(Default)]
pub(crate) struct Resolver {
    servers: Vec<SocketAddr>,
    resolver: OnceCell<Option<TokioResolver>>,
}

impl Resolver {
    /// One that asks `servers`; the system's when there are none.
    pub(crate) fn new(servers: Vec<SocketAddr>) -> Resolver {
        Resolver {
            servers,
            resolver: OnceCell::new(),
        }
    }

    /// Where `host` speaks SIP, best first; by NAPTR where no transport is given.
    pub(crate) async fn find(
        &self,
        host: &str,
        port: Option<u16>,
        transport: Option<Transport>,
    ) -> Vec<Place> {
        // RFC 3263 §4.1: an address or a port leave no choice, and what is meant is UDP.
        let fixed = transport.unwrap_or(Transport::Udp);
        if let Some(ip) = literal(host) {
            let port = port.unwrap_or(default_port(fixed));
            return vec![(fixed, SocketAddr::new(ip, port))];
        }
        let Some(resolver) = self.resolver().await else {
            return Vec::new();
        };
        let search = async {
            match (port, transport) {
                // RFC 3263 §4.2: a port given explicitly leaves SRV out.
                (Some(port), _) => addresses(resolver, host, port, fixed).await,
                (None, Some(transport)) => one_transport(resolver, host, transport).await,
                (None, None) => any_transport(resolver, host).await,
            }
        };
        let mut found = tokio::time::timeout(PATIENCE, search)
            .await
            .unwrap_or_default();
        if found.is_empty() {
            tracing::debug!(host, "no address was found");
        }
        found.truncate(ANSWERS);
        found
    }

    async fn resolver(&self) -> Option<&TokioResolver> {
        let make = || async { make(&self.servers) };
        self.resolver.get_or_init(make).await.as_ref()
    }
}

fn make(servers: &[SocketAddr]) -> Option<TokioResolver> {
    let builder = if servers.is_empty() {
        TokioResolver::builder_tokio()
    } else {
        let config = ResolverConfig::from_name_servers(servers.iter().map(server).collect());
        let provider = TokioRuntimeProvider::default();
        Ok(TokioResolver::builder_with_config(config, provider))
    };
    let built = builder.and_then(|mut builder| {
        let options = builder.options_mut();
        options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        options.cache_size = KEPT;
        options.timeout = Duration::from_secs(2);
        options.positive_max_ttl = Some(LONGEST);
        options.negative_max_ttl = Some(LONGEST_NOTHING);
        builder.build()
    });
    built
        .inspect_err(|error| {
            tracing::error!(%error, "names cannot be looked up: is /etc/resolv.conf in order?");
        })
        .ok()
}

fn server(at: &SocketAddr) -> NameServerConfig {
    let mut server = NameServerConfig::udp_and_tcp(at.ip());
    for connection in &mut server.connections {
        connection.port = at.port();
    }
    server
}

fn literal(host: &str) -> Option<IpAddr> {
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    bare.parse().ok()
}

/// RFC 3263 §4.1, without a transport: the host's NAPTR records say which there are; else its SRV records do.
async fn any_transport(resolver: &TokioResolver, host: &str) -> Vec<Place> {
    let mut found = Vec::new();
    for (transport, name) in offers(resolver, host).await {
        if found.len() < ANSWERS {
            found.extend(
                services(resolver, &name, transport)
                    .await
                    .unwrap_or_default(),
            );
        }
    }
    for transport in [Transport::Udp, Transport::Tcp, Transport::Tls] {
        if found.is_empty() {
            let name = service_name(host, transport).unwrap_or_default();
            found = services(resolver, &name, transport)
                .await
                .unwrap_or_default();
        }
    }
    if found.is_empty() {
        let port = default_port(Transport::Udp);
        found = addresses(resolver, host, port, Transport::Udp).await;
    }
    found
}

/// RFC 3263 §4.2, with one.
async fn one_transport(resolver: &TokioResolver, host: &str, transport: Transport) -> Vec<Place> {
    // RFC 7118 §5: whoever speaks WebSocket connects to us; nobody is looked up.
    let Some(name) = service_name(host, transport) else {
        return Vec::new();
    };
    match services(resolver, &name, transport).await {
        Some(found) => found,
        // No SRV records, so the host itself at the default port.
        None => addresses(resolver, host, default_port(transport), transport).await,
    }
}

fn service_name(host: &str, transport: Transport) -> Option<String> {
    let service = match transport {
        Transport::Udp => "_sip._udp",
        Transport::Tcp => "_sip._tcp",
        Transport::Tls => "_sips._tcp",
        Transport::Ws | Transport::Wss => return None,
    };
    // The last dot keeps the search domains out, in which nobody has services for this name.
    Some(format!("{service}.{}.", host.trim_end_matches('.')))
}

/// What the host's NAPTR records offer that we speak, best first (RFC 3263 §4.1, RFC 2915 §2).
async fn offers(resolver: &TokioResolver, host: &str) -> Vec<(Transport, String)> {
    let name = format!("{}.", host.trim_end_matches('.'));
    let Ok(lookup) = resolver.lookup(name, RecordType::NAPTR).await else {
        return Vec::new();
    };
    let mut offers: Vec<_> = lookup
        .answers()
        .iter()
        .filter_map(|record| match &record.data {
            RData::NAPTR(offer) if offer.flags.eq_ignore_ascii_case(b"s") => {
                let service = offer.services.to_ascii_uppercase();
                let transport = match service.as_slice() {
                    b"SIP+D2U" => Transport::Udp,
                    b"SIP+D2T" => Transport::Tcp,
                    b"SIPS+D2T" => Transport::Tls,
                    _ => return None,
                };
                let place = (transport, offer.replacement.to_utf8());
                Some(((offer.order, offer.preference), place))
            }
            _ => None,
        })
        .collect();
    offers.sort_by_key(|(rank, _)| *rank);
    offers.into_iter().map(|(_, place)| place).collect()
}

/// The addresses behind SRV records, best first; `None` when there are no such records.
async fn services(
    resolver: &TokioResolver,
    name: &str,
    transport: Transport,
) -> Option<Vec<Place>> {
    let lookup = resolver.srv_lookup(name).await.ok()?;
    let records: Vec<SRV> = lookup
        .answers()
        .iter()
        .filter_map(|record| match &record.data {
            RData::SRV(service) => Some(service.clone()),
            _ => None,
        })
        .collect();
    if records.is_empty() {
        return None;
    }
    let mut found = Vec::new();
    for service in in_order(records, random) {
        // RFC 2782: a target of "." means that the service is decidedly not there.
        if !service.target.is_root() && found.len() < ANSWERS {
            let target = service.target.to_utf8();
            found.extend(addresses(resolver, &target, service.port, transport).await);
        }
    }
    Some(found)
}

async fn addresses(
    resolver: &TokioResolver,
    host: &str,
    port: u16,
    transport: Transport,
) -> Vec<Place> {
    match resolver.lookup_ip(host).await {
        Ok(found) => found
            .iter()
            .map(|ip| (transport, SocketAddr::new(ip, port)))
            .collect(),
        Err(_) => Vec::new(),
    }
}

/// RFC 2782: by priority, and among equals at random in proportion to the weight. `random(n)` is one of 0..=n.
fn in_order(mut records: Vec<SRV>, mut random: impl FnMut(u32) -> u32) -> Vec<SRV> {
    // Weight 0 first, so that the running sum below gives them their very small chance.
    records.sort_by_key(|record| (record.priority, record.weight));
    let mut ordered = Vec::with_capacity(records.len());
    while let Some(first) = records.first() {
        let priority = first.priority;
        let group = records
            .iter()
            .take_while(|record| record.priority == priority);
        let total = group.map(|record| u32::from(record.weight)).sum();
        let chosen = random(total);
        let mut sum = 0;
        let at = records
            .iter()
            .position(|record| {
                sum += u32::from(record.weight);
                sum >= chosen
            })
            .unwrap_or_default();
        ordered.push(records.remove(at));
    }
    ordered
}

/// One of 0..=`most`; without a source of randomness 0, which only loses the balance.
fn random(most: u32) -> u32 {
    let drawn = getrandom::u32().unwrap_or_default();
    u32::try_from(u64::from(drawn) % (u64::from(most) + 1)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_resolver::proto::rr::Name;

    fn record(priority: u16, weight: u16) -> SRV {
        SRV::new(priority, weight, 5060, Name::root())
    }

    fn shape(records: &[SRV]) -> Vec<(u16, u16)> {
        records.iter().map(|r| (r.priority, r.weight)).collect()
    }

    #[test]
    fn services_come_by_priority_and_then_by_weight() {
        let records = vec![record(20, 0), record(10, 1), record(10, 3), record(10, 0)];
        let lowest = in_order(records.clone(), |_| 0);
        assert_eq!(shape(&lowest), [(10, 0), (10, 1), (10, 3), (20, 0)]);
        let highest = in_order(records, |most| most);
        assert_eq!(shape(&highest), [(10, 3), (10, 1), (10, 0), (20, 0)]);
    }

    #[test]
    fn weights_are_shares() {
        let heavy_first = (0..=40).filter(|&drawn| {
            let pair = vec![record(1, 30), record(1, 10)];
            shape(&in_order(pair, |most| drawn.min(most))) == [(1, 30), (1, 10)]
        });
        assert_eq!(heavy_first.count(), 30);
    }

    #[tokio::test]
    async fn addresses_need_no_query() {
        let resolver = Resolver::default();
        let cases = [
            ("192.0.2.7", None, Transport::Tls, "192.0.2.7:5061"),
            (
                "[2001:db8::1]",
                Some(5070),
                Transport::Udp,
                "[2001:db8::1]:5070",
            ),
            ("2001:db8::1", None, Transport::Tcp, "[2001:db8::1]:5060"),
        ];
        for (host, port, transport, expected) in cases {
            let found = resolver.find(host, port, Some(transport)).await;
            assert_eq!(found, [(transport, expected.parse().unwrap())]);
        }
    }
}
