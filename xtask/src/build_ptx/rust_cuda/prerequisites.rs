//! What rust-cuda needs of a machine. Every check runs, and what is missing is named in one message,
//! each with the command that mends it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::surroundings::{Surroundings, entries};

/// The oldest toolkit whose libNVVM knows compute_100f: 12.9.
const OLDEST_CUDA: u32 = 12_090;
/// A program that answers from this machine.
const LOCAL: Duration = Duration::from_secs(60);
/// A server that answers at all.
const REMOTE: Duration = Duration::from_secs(20);

/// What the build is started with.
#[derive(Debug)]
pub struct Ready {
    /// The nightly's name.
    pub toolchain: String,
    /// Variables for rust-cuda's build scripts and for the compiler.
    pub variables: BTreeMap<&'static str, OsString>,
}

/// Something that is not there.
#[derive(Debug)]
struct Missing {
    what: String,
    remedy: String,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n    {}", self.what, self.remedy)
    }
}

fn missing(what: impl Into<String>, remedy: impl Into<String>) -> Missing {
    Missing { what: what.into(), remedy: remedy.into() }
}

/// Where rust-cuda's own source is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GitSource {
    /// Address of the repository.
    pub url: String,
    /// The pinned commit.
    pub revision: String,
}

impl GitSource {
    /// As the package's manifest says.
    pub fn of(manifest: &str) -> Result<Self> {
        let value = |key: &str| {
            quoted(manifest, key).with_context(|| format!("xtask/rust-cuda/Cargo.toml: no {key}"))
        };
        Ok(GitSource { url: value("git")?, revision: value("rev")? })
    }
}

/// The value of the first line `key = "value"`.
fn quoted(text: &str, key: &str) -> Option<String> {
    let value = text.lines().find_map(|line| {
        line.strip_prefix(key)?.trim_start().strip_prefix('=')?.trim_start().strip_prefix('"')
    })?;
    Some(value.split_once('"')?.0.to_owned())
}

/// Checks everything; with `offline`, the git source must be in cargo's cache already.
pub fn check(around: &Surroundings, package: &Path, offline: bool) -> Result<Ready> {
    let read = |name: &str| {
        let path = package.join(name);
        std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))
    };
    let toolchain = quoted(&read("rust-toolchain.toml")?, "channel")
        .context("xtask/rust-cuda/rust-toolchain.toml: no channel")?;
    let source = GitSource::of(&read("Cargo.toml")?)?;

    let mut lacking = vec![];
    let mut variables = BTreeMap::new();
    let mut libraries = vec![];
    lacking.extend(rust(around, &toolchain));
    let mut llvm_libraries = None;
    match llvm(around) {
        Ok(llvm) => {
            variables.insert("LLVM_CONFIG_19", llvm.config.into());
            if llvm.shared && !around.variables.contains_key("LLVM_LINK_SHARED") {
                variables.insert("LLVM_LINK_SHARED", "1".into());
            }
            libraries.extend(llvm.libraries.clone());
            llvm_libraries = llvm.libraries;
        }
        Err(what) => lacking.push(what),
    }
    match libclang(around, llvm_libraries.as_deref()) {
        Ok(folder) => drop(variables.insert("LIBCLANG_PATH", folder.into())),
        Err(what) => lacking.push(what),
    }
    match cuda(around) {
        Ok(root) => {
            libraries.push(root.join("nvvm/lib64"));
            variables.insert("CUDA_PATH", root.into());
        }
        Err(what) => lacking.extend(what),
    }
    match git(around, &source, offline) {
        // The git that answered shall be the git that fetches.
        Ok(()) => drop(variables.insert("CARGO_NET_GIT_FETCH_WITH_CLI", "true".into())),
        Err(what) => lacking.push(what),
    }
    if !lacking.is_empty() {
        let list: Vec<String> = lacking.iter().map(|what| format!("  {what}")).collect();
        bail!(
            "rust-cuda cannot be built on this machine; missing ({}):\n{}\nThe default backend needs \
             none of this: leave out --backend rust-cuda",
            list.len(),
            list.join("\n")
        );
    }
    if let Some(inherited) = around.variables.get("LD_LIBRARY_PATH") {
        libraries.extend(std::env::split_paths(inherited));
    }
    variables.insert("LD_LIBRARY_PATH", std::env::join_paths(libraries)?);
    Ok(Ready { toolchain, variables })
}

