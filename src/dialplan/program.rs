//! Files → one program: parsed each on its own, joined in the order of their names, compiled, checked.

use crate::engine::engine;
use crate::limits::Limits;
use crate::lint::{self, Fault};
use crate::source::{Joined, Place, ScriptError};
use rhai::{AST, Engine, ParseErrorType, Position, Token};
use std::collections::BTreeMap;
use switch::Entry;

/// Rhai counts lines in 16 bits.
const MAX_LINES: usize = 65_000;
/// Rhai's parser recurses; a debug build needs much for each level. Only what is touched is committed.
const COMPILER_STACK: usize = 64 * 1024 * 1024;

/// Checked scripts, ready to run.
pub(crate) struct Program {
    files: BTreeMap<String, String>,
    joined: Joined,
    ast: AST,
    entries: Vec<Definition>,
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

    /// What runs when nothing else can: every call fails at once.
    ///
    /// # Errors
    /// There is no thread to compile on.
    pub(crate) fn stand_in(limits: &Limits) -> Result<Self, Vec<ScriptError>> {
        let fail = "{ throw \"no dialplan: the scripts do not compile\"; }";
        let functions = lint::ENTRIES.map(|e| format!("fn {}(session) {fail}\n", e.name()));
        let files = BTreeMap::from([("dialplan".to_owned(), functions.concat())]);
        let program = Self::compile(files, limits)?;
        Ok(Self {
            files: BTreeMap::new(),
            ..program
        })
    }

