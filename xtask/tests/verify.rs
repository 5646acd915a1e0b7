//! `cargo xtask verify` as a user meets it: what passes, what fails, and what is refused.

use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn committed_ptx() -> PathBuf {
    root().join("host/ptx/nvfp4_dual_gemm_sm_100f.ptx")
}

/// Exit status, and everything printed.
fn verify(arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    let output = command.arg("verify").args(arguments).current_dir(root()).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

/// Judges a file of Hopper's kernels for one small shape.
fn judge_hopper(ptx: &Path) -> (Option<i32>, String) {
    let options = ["--arch", "sm_90a", "--shape", "5,8,288", "--data", "quantised", "--seeds", "1"];
    verify(&[&options, ["--ptx", ptx.to_str().unwrap()].as_slice()].concat())
}

/// Judges a file for one small shape.
fn judge(ptx: &Path) -> (Option<i32>, String) {
    let path = ptx.to_str().unwrap();
    verify(&["--ptx", path, "--shape", "5,72,96", "--data", "hostile", "--seeds", "3"])
}

/// Judges the committed PTX after a change.
fn judge_changed(change: impl Fn(&str) -> String) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("changed.ptx");
    let ptx = std::fs::read_to_string(committed_ptx()).unwrap();
    let changed = change(&ptx);
    assert_ne!(changed, ptx, "the change found nothing to change");
    std::fs::write(&path, changed).unwrap();
    judge(&path)
}

#[test]
fn the_committed_ptx_passes() {
    let (status, text) = judge(&committed_ptx());
    assert_eq!(status, Some(0), "{text}");
    assert!(text.contains("all 2 cases passed on the emulator"), "{text}");
}

#[test]
fn hopper_s_kernels_pass_and_a_mistake_in_them_fails() {
    let committed = root().join("host/ptx/nvfp4_dual_gemm_sm_90a.ptx");
    let (status, text) = judge_hopper(&committed);
    assert_eq!(status, Some(0), "{text}");
    assert!(text.contains("passed on the emulator"), "{text}");

    let folder = tempfile::tempdir().unwrap();
    let ptx = std::fs::read_to_string(committed).unwrap();
    for (name, from, to) in [
        // 2^t of the epilogue, and the wait for all multiplications.
        ("wrong.ptx", "0fBFB8AA3B", "0fBFB00000"),
        ("unwaited.ptx", "wgmma.wait_group.sync.aligned 0;", "// removed"),
    ] {
        let path = folder.path().join(name);
        assert!(ptx.contains(from), "nothing to change: {from}");
        std::fs::write(&path, ptx.replace(from, to)).unwrap();
        let (status, text) = judge_hopper(&path);
        assert_eq!(status, Some(1), "{name}: {text}");
        assert!(text.contains("FAIL"), "{name}: {text}");
    }
}

/// A case of two groups, with this PTX.
fn judge_groups(ptx: &Path, options: &[&str]) -> (Option<i32>, String) {
    let groups = ["--shape", "40,72,96", "--shape", "5,136,160", "--data", "quantised"];
    verify(&[&["--ptx", ptx.to_str().unwrap(), "--seeds", "2"], &groups[..], options].concat())
}

