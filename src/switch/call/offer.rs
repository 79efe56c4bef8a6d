//! A party changes its media in mid-call: re-INVITE with an offer, or without one (RFC 3261 §14.2, RFC 3264 §8).
//! The change stays on its leg.

use super::leg::sdp_trouble;
use super::{Call, Leg, LegState};
use crate::office::Office;

/// A re-INVITE or UPDATE arrived on leg `index`.
pub(crate) fn reoffered(office: &mut Office, call: &mut Call, index: usize, body: &[u8]) {
    let Some(leg) = call.legs.get_mut(index) else {
        return;
    };
    let Some(dialog) = leg.dialog else { return };
    let mut local = match leg.local(office) {
        Ok(local) => local,
        Err(trouble) => {
            return office
                .sip
                .refuse_reoffer(office.now, dialog, trouble.code());
        }
    };
    if let Some(codec) = leg.negotiated.as_ref().map(|n| n.codec) {
        // The codec in use stays in use as long as the party still offers it.
        local.codecs.sort_by_key(|c| *c != codec);
    }
    if body.is_empty() {
        let offer = media::sdp::offer(&local);
        return office.sip.accept_reoffer(office.now, dialog, &offer);
    }
    match media::sdp::answer(&local, body) {
        Ok((sdp, negotiated)) => {
            office.sip.accept_reoffer(office.now, dialog, &sdp);
            leg.settle(office, negotiated);
        }
        Err(error) => office
            .sip
            .refuse_reoffer(office.now, dialog, sdp_trouble(&error).code()),
    }
}

/// Our 2xx was acknowledged; `body` is what the ACK brought. `Err`: why the leg cannot go on.
pub(crate) fn confirmed(
    office: &mut Office,
    call: &mut Call,
    index: usize,
    body: &[u8],
) -> Result<(), String> {
    let Some(leg) = call
        .legs
        .get_mut(index)
        .filter(|leg| leg.state == LegState::Up)
    else {
        return Ok(());
    };
    if body.is_empty() {
        // RFC 3261 §13.2.1: when the offer is in the 2xx, the answer must be in the ACK. After a re-INVITE without it
        // the session goes on as it was; without any session there is no call.
        return match leg.negotiated {
            Some(_) => Ok(()),
            None => Err("the ACK brought no answer to our offer".to_owned()),
        };
    }
    take(office, leg, body).map_err(|why| format!("the answer in ACK was unusable: {why}"))
}

/// The PRACK of our offer in early media came; `body` is the answer it brought (RFC 3262 §5). `Err`: why there can be no call.
pub(crate) fn pracked(
    office: &mut Office,
    call: &mut Call,
    index: usize,
    body: &[u8],
) -> Result<(), String> {
    let Some(leg) = call.legs.get_mut(index) else {
        return Ok(());
    };
    take(office, leg, body).map_err(|why| format!("the answer in PRACK was unusable: {why}"))
}

/// Takes over the answer to the last offer made to `leg`.
fn take(office: &mut Office, leg: &mut Leg, body: &[u8]) -> Result<(), String> {
    let mut local = leg.local(office).map_err(|t| t.why())?;
    local.version = local.version.saturating_sub(1);
    let negotiated = media::sdp::accept(&local, body).map_err(|e| sdp_trouble(&e).why())?;
    leg.settle(office, negotiated);
    Ok(())
}