    /// A real dialplan has at least one file, because it has every entry point.
    pub(crate) fn is_stand_in(&self) -> bool {
        self.files.is_empty()
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

    /// As [`Self::place`]; without a position, where the entry point is defined.
    pub(crate) fn place_in(&self, entry: Entry, position: Position) -> Place {
        let definition = self.entries.iter().find(|d| d.name == entry.name());
        match definition {
            Some(definition) if position.is_none() => definition.place.clone(),
            _ => self.place(position),
        }
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
    let (ast, faults) = compile_joined(limits, &engine, &joined)?;
    let problems = lint::check(&engine, &ast, &definitions, faults, |position| {
        joined.place(position)
    });
    definitions.retain(|d| lint::ENTRIES.iter().any(|entry| entry.name() == d.name));
    if problems.is_empty() {
        Ok(Program {
            files,
            joined,
            ast,
            entries: definitions,
        })
    } else {
        Err(problems)
    }
}

/// The program and what the compiler says of it. Strict about variables it stops at the first that is undefined, so
/// that the rest is looked for in what it makes when it is lenient; that never serves, because there is a fault.
fn compile_joined(
    limits: &Limits,
    strict: &Engine,
    joined: &Joined,
) -> Result<(AST, Vec<Fault>), Vec<ScriptError>> {
    let refused = match strict.compile(&joined.text) {
        Ok(ast) => return Ok((ast, Vec::new())),
        Err(error) => error,
    };
    let mut faults = vec![(refused.position(), refused.err_type().to_string())];
    let mut lenient = engine(limits);
    lenient.set_strict_variables(false);
    match lenient.compile(&joined.text) {
        Ok(ast) => {
            faults.extend(lint::undefined_variables(&ast));
            Ok((ast, faults))
        }
        Err(_) => Err(faults
            .into_iter()
            .map(|(position, why)| ScriptError::at(joined.place(position), why))
            .collect()),
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
    let tokens = tokens(engine, text);
    let starts = tokens
        .iter()
        .enumerate()
        .filter(|(_, (token, _))| *token == Token::Fn);
    starts
        .filter_map(|(index, _)| {
            let Some((Token::Identifier(name), position)) = tokens.get(index + 1) else {
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

/// A file's tokens. Rhai leaves it to its parser to say where the code inside an interpolated text ends.
fn tokens(engine: &Engine, text: &str) -> Vec<(Token, Position)> {
    let texts = [text];
    let (stream, control) = engine.lex(&texts);
    let mut tokens = Vec::new();
    // For every open brace, whether it is a text's `${`.
    let mut braces = Vec::new();
    let mut in_text = false;
    for (token, position) in stream {
        match &token {
            Token::EOF => break,
            Token::InterpolatedString(_) => in_text = true,
            Token::LeftBrace | Token::MapStart => braces.push(std::mem::take(&mut in_text)),
            Token::RightBrace if braces.pop() == Some(true) => {
                control.borrow_mut().is_within_text = true
            }
            _ => {}
        }
        tokens.push((token, position));
    }
    tokens
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

#[cfg(test)]
mod tests {
    use crate::rehearsal::{compile, compile_files, refused};

    #[test]
    fn a_function_defined_twice_names_both_places() {
        let rest = "fn inbound(session) {}\nfn outbound(session) {}";
        let twice = |files: &[(&str, &str)]| compile_files(files).err().unwrap();
        let problems = twice(&[
            ("a.rhai", "fn internal(session) {}\n\nfn helper(a, b) {}"),
            ("b.rhai", rest),
            ("c.rhai", "  fn helper(x, y) { 1 }"),
        ]);
        assert_eq!(
            problems,
            ["c.rhai:1:6: function `helper` is defined twice: at a.rhai:3:4 and here"]
        );
        let problems = twice(&[
            ("a.rhai", "fn internal(session) {}\nfn internal(session) {}"),
            ("b.rhai", rest),
        ]);
        assert_eq!(
            problems,
            ["a.rhai:2:4: function `internal` is defined twice: at a.rhai:1:4 and here"]
        );
        assert!(compile("fn internal(session) { f(1); f(1, 2) } fn f(a) {} fn f(a, b) {}").is_ok());
    }

    #[test]
    fn functions_after_an_interpolated_text_are_seen() {
        let text = "fn internal(session) { print(`a ${ #{ x: `b ${1} c` }.x } { fn no() `); }\nfn f() {}\nfn f() {}";
        assert_eq!(
            refused(text),
            ["main.rhai:3:4: function `f` is defined twice: at main.rhai:2:4 and here"]
        );
    }

    #[test]
    fn a_syntax_error_is_told_in_its_own_file() {
        let problems = compile_files(&[
            ("a.rhai", "fn internal(session) {\n  if true {\n}\n"),
            ("b.rhai", "fn inbound(session) { let = 5; }"),
        ])
        .err()
        .unwrap();
        assert_eq!(problems.len(), 2, "{problems:?}");
        assert!(problems[0].starts_with("a.rhai:"), "{problems:?}");
        assert!(problems[1].starts_with("b.rhai:1:27: "), "{problems:?}");
    }

    #[test]
    fn a_misspelt_variable_is_told_in_its_own_file() {
        let problems = compile_files(&[
            ("a.rhai", "fn internal(session) { }\n"),
            (
                "b.rhai",
                "fn outbound(session) {}\nfn inbound(session) {\n  sesion.answer();\n}",
            ),
        ]);
        let problems = problems.err().unwrap();
        assert_eq!(problems.len(), 1);
        assert!(
            problems[0].starts_with("b.rhai:3:3: ") && problems[0].contains("sesion"),
            "{problems:?}"
        );
    }

    #[test]
    fn an_undefined_variable_hides_no_other_fault() {
        let problems = compile_files(&[
            (
                "a.rhai",
                "fn internal(session) {\n  let code = cod;\n  session.rejct(code);\n}\nfn outbound(session) { helper(1); }\n",
            ),
            (
                "b.rhai",
                "fn inbound(session) { for i in 0..3 { play(i) }\n  cod = |x| x + i;\n  nowhere::y; there::f(1, zz); global::A; }\nfn helper() {}",
            ),
        ]);
        assert_eq!(
            problems.err().unwrap(),
            [
                "a.rhai:2:14: Undefined variable: cod",
                "a.rhai:3:11: the session has no verb `rejct`; did you mean `reject`?",
                "a.rhai:5:24: function `helper` takes 0 arguments, not 1",
                "b.rhai:1:39: `play` is a verb of the session: write `session.play(…)`",
                "b.rhai:2:3: Undefined variable: cod",
                "b.rhai:2:17: Undefined variable: i",
                "b.rhai:3:3: `nowhere::y`: there are no modules",
                "b.rhai:3:15: `there::f`: there are no modules",
                "b.rhai:3:27: Undefined variable: zz",
            ]
        );
    }

    #[test]
    fn other_code_cannot_be_loaded() {
        for text in [
            "fn internal(session) { eval(\"1\") }",
            "import \"/etc/passwd\" as x; fn internal(session) {}",
            "fn internal(session) { import \"main\" as m; }",
            "fn internal(session) { let call = 1; }",
        ] {
            let problems = refused(text);
            assert!(problems[0].contains("reserved"), "{text}: {problems:?}");
        }
    }

    #[test]
    fn closures_may_not_capture() {
        let problems = refused("fn internal(session) { let n = 1; [1].map(|x| x + n); }");
        assert!(
            problems[0].contains('n') && problems[0].contains("ndefined"),
            "{problems:?}"
        );
    }

    #[test]
    fn hostile_sources_are_refused_in_bounded_time() {
        let parens = format!(
            "fn internal(session) {{ {}1{} }}",
            "(".repeat(50_000),
            ")".repeat(50_000)
        );
        let sum = format!(
            "fn internal(session) {{ let x = {}1; }}",
            "1 + ".repeat(50_000)
        );
        let chain = format!(
            "fn internal(session) {{ let x = 1; {} }}",
            "if x == 1 {} else ".repeat(2_000) + "{}"
        );
        let dots = format!(
            "fn internal(session) {{ session{} }}",
            ".from".repeat(20_000)
        );
        let blocks = format!(
            "fn internal(session) {{ {}{} }}",
            "{".repeat(20_000),
            "}".repeat(20_000)
        );
        let arrays = format!(
            "fn internal(session) {{ {}{} }}",
            "[".repeat(20_000),
            "]".repeat(20_000)
        );
        for text in [parens, sum, chain, dots, blocks, arrays] {
            assert!(compile(&text).is_err(), "{}", &text[..60]);
        }
        let long = format!("fn internal(session) {{}}{}", "\n".repeat(66_000));
        assert_eq!(refused(&long), ["dialplan: more than 65000 lines"]);
        let large = format!("fn internal(session) {{}} //{}", "x".repeat(1_100_000));
        assert!(refused(&large)[0].contains("at most 1048576 are allowed"));
    }

    #[test]
    fn a_comment_that_never_ends_does_not_swallow_the_next_file() {
        let problems = compile_files(&[
            (
                "a.rhai",
                "fn internal(session) {} fn inbound(session) {} /* open",
            ),
            ("b.rhai", "fn outbound(session) {}"),
        ]);
        assert!(problems.is_err());
    }
}
