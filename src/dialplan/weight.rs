//! How large a variable's value may grow: asked by Rhai whenever a script touches a variable.
//!
//! Rhai checks what functions return, but not what `map.x = value` builds: such values nested so deeply that
//! dropping them overflowed the native stack and ended the process.

use crate::limits::Limits;
use crate::line::{Answer, mistake};
use rhai::{Dynamic, Engine, EvalContext};

/// How deep arrays and maps may nest.
const MAX_DEPTH: usize = 64;

/// What a value holds, all levels together.
struct Scale {
    items: usize,
    entries: usize,
    bytes: usize,
}

/// Makes `engine` refuse values that are too large.
#[expect(
    deprecated,
    reason = "Rhai marks its unstable calls so; the version is pinned by the lock file"
)]
pub(crate) fn guard(engine: &mut Engine, limits: &Limits) {
    let limits = *limits;
    engine.on_var(move |name, index, context| check(name, index, &context, &limits).map(|()| None));
}

/// `index` counts from the end of the scope; 0 when Rhai does not know it.
fn check(name: &str, index: usize, context: &EvalContext, limits: &Limits) -> Answer<()> {
    let mut newest_first = context.scope().iter_raw();
    let found = match index.checked_sub(1) {
        Some(back) => newest_first.nth(back),
        None => newest_first.find(|(known, ..)| *known == name),
    };
    let Some((_, _, value)) = found else {
        return Ok(());
    };
    if !value.is_array() && !value.is_map() {
        return Ok(());
    }
    let mut scale = Scale {
        items: limits.array_items,
        entries: limits.map_entries,
        bytes: limits.string_bytes,
    };
    match scale.fits(value, 0) {
        Some(()) => Ok(()),
        None => Err(mistake(format!(
            "the value of `{name}` is too large or nests too deeply"
        ))),
    }
}

impl Scale {
    /// `None` when the value does not fit into what is left.
    fn fits(&mut self, value: &Dynamic, depth: usize) -> Option<()> {
        if depth > MAX_DEPTH {
            return None;
        }
        if let Ok(array) = value.as_array_ref() {
            self.items = self.items.checked_sub(array.len())?;
            return array.iter().try_for_each(|one| self.fits(one, depth + 1));
        }
        if let Ok(map) = value.as_map_ref() {
            self.entries = self.entries.checked_sub(map.len())?;
            return map.values().try_for_each(|one| self.fits(one, depth + 1));
        }
        if let Ok(text) = value.as_immutable_string_ref() {
            self.bytes = self.bytes.checked_sub(text.len())?;
        } else if let Ok(blob) = value.as_blob_ref() {
            self.bytes = self.bytes.checked_sub(blob.len())?;
        }
        Some(())
    }
}
