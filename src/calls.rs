//! `[calls]` of `offhook.toml`: what may become of a call that stands.

use crate::config::{Error, fault};
use serde::Deserialize;
use std::time::Duration;

/// `[calls]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Calls {
    pub transfer_return_s: u64,
    pub refer_outside: bool,
}

impl Default for Calls {
    fn default() -> Self {
        Self {
            transfer_return_s: 45,
            refer_outside: false,
        }
    }
}

impl Calls {
    /// As the Switch wants it.
    pub(crate) fn settings(&self) -> switch::Calls {
        switch::Calls {
            transfer_return: Duration::from_secs(self.transfer_return_s),
            refer_outside: self.refer_outside,
        }
    }

    pub(crate) fn faults(&self) -> Vec<Error> {
        if matches!(self.transfer_return_s, 0 | 5..=600) {
            return Vec::new();
        }
        vec![fault(
            "[calls] transfer_return_s",
            "is neither 0 nor 5 to 600 seconds",
            "45 gives the other phone time to ring, 0 never brings a call back",
        )]
    }
}

#[cfg(test)]
mod tests {
    use super::Calls;

    #[test]
    fn a_return_takes_seconds_to_minutes_or_never_happens() {
        for (transfer_return_s, faults) in [(0, 0), (1, 1), (5, 0), (600, 0), (601, 1)] {
            let calls = Calls {
                transfer_return_s,
                ..Calls::default()
            };
            assert_eq!(calls.faults().len(), faults, "{transfer_return_s}");
        }
    }
}
