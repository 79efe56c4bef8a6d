//! How many transactions strangers have begun that are not over, by address: one address is not to fill the tables.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};

use crate::endpoint::TransactionId;

/// It holds no more than there are transactions.
#[derive(Default)]
pub(crate) struct Strangers {
    begun: HashMap<IpAddr, u32>,
    whose: HashMap<TransactionId, IpAddr>,
}

impl Strangers {
    pub(crate) fn begun_by(&self, address: IpAddr) -> u32 {
        self.begun.get(&of(address)).copied().unwrap_or(0)
    }

    pub(crate) fn begin(&mut self, id: TransactionId, address: IpAddr) {
        let address = of(address);
        if self.whose.insert(id, address).is_none() {
            *self.begun.entry(address).or_insert(0) += 1;
        }
    }

    pub(crate) fn end(&mut self, id: TransactionId) {
        if self.whose.is_empty() {
            return;
        }
        let Some(address) = self.whose.remove(&id) else {
            return;
        };
        if let Some(count) = self.begun.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                self.begun.remove(&address);
            }
        }
        if self.whose.is_empty() {
            // What a flood made large is given back.
            *self = Strangers::default();
        }
    }
}

/// Of IPv6 the /64, which one customer has for himself.
fn of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from(u128::from(address) & (u128::MAX << 64))),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ended_no_longer_counts() {
        let mut strangers = Strangers::default();
        let address = |text: &str| text.parse::<IpAddr>().expect("an address");
        let (one, two) = (address("2001:db8::1"), address("2001:db8::2"));
        strangers.begin(TransactionId(1), one);
        strangers.begin(TransactionId(1), one);
        strangers.begin(TransactionId(2), two);
        assert_eq!(strangers.begun_by(one), 2, "a network is one source");
        assert_eq!(strangers.begun_by(address("192.0.2.1")), 0);
        for id in [1, 1, 3] {
            strangers.end(TransactionId(id));
        }
        assert_eq!(strangers.begun_by(two), 1);
        strangers.end(TransactionId(2));
        assert!(strangers.begun.is_empty() && strangers.whose.is_empty());
    }
}
