//! A journal is run again to the same end: one call from a provider that asked for our password before.

use bytes::Bytes;
use directory::{
    CallRecord, Codec, Directory, Ending, Extension, Ha1, Registration, Trunk, TrunkAuth,
    TrunkTransport,
};
use offhook::journal::{Journal, replay};
use sip::{Flow, Transport};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};
use switch::{Command, DialOptions, Event, ScriptEnd, Switch, TargetSpec, Verb};

const PROVIDER: &str = "10.1.0.1:5060";
const PASSWORD: &str = "the provider's own secret";
const SDP: &str = "v=0\r\no=- 1 1 IN IP4 10.0.0.9\r\ns=-\r\nc=IN IP4 10.0.0.9\r\nt=0 0\r\n\
                   m=audio 4000 RTP/AVP 0\r\n";

fn settings() -> switch::Config {
    switch::Config {
        realm: "offhook".into(),
        seed: [7; 32],
        origin: Instant::now(),
        origin_unix_ms: 1_700_000_000_000,
        external_host: None,
        external_media: None,
        local_networks: Vec::new(),
        phones: switch::Phones::default(),
        nat_keepalive: Duration::ZERO,
        session_expires: Duration::from_secs(1_800),
        min_se: Duration::from_secs(90),
        rtp_port_min: 10_000,
        rtp_port_max: 10_100,
        rtp_timeout: Duration::from_secs(30),
        rtp_hold_timeout: Duration::from_secs(3_600),
        music_on_hold: String::new(),
        outbound_prefix: "9".into(),
        emergency: Vec::new(),
        trace: false,
        calls: switch::Calls::default(),
        defence: switch::DefenceConfig::default(),
        max_calls: 10,
    }
}

fn flow() -> Flow {
    Flow {
        transport: Transport::Udp,
        local: "10.9.9.9:5060".parse().expect("an address"),
        remote: PROVIDER.parse().expect("an address"),
        id: 0,
    }
}

fn office() -> Directory {
    let trunk = Trunk {
        name: "itsp".into(),
        host: "10.1.0.1".into(),
        port: None,
        transport: TrunkTransport::Udp,
        auth: TrunkAuth::Registration,
        username: Some("490001".into()),
        codecs: vec![Codec::Pcmu],
        numbers: BTreeMap::from([("4930".into(), "101".into())]),
        match_port: false,
        tls: directory::TrunkTls::default(),
        trust_identity: false,
        reliable_provisionals: directory::Reliability::Supported,
        srtp: directory::Srtp::Off,
        dtmf: directory::DtmfMode::default(),
    };
    let extension = Extension {
        number: "101".into(),
        name: String::new(),
        ha1: Ha1 {
            md5: String::new(),
            sha256: String::new(),
        },
        codecs: vec![Codec::Pcmu],
        max_contacts: 1,
        allow_weak_password: false,
        redirects: directory::Redirects::Follow,
        srtp: directory::Srtp::Off,
        allowed_networks: Vec::new(),
        push_message_summary: false,
        watch_list: Vec::new(),
        dtmf: directory::DtmfMode::default(),
    };
    Directory::new(vec![extension], vec![(trunk, Some(PASSWORD.into()))])
}

fn phone() -> Registration {
    Registration {
        extension: "101".into(),
        binding: "b".into(),
        contact: "sip:101@10.0.0.9".into(),
        source: "10.0.0.9:5060".into(),
        local: "10.9.9.9:5060".into(),
        transport: "udp".into(),
        user_agent: String::new(),
        call_id: "x".into(),
        cseq: 1,
        expires_at_ms: i64::MAX,
        ..Registration::default()
    }
}

/// `start` with the lines of `like` that say what it belongs to, and `more`.
fn message(start: &str, like: &str, more: &str) -> Bytes {
    let kept = ["Via:", "From:", "To:", "Call-ID:", "CSeq:"];
    let mut text = format!("{start}\r\n");
    for line in like.lines() {
        let named = kept.iter().any(|name| line.starts_with(name));
        let tag = line.starts_with("To:") && start.starts_with("SIP") && !line.contains(";tag=");
        if named {
            text.push_str(line);
            text.push_str(if tag { ";tag=p\r\n" } else { "\r\n" });
        }
    }
    Bytes::from(format!("{text}{more}"))
}

fn with_sdp(contact: &str) -> String {
    format!(
        "Contact: <sip:{contact}>\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{SDP}",
        SDP.len()
    )
}

