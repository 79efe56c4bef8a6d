//! `/call-records/{id}/sip`: who said what, as a ladder or as a capture file.

use crate::Shared;
use crate::body::Name;
use crate::clock::rfc3339;
use crate::error::Error;
use crate::pcap::pcap;
use axum::Json;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use directory::{Invalid, Traced};
use serde_json::{Value, json};
use std::sync::Arc;
use switch::CallId;

/// The registered media type of pcap.
const PCAP: &str = "application/vnd.tcpdump.pcap";

/// Of a live call too: what was said so far.
pub(crate) async fn show(
    State(shared): State<Arc<Shared>>,
    Name(id): Name,
    query: Result<Query<Vec<(String, String)>>, axum::extract::rejection::QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let unread = |_| Error::Malformed("the query string cannot be read".to_owned());
    let Query(parameters) = query.map_err(unread)?;
    let as_pcap = wants_pcap(&parameters, &headers)?;
    let nothing = Error::NotFound("SIP trace of a call of that id");
    let (Ok(call), Some(traces)) = (id.parse::<CallId>(), shared.api.traces.clone()) else {
        return Err(nothing);
    };
    let read = tokio::task::spawn_blocking(move || traces.read(call.0)).await;
    let messages = match read {
        Ok(Ok(messages)) => messages,
        Ok(Err(error)) => return Err(Error::broken(&error)),
        Err(error) => return Err(Error::broken(&error)),
    };
    if messages.is_empty() {
        return Err(nothing);
    }
    if as_pcap {
        let place = format!("attachment; filename=\"{id}.pcap\"");
        let headers = [
            (header::CONTENT_TYPE, PCAP.to_owned()),
            (header::CONTENT_DISPOSITION, place),
        ];
        return Ok((headers, pcap(&messages)).into_response());
    }
    Ok(Json(ladder(&id, &messages)).into_response())
}

/// What was asked for in the query goes before what the client says it takes.
fn wants_pcap(parameters: &[(String, String)], headers: &HeaderMap) -> Result<bool, Error> {
    let accept = headers.get(header::ACCEPT).and_then(|v| v.to_str().ok());
    let mut pcap = accept.is_some_and(|accept| accept.contains(PCAP));
    let mut wrong = Vec::new();
    for (name, value) in parameters {
        match (name.as_str(), value.as_str()) {
            ("format", "pcap") => pcap = true,
            ("format", "json") => pcap = false,
            ("format", _) => wrong.push(Invalid::new("format", "must be json or pcap")),
            _ => wrong.push(Invalid::new(name, "is not a parameter of this resource")),
        }
    }
    if wrong.is_empty() {
        Ok(pcap)
    } else {
        Err(Error::Invalid(wrong))
    }
}

fn ladder(id: &str, messages: &[Traced]) -> Value {
    let kept: Vec<Value> = messages
        .iter()
        .filter(|message| !message.bytes.is_empty())
        .map(|message| rung(id, message))
        .collect();
    json!({
        "id": id,
        "truncated": kept.len() < messages.len(),
        "messages": kept,
    })
}

fn rung(id: &str, message: &Traced) -> Value {
    let text = String::from_utf8_lossy(&message.bytes);
    let first = text.lines().next().unwrap_or_default();
    let status: Option<u16> = first
        .strip_prefix("SIP/2.0 ")
        .and_then(|rest| rest.get(..3)?.parse().ok());
    let method = match status {
        Some(_) => method_of(&text),
        None => first.split(' ').next().map(str::to_owned),
    };
    let number = id.trim_start_matches("cal_");
    json!({
        "at": rfc3339(message.at_us.div_euclid(1_000)),
        "direction": if message.inward { "in" } else { "out" },
        "leg": message.leg.map(|leg| format!("leg_{number}_{leg}")),
        "transport": message.transport,
        "local": message.local.to_string(),
        "remote": message.remote.to_string(),
        "method": method,
        "status": status,
        "text": text,
    })
}

/// The method a response is about: the second word of CSeq (RFC 3261 §20.16).
fn method_of(text: &str) -> Option<String> {
    let mut lines = text.lines().take_while(|line| !line.is_empty());
    let value = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.trim().eq_ignore_ascii_case("cseq").then_some(value)
    })?;
    value.split_whitespace().nth(1).map(str::to_owned)
}