#[test]
fn groups_pass_and_a_mistake_in_them_fails() {
    for options in [
        ["--op", "grouped"].as_slice(),
        &["--op", "grouped-dual"],
        &["--op", "grouped-dual", "--two-pass"],
        &["--op", "gemm"],
        &["--two-pass"],
    ] {
        let (status, text) = judge_groups(&committed_ptx(), options);
        assert_eq!(status, Some(0), "{text}");
        assert!(text.contains("passed on the emulator"), "{text}");
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("wrong.ptx");
    let ptx = std::fs::read_to_string(committed_ptx()).unwrap();
    // Lanes store their own column of both rows instead of swapping.
    let changed = ptx.replace("shfl.sync.bfly.b32", "shfl.sync.idx.b32");
    assert_ne!(changed, ptx);
    std::fs::write(&path, changed).unwrap();
    let (status, text) = judge_groups(&path, &["--op", "grouped-dual"]);
    assert_eq!(status, Some(1), "{text}");
    assert!(text.contains("first in group") && text.contains("FAILED"), "{text}");
}

#[test]
fn hopper_s_groups_pass_and_a_mistake_in_them_fails() {
    let committed = root().join("host/ptx/nvfp4_dual_gemm_sm_90a.ptx");
    let judge = |ptx: &Path, operation: &[&str]| {
        let shapes = ["--shape", "5,72,96", "--shape", "9,8,288", "--data", "quantised"];
        let options = ["--arch", "sm_90a", "--seeds", "1", "--ptx", ptx.to_str().unwrap()];
        verify(&[&options, shapes.as_slice(), operation].concat())
    };
    let two_pass = ["--op", "grouped-dual", "--two-pass"];
    for operation in [["--op", "grouped"].as_slice(), &two_pass] {
        let (status, text) = judge(&committed, operation);
        assert_eq!(status, Some(0), "{text}");
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("changed.ptx");
    let ptx = std::fs::read_to_string(committed).unwrap();
    // Consumers no longer wait for each other before they store.
    let changed = ptx.replace("barrier.sync.aligned 1, 512;", "").replace("bar.sync 1, 512;", "");
    assert_ne!(changed, ptx);
    std::fs::write(&path, changed).unwrap();
    let (status, text) = judge(&path, &["--op", "grouped"]);
    assert_eq!(status, Some(1), "{text}");
    // The second pass multiplies by another constant in its exponential: close, but other bits.
    let (before, after) = ptx.split_once(".entry nvfp4_silu_mul_sm90").unwrap();
    let changed = after.replacen("0fBFB8AA3B", "0fBFB9AA3B", 8);
    assert_ne!(changed, after);
    std::fs::write(&path, format!("{before}.entry nvfp4_silu_mul_sm90{changed}")).unwrap();
    let (status, text) = judge(&path, &two_pass);
    assert_eq!(status, Some(1), "{text}");
    assert!(text.contains("the fused kernel's"), "{text}");
}

#[test]
fn operations_that_are_not_there_are_refused() {
    for (arguments, message) in [
        (["--op", "gemm", "--two-pass"].as_slice(), "takes one pass"),
        (&["--op", "grouped", "--two-pass", "--arch", "sm_90a"], "takes one pass"),
    ] {
        let (status, text) = verify(arguments);
        assert_eq!(status, Some(1), "{text}");
        assert!(text.contains(message), "{text}");
    }
}

#[test]
fn a_wrong_result_fails_and_names_the_element() {
    let (status, text) = judge_changed(|ptx| ptx.replace("0fBFB8AA3B", "0fBFB00000"));
    assert_eq!(status, Some(1), "{text}");
    assert!(text.contains("FAIL") && text.contains("first at batch 0, row"), "{text}");
}

#[test]
fn a_fault_fails_and_names_the_line() {
    let (status, text) =
        judge_changed(|ptx| ptx.replace("tcgen05.wait::ld.sync.aligned;", "// removed "));
    assert_eq!(status, Some(1), "{text}");
    assert!(text.contains("PendingRegister") && text.contains("line "), "{text}");
}

#[test]
fn what_is_not_ptx_is_refused() {
    let (status, text) = judge_changed(|ptx| ptx[..ptx.len() / 2].to_owned());
    assert_eq!(status, Some(1), "{text}");
    assert!(text.contains("malformed: line"), "{text}");
    let (status, text) = judge_changed(|_| "no PTX at all".to_owned());
    assert_eq!(status, Some(1), "{text}");
    assert!(text.contains("malformed: line 1"), "{text}");
    let (status, text) = judge_changed(|ptx| ptx.replace(".entry nvfp4", ".entry other"));
    assert_eq!(status, Some(1), "{text}");
    assert!(text.contains("no entry 'nvfp4_dual_gemm_sm100_128x64_f16'"), "{text}");
    let (status, text) = judge(Path::new("/nowhere/kernel.ptx"));
    assert_eq!(status, Some(1), "{text}");
    assert!(text.contains("/nowhere/kernel.ptx"), "{text}");
}

#[test]
fn a_shape_outside_the_rules_is_refused() {
    for (shape, message) in [
        ("1,8,33", "K = 33: must be a multiple of 32"),
        ("1,12,32", "N = 12: must be a multiple of 8"),
        ("0,8,32", "M = 0"),
        ("1,8,32,0", "L = 0"),
        ("1,8", "give M,N,K or M,N,K,L"),
        ("1,8,-32", "not M,N,K"),
    ] {
        let (status, text) = verify(&["--shape", shape]);
        assert_eq!(status, Some(2), "{text}");
        assert!(text.contains(message), "{shape}: {text}");
    }
}

#[test]
fn unknown_words_are_refused() {
    for arguments in [
        ["--bogus"].as_slice(),
        &["--data", "random"],
        &["--arch", "sm_80"],
        &["--seeds", "0"],
        &["--checkpoint", "x"],
    ] {
        let (status, text) = verify(arguments);
        assert_eq!(status, Some(2), "{text}");
        assert!(text.contains("--help") || text.contains("--layer"), "{text}");
    }
}

/// A `.safetensors` file with these tensors of zeros: an 8-byte length, a JSON header, the data.
fn safetensors(path: &Path, tensors: &[(&str, &str, &[usize], Vec<u8>)]) {
    let mut header = vec![];
    let mut data = vec![];
    for (name, dtype, shape, bytes) in tensors {
        let (start, end) = (data.len(), data.len() + bytes.len());
        header.push(format!(
            r#""{name}":{{"dtype":"{dtype}","shape":{shape:?},"data_offsets":[{start},{end}]}}"#
        ));
        data.extend(bytes);
    }
    let header = format!("{{{}}}", header.join(","));
    let bytes = [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &data].concat();
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn a_checkpoint_is_read_multiplied_and_judged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let (n, k) = (24, 64);
    let weight = |start: u8| (0..n * k / 2).map(|i| start.wrapping_add(i as u8 * 7)).collect();
    let scales = vec![0x38; n * k / 16];
    let scalar = |value: f32| value.to_le_bytes().to_vec();
    safetensors(
        &path,
        &[
            ("l.gate_proj.weight", "U8", &[n, k / 2], weight(1)),
            ("l.gate_proj.weight_scale", "F8_E4M3", &[n, k / 16], scales.clone()),
            ("l.gate_proj.weight_scale_2", "F32", &[], scalar(0.01)),
            ("l.up_proj.weight", "U8", &[n, k / 2], weight(90)),
            ("l.up_proj.weight_scale", "F8_E4M3", &[n, k / 16], scales),
            ("l.up_proj.weight_scale_2", "F32", &[], scalar(0.02)),
        ],
    );
    let ptx = committed_ptx();
    let run = |layer: &str| {
        let path = path.to_str().unwrap();
        verify(&[
            "--ptx",
            ptx.to_str().unwrap(),
            "--checkpoint",
            path,
            "--layer",
            layer,
            "--rows",
            "3",
        ])
    };
    let (status, text) = run("l");
    assert_eq!(status, Some(0), "{text}");
    assert!(text.contains("ModelOpt naming, N 24, K 64"), "{text}");
    let (status, text) = run("m");
    assert_eq!(status, Some(1), "{text}");
    assert!(text.contains("m.gate_proj"), "{text}");

    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() - 9]).unwrap();
    let (status, text) = run("l");
    assert_eq!(status, Some(1), "{text}");
    assert!(text.contains("damaged or incomplete"), "{text}");
}
