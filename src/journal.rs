//! Every event of the Switch with its time, one JSON line each, and how to run them again.

use directory::{Directory, WITHHELD};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, Permissions};
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::time::{Duration, Instant};
use switch::{Command, DefenceConfig, Event, Switch};

/// The journal's first line: what the Switch was started with.
#[derive(Debug, Serialize, Deserialize)]
pub struct Header {
    pub realm: String,
    pub seed: [u8; 32],
    pub origin_unix_ms: i64,
    pub external_host: Option<String>,
    pub external_media: Option<IpAddr>,
    #[serde(default)]
    pub local_networks: Vec<RangeInclusive<IpAddr>>,
    #[serde(default)]
    pub phones: switch::Phones,
    #[serde(default)]
    pub nat_keepalive_s: u64,
    #[serde(default)]
    pub session_expires_s: u64,
    #[serde(default)]
    pub min_se_s: u64,
    pub rtp_port_min: u16,
    pub rtp_port_max: u16,
    pub rtp_timeout_s: u64,
    pub rtp_hold_timeout_s: u64,
    #[serde(default)]
    pub music_on_hold: String,
    pub outbound_prefix: String,
    pub emergency: Vec<String>,
    #[serde(default)]
    pub trace: bool,
    #[serde(default)]
    pub calls: switch::Calls,
    #[serde(default)]
    pub defence: DefenceConfig,
    pub max_calls: usize,
}

impl Header {
    /// The header of a Switch with `config`.
    pub fn of(config: &switch::Config) -> Header {
        Header {
            realm: config.realm.clone(),
            seed: config.seed,
            origin_unix_ms: config.origin_unix_ms,
            external_host: config.external_host.clone(),
            external_media: config.external_media,
            local_networks: config.local_networks.clone(),
            phones: config.phones.clone(),
            nat_keepalive_s: config.nat_keepalive.as_secs(),
            session_expires_s: config.session_expires.as_secs(),
            min_se_s: config.min_se.as_secs(),
            rtp_port_min: config.rtp_port_min,
            rtp_port_max: config.rtp_port_max,
            rtp_timeout_s: config.rtp_timeout.as_secs(),
            rtp_hold_timeout_s: config.rtp_hold_timeout.as_secs(),
            music_on_hold: config.music_on_hold.clone(),
            outbound_prefix: config.outbound_prefix.clone(),
            emergency: config.emergency.clone(),
            trace: config.trace,
            calls: config.calls,
            defence: config.defence.clone(),
            max_calls: config.max_calls,
        }
    }

    /// The configuration again, with its origin at `origin`.
    pub fn config(self, origin: Instant) -> switch::Config {
        switch::Config {
            realm: self.realm,
            seed: self.seed,
            origin,
            origin_unix_ms: self.origin_unix_ms,
            external_host: self.external_host,
            external_media: self.external_media,
            local_networks: self.local_networks,
            phones: self.phones,
            nat_keepalive: Duration::from_secs(self.nat_keepalive_s),
            session_expires: Duration::from_secs(self.session_expires_s),
            min_se: Duration::from_secs(self.min_se_s),
            rtp_port_min: self.rtp_port_min,
            rtp_port_max: self.rtp_port_max,
            rtp_timeout: Duration::from_secs(self.rtp_timeout_s),
            rtp_hold_timeout: Duration::from_secs(self.rtp_hold_timeout_s),
            music_on_hold: self.music_on_hold,
            outbound_prefix: self.outbound_prefix,
            emergency: self.emergency,
            trace: self.trace,
            calls: self.calls,
            defence: self.defence,
            max_calls: self.max_calls,
        }
    }
}

/// One event, `at_us` microseconds after the origin; `None`: a timer was due.
#[derive(Debug, Serialize, Deserialize)]
struct Line {
    at_us: u64,
    event: Option<Event>,
}

/// Writes a journal. A journal that cannot be written stops; the calls go on.
pub struct Journal {
    file: Option<BufWriter<File>>,
    origin: Instant,
    /// Of every trunk that has a password: that, and its number among those the trunk has had.
    stand_ins: BTreeMap<String, (String, u64)>,
}

impl Journal {
    /// Starts a journal in `path`, for its owner's eyes only: it holds what people sent, and with the directory the
    /// digests of their passwords, which are as good as those to log in with.
    ///
    /// # Errors
    /// The file cannot be made, or is another's.
    pub fn create(path: &Path, config: &switch::Config) -> std::io::Result<Journal> {
        let file = OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .mode(0o600)
            .open(path)?;
        // The mode above is for a new file only; what is no file (a pipe, a device) keeps its own.
        if file.metadata()?.is_file() {
            file.set_permissions(Permissions::from_mode(0o600))?;
        }
        let mut file = BufWriter::new(file);
        serde_json::to_writer(&mut file, &Header::of(config))?;
        file.write_all(b"\n")?;
        file.flush()?;
        Ok(Journal {
            file: Some(file),
            origin: config.origin,
            stand_ins: BTreeMap::new(),
        })
    }

