//! What compiles and still is wrong: Rhai finds a misspelt verb only when a caller runs into it.

use crate::line::Session;
use crate::options::{
    self, CONFERENCE_OPTIONS, DIAL_OPTIONS, GATHER_OPTIONS, SEND_DTMF_OPTIONS, SUPERVISE_OPTIONS,
};
use crate::program::Definition;
use crate::source::{Place, ScriptError};
use crate::spelling;
use crate::verbs::{self, FIELDS};
use rhai::{
    AST, ASTFlags, ASTNode, Engine, Expr, FnCallExpr, FuncInfo, Namespace, ParseErrorType,
    Position, Stmt,
};
use std::any::TypeId;
use std::collections::{BTreeMap, BTreeSet};
use switch::Entry;

/// The functions that a dialplan must have.
pub(crate) const ENTRIES: [Entry; 3] = [Entry::Internal, Entry::Inbound, Entry::Outbound];
/// Functions that Rhai's evaluator knows without registering them.
/// `curry` stays out: it nests values without any bound, which overflows the native stack when they are dropped.
const BUILT_IN: [&str; 8] = [
    "Fn",
    "call",
    "type_of",
    "is_def_var",
    "is_def_fn",
    "print",
    "debug",
    "exit",
];
/// How deeply a script may nest. Rhai drops a program recursively, on threads with small stacks.
const MAX_DEPTH: usize = 200;
/// The parameter that by convention is the session.
const SESSION: &str = "session";

/// What is wrong, and where in the joined text.
pub(crate) type Fault = (Position, String);

/// Everything the linter objects to and the `faults` that the compiler found, in the order of the text.
pub(crate) fn check(
    engine: &Engine,
    ast: &AST,
    definitions: &[Definition],
    faults: Vec<Fault>,
    place: impl Fn(Position) -> Place,
) -> Vec<ScriptError> {
    let mut problems = entry_points(definitions);
    problems.extend(swallowed(ast, definitions));
    let mut found: Vec<Fault> = outside_functions(ast).collect();
    let names = Names::collect(engine, ast);
    let mut seen = BTreeSet::new();
    ast.walk(&mut |path| {
        if path.len() > MAX_DEPTH {
            let position = path.last().map_or(Position::NONE, node_position);
            found.push((position, "nested too deeply".into()));
            return false;
        }
        if let Some(node) = path.last() {
            found.extend(names.judge(node, &mut seen));
        }
        true
    });
    // What both object to is told in our words.
    let told: BTreeSet<Position> = found.iter().map(|(position, _)| *position).collect();
    found.extend(faults.into_iter().filter(|(at, _)| !told.contains(at)));
    found.sort();
    found.dedup();
    problems.extend(
        found
            .into_iter()
            .map(|(position, why)| ScriptError::at(place(position), why)),
    );
    problems
}

/// Every entry point exists and takes the session.
fn entry_points(definitions: &[Definition]) -> Vec<ScriptError> {
    let mut problems = Vec::new();
    for entry in ENTRIES {
        let name = entry.name();
        let wanted = format!("fn {name}({SESSION}) {{ … }}");
        if definitions
            .iter()
            .any(|d| d.name == name && d.parameters == 1)
        {
            continue;
        }
        problems.push(match definitions.iter().find(|d| d.name == name) {
            Some(wrong) => ScriptError::at(
                wrong.place.clone(),
                format!("the entry point takes one parameter: write `{wanted}`"),
            ),
            None => ScriptError::of_file(
                "main.rhai",
                format!("the entry point is missing: write `{wanted}`"),
            ),
        });
    }
    problems
}

/// Functions that a file defines and the joined program does not have: a comment that never ends hides them.
fn swallowed(ast: &AST, definitions: &[Definition]) -> Vec<ScriptError> {
    let compiled: BTreeSet<(&str, usize)> = ast
        .iter_functions()
        .map(|f| (f.name, f.params.len()))
        .collect();
    definitions
        .iter()
        .filter(|d| !compiled.contains(&(d.name.as_str(), d.parameters)))
        .map(|d| {
            let why = format!(
                "function `{}` is hidden: a comment before it does not end",
                d.name
            );
            ScriptError::at(d.place.clone(), why)
        })
        .collect()
}

