//! The checks against machines made for the purpose: programs are shell scripts, libraries empty files.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use tempfile::TempDir;

use super::*;

const TOOLCHAIN: &str = "nightly-2026-04-02";

/// A folder that plays a machine, and what the checks see of it.
struct Machine {
    folder: TempDir,
    around: Surroundings,
}

impl Machine {
    /// Programs that fail, and nothing else.
    fn bare() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut around = Surroundings::default();
        around.variables.insert("PATH".into(), folder.path().join("bin").into());
        around.variables.insert("HOME".into(), folder.path().into());
        let machine = Machine { folder, around };
        for program in ["rustup", "git", "llvm-config-19", "llvm-as-19"] {
            machine.program(program, "exit 127");
        }
        machine
    }

    /// All that is needed.
    fn complete() -> Self {
        let mut machine = Machine::bare();
        machine.rustup("rustc-dev-x86_64-unknown-linux-gnu\\nrust-src\\ncargo-x86_64");
        machine.llvm("19.1.7", "shared");
        machine.file("llvm/bin/llvm-as", "");
        machine.file("llvm/lib/libclang-19.so.1", "");
        machine.file("cuda/include/cuda.h", "/* */\n#define CUDA_VERSION 13000\n");
        for file in [
            "include/cuda_runtime_api.h",
            "nvvm/include/nvvm.h",
            "nvvm/lib64/libnvvm.so",
            "nvvm/libdevice/libdevice.10.bc",
        ] {
            machine.file(&format!("cuda/{file}"), "");
        }
        machine.set("CUDA_PATH", "cuda");
        machine.git("ls-remote) echo 0123 HEAD ;;");
        machine
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    fn remove(&self, name: &str) {
        fs::remove_file(self.folder.path().join(name)).unwrap();
    }

    fn program(&self, name: &str, script: &str) {
        let path = self.file(&format!("bin/{name}"), &format!("#!/bin/sh\n{script}\n"));
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// The pinned toolchain has these components.
    fn rustup(&self, components: &str) {
        let known = format!("component list --installed --toolchain {TOOLCHAIN}");
        self.program("rustup", &format!("[ \"$*\" = '{known}' ] && printf '{components}\\n'"));
    }

    fn llvm(&self, version: &str, mode: &str) {
        let root = self.folder.path().join("llvm");
        let root = root.display();
        self.program(
            "llvm-config-19",
            &format!(
                "case $1 in --version) echo {version} ;; --bindir) echo {root}/bin ;; \
                 --libdir) echo {root}/lib ;; --shared-mode) echo {mode} ;; *) exit 1 ;; esac"
            ),
        );
    }

    fn git(&self, case: &str) {
        self.program("git", &format!("case $1 in {case} *) exit 128 ;; esac"));
    }

    fn set(&mut self, name: &str, path: &str) {
        self.around.variables.insert(name.into(), self.folder.path().join(path).into());
    }

    fn check(&self, offline: bool) -> Result<Ready> {
        check(&self.around, &super::super::package(), offline)
    }

    /// What the error says; it must name as many things as `count`.
    fn complaint(&self, count: usize) -> String {
        let text = self.check(false).unwrap_err().to_string();
        assert!(text.contains(&format!("missing ({count}):")), "{text}");
        text
    }
}

fn assert_has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "no '{part}' in:\n{text}");
    }
}

#[test]
fn a_complete_machine_is_ready_and_the_build_is_told_where_things_are() {
    let mut machine = Machine::complete();
    machine.around.variables.insert("LD_LIBRARY_PATH".into(), "/already".into());
    let ready = machine.check(false).unwrap();
    assert_eq!(ready.toolchain, TOOLCHAIN);
    let root = machine.folder.path();
    let variable = |name: &str| ready.variables[name].to_str().unwrap().to_owned();
    assert_eq!(variable("LLVM_CONFIG_19"), root.join("bin/llvm-config-19").to_str().unwrap());
    assert_eq!(variable("LLVM_LINK_SHARED"), "1");
    assert_eq!(variable("LIBCLANG_PATH"), root.join("llvm/lib").to_str().unwrap());
    assert_eq!(variable("CUDA_PATH"), root.join("cuda").to_str().unwrap());
    let libraries = variable("LD_LIBRARY_PATH");
    assert!(libraries.contains("cuda/nvvm/lib64") && libraries.ends_with(":/already"));
}

#[test]
fn a_static_llvm_is_linked_statically_and_the_user_s_choice_stands() {
    let mut machine = Machine::complete();
    machine.llvm("19.1.7", "static");
    assert!(!machine.check(false).unwrap().variables.contains_key("LLVM_LINK_SHARED"));
    machine.llvm("19.1.7", "shared");
    machine.around.variables.insert("LLVM_LINK_SHARED".into(), "".into());
    assert!(!machine.check(false).unwrap().variables.contains_key("LLVM_LINK_SHARED"));
}

