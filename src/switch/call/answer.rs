//! The subject's own leg before and at the answer: ringing, early media, 200.

use super::leg::{MediaTrouble, sdp_trouble};
use super::{Call, Leg, LegState};
use crate::identity;
use crate::office::Office;

/// 180, or another 1xx, to the caller, unless it already hears us.
pub(crate) fn ring(office: &mut Office, call: &mut Call, status: u16) {
    let Some(leg) = call.subject() else { return };
    if leg.state != LegState::Ringing {
        return;
    }
    if let Some(dialog) = leg.dialog {
        let headers = identity::of_reached(office, call);
        office.sip.ring(office.now, dialog, status, None, &headers);
    }
}

/// Lets the caller hear us: before the answer where that is possible, else by the answer.
pub(crate) fn be_heard(office: &mut Office, call: &mut Call) -> Result<(), MediaTrouble> {
    match early(office, call, None) {
        Err(MediaTrouble::NoOffer) => answer(office, call, None),
        other => other,
    }
}

/// 183 with our SDP, so that the caller hears us before the answer; nothing when it already does.
pub(crate) fn early(
    office: &mut Office,
    call: &mut Call,
    prefer: Option<media::Codec>,
) -> Result<(), MediaTrouble> {
    let Some(leg) = call.subject() else {
        return Ok(());
    };
    let (LegState::Ringing, Some(dialog)) = (leg.state, leg.dialog) else {
        return Ok(());
    };
    if leg.offered.is_empty() && !office.sip.rings_reliably(dialog) {
        // RFC 3261 §13.2.1: an offer of ours may only be in a reliable response, which the answer is.
        return Err(MediaTrouble::NoOffer);
    }
    let sdp = subject_sdp(office, call, prefer)?;
    let headers = identity::of_reached(office, call);
    office
        .sip
        .ring(office.now, dialog, 183, Some(&sdp), &headers);
    if let Some(leg) = call.subject() {
        leg.state = LegState::Early;
        leg.open(office);
    }
    Ok(())
}

/// 200 to the caller; nothing when it is up. `prefer` is put first when the caller offered it.
pub(crate) fn answer(
    office: &mut Office,
    call: &mut Call,
    prefer: Option<media::Codec>,
) -> Result<(), MediaTrouble> {
    let Some(leg) = call.subject() else {
        return Ok(());
    };
    let Some(dialog) = leg
        .dialog
        .filter(|_| matches!(leg.state, LegState::Ringing | LegState::Early))
    else {
        return Ok(());
    };
    let sdp = subject_sdp(office, call, prefer)?;
    let headers = identity::of_reached(office, call);
    office.sip.answer(office.now, dialog, &sdp, &headers);
    if let Some(leg) = call.subject() {
        leg.up(office.now);
        leg.open(office);
    }
    call.answered = Some(office.now);
    call.announce(office);
    Ok(())
}

/// 200 to a newcomer that is not the subject, on leg `index`.
pub(crate) fn accept(
    office: &mut Office,
    call: &mut Call,
    index: usize,
    (prefer, headers): (Option<media::Codec>, &[(&str, String)]),
) -> Result<(), MediaTrouble> {
    let Some(leg) = call.legs.get_mut(index) else {
        return Ok(());
    };
    let Some(dialog) = leg.dialog else {
        return Ok(());
    };
    let sdp = leg_sdp(office, leg, prefer)?;
    office.sip.answer(office.now, dialog, &sdp, headers);
    leg.up(office.now);
    leg.open(office);
    Ok(())
}

/// The answer to the caller's offer (the same one again after early media), or our offer when it sent none.
fn subject_sdp(
    office: &mut Office,
    call: &mut Call,
    prefer: Option<media::Codec>,
) -> Result<Vec<u8>, MediaTrouble> {
    match call.subject() {
        Some(leg) => leg_sdp(office, leg, prefer),
        None => Err(MediaTrouble::NoPort),
    }
}

fn leg_sdp(
    office: &mut Office,
    leg: &mut Leg,
    prefer: Option<media::Codec>,
) -> Result<Vec<u8>, MediaTrouble> {
    let settled = leg.negotiated.as_ref().map(|n| n.codec);
    if settled.is_some() && leg.offered.is_empty() {
        // RFC 3262 §5: our offer went in the 183, its PRACK had the answer; nothing is left to say.
        return Ok(Vec::new());
    }
    if let Some(codec) = settled {
        // RFC 3261 §13.2.1: the answer in the 200 repeats the one of the reliable or unreliable 183.
        leg.version = leg.version.saturating_sub(1);
        let mut local = leg.local(office)?;
        local.codecs = vec![codec];
        let (sdp, _) = media::sdp::answer(&local, &leg.offered).map_err(|e| sdp_trouble(&e))?;
        return Ok(sdp);
    }
    let mut local = leg.local(office)?;
    if let Some(codec) = prefer
        && let Some(at) = local.codecs.iter().position(|c| *c == codec)
    {
        let codec = local.codecs.remove(at);
        local.codecs.insert(0, codec);
    }
    if leg.offered.is_empty() {
        return Ok(media::sdp::offer(&local));
    }
    let (sdp, negotiated) =
        media::sdp::answer(&local, &leg.offered).map_err(|e| sdp_trouble(&e))?;
    leg.settle(office, negotiated);
    Ok(sdp)
}

/// Whether the caller's offer has a codec in common with what it may use; told before anybody is rung.
pub(crate) fn check_offer(call: &mut Call) -> Result<(), MediaTrouble> {
    call.subject().map_or(Ok(()), |leg| check(leg))
}

/// The same for any leg that called us.
pub(crate) fn check(leg: &Leg) -> Result<(), MediaTrouble> {
    if leg.offered.is_empty() {
        return Ok(());
    }
    let local = media::LocalMedia {
        // Nothing is bound yet, but the family decides whether an IPv4 or an IPv6 offer can be met.
        address: std::net::SocketAddr::new(leg.local_ip(), 9),
        codecs: leg.codecs.clone(),
        session: 1,
        version: 1,
        direction: media::Direction::SendRecv,
        // Nobody hears these keys.
        protection: leg.protection(&[0; 32]),
        dtmf: media::DtmfMode::Auto,
    };
    media::sdp::answer(&local, &leg.offered)
        .map(|_| ())
        .map_err(|e| sdp_trouble(&e))
}