/// Every use of a variable that is nowhere defined, told as the compiler tells the first one. Only for a program that
/// was compiled without being strict about variables: it calls a name undefined that no `let`, loop or parameter bound.
pub(crate) fn undefined_variables(ast: &AST) -> Vec<Fault> {
    let functions: BTreeSet<&str> = ast.iter_functions().map(|f| f.name).collect();
    let mut found = Vec::new();
    ast.walk(&mut |path| {
        if let Some(ASTNode::Expr(Expr::Variable(variable, _, position))) = path.last() {
            let (slot, name, namespace, _) = variable.as_ref();
            if slot.is_none() && namespace.is_empty() && !functions.contains(name.as_str()) {
                let why = ParseErrorType::VariableUndefined(name.to_string());
                found.push((*position, why.to_string()));
            }
        }
        path.len() <= MAX_DEPTH
    });
    found
}

/// Code outside functions would run at every call without a session.
fn outside_functions(ast: &AST) -> impl Iterator<Item = Fault> {
    ast.statements().iter().filter_map(|statement| match statement {
        Stmt::Noop(_) => None,
        Stmt::Var(_, flags, _) if flags.contains(ASTFlags::CONSTANT) => None,
        Stmt::Var(inside, ..) => {
            let name = inside.0.name.as_str();
            let why = "is seen by no function";
            Some((statement.position(), format!("`let {name}` outside a function {why}; write `const {name}` and read it as `global::{name}`")))
        }
        other => Some((other.position(), "only functions and constants stand outside functions".into())),
    })
}

fn node_position(node: &ASTNode) -> Position {
    match node {
        ASTNode::Stmt(statement) => statement.position(),
        ASTNode::Expr(expression) => expression.position(),
        _ => Position::NONE,
    }
}

/// The names a script may use, with how many arguments each takes.
struct Names {
    native: BTreeMap<String, BTreeSet<usize>>,
    /// Methods of the session, without the session itself.
    verbs: BTreeMap<String, BTreeSet<usize>>,
    script: BTreeMap<String, BTreeSet<usize>>,
}

impl Names {
    fn collect(engine: &Engine, ast: &AST) -> Self {
        let mut names = Self {
            native: BTreeMap::new(),
            verbs: BTreeMap::new(),
            script: BTreeMap::new(),
        };
        let session = TypeId::of::<Session>();
        let mapper = |info: FuncInfo| {
            let metadata = info.metadata;
            Some((
                metadata.name.to_string(),
                metadata.num_params,
                metadata.param_types.first() == Some(&session),
            ))
        };
        for (name, parameters, is_verb) in engine.collect_fn_metadata(None, mapper, true) {
            if is_verb {
                names.verbs.entry(name).or_default().insert(parameters - 1);
            } else {
                names.native.entry(name).or_default().insert(parameters);
            }
        }
        names.verbs.retain(|name, _| !name.contains('$'));
        for function in ast.iter_functions() {
            names
                .script
                .entry(function.name.to_owned())
                .or_default()
                .insert(function.params.len());
        }
        names
    }

    /// `seen` holds what was judged as a part of something larger.
    fn judge(&self, node: &ASTNode, seen: &mut BTreeSet<*const Expr>) -> Option<Fault> {
        match node {
            ASTNode::Stmt(Stmt::FnCall(function, position)) => self.function(function, *position),
            ASTNode::Expr(Expr::FnCall(function, position)) => self.function(function, *position),
            ASTNode::Expr(Expr::Variable(variable, ..)) => {
                let (_, name, namespace, _) = variable.as_ref();
                let foreign = !namespace.is_empty() && namespace.root() != "global";
                foreign.then(|| no_module(namespace, name))
            }
            // What hangs on `this` escapes the check of variables.
            ASTNode::Expr(Expr::ThisPtr(position)) => Some((
                *position,
                "there is no `this`; hand the value over as a parameter".into(),
            )),
            ASTNode::Expr(Expr::Dot(inside, ..)) => match &inside.lhs {
                Expr::Variable(variable, ..) if variable.1 == SESSION && variable.2.is_empty() => {
                    let member = first_link(&inside.rhs);
                    seen.insert(std::ptr::from_ref(member));
                    self.member(member)
                }
                _ => None,
            },
            ASTNode::Expr(expression @ Expr::MethodCall(function, position)) => {
                let known = seen.contains(&std::ptr::from_ref(*expression));
                if known {
                    None
                } else {
                    self.method(function, *position)
                }
            }
            _ => None,
        }
    }

