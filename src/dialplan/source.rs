//! Where in which file: positions in the one text that all files form, told as the administrator knows them.

use rhai::Position;
use std::fmt;

/// What is wrong with a script, and where. Lines and columns count from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptError {
    pub file: String,
    pub line: Option<usize>,
    pub column: Option<usize>,
    pub why: String,
}

impl std::error::Error for ScriptError {}

impl fmt::Display for ScriptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = Place {
            file: self.file.clone(),
            line: self.line,
            column: self.column,
        };
        write!(f, "{at}: {}", self.why)
    }
}

impl ScriptError {
    /// A fault of a whole file or of the folder.
    pub(crate) fn of_file(file: impl Into<String>, why: impl Into<String>) -> Self {
        Self {
            file: file.into(),
            line: None,
            column: None,
            why: why.into(),
        }
    }

    /// A fault at a place.
    pub(crate) fn at(place: Place, why: impl Into<String>) -> Self {
        Self {
            file: place.file,
            line: place.line,
            column: place.column,
            why: why.into(),
        }
    }
}

/// A place in a file; it shows as `file:line:column`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) file: String,
    pub(crate) line: Option<usize>,
    pub(crate) column: Option<usize>,
}

impl Place {
    /// A position that Rhai gave for a file on its own.
    pub(crate) fn in_file(file: &str, position: Position) -> Self {
        Self {
            file: file.to_owned(),
            line: position.line(),
            column: position.position(),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.line, self.column) {
            (Some(line), Some(column)) => write!(f, "{}:{line}:{column}", self.file),
            (Some(line), None) => write!(f, "{}:{line}", self.file),
            (None, _) => f.write_str(&self.file),
        }
    }
}

/// The line of the joined text at which each file starts, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Joined {
    pub(crate) text: String,
    starts: Vec<(usize, String)>,
    lines: usize,
}

impl Joined {
    pub(crate) fn push(&mut self, file: &str, text: &str) {
        self.starts.push((self.lines, file.to_owned()));
        self.text.push_str(text);
        if !text.ends_with('\n') {
            self.text.push('\n');
        }
        self.lines += text.lines().count().max(1);
    }

    pub(crate) fn lines(&self) -> usize {
        self.lines
    }

    /// The file and line that a position in the joined text stands for.
    pub(crate) fn place(&self, position: Position) -> Place {
        let unknown = || Place {
            file: self.first_file(),
            line: None,
            column: None,
        };
        let Some(line) = position.line() else {
            return unknown();
        };
        let found = self.starts.iter().rev().find(|(start, _)| *start < line);
        found.map_or_else(unknown, |(start, file)| Place {
            file: file.clone(),
            line: Some(line - start),
            column: position.position(),
        })
    }

    fn first_file(&self) -> String {
        self.starts
            .first()
            .map_or_else(|| "main.rhai".to_owned(), |(_, file)| file.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_joined_text_is_found_in_its_file() {
        let mut joined = Joined::default();
        joined.push("a.rhai", "one\ntwo");
        joined.push("b.rhai", "");
        joined.push("c.rhai", "three\nfour\n");
        assert_eq!(joined.text.lines().count(), joined.lines());
        let at = |line| joined.place(Position::new(line, 7)).to_string();
        assert_eq!(at(2), "a.rhai:2:7");
        assert_eq!(at(3), "b.rhai:1:7");
        assert_eq!(at(4), "c.rhai:1:7");
        assert_eq!(at(5), "c.rhai:2:7");
        assert_eq!(joined.place(Position::NONE).to_string(), "a.rhai");
    }
}
