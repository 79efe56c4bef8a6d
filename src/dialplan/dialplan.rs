//! The dialplan in force: calls that start get the newest program, calls that run keep theirs.

use crate::folder;
use crate::limits::Limits;
use crate::program::Program;
use crate::source::ScriptError;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

/// The scripts of a folder, compiled and checked. Every `*.rhai` file belongs to one common module.
pub struct Dialplan {
    dir: PathBuf,
    limits: Limits,
    program: RwLock<Arc<Program>>,
    /// One change of the folder at a time.
    changing: Mutex<()>,
}

impl Dialplan {
    /// Loads every script of `dir`.
    ///
    /// # Errors
    /// Everything that is wrong with the scripts, with file, line and column.
    pub fn load(dir: &Path, limits: Limits) -> Result<Self, Vec<ScriptError>> {
        let program = Program::compile(folder::read(dir, &limits)?, &limits)?;
        Ok(Self {
            dir: dir.to_owned(),
            limits,
            program: RwLock::new(Arc::new(program)),
            changing: Mutex::new(()),
        })
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
        folder::write(&self.dir, program.files()).map_err(|problem| vec![problem])?;
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
        let files = folder::read(&self.dir, &self.limits)?;
        if files == *self.program().files() {
            return Ok(false);
        }
        self.set(Program::compile(files, &self.limits)?);
        Ok(true)
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
    }

    fn change(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
