//! What one script, one thread and one set of files may use.

use std::time::Duration;

/// Bounds of a script. "Between verbs" starts anew whenever the Switch has answered a verb.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Rhai operations between verbs.
    pub operations: u64,
    /// CPU time of the script's thread between verbs.
    pub cpu: Duration,
    /// Verbs of one call.
    pub verbs: u32,
    /// `dial`s of one call.
    pub dials: u32,
    /// How deep functions may call one another.
    pub call_depth: usize,
    /// Bytes of a string, and of all strings inside one array or map.
    pub string_bytes: usize,
    /// Elements of an array, nested ones included.
    pub array_items: usize,
    /// Entries of a map, nested ones included.
    pub map_entries: usize,
    /// Variables alive at once.
    pub variables: usize,
    /// Lines `log` and `print` may write for one call; more are dropped.
    pub log_lines: u32,
    /// Bytes of a script's stack; only what it touches is ever committed.
    pub stack_bytes: usize,
    /// Letters a script thread's mailbox holds before new scripts are refused.
    pub mailbox: usize,
    /// Scripts alive on one thread.
    pub scripts: usize,
    /// Bytes of all script files together.
    pub source_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            operations: 200_000,
            cpu: Duration::from_millis(50),
            verbs: 500,
            dials: 40,
            call_depth: 32,
            string_bytes: 64 * 1024,
            array_items: 4096,
            map_entries: 1024,
            variables: 512,
            log_lines: 200,
            stack_bytes: 1024 * 1024,
            mailbox: 1024,
            scripts: 10_000,
            source_bytes: 1024 * 1024,
        }
    }
}
