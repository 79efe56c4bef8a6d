//! The scripts: reading, replacing and reloading them. What they mean is the business of whoever implements [`Dialplan`].

use crate::Shared;
use crate::body::Object;
use crate::error::Error;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use directory::Invalid;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The scripts as the API sees them. Most calls may block: they are made off the async threads, one at a time.
pub trait Dialplan: Send + Sync {
    /// File name → source, as last accepted.
    fn files(&self) -> BTreeMap<String, String>;
    /// Replaces all scripts; when it refuses, the old ones stay.
    fn replace(&self, files: BTreeMap<String, String>) -> Result<(), Vec<ScriptProblem>>;
    /// Which scripts serve. This call and the next do not block.
    fn standing(&self) -> Standing;
    /// What is wrong with the scripts in the folder, when they do not serve.
    fn refused(&self) -> Vec<ScriptProblem>;
    /// Reads the scripts from their folder again; when it refuses, the old ones stay.
    fn reload(&self) -> Result<(), Vec<ScriptProblem>>;
}

/// Which scripts serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Those of the folder.
    Ok,
    /// Older ones: those of the folder are refused.
    Old,
    /// None at all: only emergency calls go out.
    None,
}

/// One thing wrong with a script.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ScriptProblem {
    pub file: String,
    /// From 1; `None` when the problem has no place.
    pub line: Option<usize>,
    /// From 1.
    pub column: Option<usize>,
    pub why: String,
}

pub(crate) async fn show(
    State(shared): State<Arc<Shared>>,
) -> Result<Json<BTreeMap<String, String>>, Error> {
    on_scripts(&shared, |dialplan| dialplan.files())
        .await
        .map(Json)
}

pub(crate) async fn replace(
    State(shared): State<Arc<Shared>>,
    Object(members): Object,
) -> Result<Json<BTreeMap<String, String>>, Error> {
    let mut files = BTreeMap::new();
    let mut wrong = Vec::new();
    if members.is_empty() {
        wrong.push(Invalid::new("", "must have at least one script"));
    }
    for (name, source) in members {
        if !is_script_name(&name) {
            let why = "must be a file name of at most 64 letters, digits, _ and -, ending in .rhai";
            wrong.push(Invalid::new(name, why));
        } else if let serde_json::Value::String(source) = source {
            files.insert(name, source);
        } else {
            wrong.push(Invalid::new(name, "must be a string: the script's source"));
        }
    }
    if !wrong.is_empty() {
        return Err(Error::Invalid(wrong));
    }
    on_scripts(&shared, |dialplan| {
        dialplan.replace(files)?;
        Ok(dialplan.files())
    })
    .await?
    .map(Json)
    .map_err(Error::Scripts)
}

pub(crate) async fn reload(State(shared): State<Arc<Shared>>) -> Result<StatusCode, Error> {
    on_scripts(&shared, |dialplan| dialplan.reload())
        .await?
        .map_err(Error::Scripts)?;
    Ok(StatusCode::NO_CONTENT)
}

/// Does `work` where it may block. It goes on when the client goes away, and holds its turn until it is done.
async fn on_scripts<T: Send + 'static>(
    shared: &Arc<Shared>,
    work: impl FnOnce(&dyn Dialplan) -> T + Send + 'static,
) -> Result<T, Error> {
    let shared = Arc::clone(shared);
    let task = tokio::spawn(async move {
        let _turn = shared.scripts.lock().await;
        let dialplan = Arc::clone(&shared.api.dialplan);
        tokio::task::spawn_blocking(move || work(&*dialplan)).await
    });
    match task.await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(panic)) | Err(panic) => Err(Error::broken(&panic)),
    }
}

/// A plain name in one folder: nothing that could lead out of it, or be hidden in it.
fn is_script_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    let stem = name.strip_suffix(".rhai").unwrap_or_default();
    (1..=64).contains(&stem.len()) && stem.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_name_leads_nowhere_else() {
        assert!(is_script_name("main.rhai"));
        for name in ["", ".rhai", "../a.rhai", "a/b.rhai", "a.b.rhai", "main"] {
            assert!(!is_script_name(name), "{name}");
        }
    }
}