/// The provider's INVITE or, with the tag of our answer, its BYE.
fn from_provider(method: &str, number: u8, to_tag: &str) -> Event {
    let like = format!(
        "Via: SIP/2.0/UDP {PROVIDER};branch=z9hG4bK{method}\r\nFrom: <sip:0170@itsp>;tag=c\r\n\
         To: <sip:4930@us>{to_tag}\r\nCall-ID: in\r\nCSeq: {number} {method}"
    );
    let start = format!("{method} sip:4930@10.9.9.9 SIP/2.0");
    let more = format!("Max-Forwards: 70\r\n{}", with_sdp("0170@10.1.0.1"));
    Event::Sip {
        flow: flow(),
        bytes: message(&start, &like, &more),
    }
}

/// What the provider and the phone do about a message of ours.
fn hears(flow: Flow, text: &str) -> Option<Event> {
    let challenge = "WWW-Authenticate: Digest realm=\"itsp\", nonce=\"n\", qop=\"auth\"\r\n\r\n";
    let bytes = match text.split(' ').next()? {
        "REGISTER" if !text.contains("Authorization:") => {
            message("SIP/2.0 401 Unauthorized", text, challenge)
        }
        "REGISTER" => message("SIP/2.0 200 OK", text, "Expires: 120\r\n\r\n"),
        "INVITE" => message("SIP/2.0 200 OK", text, &with_sdp("101@10.0.0.9")),
        "BYE" => message("SIP/2.0 200 OK", text, "\r\n"),
        "SIP/2.0" if text.starts_with("SIP/2.0 200") && text.contains("1 INVITE") => {
            let to = text.lines().find(|line| line.starts_with("To:"))?;
            let (_, tag) = to.split_once(";tag=")?;
            return Some(from_provider("BYE", 2, &format!(";tag={tag}")));
        }
        _ => return None,
    };
    Some(Event::Sip { flow, bytes })
}

/// What the world does about `command`: the script rings 101, and so on.
fn upon(command: Command) -> Option<Event> {
    match command {
        Command::Resolve { query, .. } => Some(Event::Resolved {
            query,
            flows: vec![flow()],
        }),
        Command::StartScript { call, .. } => Some(Event::Verb {
            call,
            verb: Verb::Dial {
                targets: vec![TargetSpec::Extension("101".into())],
                options: DialOptions {
                    timeout: Duration::from_secs(20),
                    caller_id: None,
                    max_duration: None,
                    privacy: None,
                },
                caller_id: "0170".into(),
            },
        }),
        Command::Resume { call, .. } | Command::StopScript { call } => {
            let end = ScriptEnd::Stopped;
            Some(Event::ScriptEnded { call, end })
        }
        Command::Media(media::Command::Close { stream }) => {
            let stats = Box::default();
            let closed = media::Event::Closed { stream, stats };
            Some(Event::Media(closed))
        }
        Command::Send { flow, bytes } => hears(flow, &String::from_utf8_lossy(&bytes)),
        _ => None,
    }
}

#[test]
fn a_challenged_trunk_changes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("journal");
    let settings = settings();
    let mut now = settings.origin;
    let mut journal = Journal::create(&path, &settings).expect("a journal");
    let mut switch = Switch::new(settings);
    let mut records: Vec<CallRecord> = Vec::new();
    let mut events = VecDeque::from([
        Event::Directory(Arc::new(office())),
        Event::Restored(vec![phone()]),
    ]);
    for last in [false, true] {
        while let Some(event) = events.pop_front() {
            now += Duration::from_millis(10);
            journal.add(now, Some(&event));
            switch.handle(now, event);
            while let Some(command) = switch.poll() {
                if let Command::Record(record) = &command {
                    records.push((**record).clone());
                }
                events.extend(upon(command));
            }
        }
        if !last {
            events.push_back(from_provider("INVITE", 1, ""));
        }
    }
    let causes: Vec<Ending> = records.iter().map(|record| record.cause).collect();
    assert_eq!(causes, [Ending::Completed]);

    let text = std::fs::read_to_string(&path).expect("a journal");
    assert!(!text.contains(PASSWORD));
    let mut again = Vec::new();
    let told = |_, command: &Command| {
        if let Command::Record(record) = command {
            again.push((**record).clone());
        }
    };
    replay(&path, told).expect("it runs again");
    assert_eq!(again, records);
}
