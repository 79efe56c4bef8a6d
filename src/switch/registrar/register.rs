//! A REGISTER and its answer (RFC 3261 §10.3), with flows (RFC 5626), Path (RFC 3327), GRUUs (RFC 5627),
//! Service-Route (RFC 3608) and push notifications (RFC 8599).

use super::contact::{self, Manner, Wish};
use super::{Binding, bind, gruu, remove_all, remove_if};
use crate::admission::{self, Answer};
use crate::hosts;
use crate::office::Office;
use crate::push;
use directory::Registration;
use sip::{Flow, HeaderId, Message, Transport};
use std::time::Duration;

/// How often a phone on a connection shall show that it is there (RFC 5626 §4.4), and one over UDP, whose router
/// forgets sooner. Seconds.
const FLOW_TIMER: u32 = 120;
const FLOW_TIMER_UDP: u32 = 25;

/// A REGISTER arrived.
pub(crate) fn register(office: &mut Office, request: &Message, flow: Flow) -> Answer {
    take(office, request, flow).unwrap_or_else(|refusal| refusal)
}

fn take(office: &mut Office, request: &Message, flow: Flow) -> Result<Answer, Answer> {
    let bad = || Answer::status(400);
    let to = request.to().ok_or_else(bad)?;
    let extension = to.uri.user.clone().ok_or_else(bad)?;
    let user = admission::authenticate(office, request, &flow)?;
    // RFC 3261 §10.3 step 4: nobody registers for somebody else.
    if user != extension {
        return Err(Answer::status(403));
    }
    let (cseq, _) = request.cseq().ok_or_else(bad)?;
    let call_id = request.call_id().unwrap_or_default().into_owned();
    let manner = contact::manner(request)?;
    if request.contact_is_star() {
        // RFC 3261 §10.2.2: "*" only with Expires: 0 and alone.
        if request.expires() != Some(0) || request.values(HeaderId::Contact).count() != 1 {
            return Err(bad());
        }
        refuse_older(office, &extension, None, (&call_id, cseq))?;
        remove_all(office, &extension);
        return Ok(granted(office, &extension, request, &manner));
    }
    let wishes = contact::wishes(office, request, &flow, &manner)?;
    let flows = wishes.iter().any(|wish| wish.reg_id > 0);
    if flows && !contact::first_hop_keeps_flows(request, &manner) {
        return Err(Answer::status(439));
    }
    // RFC 3261 §10.3 step 7: all or nothing.
    for wish in &wishes {
        refuse_older(office, &extension, Some(&wish.binding()), (&call_id, cseq))?;
    }
    for wish in wishes {
        let seconds = wish.seconds;
        let kept = registration(office, request, (&extension, wish, &manner), &flow);
        if seconds == 0 {
            remove_if(office, &extension, |b| b.kept.binding == kept.binding);
            continue;
        }
        bind(office, kept, flow, Duration::from_secs(u64::from(seconds)));
    }
    let mut answer = granted(office, &extension, request, &manner);
    if flows {
        // RFC 5626 §6: the phone learns that its flows are kept, and how often to show that they live.
        let timer = match flow.transport {
            Transport::Udp => FLOW_TIMER_UDP,
            Transport::Tcp | Transport::Tls | Transport::Ws | Transport::Wss => FLOW_TIMER,
        };
        let headers = [
            ("Require", "outbound".to_owned()),
            ("Flow-Timer", timer.to_string()),
        ];
        answer.headers.extend(headers);
    }
    Ok(answer)
}

/// RFC 3261 §10.3 step 7: a request of the same Call-ID with a CSeq that is not higher is out of order.
fn refuse_older(
    office: &Office,
    extension: &str,
    binding: Option<&str>,
    (call_id, cseq): (&str, u32),
) -> Result<(), Answer> {
    let mut bindings = office.registrar.bindings(extension);
    let older = bindings.any(|b| {
        let same = binding.is_none_or(|wanted| b.kept.binding == wanted);
        same && b.kept.call_id == call_id && cseq <= b.kept.cseq
    });
    if older {
        return Err(Answer::status(500));
    }
    Ok(())
}

fn registration(
    office: &mut Office,
    request: &Message,
    (extension, wish, manner): (&str, Wish, &Manner),
    flow: &Flow,
) -> Registration {
    let agent = request.header(HeaderId::UserAgent).unwrap_or_default();
    let now_ms = office.wall(office.now);
    let mut kept = Registration {
        extension: extension.to_owned(),
        binding: wish.binding(),
        source: flow.remote.to_string(),
        local: flow.local.to_string(),
        transport: flow.transport.as_str().to_owned(),
        user_agent: agent.chars().take(200).collect(),
        call_id: request.call_id().unwrap_or_default().into_owned(),
        cseq: request.cseq().map_or(0, |(number, _)| number),
        expires_at_ms: now_ms + i64::from(wish.seconds) * 1_000,
        registered_at_ms: now_ms,
        contact: wish.contact.uri_text,
        instance: wish.instance,
        reg_id: wish.reg_id,
        path: manner.path.clone(),
        gruu_key: String::new(),
        host: hosts::asked(request),
    };
    if manner.gruu && !kept.instance.is_empty() {
        kept.gruu_key = gruu::key(office, &kept);
    }
    kept
}

/// 200 with every binding and what is left of its time (RFC 3261 §10.3 step 8).
fn granted(office: &mut Office, extension: &str, request: &Message, manner: &Manner) -> Answer {
    let aor = request.to().filter(|_| manner.gruu).map(|to| to.uri);
    let mut headers = Vec::new();
    let mut named = Vec::new();
    for binding in office.registrar.bindings(extension) {
        headers.push(("Contact", shown(office, binding)));
        named.push((binding.kept.instance.clone(), binding.kept.gruu_key.clone()));
    }
    for ((_, contact), (instance, key)) in headers.iter_mut().zip(named) {
        if let Some(aor) = aor.as_ref().filter(|_| !key.is_empty()) {
            contact.push_str(&gruu::parameters(office, aor, &instance, &key));
        }
    }
    // RFC 3327 §5.3: the phone sees which way it is reached.
    let path = manner.path.iter().map(|route| ("Path", route.clone()));
    let routes = office.config.phones.service_route.iter();
    headers.extend(path);
    headers.extend(routes.map(|route| ("Service-Route", route.clone())));
    headers.extend(push::capabilities(office, request));
    Answer {
        status: 200,
        headers,
    }
}

fn shown(office: &Office, binding: &Binding) -> String {
    let left = binding.expires.saturating_duration_since(office.now);
    let kept = &binding.kept;
    let mut text = format!("<{}>;expires={}", kept.contact, left.as_secs());
    if !kept.instance.is_empty() {
        let escaped = kept.instance.replace('\\', "\\\\").replace('"', "\\\"");
        text.push_str(&format!(";+sip.instance=\"{escaped}\""));
    }
    if kept.reg_id > 0 {
        text.push_str(&format!(";reg-id={}", kept.reg_id));
    }
    text
}
