//! The RTP ports: even ones are given out, the odd neighbour is for RTCP (RFC 3550 §11).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// A released port rests this long, so that late packets of the old call do not reach the new one.
const QUARANTINE: Duration = Duration::from_secs(2);

/// A port that another program holds is not given out again for this long: each try costs a call.
const HELD: Duration = Duration::from_secs(600);

#[derive(Debug)]
pub(crate) struct Ports {
    free: VecDeque<u16>,
    resting: VecDeque<(Instant, u16)>,
    held: VecDeque<(Instant, u16)>,
    total: usize,
}

impl Ports {
    /// All even ports from `min` whose odd neighbour is at most `max`.
    pub(crate) fn new(min: u16, max: u16) -> Self {
        let first = u32::from(min) + u32::from(min) % 2;
        let free: VecDeque<u16> = (first..u32::from(max))
            .step_by(2)
            .filter_map(|port| u16::try_from(port).ok())
            .collect();
        Self {
            total: free.len(),
            resting: VecDeque::new(),
            held: VecDeque::new(),
            free,
        }
    }

    /// The port that was unused the longest, or `None` when all are taken.
    pub(crate) fn take(&mut self, now: Instant) -> Option<u16> {
        for (waiting, rest) in [(&mut self.resting, QUARANTINE), (&mut self.held, HELD)] {
            let rested = |(since, _): &mut (Instant, u16)| now.duration_since(*since) >= rest;
            while let Some((_, port)) = waiting.pop_front_if(rested) {
                self.free.push_back(port);
            }
        }
        self.free.pop_front()
    }

    pub(crate) fn release(&mut self, now: Instant, port: u16) {
        self.resting.push_back((now, port));
    }

    /// The port, or its odd neighbour, could not be bound.
    pub(crate) fn hold(&mut self, now: Instant, port: u16) {
        self.held.push_back((now, port));
    }

    /// How many are in use now.
    pub(crate) fn in_use(&self) -> usize {
        self.total - self.free.len() - self.resting.len() - self.held.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_released_port_rests_two_seconds() {
        let start = Instant::now();
        let mut ports = Ports::new(10_001, 10_005);
        assert_eq!(ports.take(start), Some(10_002));
        assert_eq!(ports.take(start), Some(10_004));
        assert_eq!(ports.take(start), None);
        ports.release(start, 10_002);
        assert_eq!(ports.take(start + Duration::from_millis(1_999)), None);
        assert_eq!(ports.take(start + QUARANTINE), Some(10_002));
        assert_eq!(ports.in_use(), 2);
    }

    #[test]
    fn a_port_that_another_program_holds_is_left_alone_for_ten_minutes() {
        let start = Instant::now();
        let mut ports = Ports::new(10_000, 10_003);
        assert_eq!(ports.take(start), Some(10_000));
        ports.hold(start, 10_000);
        assert_eq!(ports.in_use(), 0);
        assert_eq!(ports.take(start), Some(10_002));
        ports.release(start, 10_002);
        assert_eq!(ports.take(start + Duration::from_secs(599)), Some(10_002));
        assert_eq!(ports.take(start + Duration::from_secs(599)), None);
        assert_eq!(ports.take(start + HELD), Some(10_000));
    }
}
