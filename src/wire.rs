//! The part of the configuration that is about packets: who is asked for names, how signalling is marked, whose web pages
//! may connect.

use crate::config::{Config, Error, fault};
use serde::Deserialize;
use std::net::{IpAddr, SocketAddr};

/// `[dns]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Dns {
    /// Addresses, with or without a port.
    pub servers: Vec<String>,
}

impl Dns {
    pub(crate) fn addresses(&self) -> impl Iterator<Item = Option<SocketAddr>> {
        self.servers.iter().map(|text| {
            let bare = text.trim_matches(['[', ']']).parse::<IpAddr>();
            let bare = bare.map(|ip| SocketAddr::new(ip, 53));
            text.parse().or(bare).ok()
        })
    }
}

/// What is wrong with it.
pub(crate) fn faults(config: &Config) -> Vec<Error> {
    let mut faults = Vec::new();
    if let Err(why) = config.sip.dscp.parse::<net::Dscp>() {
        let hint = "CS3 suits most offices, 0 marks nothing";
        faults.push(fault("[sip] dscp", why.to_string(), hint));
    }
    if config.dns.addresses().any(|address| address.is_none()) {
        let hint = "write addresses, for example 192.0.2.53 or [2001:db8::53]:5353";
        faults.push(fault(
            "[dns] servers",
            "holds something that is no address",
            hint,
        ));
    }
    let places = config.sip.connections_per_source;
    if !(1..=net::StreamLimits::default().total).contains(&places) {
        let hint = "64 suits most offices; one with many phones behind one address needs more";
        let why = format!("{places} is not 1 to 4096");
        faults.push(fault("[sip] connections_per_source", why, hint));
    }
    let is_origin = |o: &&String| o.starts_with("https://") || o.starts_with("http://");
    if let Some(other) = config.sip.websocket_origins.iter().find(|o| !is_origin(o)) {
        let why = format!("{other:?} is no origin");
        let hint = "write the beginning of the page's address, for example https://phones.example";
        faults.push(fault("[sip] websocket_origins", why, hint));
    }
    faults
}