    /// What would keep [`create`](Journal::create) from succeeding; nothing in `path` changes.
    ///
    /// # Errors
    /// The file cannot be made, or is another's.
    pub fn look(path: &Path) -> std::io::Result<()> {
        match std::fs::metadata(path) {
            Ok(there) if there.is_file() => {
                let file = OpenOptions::new().write(true).open(path)?;
                file.set_permissions(there.permissions())
            }
            Ok(there) if there.is_dir() => Err(std::io::ErrorKind::IsADirectory.into()),
            Ok(_) => Ok(()),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                File::create_new(path)?;
                std::fs::remove_file(path)
            }
            Err(e) => Err(e),
        }
    }

    /// Adds an event, or with `None` the run of due timers.
    pub fn add(&mut self, now: Instant, event: Option<&Event>) {
        if self.file.is_none() {
            return;
        }
        let at_us = u64::try_from(now.saturating_duration_since(self.origin).as_micros())
            .unwrap_or(u64::MAX);
        let mut line = serde_json::json!({ "at_us": at_us, "event": event });
        if let Some(Event::Directory(directory)) = event {
            let stand_ins = self.stand_ins(directory);
            if let Some(place) = line.pointer_mut("/event/Directory/trunk_passwords") {
                *place = stand_ins;
            }
        }
        let Some(file) = &mut self.file else { return };
        let written = serde_json::to_writer(&mut *file, &line)
            .map_err(std::io::Error::from)
            .and_then(|()| file.write_all(b"\n"))
            .and_then(|()| file.flush());
        if let Err(error) = written {
            tracing::warn!(%error, "the journal ends here: it cannot be written");
            self.file = None;
        }
    }
}

impl Journal {
    /// What stands for the passwords of `directory`: the same as long as a password is the same, for a trunk begins
    /// anew when its password changes.
    fn stand_ins(&mut self, directory: &Directory) -> serde_json::Value {
        let mut journalled = serde_json::Map::new();
        for (name, password) in &directory.trunk_passwords {
            let known = self.stand_ins.entry(name.clone()).or_default();
            if known.0 != *password {
                *known = (password.clone(), known.1 + 1);
            }
            journalled.insert(name.clone(), format!("{WITHHELD} {}", known.1).into());
        }
        journalled.into()
    }
}

/// A journal that cannot be run again.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    #[error("cannot read the journal: {0}")]
    Read(#[from] std::io::Error),
    #[error("line {line} is no journal line: {why}")]
    Line { line: usize, why: serde_json::Error },
}

/// Runs the journal in `path` again and tells `told` every command with its time.
///
/// # Errors
/// The file is missing, or not a journal.
pub fn replay(
    path: &Path,
    mut told: impl FnMut(Duration, &Command),
) -> Result<switch::Sizes, ReplayError> {
    let mut lines = BufReader::new(File::open(path)?).lines();
    let first = lines.next().transpose()?.unwrap_or_default();
    let header: Header =
        serde_json::from_str(&first).map_err(|why| ReplayError::Line { line: 1, why })?;
    let origin = Instant::now();
    let mut switch = Switch::new(header.config(origin));
    for (number, line) in lines.enumerate() {
        let line: Line = match serde_json::from_str(&line?) {
            Ok(line) => line,
            Err(why) => {
                return Err(ReplayError::Line {
                    line: number + 2,
                    why,
                });
            }
        };
        let since = Duration::from_micros(line.at_us);
        match line.event {
            Some(event) => switch.handle(origin + since, event),
            None => switch.expire(origin + since),
        }
        while let Some(command) = switch.poll() {
            told(since, &command);
        }
    }
    Ok(switch.sizes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_journal_is_its_owners_also_where_a_file_was() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("old.journal");
        std::fs::write(&path, "for all to read\n").expect("written");
        std::fs::set_permissions(&path, Permissions::from_mode(0o644)).expect("the mode is set");
        let settings = crate::start::switch_config(&crate::config::Config::default());
        let journal = Journal::create(&path, &settings.expect("settings"));
        drop(journal.expect("a journal"));
        let mode = path.metadata().expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        replay(&path, |_, _| {}).expect("a journal without events");
    }

    #[test]
    fn a_new_password_has_a_new_stand_in() {
        let mut journal = Journal {
            file: None,
            origin: Instant::now(),
            stand_ins: BTreeMap::new(),
        };
        let mut stand_in = |password: &str| {
            let office = Directory {
                trunk_passwords: BTreeMap::from([("itsp".into(), password.into())]),
                ..Directory::default()
            };
            journal.stand_ins(&office)["itsp"].to_string()
        };
        let first = stand_in("a");
        assert_eq!(stand_in("a"), first);
        assert_ne!(stand_in("b"), first);
    }
}
