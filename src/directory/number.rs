//! Numbers as people dial them, and networks as administrators write them.

use std::net::IpAddr;

/// Whether `text` is something a phone can dial: 1 to 32 of digits, `*` and `#`, with an optional leading `+`.
pub fn is_dialable(text: &str) -> bool {
    let digits = text.strip_prefix('+').unwrap_or(text);
    (1..=32).contains(&digits.len())
        && digits
            .bytes()
            .all(|b| b.is_ascii_digit() || b == b'*' || b == b'#')
}

/// Removes the separators that RFC 3966 §5.1.1 calls visual (`- . ( )`) and spaces from a dialled number;
/// anything that is then not dialable is returned as it was.
pub fn normalise(text: &str) -> String {
    let plain: String = text
        .chars()
        .filter(|c| !matches!(c, '-' | '.' | '(' | ')' | ' '))
        .collect();
    if is_dialable(&plain) {
        plain
    } else {
        text.to_owned()
    }
}

/// An address with a prefix length, such as `192.0.2.0/24`; a bare address is a network of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    /// `None` unless it is an address with an optional `/bits` that fits the family.
    pub fn parse(text: &str) -> Option<Network> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (
                address.parse::<IpAddr>().ok()?,
                Some(bits.parse::<u8>().ok()?),
            ),
            None => (text.parse::<IpAddr>().ok()?, None),
        };
        let width = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.unwrap_or(width);
        (bits <= width).then_some(Network { address, bits })
    }

    /// The first and the last address; an IPv4 network written as IPv6 is one of IPv4.
    pub fn range(&self) -> std::ops::RangeInclusive<IpAddr> {
        match self.address.to_canonical() {
            IpAddr::V4(address) => {
                let hosts = u32::MAX.checked_shr(u32::from(self.bits)).unwrap_or(0);
                let first = u32::from(address) & !hosts;
                IpAddr::V4(first.into())..=IpAddr::V4((first | hosts).into())
            }
            IpAddr::V6(address) => {
                let hosts = u128::MAX.checked_shr(u32::from(self.bits)).unwrap_or(0);
                let first = u128::from(address) & !hosts;
                IpAddr::V6(first.into())..=IpAddr::V6((first | hosts).into())
            }
        }
    }

    /// Its address when it is one customer's: one IPv4 address, or an IPv6 network of 64 bits or more.
    pub fn customer(&self) -> Option<IpAddr> {
        let bits = if self.address.to_canonical().is_ipv4() && self.address.is_ipv6() {
            self.bits.saturating_sub(96)
        } else {
            self.bits
        };
        let whole = if self.address.to_canonical().is_ipv4() {
            32
        } else {
            64
        };
        (bits >= whole).then_some(self.address)
    }

    /// Whether `address` lies in the network; an IPv4 address mapped into IPv6 counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address.to_canonical(), address.to_canonical()) {
            (IpAddr::V4(a), IpAddr::V4(b)) => {
                let shift = 32 - u32::from(self.bits.min(32));
                shift == 32 || u32::from(a) >> shift == u32::from(b) >> shift
            }
            (IpAddr::V6(a), IpAddr::V6(b)) => {
                let shift = 128 - u32::from(self.bits.min(128));
                shift == 128 || u128::from(a) >> shift == u128::from(b) >> shift
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_hold_their_addresses() {
        let lan = Network::parse("10.1.0.0/16").expect("a network");
        assert!(lan.contains("10.1.255.1".parse().expect("address")));
        assert!(lan.contains("::ffff:10.1.2.3".parse().expect("address")));
        assert!(!lan.contains("10.2.0.1".parse().expect("address")));
        assert!(
            Network::parse("::/0")
                .expect("all of IPv6")
                .contains("2001:db8::1".parse().expect("address"))
        );
        for (text, one) in [
            ("10.1.0.0", true),
            ("10.1.0.0/31", false),
            ("2001:db8::/64", true),
            ("2001:db8::/63", false),
            ("::ffff:10.1.0.0/127", false),
            ("::ffff:10.1.0.0", true),
        ] {
            let network = Network::parse(text).expect("a network");
            assert_eq!(network.customer().is_some(), one, "{text}");
        }
        assert_eq!(Network::parse("10.0.0.0/33"), None);
        assert_eq!(Network::parse("example.net"), None);
    }

    #[test]
    fn a_network_has_a_first_and_a_last_address() {
        for (text, first, last) in [
            ("10.1.2.3/8", "10.0.0.0", "10.255.255.255"),
            ("0.0.0.0/0", "0.0.0.0", "255.255.255.255"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.7"),
            (
                "fc00::/7",
                "fc00::",
                "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            ),
        ] {
            let range = Network::parse(text).expect("a network").range();
            assert_eq!(range.start().to_string(), first, "{text}");
            assert_eq!(range.end().to_string(), last, "{text}");
        }
    }

    #[test]
    fn separators_go_and_names_stay() {
        assert_eq!(normalise("+1 (415) 911-0000"), "+14159110000");
        assert_eq!(normalise("alice.b"), "alice.b");
    }
}
