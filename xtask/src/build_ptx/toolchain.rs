//! Finding, or fetching, a rustc that can compile `core` for nvptx64.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::workspace::{self, output_of, output_within};

/// The compiler whose PTX is committed. Other versions work, and print other PTX.
pub const VERSION: &str = "1.96.0";

/// The folder of a Debian release's own 1.96.0, unpacked without installing.
const DEBIAN_PACKAGES: [&str; 5] =
    ["rustc-web", "libstd-rust-web-1.96", "libstd-rust-web-dev", "rust-web-src", "libllvm22"];

/// A download that takes longer than this is given up.
const DOWNLOAD_LIMIT: Duration = Duration::from_secs(300);

/// A compiler with the source of its library.
pub struct DeviceRustc {
    /// The executable.
    pub path: PathBuf,
    /// Where its own shared libraries are, if the system does not know.
    pub library_path: Option<PathBuf>,
    /// As in `rustc --version`, the number alone.
    pub version: String,
    /// How it was found, for people.
    pub origin: String,
}

/// Looks everywhere in turn, then fetches unless `offline`.
pub fn find(offline: bool) -> Result<DeviceRustc> {
    let mut tried = vec![];
    if let Some(path) = std::env::var_os("NVFP4_DEVICE_RUSTC") {
        let path = PathBuf::from(path);
        return usable(&path, None, "NVFP4_DEVICE_RUSTC")
            .with_context(|| format!("NVFP4_DEVICE_RUSTC names {}", path.display()));
    }
    let mut attempt = |name: &str, found: Result<DeviceRustc>| match found {
        Ok(rustc) if rustc.version == VERSION => Some(rustc),
        Ok(rustc) => {
            tried.push(format!("{name}: it is rustc {}, not {VERSION}", rustc.version));
            None
        }
        Err(error) => {
            tried.push(format!("{name}: {error:#}"));
            None
        }
    };
    if let Some(rustc) = attempt("rustup toolchain", rustup_toolchain()) {
        return Ok(rustc);
    }
    if let Some(rustc) =
        attempt("system rustc", usable(Path::new("/usr/bin/rustc"), None, "system"))
    {
        return Ok(rustc);
    }
    if let Some(rustc) = attempt("unpacked below target/", unpacked()) {
        return Ok(rustc);
    }
    if !offline {
        if let Some(rustc) = attempt("fetching by rustup", fetch_by_rustup()) {
            return Ok(rustc);
        }
        if let Some(rustc) = attempt("fetching Debian's packages", fetch_debian()) {
            return Ok(rustc);
        }
    }
    bail!(
        "no device compiler: rustc {VERSION} with its library source is needed.\n  {}\n\
         Install one with `rustup toolchain install {VERSION} --profile minimal --component \
         rust-src`, or set NVFP4_DEVICE_RUSTC to the path of a rustc {VERSION} whose sysroot has \
         lib/rustlib/src/rust/library",
        tried.join("\n  ")
    )
}

/// Checks that `path` runs and that its sysroot has the library source.
fn usable(path: &Path, library_path: Option<PathBuf>, origin: &str) -> Result<DeviceRustc> {
    let ask = |argument: &[&str]| {
        let mut command = Command::new(path);
        command.args(argument);
        if let Some(folder) = &library_path {
            command.env("LD_LIBRARY_PATH", folder);
        }
        output_of(&mut command)
    };
    let version = ask(&["--version"])?;
    let version = version.split_whitespace().nth(1).context("`rustc --version` is empty")?;
    let sysroot = ask(&["--print", "sysroot"])?;
    let source = Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library/core");
    if !source.is_dir() {
        bail!("{} has no library source ({} is missing)", path.display(), source.display());
    }
    Ok(DeviceRustc {
        path: path.to_path_buf(),
        version: version.to_owned(),
        library_path,
        origin: format!("{origin}: {}", path.display()),
    })
}

fn rustup_toolchain() -> Result<DeviceRustc> {
    let path = output_of(Command::new("rustup").args(["which", "rustc", "--toolchain", VERSION]))?;
    usable(Path::new(path.trim()), None, "rustup toolchain")
}

fn fetch_by_rustup() -> Result<DeviceRustc> {
    println!("fetching rustc {VERSION} with rustup …");
    let mut command = Command::new("rustup");
    command.args(["toolchain", "install", VERSION, "--profile", "minimal"]);
    command.args(["--component", "rust-src", "--no-self-update"]);
    output_within(&mut command, DOWNLOAD_LIMIT)?;
    rustup_toolchain()
}

fn unpack_folder() -> PathBuf {
    workspace::target().join("device-toolchain")
}

fn unpacked() -> Result<DeviceRustc> {
    let root = unpack_folder().join("root");
    let libraries = root.join("usr/lib/x86_64-linux-gnu");
    usable(&root.join("usr/bin/rustc"), Some(libraries), "Debian's packages")
}

/// Downloads Debian's packages and unpacks them below target/; root is not needed.
fn fetch_debian() -> Result<DeviceRustc> {
    println!("fetching rustc {VERSION} from Debian's packages (140 MB) …");
    let folder = unpack_folder();
    let debs = folder.join("debs");
    std::fs::create_dir_all(debs.join("lists/partial"))?;
    let download = |extra: &[String]| {
        let mut command = Command::new("apt-get");
        command.current_dir(&debs).args(extra).arg("download").args(DEBIAN_PACKAGES);
        output_within(&mut command, DOWNLOAD_LIMIT)
    };
    if download(&[]).is_err() {
        // The system's package lists are missing or old: use lists of our own.
        let lists = format!("-oDir::State::Lists={}", debs.join("lists").display());
        let mut update = Command::new("apt-get");
        output_within(update.args([lists.as_str(), "update"]), DOWNLOAD_LIMIT)?;
        download(&[lists])?;
    }
    // Unpack beside the final place, so that a half-unpacked compiler is never found.
    let fresh = folder.join("root.new");
    std::fs::remove_dir_all(&fresh).ok();
    for entry in std::fs::read_dir(&debs)? {
        let file = entry?.path();
        if file.extension().is_some_and(|extension| extension == "deb") {
            output_of(Command::new("dpkg-deb").arg("-x").arg(&file).arg(&fresh))?;
        }
    }
    let root = folder.join("root");
    std::fs::remove_dir_all(&root).ok();
    std::fs::rename(&fresh, &root)?;
    std::fs::remove_dir_all(&debs).ok();
    unpacked()
}
