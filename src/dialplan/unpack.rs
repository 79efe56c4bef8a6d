//! What a new installation starts with: the default dialplan and the prompts, carried inside the program.

use include_dir::{Dir, DirEntry, include_dir};
use std::fs;
use std::io;
use std::path::Path;

static DIALPLAN: Dir = include_dir!("$CARGO_MANIFEST_DIR/../../dialplan");
static SOUNDS: Dir = include_dir!("$CARGO_MANIFEST_DIR/../../sounds");

/// Copies `dialplan/` and `sounds/` into `data_dir`, each only when it is absent there.
///
/// # Errors
/// The folder cannot be written.
pub fn unpack(data_dir: &Path) -> io::Result<()> {
    fs::create_dir_all(data_dir)?;
    folder(&DIALPLAN, data_dir, "dialplan", "rhai")?;
    folder(&SOUNDS, data_dir, "sounds", "flac")
}

/// The folder appears with all its files or not at all.
fn folder(from: &Dir, data_dir: &Path, name: &str, ending: &str) -> io::Result<()> {
    let to = data_dir.join(name);
    if to.exists() {
        return Ok(());
    }
    let unfinished = data_dir.join(format!(".{name}.new"));
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished)?;
    }
    copy(from, &unfinished, ending)?;
    fs::rename(unfinished, to)
}

fn copy(from: &Dir, to: &Path, ending: &str) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in from.entries() {
        let Some(name) = entry.path().file_name() else {
            continue;
        };
        match entry {
            DirEntry::Dir(dir) => copy(dir, &to.join(name), ending)?,
            DirEntry::File(file) if file.path().extension().is_some_and(|e| e == ending) => {
                fs::write(to.join(name), file.contents())?;
            }
            DirEntry::File(_) => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Dialplan, Limits};

    #[test]
    fn a_new_installation_gets_a_dialplan_that_loads_and_prompts() {
        let dir = tempfile::tempdir().unwrap();
        unpack(dir.path()).unwrap();
        assert!(dir.path().join("sounds/not-in-service.flac").is_file());
        assert!(!dir.path().join("sounds/make.sh").exists());
        let dialplan = Dialplan::load(&dir.path().join("dialplan"), Limits::default())
            .map_err(|e| format!("{e:?}"));
        assert!(dialplan.unwrap().files().contains_key("main.rhai"));
    }

    #[test]
    fn what_the_administrator_wrote_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("dialplan")).unwrap();
        unpack(dir.path()).unwrap();
        assert_eq!(
            fs::read_dir(dir.path().join("dialplan")).unwrap().count(),
            0
        );
        unpack(dir.path()).unwrap();
    }
}
