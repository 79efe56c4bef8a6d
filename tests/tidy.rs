//! Keeps the house tidy: file and function sizes, imports that point down, banned words, missing `//!`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

const FILE_LINES: usize = 500;

fn rust_files(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("a readable folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// Every Rust file of `src/`, with its text; paths relative to the root.
fn sources() -> BTreeMap<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    rust_files(&root.join("src"), &mut files);
    let text = |path: &PathBuf| fs::read_to_string(path).expect("a readable file");
    let name = |path: &PathBuf| {
        path.strip_prefix(root)
            .expect("below the root")
            .display()
            .to_string()
    };
    files.iter().map(|path| (name(path), text(path))).collect()
}

fn production(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .take_while(|line| !line.starts_with("#[cfg(test)]"))
}

fn is_test(path: &str) -> bool {
    ["/tests/", "/benches/", "/examples/"]
        .iter()
        .any(|folder| path.contains(folder))
}

#[test]
fn files_stay_small() {
    let code = |line: &&str| !line.trim().is_empty() && !line.trim_start().starts_with("//");
    let big: Vec<_> = sources()
        .iter()
        .filter(|(path, _)| !is_test(path))
        .map(|(path, text)| (production(text).filter(code).count(), path.clone()))
        .filter(|(lines, _)| *lines > FILE_LINES)
        .collect();
    assert!(
        big.is_empty(),
        "over {FILE_LINES} code lines; split by verb or noun: {big:?}"
    );
}

#[test]
fn every_room_says_what_it_is() {
    let mute: Vec<_> = sources()
        .into_iter()
        .filter(|(_, text)| !text.starts_with("//!"))
        .map(|(path, _)| path)
        .collect();
    assert!(mute.is_empty(), "files must open with //!: {mute:?}");
}

#[test]
fn no_file_is_named_after_nothing() {
    let vague = [
        "utils", "util", "manager", "handler", "helper", "helpers", "common", "inner", "misc",
    ];
    let named: Vec<_> = sources()
        .into_keys()
        .filter(|path| {
            Path::new(path)
                .file_stem()
                .and_then(|s| s.to_str())
                .is_some_and(|s| vague.contains(&s))
        })
        .collect();
    assert!(named.is_empty(), "name them after what they do: {named:?}");
}

#[test]
fn imports_point_down() {
    let allowed: BTreeMap<&str, &[&str]> = BTreeMap::from([
        ("sip", [].as_slice()),
        ("media", &[]),
        ("directory", &[]),
        ("switch", &["sip", "media", "directory"]),
        ("store", &["directory"]),
        ("dialplan", &["switch", "directory", "store"]),
        ("api", &["switch", "directory", "store"]),
        ("net", &["sip", "media"]),
    ]);
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (room, below) in &allowed {
        let manifest =
            fs::read_to_string(root.join("src").join(room).join("Cargo.toml")).expect("a manifest");
        let dependencies = manifest
            .split("[dev-dependencies]")
            .next()
            .unwrap_or_default();
        for other in allowed.keys().filter(|other| *other != room) {
            let imports = dependencies
                .lines()
                .any(|line| line.starts_with(&format!("{other}.workspace")));
            assert!(
                !imports || below.contains(other),
                "{room} must not import {other}"
            );
        }
        let pure = ["sip", "media", "directory", "switch"].contains(room);
        assert!(
            !pure || !dependencies.contains("tokio"),
            "{room} is pure: no tokio"
        );
    }
}

/// Clippy reads the nearest `clippy.toml` only.
#[test]
fn the_pure_crates_ban_clocks_and_keep_the_limits() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &Path| fs::read_to_string(path).expect("a clippy.toml");
    let limits = read(&root.join("clippy.toml"));
    for room in ["sip", "media", "directory", "switch"] {
        let own = read(&root.join("src").join(room).join("clippy.toml"));
        assert!(own.contains("\"std::time::Instant::now\""), "{room}");
        for line in limits.lines() {
            assert!(own.lines().any(|l| l == line), "{room} lacks {line}");
        }
    }
}

#[test]
fn nothing_is_left_unfinished() {
    let marks = [
        "todo!(",
        "unimplemented!(",
        "FIXME",
        "TODO",
        "XXX",
        "dbg!(",
        "#[ignore",
        "#[allow(",
    ];
    let mut found = Vec::new();
    for (path, text) in sources() {
        for (number, line) in text.lines().enumerate() {
            if marks.iter().any(|mark| line.contains(mark)) {
                found.push(format!("{path}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn every_file_belongs_to_a_module() {
    let sources = sources();
    for path in sources.keys().filter(|path| !is_test(path)) {
        let file = Path::new(path);
        let stem = file.file_stem().and_then(|s| s.to_str()).expect("a name");
        if matches!(stem, "lib" | "main" | "build") {
            continue;
        }
        let folder = file.parent().expect("a folder");
        let (name, parents) = if stem == "mod" {
            let name = folder.file_name().and_then(|s| s.to_str()).expect("a name");
            (
                name.to_owned(),
                folder.parent().expect("a folder").to_path_buf(),
            )
        } else {
            (stem.to_owned(), folder.to_path_buf())
        };
        let declared = |text: &String| {
            text.lines().any(|line| {
                let line = line
                    .trim_start_matches("pub ")
                    .trim_start_matches("pub(crate) ");
                line == format!("mod {name};")
            })
        };
        let homes =
            ["lib.rs", "mod.rs", "main.rs"].map(|home| parents.join(home).display().to_string());
        let beside = format!("{}.rs", parents.display());
        let known = homes
            .iter()
            .chain([&beside])
            .filter_map(|home| sources.get(home))
            .any(declared);
        assert!(known, "{path} is in no module: dead file");
    }
}