    fn function(&self, function: &FnCallExpr, position: Position) -> Option<Fault> {
        let name = function.name.as_str();
        if function.op_token.is_some() || BUILT_IN.contains(&name) {
            return None;
        }
        if !function.namespace.is_empty() {
            return Some(no_module(&function.namespace, name));
        }
        if name == "sleep" && !self.script.contains_key(name) {
            return Some((position, verbs::SLEEP.into()));
        }
        let count = function.args.len();
        let counts: BTreeSet<usize> = [&self.native, &self.script]
            .iter()
            .flat_map(|m| m.get(name))
            .flatten()
            .copied()
            .collect();
        if counts.contains(&count) {
            return None;
        }
        let session_first =
            matches!(function.args.first(), Some(Expr::Variable(v, ..)) if v.1 == SESSION);
        if session_first
            && self
                .verbs
                .get(name)
                .is_some_and(|counts| counts.contains(&(count - 1)))
        {
            return None;
        }
        if !counts.is_empty() {
            return Some((
                position,
                wrong_count(&format!("function `{name}`"), &counts, count),
            ));
        }
        if self.verbs.contains_key(name) {
            return Some((
                position,
                format!("`{name}` is a verb of the session: write `{SESSION}.{name}(…)`"),
            ));
        }
        let known = self
            .native
            .keys()
            .chain(self.script.keys())
            .chain(self.verbs.keys());
        let hint = spelling::hint(name, known.map(String::as_str));
        Some((position, format!("there is no function `{name}`{hint}")))
    }

    /// `session.member`.
    fn member(&self, member: &Expr) -> Option<Fault> {
        match member {
            Expr::Property(property, position) => {
                let name = property.2.as_str();
                if FIELDS.contains(&name) {
                    return None;
                }
                if self.verbs.contains_key(name) {
                    return Some((
                        *position,
                        format!("`{name}` is a verb: write `{SESSION}.{name}(…)`"),
                    ));
                }
                let hint = spelling::hint(name, FIELDS);
                Some((
                    *position,
                    format!("the session has no field `{name}`{hint}"),
                ))
            }
            Expr::MethodCall(function, position) => self.verb(function, *position),
            _ => None,
        }
    }

    /// `session.verb(…)`; a function of the script may be called like that too.
    fn verb(&self, function: &FnCallExpr, position: Position) -> Option<Fault> {
        let (name, count) = (function.name.as_str(), function.args.len());
        if name == "type_of"
            || self
                .script
                .get(name)
                .is_some_and(|counts| counts.contains(&count))
        {
            return None;
        }
        match self.verbs.get(name) {
            Some(counts) if counts.contains(&count) => options_of(function),
            Some(counts) => Some((
                position,
                wrong_count(&format!("verb `{name}`"), counts, count),
            )),
            None => {
                let known = self.verbs.keys().chain(self.script.keys());
                let hint = spelling::hint(name, known.map(String::as_str));
                Some((position, format!("the session has no verb `{name}`{hint}")))
            }
        }
    }

