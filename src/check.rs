//! `offhook check`: everything that can be wrong before the first call, with the remedy.

use crate::config::{Config, Error};
use crate::journal::Journal;
use crate::run::{self, StartError};
use std::path::Path;
use std::time::SystemTime;

/// All faults of configuration, dialplan and database; empty when the PBX would start well.
pub fn check(config: &Config) -> Vec<Error> {
    let mut faults = Vec::new();
    faults.extend(dialplan_faults(config));
    if let (Some(certificate), Some(key)) = (&config.tls.certificate, &config.tls.private_key) {
        faults.extend(certificate_fault(certificate, key));
    }
    let folders = config.tls.folders.iter();
    faults.extend(folders.filter_map(|folder| {
        certificate_fault(&folder.join("fullchain.pem"), &folder.join("privkey.pem"))
    }));
    faults.extend(database_faults(config));
    faults.extend(journal_fault(config));
    faults
}

fn certificate_fault(certificate: &Path, key: &Path) -> Option<Error> {
    let fault = |why: String, hint: &str| {
        Some(Error {
            key: "[tls]".into(),
            why,
            hint: hint.into(),
        })
    };
    let pair = net::Pair {
        certificate: certificate.to_owned(),
        key: key.to_owned(),
    };
    let end_ms = match net::Certificates::load(vec![pair]) {
        Ok(certificates) => certificates.state().expires_at_ms?,
        Err(error) => {
            let hint = "both files must be PEM, and the key must belong to the certificate";
            return fault(error.to_string(), hint);
        }
    };
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now_ms = i64::try_from(now.unwrap_or_default().as_millis()).unwrap_or(i64::MAX);
    let days = (now_ms - end_ms) / (24 * 60 * 60 * 1_000);
    if end_ms >= now_ms {
        return None;
    }
    let why = format!(
        "the certificate {} expired {days} days ago",
        certificate.display()
    );
    fault(why, "renew it: no phone trusts it any more")
}

/// The scripts in the data directory; on a first start those that will be copied there, which are tested.
fn dialplan_faults(config: &Config) -> Vec<Error> {
    let folder = config.data.dir.join("dialplan");
    if !folder.exists() {
        return Vec::new();
    }
    let problems = dialplan::Dialplan::load(&folder, dialplan::Limits::default())
        .err()
        .unwrap_or_default();
    let fault = |problem: dialplan::ScriptError| Error {
        key: folder.join(&problem.file).display().to_string(),
        why: problem.to_string(),
        hint: "mend the script; a running PBX keeps its last good dialplan until then".into(),
    };
    problems.into_iter().map(fault).collect()
}

fn journal_fault(config: &Config) -> Option<Error> {
    let path = config.log.journal.as_deref()?;
    let dir = &config.data.dir;
    if path.parent() == Some(dir.as_path()) && !dir.exists() {
        return None; // The first start makes the folder before the journal.
    }
    let error = Journal::look(path).err()?;
    Some(StartError::journal(path, &error).into())
}

fn database_faults(config: &Config) -> Vec<Error> {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    else {
        return Vec::new();
    };
    match runtime.block_on(run::look_at_store(config)) {
        Ok(()) => Vec::new(),
        Err(error) => vec![error.into()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_journal_that_cannot_be_made_is_told_and_one_that_can_is_not_made() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut config = Config::default();
        config.data.dir = dir.path().join("data");
        let good = dir.path().join("journal");
        config.log.journal = Some(good.clone());
        assert_eq!(check(&config), []);
        assert!(!good.exists());
        config.log.journal = Some(config.data.dir.join("journal"));
        assert_eq!(check(&config), []);
        for bad in [dir.path().to_owned(), dir.path().join("missing/journal")] {
            config.log.journal = Some(bad);
            let faults = check(&config);
            assert_eq!(faults.len(), 1, "{faults:?}");
            assert_eq!(faults[0].key, "[log] journal");
        }
    }
}
