//! Every route through the router, on SQLite and on PostgreSQL.
//!
//! The PostgreSQL is one of the suite's own, or that of `OFFHOOK_TEST_POSTGRES` (an address). Each answer is also
//! held against `openapi.json` (`schema.rs`). Next: `office.rs`, the API with its surroundings faked.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

/// Makes each of the module's stories, `async fn(Office)`, a test on SQLite, and `on_postgres`, which runs them all.
macro_rules! on_both_databases {
    ($($story:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $story() {
                super::$story(crate::office::Office::on_sqlite().await).await;
            })*
        }

        pub(crate) async fn on_postgres(server: &str) {
            $({
                let name = concat!(module_path!(), "::", stringify!($story));
                println!("{name} on PostgreSQL");
                $story(crate::office::Office::on_postgres(server, name).await).await;
            })*
        }
    };
}

mod access;
mod bans;
mod conferences;
mod dialplan;
mod extensions;
mod live;
mod message_summary;
mod office;
#[path = "../../../store/tests/postgres.rs"]
#[expect(dead_code, reason = "this suite never stops its server by hand")]
mod postgres;
mod records;
mod routes;
mod schema;
mod server;
mod trace;
mod trunks;
mod weather;

/// One test, so that one server serves all stories and ends with them.
#[tokio::test]
async fn every_story_on_postgresql() {
    let given = std::env::var("OFFHOOK_TEST_POSTGRES").ok();
    let own = given.is_none().then(postgres::Postgres::new);
    let url = given.or_else(|| own.as_ref().map(|own| own.url("postgres")));
    let url = url.expect("given or own");
    access::on_postgres(&url).await;
    extensions::on_postgres(&url).await;
    live::on_postgres(&url).await;
    message_summary::on_postgres(&url).await;
    records::on_postgres(&url).await;
    trunks::on_postgres(&url).await;
    weather::on_postgres(&url).await;
}
