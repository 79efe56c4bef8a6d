//! `offhook check`: everything that can be wrong before the first call, with the remedy.

use crate::config::{Config, Error};
use crate::run;

/// All faults of configuration, dialplan and database; empty when the PBX would start well.
pub fn check(config: &Config) -> Vec<Error> {
    let mut faults = Vec::new();
    faults.extend(dialplan_faults(config));
    if let (Some(certificate), Some(key)) = (&config.tls.certificate, &config.tls.private_key)
        && let Err(error) = net::tls::server_config(certificate, key)
    {
        faults.push(Error {
            key: "[tls]".into(),
            why: error.to_string(),
            hint: "both files must be PEM, and the key must belong to the certificate".into(),
        });
    }
    faults.extend(database_faults(config));
    faults
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

fn database_faults(config: &Config) -> Vec<Error> {
    if config.database.url.is_empty() && !config.data.dir.join("offhook.db").exists() {
        return Vec::new();
    }
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    else {
        return Vec::new();
    };
    let opened = runtime.block_on(async {
        let store = run::open_store(config).await?;
        run::check_realm(config, &store).await
    });
    match opened {
        Ok(()) => Vec::new(),
        Err(error) => vec![error.into()],
    }
}
