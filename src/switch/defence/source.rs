//! Whom a message comes from, as far as its address tells.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An address; of IPv6 its /64, which one customer has for himself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Source(u64);

/// Above the bits of an IPv4 address: as an IPv6 network this would be multicast, from where nothing comes.
const V4: u64 = 0xffff_ffff << 32;

impl Source {
    pub(crate) fn of(address: IpAddr) -> Source {
        match address.to_canonical() {
            IpAddr::V4(address) => Source(V4 | u64::from(u32::from(address))),
            IpAddr::V6(address) => Source((u128::from(address) >> 64) as u64),
        }
    }

    pub(crate) fn key(self) -> u64 {
        self.0
    }
}

/// As an administrator writes it.
impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0 & V4 == V4 {
            return write!(f, "{}", Ipv4Addr::from(self.0 as u32));
        }
        write!(f, "{}/64", Ipv6Addr::from(u128::from(self.0) << 64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_an_address_or_a_customers_network() {
        let of = |text: &str| Source::of(text.parse().expect("an address"));
        assert_eq!(of("192.0.2.1"), of("::ffff:192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
        assert_eq!(of("2001:db8::1"), of("2001:db8::2"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("192.0.2.1").to_string(), "192.0.2.1");
        assert_eq!(of("2001:db8::1").to_string(), "2001:db8::/64");
        assert_eq!(of("::1").to_string(), "::/64");
    }
}
