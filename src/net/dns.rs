//! Where a host is: RFC 3263 §4.2 over the system's resolver. NAPTR (§4.1) is left out: the transport is known from
//! the configuration or the URI. Finding our own address for each answer is the caller's.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::LookupIpStrategy;
use hickory_resolver::proto::rr::{RData, rdata::SRV};
use sip::Transport;
use tokio::sync::OnceCell;

use crate::listen::default_port;

/// For all queries of one host together.
const PATIENCE: Duration = Duration::from_secs(10);
/// Addresses of one host that are tried at most.
const ANSWERS: usize = 16;

/// The system's resolver, read at first use; it keeps answers as long as their TTL says.
#[derive(Default)]
pub(crate) struct Resolver(OnceCell<Option<TokioResolver>>);

impl Resolver {
    /// Addresses of `host`, best first.
    pub(crate) async fn find(
        &self,
        host: &str,
        port: Option<u16>,
        transport: Transport,
    ) -> Vec<SocketAddr> {
        if let Some(ip) = literal(host) {
            return vec![SocketAddr::new(ip, port.unwrap_or(default_port(transport)))];
        }
        let Some(system) = self.0.get_or_init(|| async { system() }).await else {
            return Vec::new();
        };
        let search = async {
            match port {
                // RFC 3263 §4.2: a port given explicitly leaves SRV out.
                Some(port) => addresses(system, host, port).await,
                None => services(system, host, transport).await,
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
}

fn system() -> Option<TokioResolver> {
    let built = TokioResolver::builder_tokio().and_then(|mut builder| {
        builder.options_mut().ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        builder.build()
    });
    built
        .inspect_err(|error| {
            tracing::error!(%error, "/etc/resolv.conf cannot be used: host names will not be found");
        })
        .ok()
}

fn literal(host: &str) -> Option<IpAddr> {
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    bare.parse().ok()
}

async fn services(system: &TokioResolver, host: &str, transport: Transport) -> Vec<SocketAddr> {
    let service = match transport {
        Transport::Udp => "_sip._udp",
        Transport::Tcp => "_sip._tcp",
        Transport::Tls => "_sips._tcp",
        // RFC 7118 §5: whoever speaks WebSocket connects to us; nobody is looked up.
        Transport::Ws | Transport::Wss => return Vec::new(),
    };
    // The last dot keeps the search domains out, in which nobody has services for this name.
    let name = format!("{service}.{}.", host.trim_end_matches('.'));
    let records: Vec<SRV> = match system.srv_lookup(name).await {
        Ok(lookup) => lookup
            .answers()
            .iter()
            .filter_map(|record| match &record.data {
                RData::SRV(service) => Some(service.clone()),
                _ => None,
            })
            .collect(),
        Err(_) => Vec::new(),
    };
    if records.is_empty() {
        // RFC 3263 §4.2: no SRV records, so the host itself at the default port.
        return addresses(system, host, default_port(transport)).await;
    }
    let mut found = Vec::new();
    for service in in_order(records, random) {
        // RFC 2782: a target of "." means that the service is decidedly not there.
        if !service.target.is_root() && found.len() < ANSWERS {
            let target = service.target.to_utf8();
            found.extend(addresses(system, &target, service.port).await);
        }
    }
    found
}

async fn addresses(system: &TokioResolver, host: &str, port: u16) -> Vec<SocketAddr> {
    match system.lookup_ip(host).await {
        Ok(found) => found.iter().map(|ip| SocketAddr::new(ip, port)).collect(),
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
            let found = resolver.find(host, port, transport).await;
            assert_eq!(found, [expected.parse().unwrap()]);
        }
    }
}
