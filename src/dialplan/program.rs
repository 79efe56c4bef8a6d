//! Files → one program: parsed each on its own, joined in the order of their names, compiled, checked.

use crate::engine::engine;
use crate::limits::Limits;
use crate::lint;
use crate::source::{Joined, Place, ScriptError};
use rhai::{AST, Engine, ParseErrorType, Position, Token};
use std::collections::BTreeMap;

/// Rhai counts lines in 16 bits.
const MAX_LINES: usize = 65_000;
/// Rhai's parser recurses; a debug build needs much for each level. Only what is touched is committed.
const COMPILER_STACK: usize = 64 * 1024 * 1024;

/// Checked scripts, ready to run.
pub(crate) struct Program {
    files: BTreeMap<String, String>,
    joined: Joined,
    ast: AST,
}

/// Where a function is defined.
pub(crate) struct Definition {
    pub(crate) name: String,
    pub(crate) parameters: usize,
    pub(crate) place: Place,
}

impl Program {
    /// Compiles and checks.
    ///
    /// # Errors
    /// Everything that is wrong, as far as it can be found at once.
    pub(crate) fn compile(
        files: BTreeMap<String, String>,
        limits: &Limits,
    ) -> Result<Self, Vec<ScriptError>> {
        std::thread::scope(|scope| {
            let worker = std::thread::Builder::new()
                .name("dialplan-compile".into())
                .stack_size(COMPILER_STACK)
                .spawn_scoped(scope, || build(files, limits));
            match worker.map(std::thread::ScopedJoinHandle::join) {
                Ok(Ok(result)) => result,
                Ok(Err(_)) => Err(vec![ScriptError::of_file(
                    "dialplan",
                    "the script compiler panicked",
                )]),
                Err(error) => Err(vec![ScriptError::of_file(
                    "dialplan",
                    format!("no thread to compile on: {error}"),
                )]),
            }
        })
    }

    pub(crate) fn files(&self) -> &BTreeMap<String, String> {
        &self.files
    }

    pub(crate) fn ast(&self) -> &AST {
        &self.ast
    }

    /// Where in which file a position of [`Self::ast`] is.
    pub(crate) fn place(&self, position: Position) -> Place {
        self.joined.place(position)
    }
}

fn build(files: BTreeMap<String, String>, limits: &Limits) -> Result<Program, Vec<ScriptError>> {
    let size: usize = files.values().map(String::len).sum();
    if size > limits.source_bytes {
        let why = format!(
            "the scripts have {size} bytes; at most {} are allowed",
            limits.source_bytes
        );
        return Err(vec![ScriptError::of_file("dialplan", why)]);
    }
    let engine = engine(limits);
    let mut problems = Vec::new();
    let mut definitions = Vec::new();
    let mut joined = Joined::default();
    for (name, text) in &files {
        problems.extend(syntax(limits, name, text));
        definitions.extend(defined(&engine, name, text));
        joined.push(name, text);
    }
    problems.extend(duplicates(&definitions));
    if joined.lines() > MAX_LINES {
        problems.push(ScriptError::of_file(
            "dialplan",
            format!("more than {MAX_LINES} lines"),
        ));
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let ast = engine.compile(&joined.text).map_err(|error| {
        let place = joined.place(error.position());
        vec![ScriptError::at(place, error.err_type().to_string())]
    })?;
    let problems = lint::check(&engine, &ast, &definitions, |position| {
        joined.place(position)
    });
    if problems.is_empty() {
        Ok(Program { files, joined, ast })
    } else {
        Err(problems)
    }
}

/// What makes a file unreadable on its own. Names of other files' constants are checked when all are joined.
fn syntax(limits: &Limits, name: &str, text: &str) -> Option<ScriptError> {
    let mut engine = engine(limits);
    engine.set_strict_variables(false);
    let error = engine.compile(text).err()?;
    // Reported by `duplicates`, with both places.
    if matches!(error.err_type(), ParseErrorType::FnDuplicatedDefinition(..)) {
        return None;
    }
    Some(ScriptError::at(
        Place::in_file(name, error.position()),
        error.err_type().to_string(),
    ))
}

/// The functions that a file defines, found by its tokens: a syntax error elsewhere does not hide them.
fn defined(engine: &Engine, file: &str, text: &str) -> Vec<Definition> {
    let texts = [text];
    let (tokens, _) = engine.lex(&texts);
    let tokens: Vec<(Token, Position)> = tokens
        .take_while(|(token, _)| *token != Token::EOF)
        .collect();
    let starts = tokens
        .iter()
        .enumerate()
        .filter(|(_, (token, _))| *token == Token::Fn);
    starts
        .filter_map(|(index, _)| {
            let (Token::Identifier(name), position) = tokens.get(index + 1)? else {
                return None;
            };
            let parameters = tokens
                .iter()
                .skip(index + 3)
                .take_while(|(token, _)| !matches!(token, Token::RightParen | Token::LeftBrace))
                .filter(|(token, _)| matches!(token, Token::Identifier(_)))
                .count();
            Some(Definition {
                name: name.to_string(),
                parameters,
                place: Place::in_file(file, *position),
            })
        })
        .collect()
}

fn duplicates(definitions: &[Definition]) -> Vec<ScriptError> {
    let mut first: BTreeMap<(&str, usize), &Place> = BTreeMap::new();
    let mut problems = Vec::new();
    for definition in definitions {
        let key = (definition.name.as_str(), definition.parameters);
        match first.get(&key) {
            None => {
                first.insert(key, &definition.place);
            }
            Some(before) => {
                let why = format!(
                    "function `{}` is defined twice: at {before} and here",
                    definition.name
                );
                problems.push(ScriptError::at(definition.place.clone(), why));
            }
        }
    }
    problems
}
