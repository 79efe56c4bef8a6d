//! The numbers of the office: which an extension must not have, because the host routes them itself, and which lead
//! nowhere.

use directory::Directory;
use std::sync::{Mutex, PoisonError};

/// How many numbers a sentence names.
const NAMED: usize = 20;

/// What the host does with numbers before any extension is looked for, and what of the configuration suffers by it.
pub struct Numbers {
    emergency: Vec<String>,
    outbound_prefix: String,
    amiss: Mutex<Amiss>,
}

/// In words, with the numbers.
struct Amiss {
    unreachable: Vec<String>,
    astray: Vec<String>,
}

impl Numbers {
    /// `[emergency] numbers`, `[dialplan] outbound_prefix`, and the office as configured at the start.
    pub fn new(emergency: Vec<String>, outbound_prefix: String, directory: &Directory) -> Self {
        let amiss = Mutex::new(Amiss {
            unreachable: Vec::new(),
            astray: Vec::new(),
        });
        let numbers = Self {
            emergency,
            outbound_prefix,
            amiss,
        };
        numbers.look_at(directory);
        numbers
    }

    /// Why who dials `number` never reaches the extension of that number, if so: `switch::admission` rules it.
    pub(crate) fn taken(&self, number: &str) -> Option<String> {
        if self.emergency.iter().any(|e| e == number) {
            return Some("is an emergency number".to_owned());
        }
        let prefix = self.outbound_prefix.as_str();
        // The prefix alone is an internal number.
        let rest = number.strip_prefix(prefix).unwrap_or_default();
        (!prefix.is_empty() && !rest.is_empty())
            .then(|| format!("begins with the outbound prefix {prefix}"))
    }

    /// Notes what is amiss in the configuration that is now in force.
    pub(crate) fn look_at(&self, directory: &Directory) {
        let extensions = directory.extensions.keys();
        let unreachable =
            extensions.filter_map(|n| self.taken(n).map(|why| format!("{n} ({why})")));
        let leads = directory.trunks.values().flat_map(|trunk| {
            let numbers = trunk.numbers.iter();
            numbers.map(|(called, extension)| (&trunk.name, called, extension))
        });
        let astray = leads
            .filter(|(_, _, extension)| !directory.extensions.contains_key(*extension))
            .map(|(trunk, called, extension)| format!("{called} of {trunk} to {extension}"));
        let amiss = Amiss {
            unreachable: unreachable.collect(),
            astray: astray.collect(),
        };
        *self.amiss.lock().unwrap_or_else(PoisonError::into_inner) = amiss;
    }

    /// What is amiss, a sentence each; `named`: with the numbers, not only how many.
    pub(crate) fn problems(&self, named: bool) -> Vec<String> {
        let amiss = self.amiss.lock().unwrap_or_else(PoisonError::into_inner);
        let sentence = |what: &str, all: &[String]| {
            let told = if named {
                list(all)
            } else {
                all.len().to_string()
            };
            (!all.is_empty()).then(|| format!("{what}: {told}"))
        };
        let unreachable = sentence("extensions that nobody can call", &amiss.unreachable);
        let astray = sentence("numbers of trunks that lead to no extension", &amiss.astray);
        unreachable.into_iter().chain(astray).collect()
    }
}

fn list(all: &[String]) -> String {
    let (some, rest) = all.split_at(all.len().min(NAMED));
    let some = some.join(", ");
    match rest.len() {
        0 => some,
        more => format!("{some} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(prefix: &str) -> Numbers {
        let emergency = vec!["112".to_owned(), "911".to_owned()];
        Numbers::new(emergency, prefix.to_owned(), &Directory::default())
    }

    #[test]
    fn the_hosts_numbers_are_taken_and_no_others() {
        let is_taken = |prefix: &str, number: &str| numbers(prefix).taken(number).is_some();
        for number in ["112", "911", "9112", "90", "9101"] {
            assert!(is_taken("9", number), "{number}");
        }
        for number in ["1", "9", "11", "1120", "1911", "101"] {
            assert!(!is_taken("9", number), "{number}");
        }
        assert!(is_taken("", "112") && is_taken("00", "0049"));
        for number in ["9101", "0", "00"] {
            assert!(!is_taken("", number) && !is_taken("00", number), "{number}");
        }
    }

    #[test]
    fn a_long_list_is_cut_short() {
        let all: Vec<String> = (1..=23).map(|n| n.to_string()).collect();
        assert_eq!(list(&all[..2]), "1, 2");
        assert!(list(&all).ends_with(", 19, 20 and 3 more"));
    }
}