/// The nightly, with what a compiler backend is built from.
fn rust(around: &Surroundings, toolchain: &str) -> Option<Missing> {
    const COMPONENTS: [&str; 2] = ["rustc-dev", "rust-src"];
    let Some(rustup) = around.program("rustup") else {
        return Some(missing(
            "rustup: it is not on PATH",
            "curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh",
        ));
    };
    let arguments = ["component", "list", "--installed", "--toolchain", toolchain];
    let Some(installed) = around.ask(&rustup, &arguments, LOCAL) else {
        return Some(missing(
            format!("Rust toolchain: {toolchain} is not installed"),
            format!(
                "rustup toolchain install {toolchain} --profile minimal --component {}",
                COMPONENTS.join(" --component ")
            ),
        ));
    };
    // rustup lists `rustc-dev-x86_64-unknown-linux-gnu`, and `rust-src` as it is.
    let has = |component: &str| installed.lines().any(|line| line.trim().starts_with(component));
    let absent: Vec<_> = COMPONENTS.into_iter().filter(|component| !has(component)).collect();
    (!absent.is_empty()).then(|| {
        missing(
            format!("Rust components: {toolchain} has no {}", absent.join(" and no ")),
            format!("rustup component add {} --toolchain {toolchain}", absent.join(" ")),
        )
    })
}

/// LLVM 19, as its llvm-config describes it.
struct Llvm {
    config: PathBuf,
    libraries: Option<PathBuf>,
    shared: bool,
}

fn llvm(around: &Surroundings) -> Result<Llvm, Missing> {
    const REMEDY: &str =
        "apt-get install llvm-19-dev && export LLVM_CONFIG_19=/usr/bin/llvm-config-19";
    let named = around.path_variable("LLVM_CONFIG_19");
    let Some(config) = named.clone().or_else(|| around.program("llvm-config-19")) else {
        let what = "LLVM 19: LLVM_CONFIG_19 is not set, and llvm-config-19 is not on PATH";
        return Err(missing(what, REMEDY));
    };
    let from = if named.is_some() { "LLVM_CONFIG_19 names " } else { "" };
    let Some(version) = around.ask(&config, &["--version"], LOCAL) else {
        let what = format!("LLVM 19: {from}{}, which does not run", config.display());
        return Err(missing(what, REMEDY));
    };
    if version.split('.').next() != Some("19") {
        let what = format!("LLVM 19: {from}{}, which is of LLVM {version}", config.display());
        return Err(missing(what, REMEDY));
    }
    let binaries = around.ask(&config, &["--bindir"], LOCAL).map(PathBuf::from);
    let assembler = binaries.is_some_and(|folder| folder.join("llvm-as").is_file());
    if !assembler && around.program("llvm-as-19").is_none() {
        let what = format!("LLVM 19: {} has no llvm-as beside it", config.display());
        return Err(missing(what, "apt-get install llvm-19"));
    }
    // Debian's static libraries lack what they depend on; its shared one is complete.
    let shared = around.ask(&config, &["--shared-mode"], LOCAL).as_deref() == Some("shared");
    let libraries = around.ask(&config, &["--libdir"], LOCAL).map(PathBuf::from);
    Ok(Llvm { config, libraries, shared })
}

