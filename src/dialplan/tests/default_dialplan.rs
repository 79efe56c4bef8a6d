//! What a new installation does with a call.

#[expect(dead_code, reason = "each test file uses a part of it")]
mod stage;

use stage::{Stage, session};
use std::time::Duration;
use switch::{DialStatus, Dialed, Entry, Outcome, ScriptEnd, SessionInfo, TargetSpec, Verb};

/// Runs the default dialplan; every `dial` ends as told.
fn route(entry: Entry, session: SessionInfo, status: DialStatus, sip_code: u16) -> Vec<Verb> {
    let (verbs, end) = Stage::with_default().run(entry, session, |verb| match verb {
        Verb::Play { .. } => Outcome::Played { finished: true },
        Verb::Dial { .. } => Outcome::Dialed(Dialed {
            status,
            sip_code,
            is_final: sip_code == 404,
            q850: None,
            by: String::new(),
            ring: Duration::ZERO,
            talk: Duration::ZERO,
        }),
        _ => Outcome::Done,
    });
    assert_eq!(end, ScriptEnd::Finished);
    verbs
}

fn targets(verb: Option<&Verb>) -> (&[TargetSpec], Duration) {
    match verb {
        Some(Verb::Dial {
            targets, options, ..
        }) => (targets, options.timeout),
        other => panic!("a dial was expected, not {other:?}"),
    }
}

#[test]
fn an_extension_is_rung_for_half_a_minute() {
    let verbs = route(Entry::Internal, session(), DialStatus::Answered, 200);
    assert_eq!(verbs.len(), 1);
    let wanted = [TargetSpec::Extension("102".into())];
    assert_eq!(
        targets(verbs.first()),
        (wanted.as_slice(), Duration::from_secs(30))
    );
}

#[test]
fn who_cannot_be_reached_is_told_why() {
    for (status, sip_code, code) in [
        (DialStatus::Busy, 486, 486),
        (DialStatus::Busy, 600, 486),
        (DialStatus::NoAnswer, 408, 480),
        (DialStatus::NoAnswer, 487, 480),
        (DialStatus::Unavailable, 404, 404),
        (DialStatus::Unavailable, 480, 480),
        (DialStatus::Rejected, 603, 603),
        (DialStatus::Congestion, 503, 503),
        (DialStatus::Failed, 0, 480),
    ] {
        let verbs = route(Entry::Internal, session(), status, sip_code);
        assert_eq!(
            verbs.last(),
            Some(&Verb::Reject { code }),
            "{status:?} {sip_code}"
        );
    }
}

#[test]
fn star_43_is_the_echo_test() {
    let verbs = route(
        Entry::Internal,
        SessionInfo {
            dialed: "*43".into(),
            ..session()
        },
        DialStatus::Failed,
        0,
    );
    assert_eq!(
        verbs,
        [
            Verb::Answer,
            Verb::Play {
                prompts: vec!["echo-test".into()]
            },
            Verb::Echo
        ]
    );
}

#[test]
fn outside_goes_to_the_first_trunk() {
    let call = SessionInfo {
        dialed: "0301234".into(),
        first_trunk: "itsp".into(),
        ..session()
    };
    let verbs = route(Entry::Outbound, call, DialStatus::Answered, 200);
    let wanted = [TargetSpec::Trunk {
        name: "itsp".into(),
        number: "0301234".into(),
    }];
    assert_eq!(
        (verbs.len(), targets(verbs.first()).0),
        (1, wanted.as_slice())
    );
    let verbs = route(Entry::Outbound, session(), DialStatus::Failed, 0);
    assert_eq!(verbs, [Verb::Reject { code: 503 }]);
}

#[test]
fn a_call_from_outside_reaches_the_numbers_extension() {
    let call = SessionInfo {
        user: String::new(),
        did: "+4930123".into(),
        did_extension: "101".into(),
        ..session()
    };
    let verbs = route(Entry::Inbound, call.clone(), DialStatus::Answered, 200);
    let wanted = [TargetSpec::Extension("101".into())];
    assert_eq!(
        (verbs.len(), targets(verbs.first()).0),
        (1, wanted.as_slice())
    );
    let unknown = SessionInfo {
        did_extension: String::new(),
        ..call
    };
    assert_eq!(
        route(Entry::Inbound, unknown, DialStatus::Failed, 0),
        [Verb::Reject { code: 404 }]
    );
}
