//! CPU time of a process, all its threads, from /proc.

use std::fs;
use std::path::PathBuf;

/// Nanoseconds that the process has run. Threads that ended since are missing; a server's stay.
pub fn nanoseconds(pid: u32) -> u64 {
    let tasks = fs::read_dir(format!("/proc/{pid}/task"));
    let paths = tasks
        .into_iter()
        .flatten()
        .flatten()
        .map(|task| task.path());
    paths.filter_map(of_task).sum()
}

fn of_task(path: PathBuf) -> Option<u64> {
    let text = fs::read_to_string(path.join("schedstat")).ok()?;
    text.split_ascii_whitespace().next()?.parse().ok()
}

/// Processes that ran or wanted to, over the last minute.
pub fn load_average() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let first = text.split_ascii_whitespace().next();
    first.and_then(|word| word.parse().ok()).unwrap_or(f64::NAN)
}
