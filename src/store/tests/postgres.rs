//! A PostgreSQL of one's own: a new cluster in a temporary folder, on a free port of 127.0.0.1, gone with
//! the value.

use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub(crate) struct Postgres {
    bin: PathBuf,
    folder: tempfile::TempDir,
    /// Who runs the server: it refuses to be root.
    user: Option<(u32, u32)>,
    port: u16,
}

impl Postgres {
    /// A running server with superuser `offhook` and the database `postgres`.
    pub(crate) fn new() -> Postgres {
        let postgres = Postgres::cluster();
        postgres.start();
        postgres
    }

    /// The same, but it talks TLS only: with a certificate for `localhost` that it signed itself.
    pub(crate) fn with_tls() -> Postgres {
        let postgres = Postgres::cluster();
        postgres.make_certificate();
        let data = postgres.folder.path().join("data");
        let only_tls = "hostssl all all 127.0.0.1/32 trust\n";
        std::fs::write(data.join("pg_hba.conf"), only_tls).expect("who may connect");
        let settings = data.join("postgresql.auto.conf");
        std::fs::write(settings, "ssl = on\n").expect("the settings");
        postgres.start();
        postgres
    }

    /// The certificate of [`Postgres::with_tls`].
    pub(crate) fn certificate(&self) -> PathBuf {
        self.folder.path().join("data/server.crt")
    }

    fn cluster() -> Postgres {
        let bin = binaries();
        let folder = tempfile::tempdir().expect("a temporary folder");
        let root = std::fs::metadata("/proc/self").expect("/proc").uid() == 0;
        let user = root.then(unprivileged);
        if let Some((uid, gid)) = user {
            chown(folder.path(), Some(uid), Some(gid)).expect("the folder given to that user");
        }
        let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = free.local_addr().expect("its address").port();
        drop(free);
        let postgres = Postgres {
            bin,
            folder,
            user,
            port,
        };
        postgres.run(
            "initdb",
            &["-U", "offhook", "-A", "trust", "-E", "UTF8", "--no-sync"],
        );
        postgres
    }

    fn make_certificate(&self) {
        let mut openssl = self.command("/usr/bin/env", &["openssl", "req", "-x509", "-nodes"]);
        openssl.args(["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]);
        openssl.args(["-subj", "/CN=office database", "-days", "2"]);
        openssl.args(["-addext", "subjectAltName=DNS:localhost"]);
        openssl.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
        openssl.args(["-keyout", "data/server.key", "-out", "data/server.crt"]);
        let made = openssl.status().expect("this test needs openssl");
        assert!(made.success(), "openssl: {made}");
    }

    /// The address of database `name`.
    pub(crate) fn url(&self, name: &str) -> String {
        format!("postgres://offhook:unused@127.0.0.1:{}/{name}", self.port)
    }

    pub(crate) fn start(&self) {
        let options = format!("-F -p {} -h 127.0.0.1 -k ''", self.port);
        let log = self.folder.path().join("log");
        let log = log.to_str().expect("a plain name");
        self.run("pg_ctl", &["start", "-w", "-l", log, "-o", &options]);
    }

    pub(crate) fn stop(&self) {
        self.run("pg_ctl", &["stop", "-w", "-m", "fast"]);
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let mut command = self.command(program, arguments);
        let status = command.arg("-D").arg("data").status();
        let log = || std::fs::read_to_string(self.folder.path().join("log"));
        assert!(
            status.as_ref().is_ok_and(|s| s.success()),
            "{program} {arguments:?}: {status:?}\n{:?}",
            log()
        );
    }

    fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.bin.join(program));
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        if let Some((uid, gid)) = self.user {
            command.uid(uid).gid(gid);
        }
        command
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // It may be stopped already.
        let mut stop = self.command("pg_ctl", &["stop", "-w", "-m", "immediate"]);
        let _stopped = stop.arg("-D").arg("data").status();
    }
}

/// The folder of the newest installed server's programs.
fn binaries() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten();
    let mut found: Vec<(u32, PathBuf)> = versions
        .flatten()
        .filter_map(|entry| {
            let version = entry.file_name().to_str()?.parse().ok()?;
            let bin = entry.path().join("bin");
            bin.join("initdb").exists().then_some((version, bin))
        })
        .collect();
    found.sort();
    if let Some((_, bin)) = found.pop() {
        return bin;
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .find(|folder| folder.join("initdb").exists() && folder.join("pg_ctl").exists())
        .expect("this test needs PostgreSQL's initdb and pg_ctl: apt-get install postgresql")
}

/// Uid and gid of `postgres`, else of `nobody`.
fn unprivileged() -> (u32, u32) {
    let users = std::fs::read_to_string(Path::new("/etc/passwd")).expect("/etc/passwd");
    let find = |name: &str| {
        let line = users.lines().find(|l| l.split(':').next() == Some(name))?;
        let mut ids = line.split(':').skip(2);
        Some((ids.next()?.parse().ok()?, ids.next()?.parse().ok()?))
    };
    find("postgres")
        .or_else(|| find("nobody"))
        .expect("PostgreSQL refuses to run as root and there is no user postgres or nobody")
}
