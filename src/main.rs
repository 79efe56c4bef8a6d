//! The command line: `offhook serve`, `offhook check`, `offhook replay`.

use clap::{Args, Parser, Subcommand};
use offhook::config::{self, Config};
use offhook::{check, journal, run};
use std::path::PathBuf;
use std::process::ExitCode;

/// Many small things are made on one thread and dropped on another (records, commands, messages); the system's
/// allocator takes about a tenth of a call's time for that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// An office PBX: phones and trunks over SIP, a Rhai dialplan, a REST API.
#[derive(Parser)]
#[command(name = "offhook", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Start the PBX. With no configuration at all it runs on ./data and SQLite.
    Serve(Where),
    /// Check configuration, dialplan and database; say what is wrong and how to mend it.
    Check(Where),
    /// Run a recorded journal of call events again and print what comes of it.
    Replay {
        /// A file that `[log] journal` wrote.
        file: PathBuf,
    },
}

#[derive(Args)]
struct Where {
    /// The configuration file; without one the defaults hold.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Overrides `[data] dir`.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

impl Where {
    fn load(self) -> Result<Config, Vec<config::Error>> {
        let environment = std::env::vars_os()
            .filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)))
            .collect();
        let mut config = Config::load(self.config.as_deref(), &environment)?;
        if let Some(dir) = self.data_dir {
            config.data.dir = dir;
        }
        Ok(config)
    }
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Task::Serve(place) => place
            .load()
            .map_err(complaints)
            .and_then(|config| run::serve(config).map_err(|e| complaints(vec![e.into()]))),
        Task::Check(place) => place.load().map_err(complaints).and_then(|config| {
            let faults = check::check(&config);
            if faults.is_empty() {
                println!("Configuration, dialplan and database are in order.");
                Ok(())
            } else {
                Err(complaints(faults))
            }
        }),
        Task::Replay { file } => replay(&file),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            eprintln!("{text}");
            ExitCode::FAILURE
        }
    }
}

fn complaints(faults: Vec<config::Error>) -> String {
    faults
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("\n")
}

fn replay(file: &std::path::Path) -> Result<(), String> {
    let told = |at: std::time::Duration, command: &switch::Command| {
        println!("{:>12.6} {command:?}", at.as_secs_f64());
    };
    let sizes = journal::replay(file, told).map_err(|e| format!("{}: {e}", file.display()))?;
    println!("left at the end: {sizes:?}");
    Ok(())
}