#[test]
fn everything_that_is_missing_is_named_at_once_with_its_remedy() {
    let mut machine = Machine::bare();
    machine.around.variables.insert("LLVM_CONFIG_19".into(), "/nowhere/llvm-config".into());
    let text = machine.complaint(5);
    assert_has(
        &text,
        &[
            "Rust toolchain: nightly-2026-04-02 is not installed",
            "rustup toolchain install nightly-2026-04-02 --profile minimal --component rustc-dev \
             --component rust-src",
            "LLVM_CONFIG_19 names /nowhere/llvm-config, which does not run",
            "apt-get install llvm-19-dev && export LLVM_CONFIG_19=",
            "libclang: LIBCLANG_PATH is not set",
            "apt-get install libclang-19-dev && export LIBCLANG_PATH=",
            "CUDA: CUDA_PATH is not set",
            "export CUDA_PATH=",
            "https://github.com/brandonros/Rust-CUDA does not answer",
            "insteadOf",
            "leave out --backend rust-cuda",
        ],
    );
}

#[test]
fn without_any_program_each_is_named() {
    let mut machine = Machine::bare();
    let empty = machine.file("empty/x", "");
    machine.around.variables.insert("PATH".into(), empty.parent().unwrap().into());
    let text = machine.complaint(5);
    assert_has(&text, &["rustup: it is not on PATH", "sh.rustup.rs", "git: it is not on PATH"]);
    assert_has(&text, &["LLVM_CONFIG_19 is not set, and llvm-config-19 is not on PATH"]);
}

#[test]
fn a_missing_component_is_named_alone() {
    let machine = Machine::complete();
    machine.rustup("rust-src\\nrustc-x86_64-unknown-linux-gnu");
    let text = machine.complaint(1);
    assert_has(&text, &["nightly-2026-04-02 has no rustc-dev\n"]);
    assert_has(&text, &["rustup component add rustc-dev --toolchain nightly-2026-04-02"]);
    machine.rustup("cargo");
    assert_has(&machine.complaint(1), &["has no rustc-dev and no rust-src"]);
}

#[test]
fn another_llvm_is_refused_and_so_is_one_without_its_assembler() {
    let machine = Machine::complete();
    machine.llvm("21.1.8", "shared");
    assert_has(&machine.complaint(2), &["which is of LLVM 21.1.8", "libclang"]);
    machine.llvm("19.1.7", "shared");
    machine.remove("llvm/bin/llvm-as");
    // On PATH it would do.
    assert!(machine.check(false).is_ok());
    machine.remove("bin/llvm-as-19");
    assert_has(&machine.complaint(2), &["has no llvm-as", "apt-get install llvm-19\n"]);
}

#[test]
fn libclang_is_found_where_it_is_named_or_usual() {
    let mut machine = Machine::complete();
    machine.remove("llvm/lib/libclang-19.so.1");
    // The C++ library is another one.
    machine.file("llvm/lib/libclang-cpp.so.19", "");
    machine.complaint(1);
    machine.file("usr/lib/libclang.so.1", "");
    machine.around.library_folders = vec![machine.folder.path().join("usr/lib")];
    assert!(
        machine.check(false).unwrap().variables["LIBCLANG_PATH"]
            .to_str()
            .unwrap()
            .ends_with("usr/lib")
    );
    machine.set("LIBCLANG_PATH", "elsewhere");
    assert_has(&machine.complaint(1), &["LIBCLANG_PATH names", "elsewhere, which has none"]);
    machine.file("elsewhere/libclang.so", "");
    assert!(machine.check(false).is_ok());
}

#[test]
fn a_toolkit_without_nvvm_or_too_old_is_refused() {
    let machine = Machine::complete();
    machine.remove("cuda/nvvm/lib64/libnvvm.so");
    machine.remove("cuda/nvvm/libdevice/libdevice.10.bc");
    let text = machine.complaint(1);
    assert_has(&text, &["has no nvvm/lib64/libnvvm.so, no nvvm/libdevice/libdevice.10.bc"]);
    machine.file("cuda/include/cuda.h", "#define CUDA_VERSION 12080\n");
    assert_has(&machine.complaint(1), &["is 12.8, older than 12.9"]);
    machine.remove("cuda/include/cuda.h");
    assert_has(&machine.complaint(1), &["has no include/cuda.h"]);
}

#[test]
fn the_git_source_may_be_cached_and_offline_asks_nobody() {
    let machine = Machine::complete();
    let error = machine.check(true).unwrap_err().to_string();
    assert_has(&error, &["is not in cargo's cache (--offline)"]);
    machine.git("");
    machine.complaint(1);
    // cargo's database, in which git finds the commit.
    machine.file(".cargo/git/db/Rust-CUDA-0123456789abcdef/HEAD", "");
    machine.git("--git-dir=*Rust-CUDA*) [ \"$3\" = -e ] && [ \"$4\" = '103a8d5^{commit}' ] ;;");
    assert!(machine.check(true).is_ok());
    assert!(machine.check(false).is_ok());
}

#[test]
fn values_are_read_from_the_package_s_own_files() {
    assert_eq!(quoted("a = 1\nrev  =\t\"x\" # y\n", "rev").as_deref(), Some("x"));
    assert_eq!(quoted("revision = \"x\"\n", "rev"), None);
    assert!(GitSource::of("git = \"u\"\n").is_err());
    let folder = tempfile::tempdir().unwrap();
    let error = check(&Surroundings::default(), folder.path(), false).unwrap_err().to_string();
    assert!(error.contains("rust-toolchain.toml"), "{error}");
}
