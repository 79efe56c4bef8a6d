//! What a new installation starts with: the default dialplan and the prompts, carried inside the program.

use include_dir::{Dir, DirEntry, include_dir};
use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::Path;

static DIALPLAN: Dir = include_dir!("$CARGO_MANIFEST_DIR/../../dialplan");
static SOUNDS: Dir = include_dir!("$CARGO_MANIFEST_DIR/../../sounds");

/// Copies `dialplan/` and `sounds/` into `data_dir`, each only when it is absent there; into a `sounds/` that is there
/// come the sounds of ours that it has under no ending, for this program may be newer than the folder.
///
/// # Errors
/// The folder cannot be written; a `sounds/` that is there need not be.
pub fn unpack(data_dir: &Path) -> io::Result<()> {
    fs::create_dir_all(data_dir)?;
    folder(&DIALPLAN, data_dir, "dialplan", "rhai")?;
    folder(&SOUNDS, data_dir, "sounds", "flac")?;
    if let Err(error) = complete(data_dir) {
        tracing::warn!(%error, "sounds that are new with this version cannot be put into sounds/");
    }
    Ok(())
}

/// Adds the sounds that are missing. A file appears whole or not at all.
fn complete(data_dir: &Path) -> io::Result<()> {
    let sounds = data_dir.join("sounds");
    let mut known = HashSet::new();
    for entry in fs::read_dir(&sounds)? {
        known.extend(
            Path::new(&entry?.file_name())
                .file_stem()
                .map(OsStr::to_owned),
        );
    }
    for file in SOUNDS.files() {
        let path = file.path();
        let (Some(name), Some(stem)) = (path.file_name(), path.file_stem()) else {
            continue;
        };
        if path.extension().is_some_and(|e| e == "flac") && !known.contains(stem) {
            let unfinished = data_dir.join(".sound.new");
            fs::write(&unfinished, file.contents())?;
            fs::rename(unfinished, sounds.join(name))?;
        }
    }
    Ok(())
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
    fn an_older_folder_gets_the_sounds_it_lacks_and_keeps_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let sounds = dir.path().join("sounds");
        fs::create_dir_all(sounds.join("music-on-hold")).unwrap();
        fs::write(sounds.join("hello.flac"), "ours").unwrap();
        fs::write(sounds.join("goodbye.wav"), "ours").unwrap();
        unpack(dir.path()).unwrap();
        assert_eq!(fs::read(sounds.join("hello.flac")).unwrap(), b"ours");
        assert!(sounds.join("beep.flac").is_file());
        for name in ["goodbye.flac", "music-on-hold.flac", "make.sh"] {
            assert!(!sounds.join(name).exists(), "{name}");
        }
        fs::remove_dir(sounds.join("music-on-hold")).unwrap();
        unpack(dir.path()).unwrap();
        assert!(sounds.join("music-on-hold.flac").is_file());
        assert!(!dir.path().join(".sound.new").exists());
        // A folder that is no folder stops nobody.
        fs::remove_dir_all(&sounds).unwrap();
        fs::write(&sounds, "").unwrap();
        unpack(dir.path()).unwrap();
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