/// The folder with libclang, which reads CUDA's headers.
fn libclang(around: &Surroundings, llvm_libraries: Option<&Path>) -> Result<PathBuf, Missing> {
    const REMEDY: &str =
        "apt-get install libclang-19-dev && export LIBCLANG_PATH=/usr/lib/llvm-19/lib";
    let is_libclang = |path: &Path| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let stem = name.starts_with("libclang.so") || name.starts_with("libclang-");
        stem && name.contains(".so") && !name.starts_with("libclang-cpp")
    };
    let holds = |folder: &Path| entries(folder).any(|path| is_libclang(&path));
    if let Some(named) = around.path_variable("LIBCLANG_PATH") {
        if holds(&named) || is_libclang(&named) && named.is_file() {
            return Ok(named);
        }
        let what = format!("libclang: LIBCLANG_PATH names {}, which has none", named.display());
        return Err(missing(what, REMEDY));
    }
    let folders = llvm_libraries.into_iter().map(Path::to_path_buf);
    let mut folders = folders.chain(around.library_folders.iter().cloned());
    folders.find(|folder| holds(folder)).ok_or_else(|| {
        missing("libclang: LIBCLANG_PATH is not set, and no system folder has libclang.so", REMEDY)
    })
}

/// The CUDA toolkit, with the compiler library that rust-cuda is a front end of.
fn cuda(around: &Surroundings) -> Result<PathBuf, Vec<Missing>> {
    // From NVIDIA's package source; 12.9 does too.
    const REMEDY: &str = "apt-get install cuda-toolkit-13-0 && export CUDA_PATH=/usr/local/cuda";
    let Some(root) = around.path_variable("CUDA_PATH") else {
        return Err(vec![missing("CUDA: CUDA_PATH is not set", REMEDY)]);
    };
    let mut lacking = vec![];
    let header = std::fs::read_to_string(root.join("include/cuda.h")).unwrap_or_default();
    let version = header.lines().find_map(|line| line.trim().strip_prefix("#define CUDA_VERSION"));
    match version.and_then(|number| number.trim().parse::<u32>().ok()) {
        None => lacking.push("include/cuda.h with its CUDA_VERSION".to_owned()),
        Some(version) if version < OLDEST_CUDA => {
            let (major, minor) = (version / 1000, version / 10 % 100);
            let what = format!("CUDA: {} is {major}.{minor}, older than 12.9", root.display());
            return Err(vec![missing(what, REMEDY)]);
        }
        Some(_) => {}
    }
    let files = [
        "include/cuda_runtime_api.h",
        "nvvm/include/nvvm.h",
        "nvvm/lib64/libnvvm.so",
        "nvvm/libdevice/libdevice.10.bc",
    ];
    let absent = files.into_iter().filter(|file| !root.join(file).exists());
    lacking.extend(absent.map(str::to_owned));
    if lacking.is_empty() {
        return Ok(root);
    }
    let what = format!("CUDA: CUDA_PATH {} has no {}", root.display(), lacking.join(", no "));
    Err(vec![missing(what, REMEDY)])
}

/// rust-cuda's source: in cargo's cache, or at an address that answers.
fn git(around: &Surroundings, source: &GitSource, offline: bool) -> Result<(), Missing> {
    let GitSource { url, revision } = source;
    let Some(git) = around.program("git") else {
        return Err(missing("git: it is not on PATH", "apt-get install git"));
    };
    if cached(around, &git, revision)
        || !offline && around.ask(&git, &["ls-remote", url, "HEAD"], REMOTE).is_some()
    {
        return Ok(());
    }
    let remedy = format!(
        "git ls-remote {url} (it must answer; or with a mirror that has {revision}: \
         git config --global url.MIRROR.insteadOf {url})"
    );
    let why = if offline { "is not in cargo's cache (--offline)" } else { "does not answer" };
    Err(missing(format!("rust-cuda's source: {url} {why}"), remedy))
}

/// True if cargo has fetched the revision before.
fn cached(around: &Surroundings, git: &Path, revision: &str) -> bool {
    let home = around.path_variable("CARGO_HOME");
    let home = home.or_else(|| Some(around.path_variable("HOME")?.join(".cargo")));
    let commit = format!("{revision}^{{commit}}");
    home.is_some_and(|home| {
        entries(&home.join("git/db")).any(|database| {
            let database = format!("--git-dir={}", database.display());
            around.ask(git, &[&database, "cat-file", "-e", &commit], LOCAL).is_some()
        })
    })
}

#[cfg(test)]
#[path = "prerequisites_tests.rs"]
mod tests;
