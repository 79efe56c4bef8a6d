//! Delays counted in classes, and what is told of them.

use crate::{Plan, cpu};

/// Classes per doubling: figures are true to within 2 %.
const FINE: usize = 32;
const CLASSES: usize = FINE * 26;

/// How often each delay occurred, in classes that widen with it; and what the jitter follows from.
#[derive(Clone)]
pub struct Delays {
    counts: Vec<u64>,
    pub received: u64,
    highest: u64,
    sum: f64,
    squares: f64,
}

impl Default for Delays {
    fn default() -> Self {
        Delays {
            counts: vec![0; CLASSES],
            received: 0,
            highest: 0,
            sum: 0.0,
            squares: 0.0,
        }
    }
}

fn class(micros: u64) -> usize {
    let micros = micros.max(1);
    if micros < FINE as u64 {
        return micros as usize;
    }
    let doublings = micros.ilog2() as usize - FINE.ilog2() as usize;
    let within = (micros >> doublings) as usize - FINE;
    (FINE * (doublings + 1) + within).min(CLASSES - 1)
}

fn value(class: usize) -> u64 {
    if class < FINE {
        return class as u64;
    }
    let doublings = class / FINE - 1;
    ((class % FINE + FINE) as u64) << doublings
}

impl Delays {
    pub fn note(&mut self, nanoseconds: u64) {
        let micros = nanoseconds / 1_000;
        self.counts[class(micros)] += 1;
        self.received += 1;
        self.highest = self.highest.max(micros);
        let us = nanoseconds as f64 / 1_000.0;
        self.sum += us;
        self.squares += us * us;
    }

    pub fn add(&mut self, other: &Delays) {
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
        self.received += other.received;
        self.highest = self.highest.max(other.highest);
        self.sum += other.sum;
        self.squares += other.squares;
    }

    /// Microseconds that this share of the packets was not above.
    pub fn quantile(&self, share: f64) -> u64 {
        let wanted = (self.received as f64 * share).ceil() as u64;
        let mut seen = 0;
        let reached = self.counts.iter().position(|count| {
            seen += count;
            seen >= wanted
        });
        reached.map_or(self.highest, value)
    }

    /// Root mean square of the deviation from the mean, microseconds.
    pub fn jitter(&self) -> f64 {
        let n = self.received.max(1) as f64;
        (self.squares / n - (self.sum / n).powi(2)).max(0.0).sqrt()
    }
}

/// What came of a run.
pub struct Seen {
    pub delays: Delays,
    pub sent: u64,
    pub wall_s: f64,
    pub server_ns: u64,
    pub own_ns: u64,
    pub realtime: bool,
    /// How late our own packets left, 99 of 100.
    pub own_p99_us: u64,
}

impl Seen {
    pub fn to_json(&self, plan: &Plan) -> String {
        let lost = self.sent.saturating_sub(self.delays.received);
        let cores = self.server_ns as f64 / 1e9 / self.wall_s;
        let d = &self.delays;
        format!(
            concat!(
                r#"{{"from": "{}", "to": "{}", "calls": {}, "seconds": {:.1}, "sent": {}, "lost": {}, "#,
                r#""delay_us": {{"p50": {}, "p99": {}, "p999": {}, "max": {}}}, "jitter_rms_us": {:.1}, "#,
                r#""cpu_percent_per_call": {:.4}, "calls_per_core": {:.0}, "server_cores": {:.3}, "own_cores": {:.3}, "#,
                r#""own_late_p99_us": {}, "realtime": {}, "load_average": {}}}"#
            ),
            plan.from.name(),
            plan.to.name(),
            plan.calls,
            self.wall_s,
            self.sent,
            lost,
            d.quantile(0.5),
            d.quantile(0.99),
            d.quantile(0.999),
            d.quantile(1.0),
            d.jitter(),
            100.0 * cores / plan.calls.max(1) as f64,
            plan.calls as f64 / cores.max(1e-9),
            cores,
            self.own_ns as f64 / 1e9 / self.wall_s,
            self.own_p99_us,
            self.realtime,
            cpu::load_average(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_true_to_two_per_cent() {
        for micros in (1..100_000).step_by(7) {
            let told = value(class(micros)) as f64;
            assert!(
                told <= micros as f64 && told >= micros as f64 * 0.96,
                "{micros} {told}"
            );
        }
    }

    #[test]
    fn quantiles_and_jitter() {
        let mut delays = Delays::default();
        for n in 1..=1_000 {
            delays.note(n * 1_000);
        }
        assert_eq!(delays.quantile(0.5) / 10, 49);
        assert!((970..=1_000).contains(&delays.quantile(0.999)));
        assert!((delays.jitter() - 288.7).abs() < 1.0);
    }
}
