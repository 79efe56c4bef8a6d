//! The same suite on SQLite and on PostgreSQL, and what only a server can do: go away and come back.

mod encrypted;
mod postgres;

use directory::{
    Ban, CallRecord, Codec, Direction, Ending, Extension, How, LegRecord, MessageSummary,
    Redirects, Registration, Reliability, Segment, Srtp, StoredMessage, Subscription, Trunk,
    TrunkAuth, TrunkTransport,
};
use postgres::Postgres;
use sqlx::{AnyPool, AssertSqlSafe, Row};
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use store::{Error, OpenError, PasswordChange, RecordCursor, SecretKey, Store, Writer, ha1};

const SOON: Duration = Duration::from_secs(10);

/// An empty database and a folder for a spool.
struct Place {
    url: String,
    folder: tempfile::TempDir,
}

impl Place {
    async fn open(&self) -> Store {
        Store::open(&self.url, key()).await.expect("opened")
    }

    fn spool(&self) -> PathBuf {
        self.folder.path().join("spool.jsonl")
    }

    /// The database without the Store between.
    async fn raw(&self) -> AnyPool {
        AnyPool::connect(&self.url).await.expect("connected")
    }
}

fn key() -> SecretKey {
    SecretKey::from_bytes([42; 32])
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_keeps_the_office() {
    suite(async |name| {
        let folder = tempfile::tempdir().expect("folder");
        let file = folder.path().join(format!("not yet/there/{name}.db"));
        let url = format!("sqlite:{}", file.display());
        Place { url, folder }
    })
    .await;
}

#[tokio::test]
async fn sqlite_is_set_up_for_readers_beside_a_writer() {
    let folder = tempfile::tempdir().expect("folder");
    let url = format!("sqlite://{}", folder.path().join("a b.db").display());
    Store::open(&url, key()).await.expect("opened");
    let raw = AnyPool::connect(&url).await.expect("connected");
    let row = sqlx::query("PRAGMA journal_mode").fetch_one(&raw).await;
    assert_eq!(row.expect("a row").get::<String, _>(0), "wal");
    let files = std::fs::read_dir(folder.path()).expect("the folder");
    for file in files.map(|file| file.expect("a file")) {
        let mode = file.metadata().expect("its mode").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{:?}", file.file_name());
    }
}

#[tokio::test]
async fn a_database_in_memory_is_one_for_all_clones() {
    let store = Store::open("sqlite::memory:", key()).await.expect("opened");
    store
        .create_extension(&extension("101"))
        .await
        .expect("made");
    let (a, b) = (store.clone(), store.clone());
    let counts = tokio::join!(a.extension_count(), b.extension_count());
    assert_eq!(counts, (Ok(1), Ok(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_keeps_the_office() {
    let server = Postgres::new();
    sqlx::any::install_default_drivers();
    let admin = AnyPool::connect(&server.url("postgres"))
        .await
        .expect("connected");
    suite(async |name| {
        let statement = AssertSqlSafe(format!("CREATE DATABASE {name}"));
        sqlx::query(statement).execute(&admin).await.expect("made");
        Place {
            url: server.url(name),
            folder: tempfile::tempdir().expect("folder"),
        }
    })
    .await;
}

async fn suite(new: impl AsyncFn(&str) -> Place) {
    opens_again(new("opens_again").await).await;
    a_broken_version_is_not_an_empty_database(new("broken").await).await;
    a_failed_migration_is_undone(new("undone").await).await;
    extensions(new("extensions").await).await;
    trunks(new("trunks").await).await;
    trunk_passwords_are_encrypted(new("passwords").await).await;
    trunk_keys_are_encrypted(new("trunk_tls").await).await;
    snapshot(new("snapshot").await).await;
    keys_and_settings(new("keys").await).await;
    records(new("records").await).await;
    records_outlive_a_kill(new("kill").await).await;
    strange_records(new("strange").await).await;
    registrations_outlive_a_restart(new("registrations").await).await;
    subscriptions_outlive_a_restart(new("subscriptions").await).await;
    message_summaries(new("summaries").await).await;
    a_new_password_ends_the_registrations(new("password").await).await;
    registrations_come_in_order_of_age(new("age").await).await;
    bans_outlive_a_restart(new("bans").await).await;
    messages_outlive_a_restart(new("messages").await).await;
    one_refused_row_costs_no_other(new("refused").await).await;
    many_writers_at_once(new("many").await).await;
}

async fn opens_again(place: Place) {
    let look = async || Store::look(&place.url, key()).await;
    assert!(look().await.expect("looked").is_none(), "there is nothing");
    let store = place.open().await;
    assert!(look().await.expect("looked").is_some());
    store.set_realm("office").await.expect("set");
    let again = place.open().await;
    assert_eq!(again.realm().await, Ok(Some("office".into())));
    let raw = place.raw().await;
    let newer = "UPDATE schema_version SET version = 999";
    sqlx::query(newer).execute(&raw).await.expect("changed");
    let error = Store::open(&place.url, key()).await.err().expect("refused");
    assert!(
        matches!(error, OpenError::Newer { found: 999, .. }),
        "{error}"
    );
    assert!(error.hint().contains("newer version"));
    let error = look().await.err().expect("refused");
    assert!(matches!(error, OpenError::Newer { .. }), "{error}");
}

/// What opening would refuse, looking refuses, too: not every error of the database means that it is empty.
async fn a_broken_version_is_not_an_empty_database(place: Place) {
    place.open().await;
    let raw = place.raw().await;
    let broken = "ALTER TABLE schema_version RENAME COLUMN version TO revision";
    sqlx::query(broken).execute(&raw).await.expect("changed");
    for error in [
        Store::open(&place.url, key()).await.err().expect("refused"),
        Store::look(&place.url, key()).await.err().expect("refused"),
    ] {
        assert!(matches!(error, OpenError::Unreachable { .. }), "{error}");
        assert!(error.to_string().contains("version"), "{error}");
    }
}

/// A table of somebody else's is in the way of the last ones.
async fn a_failed_migration_is_undone(place: Place) {
    place.open().await;
    let raw = place.raw().await;
    for statement in [
        "UPDATE schema_version SET version = 0",
        "DROP TABLE settings",
        "DROP TABLE extensions",
    ] {
        sqlx::query(statement).execute(&raw).await.expect("changed");
    }
    let error = Store::open(&place.url, key()).await.err().expect("refused");
    assert!(
        matches!(error, OpenError::Migration { number: 1, .. }),
        "{error}"
    );
    let made = sqlx::query("SELECT * FROM settings").fetch_all(&raw).await;
    assert!(made.is_err(), "the table made before is gone again");
    let version = sqlx::query("SELECT version FROM schema_version");
    let row = version.fetch_one(&raw).await.expect("the version");
    assert_eq!(row.get::<i64, _>(0), 0);
}

fn extension(number: &str) -> Extension {
    Extension {
        number: number.into(),
        name: "Änne O'Neill \"A\" 電話".into(),
        ha1: ha1(number, "office", "correct horse"),
        codecs: vec![Codec::Opus, Codec::Pcma],
        max_contacts: 3,
        allow_weak_password: true,
        redirects: Redirects::Refuse,
        push_message_summary: true,
        watch_list: vec!["102".into()],
        srtp: Srtp::Required,
        dtmf: directory::DtmfMode::default(),
        allowed_networks: vec!["192.0.2.0/24".into(), "2001:db8::/32".into()],
    }
}

async fn extensions(place: Place) {
    let store = place.open().await;
    assert_eq!(store.extension_count().await, Ok(0));
    for number in ["103", "101", "105", "102", "104"] {
        store
            .create_extension(&extension(number))
            .await
            .expect("made");
    }
    let twice = store.create_extension(&extension("101")).await;
    assert_eq!(twice, Err(Error::Taken("number")));
    assert_eq!(store.extension_count().await, Ok(5));
    assert_eq!(store.extension("101").await, Ok(extension("101")));
    assert_eq!(store.extension("10\0").await, Err(Error::NotFound));

    let mut seen = Vec::new();
    loop {
        let after = seen.last().cloned();
        let page = store.extensions(after.as_deref(), 2).await.expect("page");
        if page.is_empty() {
            break;
        }
        assert!(page.len() <= 2);
        seen.extend(page.into_iter().map(|e| e.number));
    }
    assert_eq!(seen, ["101", "102", "103", "104", "105"]);

    let changed = Extension {
        name: String::new(),
        codecs: vec![Codec::G722],
        max_contacts: 1,
        allow_weak_password: false,
        redirects: Redirects::Follow,
        push_message_summary: false,
        watch_list: Vec::new(),
        srtp: Srtp::Off,
        dtmf: directory::DtmfMode::default(),
        allowed_networks: Vec::new(),
        ..extension("103")
    };
    store.update_extension(&changed).await.expect("changed");
    assert_eq!(store.extension("103").await, Ok(changed));
    let unknown = store.update_extension(&extension("999")).await;
    assert_eq!(unknown, Err(Error::NotFound));
    store.delete_extension("103").await.expect("deleted");
    assert_eq!(store.delete_extension("103").await, Err(Error::NotFound));
    assert_eq!(store.extension("103").await, Err(Error::NotFound));
}

fn trunk(name: &str) -> Trunk {
    Trunk {
        name: name.into(),
        host: "sip.example.net".into(),
        port: Some(5080),
        transport: TrunkTransport::Tls,
        auth: TrunkAuth::Registration,
        username: Some("490001".into()),
        codecs: vec![Codec::Pcma],
        numbers: BTreeMap::from([("+493012345600".into(), "101".into())]),
        match_port: true,
        tls: directory::TrunkTls::default(),
        trust_identity: true,
        reliable_provisionals: Reliability::Required,
        srtp: Srtp::Optional,
        dtmf: directory::DtmfMode::default(),
    }
}

async fn trunks(place: Place) {
    let store = place.open().await;
    let plain = Trunk {
        port: None,
        auth: TrunkAuth::Address,
        username: None,
        numbers: BTreeMap::new(),
        match_port: false,
        tls: directory::TrunkTls::default(),
        trust_identity: false,
        reliable_provisionals: Reliability::Off,
        srtp: Srtp::Required,
        dtmf: directory::DtmfMode::default(),
        ..trunk("zeta")
    };
    store.create_trunk(&plain, None).await.expect("made");
    store
        .create_trunk(&trunk("alpha"), Some("pw"))
        .await
        .expect("made");
    let twice = store.create_trunk(&trunk("alpha"), None).await;
    assert_eq!(twice, Err(Error::Taken("name")));
    assert_eq!(store.trunk("zeta").await, Ok(plain));
    assert_eq!(store.trunk("alpha").await, Ok(trunk("alpha")));
    let page = store.trunks(Some("alpha"), 10).await.expect("page");
    assert_eq!(page.len(), 1);
    assert_eq!(store.trunks(None, 1).await, Ok(vec![trunk("alpha")]));
    assert_eq!(store.trunk_has_password("alpha").await, Ok(true));
    assert_eq!(store.trunk_has_password("zeta").await, Ok(false));
    let unknown = store.update_trunk(&trunk("x"), PasswordChange::Keep).await;
    assert_eq!(unknown, Err(Error::NotFound));
    store.delete_trunk("alpha").await.expect("deleted");
    assert_eq!(store.delete_trunk("alpha").await, Err(Error::NotFound));
}

async fn trunk_keys_are_encrypted(place: Place) {
    let store = place.open().await;
    let guarded = Trunk {
        tls: directory::TrunkTls {
            verify: directory::TlsVerify::Pin,
            pin: Some("00".repeat(32)),
            certificate: Some("a certificate".into()),
            key: Some(directory::TlsKey("the real key".into())),
            ..directory::TrunkTls::default()
        },
        ..trunk("itsp")
    };
    store.create_trunk(&guarded, None).await.expect("made");
    assert_eq!(store.trunk("itsp").await.expect("there"), guarded);
    let raw = place.raw().await;
    let stored = async || {
        let row = sqlx::query("SELECT tls FROM trunks").fetch_one(&raw).await;
        row.expect("a row").get::<Option<String>, _>("tls")
    };
    let sealed = stored().await.expect("settings");
    assert!(sealed.starts_with("aes256gcm:"), "{sealed}");
    let snapshot = store.snapshot().await.expect("snapshot");
    assert_eq!(snapshot.trunks["itsp"].tls, guarded.tls);

    let wrong = Store::open(&place.url, SecretKey::from_bytes([43; 32])).await;
    assert!(wrong.is_err(), "another key opens nothing");
    let plain = trunk("itsp");
    store
        .update_trunk(&plain, PasswordChange::Keep)
        .await
        .expect("cleared");
    assert_eq!(stored().await, None);
}

async fn trunk_passwords_are_encrypted(place: Place) {
    let store = place.open().await;
    let password = "s3cret-of-the-provider";
    store
        .create_trunk(&trunk("itsp"), Some(password))
        .await
        .expect("made");
    let raw = place.raw().await;
    let stored = async || {
        let row = sqlx::query("SELECT password FROM trunks")
            .fetch_one(&raw)
            .await;
        row.expect("a row").get::<Option<String>, _>("password")
    };
    let first = stored().await.expect("a password");
    assert!(!first.contains(password));
    let known = async || {
        let office = store.snapshot().await.expect("snapshot");
        office.trunk_passwords.get("itsp").cloned()
    };
    assert_eq!(known().await.as_deref(), Some(password));

    let renamed = Trunk {
        host: "other.example.net".into(),
        ..trunk("itsp")
    };
    store
        .update_trunk(&renamed, PasswordChange::Keep)
        .await
        .expect("kept");
    assert_eq!(known().await.as_deref(), Some(password));
    let new = PasswordChange::Set("new".into());
    store.update_trunk(&renamed, new).await.expect("set");
    assert_eq!(known().await.as_deref(), Some("new"));

    let wrong = Store::open(&place.url, SecretKey::from_bytes([43; 32])).await;
    let error = wrong.err().expect("refused");
    assert!(
        error
            .to_string()
            .contains("trunk \"itsp\" cannot be decrypted"),
        "{error}"
    );
    assert!(error.hint().contains("put back the secret key file"));

    store
        .update_trunk(&renamed, PasswordChange::Clear)
        .await
        .expect("cleared");
    assert_eq!(known().await, None);
    assert_eq!(stored().await, None);
}

async fn snapshot(place: Place) {
    let store = place.open().await;
    store
        .create_extension(&extension("101"))
        .await
        .expect("made");
    store
        .create_trunk(&trunk("zeta"), Some("pw"))
        .await
        .expect("made");
    store
        .create_trunk(&trunk("alpha"), None)
        .await
        .expect("made");
    let office = store.snapshot().await.expect("snapshot");
    assert_eq!(*office.extensions["101"], extension("101"));
    assert_eq!(office.trunk_order, ["zeta", "alpha"]);
    assert_eq!(
        office.inbound_extension("alpha", "+493012345600"),
        Some("101")
    );
    assert_eq!(office.trunk_passwords.len(), 1);
}

async fn keys_and_settings(place: Place) {
    let store = place.open().await;
    assert_eq!(store.realm().await, Ok(None));
    store.set_realm("a").await.expect("set");
    store.set_realm("b").await.expect("set");
    assert_eq!(store.realm().await, Ok(Some("b".into())));
    let key = store.first_admin_key().await.expect("asked").expect("made");
    assert!(key.starts_with("ohk_") && key.len() == 36, "{key}");
    assert_eq!(store.first_admin_key().await, Ok(None));
    assert_eq!(store.key_is_known(&key).await, Ok(true));
    assert_eq!(store.key_is_known("ohk_x").await, Ok(false));
    let raw = place.raw().await;
    let row = sqlx::query("SELECT hash FROM api_keys")
        .fetch_one(&raw)
        .await;
    assert!(!row.expect("a row").get::<String, _>("hash").contains(&key));
}

fn record(number: i64) -> CallRecord {
    let leg = LegRecord {
        id: format!("leg_{number}"),
        party: "101".into(),
        trunk: None,
        transport: "udp".into(),
        codec: Some("PCMU".into()),
        packets_in: 490,
        packets_out: 489,
        loss_in: 0.25,
        jitter_ms: 0.5,
        rtt_ms: None,
        loss_out: Some(1.5),
        srtp: Some("AEAD_AES_128_GCM".into()),
        mos_in: Some(4.38),
        mos_out: None,
        late_in: 3,
        longest_gap_ms: 60,
        burst_loss: Some(0.0),
        gap_loss: Some(0.5),
        diagnosis: None,
    };
    CallRecord {
        id: format!("cal_{number:04}"),
        // Two of each time, so that the order within one matters.
        started_at_ms: 1_767_225_600_000 + number / 2,
        answered_at_ms: (number % 2 == 0).then_some(1_767_225_600_500),
        ended_at_ms: 1_767_225_601_000,
        direction: Direction::Inbound,
        from: "+4930".into(),
        to: "102".into(),
        dialed: "0102".into(),
        cause: Ending::NoAnswer,
        sip_code: 480,
        ring_ms: 500,
        talk_ms: 0,
        tags: vec![("cost".into(), "ünit 7".into())],
        reason: "nobody was there".into(),
        legs: vec![leg],
        segments: vec![Segment {
            started_at_ms: 1_767_225_600_000,
            answered_at_ms: None,
            ended_at_ms: 1_767_225_601_000,
            parties: vec!["+4930".into(), "102".into()],
            how: How::Transferred,
            by: Some("101".into()),
        }],
        merged_into: (number % 3 == 0).then(|| "cal_other".into()),
        continues: vec!["cal_first".into()],
    }
}

async fn every_id(store: &Store) -> Vec<String> {
    let records = store.call_records(None, 10_000).await.expect("records");
    records.into_iter().map(|r| r.id).collect()
}

async fn records(place: Place) {
    let store = place.open().await;
    let writer = Writer::start(store.clone(), place.spool());
    for number in (0..450).chain(0..450) {
        writer.record(record(number));
    }
    let other = CallRecord {
        reason: "a second telling".into(),
        ..record(7)
    };
    writer.record(other);
    assert_eq!(writer.finish(SOON).await, 0);
    assert_eq!(std::fs::metadata(place.spool()).expect("spool").len(), 0);
    assert_eq!(store.call_record("cal_0007").await, Ok(record(7)));
    assert_eq!(store.call_record("cal_9").await, Err(Error::NotFound));

    let mut seen: Vec<CallRecord> = Vec::new();
    loop {
        let before = seen.last().map(RecordCursor::of);
        let page = store
            .call_records(before.as_ref(), 101)
            .await
            .expect("page");
        if page.is_empty() {
            break;
        }
        seen.extend(page);
    }
    let newest_first: Vec<CallRecord> = (0..450).rev().map(record).collect();
    assert_eq!(seen, newest_first);
}

async fn records_outlive_a_kill(place: Place) {
    let store = place.open().await;
    let line = |number| serde_json::to_string(&record(number)).expect("JSON");
    let torn = line(2).split_at(40).0.to_owned();
    std::fs::write(place.spool(), format!("{}\n{torn}", line(1))).expect("written");
    let writer = Writer::start(store.clone(), place.spool());
    for number in 10..60 {
        writer.record(record(number));
    }
    drop(writer);
    let writer = Writer::start(store.clone(), place.spool());
    assert_eq!(writer.finish(SOON).await, 0);
    let mut ids = every_id(&store).await;
    ids.sort();
    let expected: Vec<String> = std::iter::once(1)
        .chain(10..60)
        .map(|n| record(n).id)
        .collect();
    assert_eq!(ids, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spool_that_opens_late_is_counted() {
    let folder = tempfile::tempdir().expect("folder");
    let spool = folder.path().join("spool.jsonl");
    std::fs::create_dir(&spool).expect("in the way");
    let store = Store::open("sqlite::memory:", key()).await.expect("opened");
    let writer = Writer::start(store.clone(), spool.clone());
    assert_eq!(writer.backlog(), 0);
    std::fs::remove_dir(&spool).expect("out of the way");
    let left = serde_json::to_string(&record(1)).expect("JSON");
    std::fs::write(&spool, format!("{left}\n")).expect("of an earlier run");
    writer.record(record(2));
    assert_eq!(writer.finish(SOON).await, 0);
    assert_eq!(every_id(&store).await.len(), 2);
}

async fn strange_records(place: Place) {
    let store = place.open().await;
    let mut nul = record(1);
    nul.from = "a\0b".into();
    nul.tags = vec![("k\0".into(), "\u{1}".into())];
    nul.legs[0].loss_in = f64::NAN;
    nul.legs[0].rtt_ms = Some(f64::INFINITY);
    let mut state = 1u64;
    let mut noise = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        format!("{state:x}")
    };
    let endless = CallRecord {
        id: (0..2_000).map(|_| noise()).collect(),
        ..record(2)
    };
    let id = endless.id.clone();
    let writer = Writer::start(store.clone(), place.spool());
    for record in [nul, endless, record(3)] {
        writer.record(record);
    }
    assert_eq!(writer.finish(SOON).await, 0);
    let read = store.call_record("cal_0001").await.expect("there");
    assert_eq!(read.from, "a\u{fffd}b");
    assert_eq!(read.tags, [("k\0".to_owned(), "\u{1}".to_owned())]);
    assert_eq!((read.legs[0].loss_in, read.legs[0].rtt_ms), (0.0, None));
    assert_eq!(store.call_record("cal_0003").await, Ok(record(3)));
    // PostgreSQL cannot index a key that long; such a record is put aside and holds up nobody.
    if place.url.starts_with("postgres") {
        let rejected = rejected(&place.spool());
        assert!(rejected.contains(&id));
    } else {
        store.call_record(&id).await.expect("SQLite takes it");
    }
}

fn rejected(spool: &Path) -> String {
    std::fs::read_to_string(spool.with_extension("jsonl.rejected")).expect("the rejected records")
}

fn registration(extension: &str, expires_at_ms: i64) -> Registration {
    Registration {
        extension: extension.into(),
        binding: format!("sip:{extension}@192.0.2.1:5060"),
        contact: format!("sip:{extension}@192.0.2.1:5060"),
        source: "192.0.2.1:5060".into(),
        local: "192.0.2.9:5060".into(),
        transport: "udp".into(),
        user_agent: "Phone\0 1".into(),
        call_id: "abc@phone".into(),
        cseq: u32::MAX,
        expires_at_ms,
        registered_at_ms: 1_700_000_000_000,
        instance: "<urn:uuid:0>".into(),
        reg_id: 2,
        path: vec![
            "<sip:edge\0.example;lr;ob>".into(),
            "<sip:core.example;lr>".into(),
        ],
        gruu_key: "0123456789abcdef".into(),
        host: "pbx.example".into(),
    }
}

async fn registrations_outlive_a_restart(place: Place) {
    let store = place.open().await;
    store
        .create_extension(&extension("104"))
        .await
        .expect("made");
    let writer = Writer::start(store.clone(), place.spool());
    for (extension, expires) in [("101", 500), ("102", 2_000), ("103", 2_000), ("104", 2_000)] {
        writer.keep(registration(extension, expires));
    }
    writer.keep(registration("102", 3_000));
    let gone = registration("103", 0);
    writer.drop_registration(gone.extension, gone.binding);
    writer.finish(SOON).await;
    store.delete_extension("104").await.expect("deleted");
    drop(store);
    let store = place.open().await;
    let expected = Registration {
        user_agent: "Phone\u{fffd} 1".into(),
        path: vec![
            "<sip:edge\0.example;lr;ob>".into(),
            "<sip:core.example;lr>".into(),
        ],
        ..registration("102", 3_000)
    };
    assert_eq!(store.registrations(1_000).await, Ok(vec![expected]));
    assert_eq!(store.registrations(3_000).await, Ok(vec![]));
}

fn subscription(id: &str, expires_at_ms: i64) -> Subscription {
    Subscription {
        id: id.into(),
        subscriber: "103".into(),
        watched: "102".into(),
        is_list: false,
        host: "pbx.example".into(),
        event: "dialog;id=7".into(),
        call_id: "a\0b".into(),
        notifier: "<sip:102@pbx.example>;tag=1".into(),
        remote: "\"\u{e4}'\" <sip:103@pbx.example>;tag=2".into(),
        target: "sip:103@192.0.2.3:5060".into(),
        routes: vec!["<sip:edge.example;lr>".into()],
        contact_user: "102".into(),
        cseq: 128,
        remote_cseq: 4,
        source: "192.0.2.3:5060".into(),
        local: "192.0.2.1:5060".into(),
        transport: "udp".into(),
        expires_at_ms,
    }
}

async fn subscriptions_outlive_a_restart(place: Place) {
    let store = place.open().await;
    let writer = Writer::start(store.clone(), place.spool());
    for (id, expires) in [("a", 500), ("b", 2_000), ("c", 2_000)] {
        writer.keep_subscription(subscription(id, expires));
    }
    writer.keep_subscription(subscription("b", 3_000));
    writer.drop_subscription("c".into());
    writer.finish(SOON).await;
    drop(store);
    let store = place.open().await;
    let expected = subscription("b", 3_000);
    assert_eq!(store.subscriptions(1_000).await, Ok(vec![expected]));
    let writer = Writer::start(store.clone(), place.spool());
    writer.drop_subscription("b".into());
    writer.finish(SOON).await;
    assert_eq!(store.subscriptions(1_000).await, Ok(vec![]));
}

async fn message_summaries(place: Place) {
    let store = place.open().await;
    let counts = MessageSummary {
        new: 2,
        old: 8,
        urgent_new: 1,
        urgent_old: 0,
    };
    let none = MessageSummary::default();
    assert_eq!(store.message_summary("101").await, Ok(none));
    store
        .create_extension(&extension("101"))
        .await
        .expect("made");
    store.set_message_summary("101", &none).await.expect("set");
    store
        .set_message_summary("101", &counts)
        .await
        .expect("set");
    let store = place.open().await;
    assert_eq!(store.message_summary("101").await, Ok(counts));
    let all = store.message_summaries().await;
    assert_eq!(all, Ok(vec![("101".to_owned(), counts)]));
    store.delete_extension("101").await.expect("deleted");
    assert_eq!(store.message_summaries().await, Ok(vec![]));
}

/// Who registered with the old password is not let in again by a restart; any other change leaves phones alone.
async fn a_new_password_ends_the_registrations(place: Place) {
    let store = place.open().await;
    let writer = Writer::start(store.clone(), place.spool());
    for number in ["101", "102"] {
        store
            .create_extension(&extension(number))
            .await
            .expect("made");
        writer.keep(registration(number, 2_000));
    }
    writer.finish(SOON).await;
    let renamed = Extension {
        name: "Anna".into(),
        ..extension("101")
    };
    store.update_extension(&renamed).await.expect("changed");
    let others = |all: Vec<Registration>| all.into_iter().map(|r| r.extension).collect::<Vec<_>>();
    assert_eq!(
        others(store.registrations(0).await.expect("read")),
        ["101", "102"]
    );
    let secured = Extension {
        ha1: ha1("101", "office", "another password"),
        ..renamed
    };
    store.update_extension(&secured).await.expect("changed");
    assert_eq!(others(store.registrations(0).await.expect("read")), ["102"]);
}

/// The longest unheard of come first, whatever their names.
async fn registrations_come_in_order_of_age(place: Place) {
    let store = place.open().await;
    let writer = Writer::start(store.clone(), place.spool());
    for (number, at) in [("101", 30), ("102", 10), ("103", 20)] {
        writer.keep(Registration {
            registered_at_ms: at,
            ..registration(number, 2_000)
        });
    }
    writer.finish(SOON).await;
    let all = store.registrations(0).await.expect("read");
    let numbers: Vec<&str> = all.iter().map(|r| r.extension.as_str()).collect();
    assert_eq!(numbers, ["102", "103", "101"]);
}

fn ban(n: u32) -> Ban {
    Ban {
        id: Ban::id_of(1_700_000_000_000, n),
        network: "192.0.2.7".into(),
        extension: None,
        reason: "wrong passwords".into(),
        by_hand: false,
        times: 2,
        since_ms: 1_700_000_000_000,
        until_ms: Some(1_700_000_600_000),
    }
}

async fn bans_outlive_a_restart(place: Place) {
    let store = place.open().await;
    let writer = Writer::start(store.clone(), place.spool());
    let by_hand = Ban {
        extension: Some("101".into()),
        by_hand: true,
        until_ms: None,
        ..ban(2)
    };
    for ban in [ban(3), ban(1), by_hand.clone(), ban(4)] {
        writer.keep_ban(ban);
    }
    let again = Ban { times: 3, ..ban(1) };
    writer.keep_ban(again.clone());
    writer.drop_ban(ban(4).id);
    writer.finish(SOON).await;
    drop(store);
    let store = place.open().await;
    assert_eq!(store.bans().await, Ok(vec![again, by_hand, ban(3)]));
    let writer = Writer::start(store.clone(), place.spool());
    writer.drop_ban(ban(3).id);
    writer.drop_ban(ban(9).id);
    writer.finish(SOON).await;
    assert_eq!(store.bans().await.expect("read").len(), 2);
}

fn message(id: i64, body: &[u8]) -> StoredMessage {
    StoredMessage {
        id,
        extension: "103".into(),
        sender: "101".into(),
        sender_name: "Änne".into(),
        content_type: "text/plain;charset=UTF-8".into(),
        body: body.to_vec(),
        sent_at_ms: 1_700_000_000_000,
        expires_at_ms: 1_700_000_600_000 + id,
    }
}

async fn messages_outlive_a_restart(place: Place) {
    let store = place.open().await;
    let writer = Writer::start(store.clone(), place.spool());
    let odd = message(3, &[0, 255, 13, 10]);
    for message in [odd.clone(), message(1, b"one"), message(2, b"")] {
        writer.keep_message(message);
    }
    writer.drop_message(1);
    writer.finish(SOON).await;
    drop(store);
    let store = place.open().await;
    let all = vec![message(2, b""), odd.clone()];
    assert_eq!(store.messages(1_700_000_000_000).await, Ok(all));
    assert_eq!(store.messages(1_700_000_600_002).await, Ok(vec![odd]));
}

/// What the database will never take is left out, and what came with it is kept.
async fn one_refused_row_costs_no_other(place: Place) {
    let store = place.open().await;
    let raw = place.raw().await;
    for statement in [
        "CREATE UNIQUE INDEX no_two_messages ON messages (sender_name)",
        "CREATE UNIQUE INDEX no_two_bans ON bans (reason)",
    ] {
        sqlx::query(statement).execute(&raw).await.expect("changed");
    }
    let writer = Writer::start(store.clone(), place.spool());
    for n in 1..=5 {
        let name = if n == 3 { 2 } else { n };
        writer.keep_message(StoredMessage {
            sender_name: name.to_string(),
            ..message(n, b"text")
        });
        let id = u32::try_from(n).expect("few");
        writer.keep_ban(Ban {
            reason: name.to_string(),
            ..ban(id)
        });
    }
    writer.finish(SOON).await;
    let messages = store.messages(0).await.expect("read");
    let ids: Vec<i64> = messages.iter().map(|message| message.id).collect();
    assert_eq!(ids, [1, 2, 4, 5]);
    let bans = store.bans().await.expect("read");
    let ids: Vec<String> = bans.into_iter().map(|ban| ban.id).collect();
    assert_eq!(ids, [1, 2, 4, 5].map(|n| ban(n).id));
}

/// The administrator, the writer and readers do not get into each other's way.
async fn many_writers_at_once(place: Place) {
    let store = place.open().await;
    let writer = Writer::start(store.clone(), place.spool());
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..8 {
        let store = store.clone();
        tasks.spawn(async move {
            for n in 0..10 {
                let number = format!("{task}{n:02}");
                store
                    .create_extension(&extension(&number))
                    .await
                    .expect("made");
                store.snapshot().await.expect("snapshot");
                if n % 2 == 0 {
                    store.delete_extension(&number).await.expect("deleted");
                }
            }
        });
    }
    for number in 0..300 {
        writer.record(record(number));
        // Numbers of their own: deleting an extension takes its registrations along.
        writer.keep(registration(&format!("9{number:04}"), 2_000));
    }
    tasks.join_all().await;
    assert_eq!(writer.finish(SOON).await, 0);
    assert_eq!(store.extension_count().await, Ok(40));
    assert_eq!(every_id(&store).await.len(), 300);
    assert_eq!(store.registrations(0).await.expect("read").len(), 300);
}

#[tokio::test(flavor = "multi_thread")]
async fn records_wait_while_postgres_is_away() {
    let server = Postgres::new();
    let place = Place {
        url: server.url("postgres"),
        folder: tempfile::tempdir().expect("folder"),
    };
    let store = place.open().await;
    let writer = Writer::start(store.clone(), place.spool());
    writer.record(record(0));
    until(|| writer.backlog() == 0).await;

    server.stop();
    let start = Instant::now();
    for number in 1..500 {
        writer.record(record(number));
    }
    writer.keep(registration("101", 2_000));
    assert!(
        start.elapsed() < Duration::from_millis(500),
        "the caller was held up"
    );
    assert_eq!(writer.backlog(), 499);
    let error = store.snapshot().await.expect_err("away");
    assert!(matches!(error, Error::Unavailable(_)), "{error}");
    assert_eq!(writer.finish(Duration::from_millis(300)).await, 499);

    // A second run is killed while the database is still away; in the third it comes back.
    let killed = Writer::start(store.clone(), place.spool());
    assert_eq!(killed.backlog(), 499);
    killed.record(record(500));
    drop(killed);
    let writer = Writer::start(store.clone(), place.spool());
    let backlog = writer.watch();
    assert_eq!((writer.backlog(), backlog.records()), (500, 500));
    writer.keep(registration("102", 2_000));
    server.start();
    until(|| backlog.records() == 0).await;
    assert_eq!(every_id(&store).await.len(), 501);
    writer.finish(SOON).await;
    let kept = store.registrations(0).await.expect("registrations");
    assert_eq!(
        kept.len(),
        1,
        "the third run's: the first ended while the database was away"
    );
}

async fn until(condition: impl Fn() -> bool) {
    let deadline = Instant::now() + SOON;
    let mut interval = tokio::time::interval(Duration::from_millis(10));
    while !condition() {
        assert!(Instant::now() < deadline, "it did not happen in time");
        interval.tick().await;
    }
}
