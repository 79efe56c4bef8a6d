//! The dialplan in force: calls that start get the newest program, calls that run keep theirs.

use crate::folder;
use crate::limits::Limits;
use crate::program::Program;
use crate::source::ScriptError;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use tracing::warn;

/// Where in the folder the scripts are kept that served last.
const LAST_GOOD: &str = ".last-good";

/// The scripts of a folder, compiled and checked. Every `*.rhai` file belongs to one common module.
pub struct Dialplan {
    dir: PathBuf,
    limits: Limits,
    program: RwLock<Arc<Program>>,
    /// One change of the folder at a time.
    changing: Mutex<()>,
    /// What is wrong with the scripts in the folder, when something else serves.
    refused: Mutex<Vec<ScriptError>>,
}

/// Which scripts serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Those of the folder.
    Current,
    /// Older ones: those of the folder are refused.
    Old,
    /// None: those of the folder are refused, and there are no older ones. Every script fails at its start.
    None,
}

impl Dialplan {
    /// Loads every script of `dir`.
    ///
    /// # Errors
    /// Everything that is wrong with the scripts, with file, line and column.
    pub fn load(dir: &Path, limits: Limits) -> Result<Self, Vec<ScriptError>> {
        let program = Program::compile(folder::read(dir, &limits)?, &limits)?;
        Ok(Self::with(dir, limits, program))
    }

    /// As [`Self::load`], for a PBX that has to start: when the scripts are refused, those that served last do, or
    /// as long as there are none, a stand-in whose every entry point fails. The second value says what is wrong.
    ///
    /// # Errors
    /// Not even the stand-in could be made.
    pub fn open(dir: &Path, limits: Limits) -> Result<(Self, Vec<ScriptError>), Vec<ScriptError>> {
        let problems = match Self::load(dir, limits) {
            Ok(dialplan) => {
                dialplan.keep();
                return Ok((dialplan, Vec::new()));
            }
            Err(problems) => problems,
        };
        let last = folder::read(&dir.join(LAST_GOOD), &limits)
            .and_then(|files| Program::compile(files, &limits));
        let program = match last {
            Ok(program) => program,
            Err(_) => Program::stand_in(&limits)?,
        };
        let dialplan = Self::with(dir, limits, program);
        *dialplan.refusals() = problems.clone();
        Ok((dialplan, problems))
    }

    fn with(dir: &Path, limits: Limits, program: Program) -> Self {
        Self {
            dir: dir.to_owned(),
            limits,
            program: RwLock::new(Arc::new(program)),
            changing: Mutex::new(()),
            refused: Mutex::default(),
        }
    }

    /// Which scripts serve.
    pub fn standing(&self) -> Standing {
        if self.program().is_stand_in() {
            Standing::None
        } else if self.refusals().is_empty() {
            Standing::Current
        } else {
            Standing::Old
        }
    }

    /// What is wrong with the scripts in the folder, when they do not serve.
    pub fn refused(&self) -> Vec<ScriptError> {
        self.refusals().clone()
    }

    /// The files in force: name → text.
    pub fn files(&self) -> BTreeMap<String, String> {
        self.program().files().clone()
    }

    /// Makes `files` the dialplan and the contents of the folder; scripts that are not in it are removed.
    ///
    /// # Errors
    /// What is wrong with the scripts; then nothing has changed. Or the file that could not be written:
    /// then the old dialplan stays in force, though the folder may hold a part of the new one.
    pub fn replace(&self, files: BTreeMap<String, String>) -> Result<(), Vec<ScriptError>> {
        let problems = folder::check_names(&files);
        if !problems.is_empty() {
            return Err(problems);
        }
        let program = Program::compile(files, &self.limits)?;
        let _changing = self.change();
        let written = folder::write(&self.dir, program.files()).map_err(|problem| vec![problem]);
        *self.refusals() = written.clone().err().unwrap_or_default();
        written?;
        self.set(program);
        Ok(())
    }

    /// Reads the folder again.
    ///
    /// # Errors
    /// What is wrong with the scripts; the old ones stay in force.
    pub fn reload(&self) -> Result<(), Vec<ScriptError>> {
        self.refresh().map(|_| ())
    }

    /// As [`Self::reload`]; tells whether anything was new.
    pub(crate) fn refresh(&self) -> Result<bool, Vec<ScriptError>> {
        let _changing = self.change();
        let fresh = self.read_folder();
        *self.refusals() = fresh.as_ref().err().cloned().unwrap_or_default();
        match fresh? {
            Some(program) => {
                self.set(program);
                Ok(true)
            }
            None => Ok(false),
        }
    }

    /// What the folder holds, unless that is in force already.
    fn read_folder(&self) -> Result<Option<Program>, Vec<ScriptError>> {
        let files = folder::read(&self.dir, &self.limits)?;
        let program = self.program();
        // The stand-in has no files either: an empty folder is still a dialplan without entry points.
        if !program.is_stand_in() && files == *program.files() {
            return Ok(None);
        }
        Program::compile(files, &self.limits).map(Some)
    }

    pub(crate) fn program(&self) -> Arc<Program> {
        self.program
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    fn set(&self, program: Program) {
        *self.program.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(program);
        self.keep();
    }

    /// Keeps the scripts in force for a start at which the folder holds broken ones.
    fn keep(&self) {
        let place = self.dir.join(LAST_GOOD);
        let program = self.program();
        if folder::read(&place, &self.limits).is_ok_and(|kept| kept == *program.files()) {
            return;
        }
        let kept = std::fs::create_dir_all(&place)
            .map_err(|error| ScriptError::of_file(LAST_GOOD, error.to_string()))
            .and_then(|()| folder::write(&place, program.files()));
        if let Err(problem) = kept {
            warn!(%problem, "the dialplan in force could not be kept for the next start");
        }
    }

    fn refusals(&self) -> MutexGuard<'_, Vec<ScriptError>> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
