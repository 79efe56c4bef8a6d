//! How the sound of a call goes: figures asked of the media plane while it lives, and what is recorded of each leg.

use super::{Call, Leg, secrecy};
use crate::notice::Notice;
use crate::office::Office;
use directory::LegRecord;
use media::StreamStats;
use media::quality;
use std::time::Instant;

/// Asks every stream of the call; the last answer is told on.
pub(crate) fn ask(office: &mut Office, call: &mut Call) {
    for leg in &mut call.legs {
        leg.measured = leg.open && leg.is_live();
        if leg.measured {
            let stream = leg.stream;
            office.media(media::Command::Report { stream });
        }
    }
    tell(office, call);
}

/// Leg `index` goes so.
pub(crate) fn reported(office: &mut Office, call: &mut Call, index: usize, stats: StreamStats) {
    if let Some(leg) = call.legs.get_mut(index) {
        leg.stats = Some(stats);
    }
    came(office, call, index);
}

/// The figures of leg `index` are in.
pub(crate) fn came(office: &mut Office, call: &mut Call, index: usize) {
    let asked = call.legs.get_mut(index);
    if asked.is_some_and(|leg| std::mem::take(&mut leg.measured)) {
        tell(office, call);
    }
}

fn tell(office: &mut Office, call: &Call) {
    if !call.legs.iter().any(|leg| leg.measured) {
        office.tell(Notice::Measured {
            call: call.id,
            legs: legs(call, office.now),
        });
    }
}

/// Every leg as the record has it.
pub(crate) fn legs(call: &Call, now: Instant) -> Vec<LegRecord> {
    let legs = call.legs.iter().enumerate();
    legs.map(|(index, leg)| record(call, (leg, index), now))
        .collect()
}

fn record(call: &Call, (leg, index): (&Leg, usize), now: Instant) -> LegRecord {
    let stats = leg.stats.clone().unwrap_or_default();
    let lost_in = stats.lost_in as f64 / stats.expected_in.max(1) as f64;
    LegRecord {
        id: format!(
            "leg_{}_{index}",
            call.id.to_string().trim_start_matches("cal_")
        ),
        party: leg.party.number.clone(),
        trunk: leg.party.trunk.clone(),
        transport: leg
            .flow
            .map(|flow| flow.transport.as_str().to_owned())
            .unwrap_or_default(),
        codec: leg.negotiated.as_ref().map(|n| n.codec.name().to_owned()),
        packets_in: stats.packets_in,
        packets_out: stats.packets_out,
        loss_in: per_cent(lost_in),
        jitter_ms: hundredths(stats.jitter_ms),
        rtt_ms: stats.rtt_ms,
        loss_out: stats.remote_loss.map(per_cent),
        srtp: leg.secrecy.told(),
        mos_in: stats.mos_in.map(hundredths),
        mos_out: stats.mos_out.map(hundredths),
        late_in: stats.late_in,
        longest_gap_ms: stats.longest_gap_ms,
        burst_loss: stats.burst_loss.map(per_cent),
        gap_loss: stats.gap_loss.map(per_cent),
        diagnosis: diagnosis(leg, &stats, now),
    }
}

/// What went wrong in the signalling, and what the figures say.
fn diagnosis(leg: &Leg, stats: &StreamStats, now: Instant) -> Option<String> {
    let talked = leg
        .up_since
        .map(|since| now.saturating_duration_since(since));
    let heard = quality::findings(stats, talked.unwrap_or_default()).words();
    let told = leg.diagnosis.clone();
    match (told.or_else(|| secrecy::remark(leg, stats)), heard) {
        (Some(told), Some(heard)) => Some(format!("{told}; {heard}")),
        (told, heard) => told.or(heard),
    }
}

/// A share (0 to 1) in per cent, to two decimals.
fn per_cent(share: f64) -> f64 {
    hundredths(share * 100.0)
}

fn hundredths(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    #[test]
    fn shares_are_told_in_per_cent() {
        let told = [0.0, 0.05, 1.0 / 3.0, 1.0].map(super::per_cent);
        assert_eq!(told, [0.0, 5.0, 33.33, 100.0]);
    }
}
