//! PostgreSQL over TLS, as `sslmode` in the database's address asks for it.

use crate::key;
use crate::postgres::Postgres;
use sqlx::{AnyPool, Row};
use store::{Error, OpenError, Store};

async fn open(url: &str) -> Result<Store, String> {
    Store::open(url, key()).await.map_err(|error| match error {
        OpenError::Unreachable { why, .. } => why,
        other => panic!("{other}"),
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_tls_is_talked_to_in_tls() {
    let server = Postgres::with_tls();
    let address = server.url("postgres");
    for mode in ["", "?sslmode=prefer", "?sslmode=require"] {
        let url = format!("{address}{mode}");
        let store = open(&url).await.expect(mode);
        assert_eq!(store.extension_count().await, Ok(0), "{mode}");
        let raw = AnyPool::connect(&url).await.expect("connected");
        let how = "SELECT version FROM pg_stat_ssl WHERE ssl AND pid = pg_backend_pid()";
        let row = sqlx::query(how).fetch_one(&raw).await.expect("TLS");
        assert_eq!(row.get::<String, _>(0), "TLSv1.3", "{mode}");
    }
    let plain = open(&format!("{address}?sslmode=disable")).await;
    let why = plain.err().expect("refused");
    assert!(why.contains("no encryption"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_certificate_is_checked_when_asked() {
    let server = Postgres::with_tls();
    let by_address = server.url("postgres");
    let by_name = by_address.replace("127.0.0.1", "localhost");
    let trusted = format!("&sslrootcert={}", server.certificate().display());
    open(&format!("{by_name}?sslmode=verify-full{trusted}"))
        .await
        .expect("the right name, signed by whom we trust");
    let stranger = open(&format!("{by_name}?sslmode=verify-full")).await;
    let why = stranger.err().expect("refused");
    assert!(why.contains("invalid peer certificate"), "{why}");
    let misnamed = open(&format!("{by_address}?sslmode=verify-full{trusted}")).await;
    let why = misnamed.err().expect("refused");
    assert!(why.contains("not valid for name"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_tls_there_is_none_unless_required() {
    let server = Postgres::new();
    let address = server.url("postgres");
    let store = open(&address).await.expect("connected without");
    assert_eq!(store.realm().await, Ok::<_, Error>(None));
    let required = open(&format!("{address}?sslmode=require")).await;
    let why = required.err().expect("refused");
    assert!(why.contains("server does not support TLS"), "{why}");
}
