//! A party changes its media in mid-call, or answers what we offered: re-INVITE and UPDATE with an offer or without one,
//! ACK with an answer (RFC 3261 §14, RFC 3311, RFC 3264 §8). The change stays on its leg.

use super::leg::sdp_trouble;
use super::{Call, Leg, LegState, hold, life};
use crate::office::Office;

/// A re-INVITE or UPDATE arrived on leg `index`, before its answer or after.
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
        // RFC 3261 §14.2: without an offer it asks for ours: all we can do, whoever holds now.
        let offer = media::sdp::offer(&local);
        return office.sip.accept_reoffer(office.now, dialog, &offer);
    }
    let answered = match &leg.negotiated {
        Some(now) => media::sdp::answer_again(&local, body, now),
        None => media::sdp::answer(&local, body),
    };
    match answered {
        Ok((sdp, negotiated)) => {
            office.sip.accept_reoffer(office.now, dialog, &sdp);
            if leg.state != LegState::Up {
                leg.offered = body.to_vec();
            }
            leg.settle(office, negotiated);
            hold::tune(office, call);
        }
        Err(error) => {
            // RFC 3261 §14.2: the session goes on as it was. What we would have said was not.
            leg.version = leg.version.saturating_sub(1);
            let code = sdp_trouble(&error).code();
            office.sip.refuse_reoffer(office.now, dialog, code);
        }
    }
}

/// What came of our own re-INVITE or UPDATE.
pub(crate) fn reanswered(
    office: &mut Office,
    call: &mut Call,
    index: usize,
    result: Result<&[u8], u16>,
) {
    let Some(leg) = call.legs.get_mut(index) else {
        return;
    };
    match result {
        // RFC 3261 §12.2.1.2: its side of the dialog is gone.
        Err(status @ (408 | 481)) => {
            let why = format!("answered {status} to a change of the session");
            life::vanished(office, call, index, why);
        }
        // RFC 3261 §14.1: any other refusal leaves the session as it was.
        Err(_) | Ok([]) => {}
        Ok(sdp) => {
            if let Err(why) = agree(office, leg, sdp) {
                leg.diagnosis = Some(format!("the answer to our offer was unusable: {why}"));
            }
            hold::tune(office, call);
        }
    }
}

/// Our 2xx was acknowledged; `body` is what the ACK brought.
pub(crate) fn confirmed(office: &mut Office, call: &mut Call, index: usize, body: &[u8]) {
    let Some(leg) = call
        .legs
        .get_mut(index)
        .filter(|leg| leg.state == LegState::Up)
    else {
        return;
    };
    let agreed = match (body, &leg.negotiated) {
        // RFC 3261 §13.2.1: when the offer is in the 2xx, the answer must be in the ACK. After a re-INVITE without it
        // the session goes on as it was; without any session there is no call.
        ([], Some(_)) => return,
        ([], None) => Err("the ACK brought no answer to our offer".to_owned()),
        _ => {
            agree(office, leg, body).map_err(|why| format!("the answer in ACK was unusable: {why}"))
        }
    };
    match agreed {
        Ok(()) => hold::tune(office, call),
        Err(why) => {
            leg.diagnosis = Some(why.clone());
            life::without(office, call, index, why);
        }
    }
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
    agree(office, leg, body).map_err(|why| format!("the answer in PRACK was unusable: {why}"))
}

/// Takes over the answer to our last offer. `Err`: why it is of no use.
fn agree(office: &mut Office, leg: &mut Leg, answer: &[u8]) -> Result<(), String> {
    let mut local = leg.local(office).map_err(|t| t.why())?;
    local.version = local.version.saturating_sub(1);
    leg.version = local.version;
    let negotiated = media::sdp::accept(&local, answer).map_err(|e| sdp_trouble(&e).why())?;
    leg.settle(office, negotiated);
    Ok(())
}
