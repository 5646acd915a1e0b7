//! What a check may look at: variables, programs on PATH, the system's library folders. A test makes
//! its own, so that the checks are seen to fail on a machine that has everything, and to pass on one
//! that has nothing.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::workspace::output_within;

/// A machine, as the checks see it.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// Environment variables.
    pub variables: BTreeMap<String, OsString>,
    /// Folders that hold libraries without anyone saying so.
    pub library_folders: Vec<PathBuf>,
}

impl Surroundings {
    /// This process's.
    pub fn of_process() -> Self {
        let variables = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
            .collect();
        let mut library_folders: Vec<PathBuf> =
            ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib"]
                .map(PathBuf::from)
                .to_vec();
        library_folders.extend(entries(Path::new("/usr/lib")).filter_map(|path| {
            let name = path.file_name()?.to_str()?;
            name.starts_with("llvm-").then(|| path.join("lib"))
        }));
        Surroundings { variables, library_folders }
    }

    /// A variable, if it is set and not empty.
    pub fn path_variable(&self, name: &str) -> Option<PathBuf> {
        let value = self.variables.get(name)?;
        (!value.is_empty()).then(|| PathBuf::from(value))
    }

    /// The first program of that name on PATH.
    pub fn program(&self, name: &str) -> Option<PathBuf> {
        let path = self.variables.get("PATH")?;
        std::env::split_paths(path).map(|folder| folder.join(name)).find(|file| file.is_file())
    }

    /// What a program prints, or `None` if it fails or takes longer than `limit`.
    pub fn ask(&self, program: &Path, arguments: &[&str], limit: Duration) -> Option<String> {
        let mut command = Command::new(program);
        command.args(arguments).env_clear().envs(&self.variables);
        // No rustup of ours decides for the rustup that is asked, and git asks nobody for passwords.
        command.env_remove("RUSTUP_TOOLCHAIN").env("GIT_TERMINAL_PROMPT", "0");
        output_within(&mut command, limit).ok().map(|text| text.trim().to_owned())
    }
}

/// What a folder holds; nothing if it is none.
pub fn entries(folder: &Path) -> impl Iterator<Item = PathBuf> {
    std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path())
}