    /// `anything.method(…)`.
    fn method(&self, function: &FnCallExpr, position: Position) -> Option<Fault> {
        let (name, count) = (function.name.as_str(), function.args.len());
        if BUILT_IN.contains(&name) {
            return None;
        }
        let native = self
            .native
            .get(name)
            .is_some_and(|counts| counts.contains(&(count + 1)));
        let known = |map: &BTreeMap<String, BTreeSet<usize>>| {
            map.get(name).is_some_and(|counts| counts.contains(&count))
        };
        if native || known(&self.script) || known(&self.verbs) {
            return if self.verbs.contains_key(name) {
                options_of(function)
            } else {
                None
            };
        }
        let mut counts: BTreeSet<usize> = self
            .native
            .get(name)
            .into_iter()
            .flatten()
            .map(|n| n.saturating_sub(1))
            .collect();
        counts.extend(
            [&self.script, &self.verbs]
                .iter()
                .flat_map(|map| map.get(name))
                .flatten(),
        );
        if !counts.is_empty() {
            return Some((
                position,
                wrong_count(&format!("method `{name}`"), &counts, count),
            ));
        }
        let known = self
            .verbs
            .keys()
            .chain(self.native.keys())
            .chain(self.script.keys());
        let hint = spelling::hint(name, known.map(String::as_str));
        Some((position, format!("there is no method `{name}`{hint}")))
    }
}

/// The first of `a.b.c`.
fn first_link(chain: &Expr) -> &Expr {
    match chain {
        Expr::Dot(inside, ..) | Expr::Index(inside, ..) => first_link(&inside.lhs),
        single => single,
    }
}

fn no_module(namespace: &Namespace, name: &str) -> Fault {
    let why = format!("`{namespace}::{name}`: there are no modules");
    (namespace.position(), why)
}

/// Misspelt options that stand literally in the call.
fn options_of(function: &FnCallExpr) -> Option<Fault> {
    let (verb, known): (_, &[&str]) = match function.name.as_str() {
        "dial" => ("dial", &DIAL_OPTIONS),
        "gather" => ("gather", &GATHER_OPTIONS),
        "conference" => ("conference", &CONFERENCE_OPTIONS),
        "supervise" => ("supervise", &SUPERVISE_OPTIONS),
        "send_dtmf" => ("send_dtmf", &SEND_DTMF_OPTIONS),
        _ => return None,
    };
    let Some(Expr::Map(map, _)) = function.args.last() else {
        return None;
    };
    let (name, _) = map
        .0
        .iter()
        .find(|(name, _)| !known.contains(&name.name.as_str()))?;
    Some((name.pos, options::unknown(verb, &name.name, known)))
}

fn wrong_count(what: &str, counts: &BTreeSet<usize>, given: usize) -> String {
    let counts: Vec<String> = counts.iter().map(usize::to_string).collect();
    let plural = if counts == ["1"] {
        "argument"
    } else {
        "arguments"
    };
    format!("{what} takes {} {plural}, not {given}", counts.join(" or "))
}

#[cfg(test)]
mod tests {
    use crate::rehearsal::{compile, compile_files, refused};

