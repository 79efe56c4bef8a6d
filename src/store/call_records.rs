//! Call records: one row a call, written by [`crate::Writer`], read newest first.

use crate::row::{Columns, json, plain, word};
use crate::{Result, Store};
use directory::CallRecord;
use sqlx::any::AnyRow;
use sqlx::{Any, Connection, Executor, Transaction};
use std::sync::OnceLock;

/// A place in the list of call records. As text `START_MS.ID`, for example `1767225600000.cal_x`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordCursor {
    pub started_at_ms: i64,
    pub id: String,
}

impl RecordCursor {
    /// The place of `record`: a list continued from it begins with the next older one.
    pub fn of(record: &CallRecord) -> RecordCursor {
        RecordCursor {
            started_at_ms: record.started_at_ms,
            id: record.id.clone(),
        }
    }
}

impl std::fmt::Display for RecordCursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.started_at_ms, self.id)
    }
}

/// The text is not a [`RecordCursor`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a place in the list of call records")]
pub struct NotACursor;

impl std::str::FromStr for RecordCursor {
    type Err = NotACursor;

    fn from_str(text: &str) -> std::result::Result<Self, NotACursor> {
        let (started, id) = text.split_once('.').ok_or(NotACursor)?;
        Ok(RecordCursor {
            started_at_ms: started.parse().map_err(|_| NotACursor)?,
            id: id.to_owned(),
        })
    }
}

impl Store {
    /// Up to `limit` records older than `before` (the newest when `None`), newest first by start.
    pub async fn call_records(
        &self,
        before: Option<&RecordCursor>,
        limit: u32,
    ) -> Result<Vec<CallRecord>> {
        let query = match before {
            Some(before) => sqlx::query(
                "SELECT * FROM call_records WHERE (started_at_ms, id) < ($1, $2) \
                 ORDER BY started_at_ms DESC, id DESC LIMIT $3",
            )
            .bind(before.started_at_ms)
            .bind(plain(&before.id).into_owned()),
            None => sqlx::query(
                "SELECT * FROM call_records ORDER BY started_at_ms DESC, id DESC LIMIT $1",
            ),
        };
        let rows = query.bind(i64::from(limit)).fetch_all(&self.pool).await?;
        rows.iter().map(record).collect()
    }

    /// The record of that call, or [`crate::Error::NotFound`].
    pub async fn call_record(&self, id: &str) -> Result<CallRecord> {
        let row = sqlx::query("SELECT * FROM call_records WHERE id = $1")
            .bind(plain(id).into_owned())
            .fetch_one(&self.pool)
            .await?;
        record(&row)
    }

    /// Inserts all of `records` or none; those that are there already stay as they are. When it returns they
    /// are on the database's disk.
    pub(crate) async fn insert_records(&self, records: &[CallRecord]) -> Result<()> {
        let mut connection = self.pool.acquire().await?;
        let sqlite = connection.backend_name() == "SQLite";
        if sqlite {
            // The spool gives the records up after this, so NORMAL, which syncs later, is not enough.
            connection.execute("PRAGMA synchronous = FULL").await?;
        }
        let mut transaction = connection.begin().await?;
        // Each statement is a hand-over to another thread or to the server: many records share one.
        let (many, few) = records.as_chunks::<TOGETHER>();
        for records in many {
            insert(&mut transaction, insert_many(), records).await?;
        }
        for record in few {
            insert(&mut transaction, insert_one(), std::slice::from_ref(record)).await?;
        }
        transaction.commit().await?;
        if sqlite {
            connection.execute("PRAGMA synchronous = NORMAL").await?;
        }
        Ok(())
    }
}

/// Records in one statement.
const TOGETHER: usize = 16;
const COLUMNS: [&str; 18] = [
    "id",
    "started_at_ms",
    "answered_at_ms",
    "ended_at_ms",
    "direction",
    "caller",
    "callee",
    "dialed",
    "cause",
    "sip_code",
    "ring_ms",
    "talk_ms",
    "tags",
    "reason",
    "legs",
    "segments",
    "merged_into",
    "continues",
];

fn insert_one() -> &'static str {
    static TEXT: OnceLock<String> = OnceLock::new();
    TEXT.get_or_init(|| insert_text(1))
}

fn insert_many() -> &'static str {
    static TEXT: OnceLock<String> = OnceLock::new();
    TEXT.get_or_init(|| insert_text(TOGETHER))
}

/// The statement for `rows` records.
fn insert_text(rows: usize) -> String {
    let width = COLUMNS.len();
    let row = |row: usize| {
        let places: Vec<String> = (1..=width)
            .map(|n| format!("${}", row * width + n))
            .collect();
        format!("({})", places.join(", "))
    };
    let rows: Vec<String> = (0..rows).map(row).collect();
    format!(
        "INSERT INTO call_records ({}) VALUES {} ON CONFLICT (id) DO NOTHING",
        COLUMNS.join(", "),
        rows.join(", ")
    )
}

async fn insert(
    transaction: &mut Transaction<'_, Any>,
    text: &'static str,
    records: &[CallRecord],
) -> Result<()> {
    let mut query = sqlx::query(text);
    for record in records {
        query = query
            .bind(plain(&record.id).into_owned())
            .bind(record.started_at_ms)
            .bind(record.answered_at_ms)
            .bind(record.ended_at_ms)
            .bind(word(&record.direction)?)
            .bind(plain(&record.from).into_owned())
            .bind(plain(&record.to).into_owned())
            .bind(plain(&record.dialed).into_owned())
            .bind(word(&record.cause)?)
            .bind(i64::from(record.sip_code))
            .bind(record.ring_ms)
            .bind(record.talk_ms)
            .bind(json(&record.tags)?)
            .bind(plain(&record.reason).into_owned())
            .bind(json(&record.legs)?)
            .bind(json(&record.segments)?)
            .bind(record.merged_into.as_deref())
            .bind(json(&record.continues)?);
    }
    query.execute(&mut **transaction).await?;
    Ok(())
}

fn record(row: &AnyRow) -> Result<CallRecord> {
    let row = Columns(row);
    Ok(CallRecord {
        id: row.text("id")?,
        started_at_ms: row.number("started_at_ms")?,
        answered_at_ms: row.optional_number("answered_at_ms")?,
        ended_at_ms: row.number("ended_at_ms")?,
        direction: row.word("direction")?,
        from: row.text("caller")?,
        to: row.text("callee")?,
        dialed: row.text("dialed")?,
        cause: row.word("cause")?,
        sip_code: row.number("sip_code")?,
        ring_ms: row.number("ring_ms")?,
        talk_ms: row.number("talk_ms")?,
        tags: row.json("tags")?,
        reason: row.text("reason")?,
        legs: row.json("legs")?,
        segments: row.json("segments")?,
        merged_into: row.optional_text("merged_into")?,
        continues: row.json("continues")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_survives_being_text() {
        let cursor = RecordCursor {
            started_at_ms: -5,
            id: "cal_a.b".into(),
        };
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
        assert_eq!("x.y".parse::<RecordCursor>(), Err(NotACursor));
        assert_eq!("5".parse::<RecordCursor>(), Err(NotACursor));
    }
}
