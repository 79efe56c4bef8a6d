//! The folder of `*.rhai` files: read whole, written whole.

use crate::limits::Limits;
use crate::source::ScriptError;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

const NAME_RULE: &str =
    "a script's name is lower-case letters, digits, - and _, and ends with .rhai";

/// Every script of the folder. Files that start with a dot (editors make them) and other endings are passed over.
///
/// # Errors
/// What cannot be read, or has a name that is not allowed.
pub(crate) fn read(
    dir: &Path,
    limits: &Limits,
) -> Result<BTreeMap<String, String>, Vec<ScriptError>> {
    let shown = dir.display().to_string();
    let entries = fs::read_dir(dir)
        .map_err(|error| vec![ScriptError::of_file(&*shown, error.to_string())])?;
    let mut files = BTreeMap::new();
    let mut problems = Vec::new();
    let mut left = limits.source_bytes as u64;
    for entry in entries {
        let name = match entry {
            Ok(entry) => entry.file_name().to_string_lossy().into_owned(),
            Err(error) => return Err(vec![ScriptError::of_file(&*shown, error.to_string())]),
        };
        if name.starts_with('.') || !name.ends_with(".rhai") {
            continue;
        }
        match read_one(&dir.join(&name), &name, left) {
            Ok(text) => {
                left = left.saturating_sub(text.len() as u64);
                files.insert(name, text);
            }
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() {
        Ok(files)
    } else {
        Err(problems)
    }
}

fn read_one(path: &Path, name: &str, left: u64) -> Result<String, ScriptError> {
    if !name_is_allowed(name) {
        return Err(ScriptError::of_file(name, NAME_RULE));
    }
    let size = fs::metadata(path)
        .map_err(|error| ScriptError::of_file(name, error.to_string()))?
        .len();
    if size > left {
        return Err(ScriptError::of_file(
            name,
            "the scripts of the folder are too large together",
        ));
    }
    fs::read_to_string(path).map_err(|error| ScriptError::of_file(name, error.to_string()))
}

/// The names that are not allowed, as errors.
pub(crate) fn check_names(files: &BTreeMap<String, String>) -> Vec<ScriptError> {
    files
        .keys()
        .filter(|name| !name_is_allowed(name))
        .map(|name| ScriptError::of_file(name, NAME_RULE))
        .collect()
}

/// `[a-z0-9_-]+.rhai`, so that no name leads out of the folder.
fn name_is_allowed(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-');
    name.strip_suffix(".rhai")
        .is_some_and(|stem| !stem.is_empty() && stem.len() <= 64 && stem.chars().all(plain))
}

/// Makes the folder hold `files` and no other script. Each file is exchanged as a whole; nothing is touched
/// before all of them lie on the disk under other names.
///
/// # Errors
/// The file that could not be written.
pub(crate) fn write(dir: &Path, files: &BTreeMap<String, String>) -> Result<(), ScriptError> {
    let hidden = |name: &str| dir.join(format!(".{name}.new"));
    for (name, text) in files {
        let path = hidden(name);
        if let Err(error) = write_through(&path, text) {
            for name in files.keys() {
                let _ = fs::remove_file(hidden(name));
            }
            return Err(ScriptError::of_file(name, error.to_string()));
        }
    }
    for name in files.keys() {
        fs::rename(hidden(name), dir.join(name))
            .map_err(|error| ScriptError::of_file(name, error.to_string()))?;
    }
    let of_folder =
        |error: io::Error| ScriptError::of_file(dir.display().to_string(), error.to_string());
    for entry in fs::read_dir(dir).map_err(of_folder)? {
        let name = entry
            .map_err(of_folder)?
            .file_name()
            .to_string_lossy()
            .into_owned();
        if name_is_allowed(&name) && !files.contains_key(&name) {
            fs::remove_file(dir.join(&name))
                .map_err(|error| ScriptError::of_file(&*name, error.to_string()))?;
        }
    }
    // The new names last only when the folder itself is on the disk.
    File::open(dir)
        .and_then(|folder| folder.sync_all())
        .map_err(of_folder)
}

fn write_through(path: &Path, text: &str) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}