    #[test]
    #[expect(clippy::too_many_lines, reason = "a table")]
    fn misspelt_names_are_found_before_a_caller_finds_them() {
        for (body, wanted) in [
            (
                "session.dail(ext(1))",
                "main.rhai:1:32: the session has no verb `dail`; did you mean `dial`?",
            ),
            (
                "session.voicemail(1)",
                "main.rhai:1:32: the session has no verb `voicemail`",
            ),
            (
                "session.dialled",
                "main.rhai:1:32: the session has no field `dialled`; did you mean `dialed`?",
            ),
            (
                "session.dialled.len()",
                "main.rhai:1:32: the session has no field `dialled`; did you mean `dialed`?",
            ),
            (
                "session.answer",
                "main.rhai:1:32: `answer` is a verb: write `session.answer(…)`",
            ),
            (
                "session.answer(1)",
                "main.rhai:1:32: verb `answer` takes 0 arguments, not 1",
            ),
            (
                "session.dial()",
                "main.rhai:1:32: verb `dial` takes 1 or 2 arguments, not 0",
            ),
            (
                "session.dial(exten(1))",
                "main.rhai:1:37: there is no function `exten`",
            ),
            (
                "hepler(session)",
                "main.rhai:1:24: there is no function `hepler`; did you mean `helper`?",
            ),
            (
                "helper()",
                "main.rhai:1:24: function `helper` takes 1 argument, not 0",
            ),
            (
                "answer()",
                "main.rhai:1:24: `answer` is a verb of the session: write `session.answer(…)`",
            ),
            (
                "if false { if 1 == 2 { hepler(session) } }",
                "main.rhai:1:47: there is no function `hepler`; did you mean `helper`?",
            ),
            (
                "\"a\".starts_wiht(\"b\")",
                "main.rhai:1:28: there is no method `starts_wiht`; did you mean `starts_with`?",
            ),
            (
                "session.dial(ext(1), #{ timout: 5 })",
                "main.rhai:1:48: dial: unknown option `timout`; did you mean `timeout`?",
            ),
            (
                "let x = session.gather(#{ prompts: 5 }).digits;",
                "main.rhai:1:50: gather: unknown option `prompts`; did you mean `prompt`?",
            ),
            (
                "sleep(2)",
                "main.rhai:1:24: `sleep` would hold up every other call; use session.wait(seconds)",
            ),
            (
                "Fn(\"f\").curry(1)",
                "main.rhai:1:32: there is no method `curry`",
            ),
        ] {
            let problems = refused(&format!(
                "fn internal(session) {{ {body} }} fn helper(s) {{ s.answer(); }}"
            ));
            assert_eq!(problems, [wanted], "{body}");
        }
    }

    #[test]
    fn correct_scripts_pass() {
        for body in [
            "session.helper()",
            "helper(session); answer(session); session.hangup()",
            "let a = [1, 2].map(|n| ext(n)); a.push(ext(3)); session.dial(a).status.len()",
            "let d = session.dialed; if d.starts_with(\"*8\") { d.sub_string(2).parse_int() }",
            "let f = Fn(\"helper\"); f.call(session); call(f, session)",
            "print(`${session.from}`); debug(1); type_of(session); session.type_of()",
            "session.caller_id = session.from + 1; for i in 0..3 { session.wait(1) }",
            "let m = #{ a: 1 }; m.a += global::N; switch m.a { 1 | 2 => (), _ => throw \"x\" }",
            "let s = \"abc\"; s[0]; s.len; s.to_upper(); -1.abs(); let t = timestamp(); t.elapsed",
            "is_def_fn(\"helper\", 1); exit()",
        ] {
            let result = compile(&format!(
                "const N = 1; fn internal(session) {{ {body} }} fn helper() {{}} fn helper(s) {{}}"
            ));
            assert_eq!(result.err(), None, "{body}");
        }
    }

    #[test]
    fn every_problem_is_told_at_once_in_order() {
        let problems =
            refused("fn internal(session) {\n session.dail(1);\n session.paly(\"x\");\n}");
        assert_eq!(problems.len(), 2);
        assert!(
            problems[0].starts_with("main.rhai:2:10") && problems[1].starts_with("main.rhai:3:10")
        );
    }

    #[test]
    fn entry_points_must_exist_and_take_the_session() {
        let problems = compile_files(&[(
            "a.rhai",
            "fn internal(session, x) {} fn outbound(session) {}",
        )])
        .err()
        .unwrap();
        assert_eq!(
            problems,
            [
                "a.rhai:1:4: the entry point takes one parameter: write `fn internal(session) { … }`",
                "main.rhai: the entry point is missing: write `fn inbound(session) { … }`",
            ]
        );
        assert_eq!(compile_files(&[]).err().unwrap().len(), 3);
    }

    #[test]
    fn code_outside_functions_is_refused() {
        let rest = "fn internal(session) {}";
        let problems = refused(&format!("const A = 1; let b = 2;\nprint(1); {rest}"));
        assert_eq!(
            problems,
            [
                "main.rhai:1:14: `let b` outside a function is seen by no function; write `const b` and read it as `global::b`",
                "main.rhai:2:1: only functions and constants stand outside functions",
            ]
        );
    }
}
