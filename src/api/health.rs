//! `/system/health`: whether the office works, for a monitor without a key.

use crate::clock::{now_ms, rfc3339};
use crate::dialplan::Standing;
use crate::{Shared, auth};
use axum::Json;
use axum::extract::{Request, State};
use serde::Serialize;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use switch::TrunkState;

/// How long the database may take to answer before it is called unavailable.
const PATIENCE: Duration = Duration::from_secs(2);
/// A certificate is to be renewed before its last so many days.
const CERTIFICATE_DAYS: i64 = 14;
const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

/// How the TLS certificates stand.
#[derive(Debug, Clone, Default)]
pub struct Certificate {
    /// When the first of them ends, Unix milliseconds; `None` without any.
    pub expires_at_ms: Option<i64>,
    /// Why the files as they are now are not in use.
    pub refused: Option<String>,
}

/// How many trunks stand how.
#[derive(Default, Serialize)]
struct Trunks {
    registered: usize,
    registering: usize,
    failed: usize,
    #[serde(rename = "static")]
    fixed: usize,
}

/// The status is `ok` also when there are problems: calls go on without the database, and the records wait. Without a
/// dialplan there are emergency calls only. What is wrong with the scripts and which numbers are amiss is
/// only for those who have a key.
pub(crate) async fn show(State(shared): State<Arc<Shared>>, request: Request) -> Json<Value> {
    let api = &shared.api;
    let (parts, _) = request.into_parts();
    let (database, key) = tokio::join!(
        tokio::time::timeout(PATIENCE, api.store.extension_count()),
        tokio::time::timeout(
            PATIENCE,
            auth::check_key(&shared, &parts.extensions, &parts.headers)
        ),
    );
    let database = matches!(database, Ok(Ok(_)));
    let dialplan = api.dialplan.standing();
    let trunks = trunks(&api.live.trunk_states());
    let certificate = (api.certificate)();
    let end = certificate.expires_at_ms;
    let key = matches!(key, Ok(Ok(())));
    let problems: Vec<String> = [
        (!database).then(|| {
            "the database does not answer: nothing can be changed, and call records wait".to_owned()
        }),
        dialplan_problem(dialplan),
        trace_problem(api),
        (trunks.failed > 0).then(|| format!("trunks not registered: {}", trunks.failed)),
        end.and_then(|end| certificate_problem(end, now_ms())),
        certificate.refused.as_deref().map(|_| {
            "the TLS certificate files are refused, and older ones serve: the log says why"
                .to_owned()
        }),
        push_problem(api.live.push_failure(), key),
    ]
    .into_iter()
    .flatten()
    .chain(api.numbers.problems(key))
    .collect();
    let mut health = json!({
        "status": if dialplan == Standing::None { "failing" } else { "ok" },
        "version": api.version,
        "calls": api.live.call_count(),
        "database": if database { "ok" } else { "unavailable" },
        "records_waiting": api.live.records_waiting(),
        "dialplan": dialplan,
        "trunks": trunks,
        "certificate_expires_at": end.map(rfc3339),
        "problems": problems,
    });
    if key {
        health["dialplan_errors"] = json!(api.dialplan.refused());
    }
    Json(health)
}

fn trace_problem(api: &crate::Api) -> Option<String> {
    let why = api.traces.as_ref()?.trouble()?;
    Some(format!("SIP messages are not traced: {why}"))
}

fn dialplan_problem(standing: Standing) -> Option<String> {
    let serves = match standing {
        Standing::Ok => return None,
        Standing::Old => "older ones serve",
        Standing::None => "none serve, and only emergency calls go out",
    };
    Some(format!(
        "the scripts in the dialplan folder are refused: {serves}"
    ))
}

/// The reason may name the webhook's server.
fn push_problem(failure: Option<String>, key: bool) -> Option<String> {
    let why = failure.map(|why| {
        if key {
            format!(": {why}")
        } else {
            String::new()
        }
    })?;
    Some(format!(
        "the last push notification failed{why}; sleeping phones do not ring"
    ))
}

fn trunks(states: &[TrunkState]) -> Trunks {
    let mut trunks = Trunks::default();
    for state in states {
        *match state {
            TrunkState::Registered => &mut trunks.registered,
            TrunkState::Registering => &mut trunks.registering,
            TrunkState::Failed { .. } => &mut trunks.failed,
            TrunkState::Static => &mut trunks.fixed,
        } += 1;
    }
    trunks
}

fn certificate_problem(end_ms: i64, now_ms: i64) -> Option<String> {
    match end_ms - now_ms {
        ..0 => Some("the TLS certificate has expired: no phone trusts it any more".to_owned()),
        left if left < CERTIFICATE_DAYS * DAY_MS => Some(format!(
            "the TLS certificate expires in {} days",
            left / DAY_MS
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_a_problem_before_it_expires() {
        let now_ms = 1_772_352_930_250;
        assert_eq!(certificate_problem(now_ms + 15 * DAY_MS, now_ms), None);
        let soon = certificate_problem(now_ms + 3 * DAY_MS + 5, now_ms);
        assert_eq!(
            soon.expect("a problem"),
            "the TLS certificate expires in 3 days"
        );
        let late = certificate_problem(now_ms - 1, now_ms).expect("a problem");
        assert!(late.contains("has expired"));
    }
}
