//! Launch bounds, written into the PTX: LLVM leaves them out, and ptxas needs them.

use anyhow::{Result, bail};
use nvfp4_dual_gemm_device::kernels::{KERNELS, KernelDecl};

/// Writes each kernel's declared bounds after its parameter list. Fails on an entry point that
/// nothing declares, and on a declared kernel of the PTX's target that the PTX lacks.
pub fn insert(ptx: &str) -> Result<String> {
    let target = ptx.lines().find_map(|line| line.strip_prefix(".target ")).unwrap_or_default();
    let mut out = String::with_capacity(ptx.len() + 1024);
    let mut seen = vec![];
    let mut entry: Option<&KernelDecl> = None;
    for line in ptx.lines() {
        if let Some(rest) = line.strip_prefix(".visible .entry ") {
            let name = rest.trim_end_matches('(');
            entry = KERNELS.iter().find(|kernel| kernel.name == name);
            if entry.is_none() {
                bail!("the PTX has an entry point {name} that device/src/kernels/mod.rs lacks");
            }
            seen.push(name);
        }
        out.push_str(line);
        out.push('\n');
        if line == ")"
            && let Some(kernel) = entry.take()
        {
            out.push_str(&directives(kernel));
        }
    }
    for kernel in KERNELS.iter().filter(|kernel| kernel.arch == target) {
        if !seen.contains(&kernel.name) {
            bail!("the PTX lacks the entry point {}", kernel.name);
        }
    }
    Ok(out)
}

/// The head of the module and those entry points whose names begin with `probe_`.
pub fn only_probes(ptx: &str) -> String {
    let mut out = String::new();
    let mut keep = true;
    for line in ptx.lines() {
        if let Some(name) = line.strip_prefix(".visible .entry ") {
            keep = name.starts_with("probe_");
        }
        if keep && !line.starts_with("\t// .globl") {
            out.push_str(line);
            out.push('\n');
        }
        if line == "}" {
            keep = false;
        }
    }
    out
}

fn directives(kernel: &KernelDecl) -> String {
    let [x, y, z] = kernel.block;
    let mut text = format!(".maxntid {x}, {y}, {z}\n.minnctapersm 1\n");
    if kernel.cluster != [1, 1, 1] {
        let [x, y, z] = kernel.cluster;
        text.push_str(&format!(".reqnctapercluster {x}, {y}, {z}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn module(name: &str) -> String {
        format!(".target sm_90\n.visible .entry {name}(\n\t.param .u64 p\n)\n{{\n\tret;\n}}\n")
    }

    #[test]
    fn bounds_stand_between_the_parameters_and_the_body() {
        let ptx = insert(&module(KERNELS[0].name)).unwrap();
        assert!(ptx.contains(")\n.maxntid 192, 1, 1\n.minnctapersm 1\n{\n"), "{ptx}");
    }

    #[test]
    fn an_undeclared_entry_is_refused() {
        let error = insert(&module("stranger")).unwrap_err().to_string();
        assert!(error.contains("stranger"), "{error}");
    }

    #[test]
    fn a_missing_kernel_is_refused() {
        let error = insert(".target sm_100f\n").unwrap_err().to_string();
        assert!(error.contains(KERNELS[0].name), "{error}");
    }
}
