//! Which connections have shown a trunk's certificate. `net` verifies; here it is kept as long as the connection lives.

use sip::Flow;
use std::collections::HashMap;

/// Connections that are remembered; `net` has no more than these at once.
const MOST: usize = 8_192;

/// By the connection's number, the trunks whose certificate its other side has.
#[derive(Debug, Default)]
pub(crate) struct Proofs(HashMap<u64, Vec<String>>);

impl Proofs {
    pub(crate) fn take(&mut self, flow: &Flow, trunks: Vec<String>) {
        if self.0.len() < MOST {
            self.0.insert(flow.id, trunks);
        }
    }

    /// The connection has ended.
    pub(crate) fn closed(&mut self, flow: &Flow) {
        self.0.remove(&flow.id);
    }

    /// The trunk is another one now: what was shown counts no more.
    pub(crate) fn forget(&mut self, trunk: &str) {
        self.0.retain(|_, trunks| {
            trunks.retain(|name| name != trunk);
            !trunks.is_empty()
        });
    }

    pub(crate) fn has(&self, flow: &Flow, trunk: &str) -> bool {
        let trunks = self.0.get(&flow.id);
        trunks.is_some_and(|trunks| trunks.iter().any(|name| name == trunk))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_lasts_as_long_as_its_connection_and_its_trunk() {
        let flow = |id: u64| Flow {
            transport: sip::Transport::Tls,
            local: ([192, 0, 2, 1], 5061).into(),
            remote: ([192, 0, 2, 9], 40_000).into(),
            id,
        };
        let mut proofs = Proofs::default();
        for id in 0..2 * MOST as u64 {
            proofs.take(&flow(id), vec!["a".into(), "b".into()]);
        }
        assert_eq!(proofs.0.len(), MOST);
        assert!(proofs.has(&flow(1), "a") && !proofs.has(&flow(1), "c"));
        proofs.closed(&flow(1));
        assert!(!proofs.has(&flow(1), "a"));
        proofs.forget("a");
        assert!(!proofs.has(&flow(2), "a") && proofs.has(&flow(2), "b"));
        proofs.forget("b");
        assert!(proofs.0.is_empty());
    }
}
