//! Gate/up pairs out of `.safetensors` files that the tests write, whole and damaged.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use nvfp4_dual_gemm::checkpoint::Convention;
use nvfp4_dual_gemm::{Checkpoint, Error};
use safetensors::tensor::{Dtype, TensorView, serialize};
use tempfile::TempDir;

const N: usize = 8;
const K: usize = 64;
const PREFIX: &str = "model.layers.3.mlp";

/// Tensors of a checkpoint by name, to be changed by the tests before they are written.
#[derive(Clone, Default)]
struct Tensors(HashMap<String, (Dtype, Vec<usize>, Vec<u8>)>);

impl Tensors {
    fn set(&mut self, name: &str, dtype: Dtype, shape: &[usize], data: Vec<u8>) {
        self.0.insert(name.into(), (dtype, shape.to_vec(), data));
    }

    fn scalar(&mut self, name: &str, shape: &[usize], value: f32) {
        self.set(name, Dtype::F32, shape, value.to_le_bytes().to_vec());
    }

    fn bytes(&self) -> Vec<u8> {
        let views = self.0.iter().map(|(name, (dtype, shape, data))| {
            (name.clone(), TensorView::new(*dtype, shape.clone(), data).unwrap())
        });
        serialize(views, None).unwrap()
    }

    fn write(&self, path: &Path) {
        fs::write(path, self.bytes()).unwrap();
    }

    /// Only the tensors whose names contain `part`.
    fn only(&self, part: &str) -> Tensors {
        Tensors(self.0.clone().into_iter().filter(|(name, _)| name.contains(part)).collect())
    }
}

fn packed(seed: usize) -> Vec<u8> {
    (0..N * K / 2).map(|i| (i * 37 + seed * 101) as u8).collect()
}

fn scales(seed: usize) -> Vec<u8> {
    (0..N * K / 16).map(|i| ((i * 11 + seed * 29) % 0x7f) as u8).collect()
}

fn modelopt(names: [&str; 2]) -> Tensors {
    let mut tensors = Tensors::default();
    for (seed, name) in names.into_iter().enumerate() {
        let layer = format!("{PREFIX}.{name}");
        tensors.set(&format!("{layer}.weight"), Dtype::U8, &[N, K / 2], packed(seed));
        let scale = format!("{layer}.weight_scale");
        tensors.set(&scale, Dtype::F8_E4M3, &[N, K / 16], scales(seed));
        tensors.scalar(&format!("{layer}.weight_scale_2"), &[], [0.25, 0.5][seed]);
        tensors.scalar(&format!("{layer}.input_scale"), &[], 0.125);
    }
    tensors
}

fn compressed() -> Tensors {
    let mut tensors = Tensors::default();
    for (seed, name) in ["gate_proj", "up_proj"].into_iter().enumerate() {
        let layer = format!("{PREFIX}.{name}");
        tensors.set(&format!("{layer}.weight_packed"), Dtype::U8, &[N, K / 2], packed(seed));
        let scale = format!("{layer}.weight_scale");
        tensors.set(&scale, Dtype::F8_E4M3, &[N, K / 16], scales(seed));
        tensors.scalar(&format!("{layer}.weight_global_scale"), &[1], [4.0, 2.0][seed]);
        tensors.scalar(&format!("{layer}.input_global_scale"), &[1], 8.0);
    }
    tensors
}

struct File {
    path: PathBuf,
    _folder: TempDir,
}

fn file(tensors: &Tensors) -> File {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("model.safetensors");
    tensors.write(&path);
    File { path, _folder: folder }
}

fn refusal(tensors: &Tensors) -> String {
    let file = file(tensors);
    let checkpoint = Checkpoint::open(&file.path).unwrap();
    let text = checkpoint.gate_up(PREFIX).unwrap_err().to_string();
    assert!(text.contains("model.safetensors"), "no file name in {text}");
    text
}

fn assert_has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "no {part:?} in: {text}");
    }
}

/// Opens `path` and checks that all of the pair is what the tests wrote.
fn assert_reads(path: &Path, convention: Convention) {
    let checkpoint = Checkpoint::open(path).unwrap();
    assert_eq!(checkpoint.prefixes(), [PREFIX]);
    let pair = checkpoint.gate_up(PREFIX).unwrap();
    assert_eq!((pair.n, pair.k, pair.convention), (N, K, convention));
    assert_eq!((pair.gate.packed, pair.up.packed), (&packed(0)[..], &packed(1)[..]));
    assert_eq!((pair.gate.scales, pair.up.scales), (&scales(0)[..], &scales(1)[..]));
    assert_eq!((pair.gate.tensor_scale, pair.up.tensor_scale), (0.25, 0.5));
    assert_eq!((pair.gate.input_scale, pair.up.input_scale), (Some(0.125), Some(0.125)));
    assert_eq!(pair.alphas().unwrap(), (0.125 * 0.25, 0.125 * 0.5));
    let [gate, up] = pair.blocked_scales().unwrap();
    // Row 1, blocks 0 to 3, in the second 16-byte line.
    assert_eq!((&gate[16..20], &up[16..20]), (&scales(0)[4..8], &scales(1)[4..8]));
}

#[test]
fn both_namings_mean_the_same_weights() {
    assert_reads(&file(&modelopt(["gate_proj", "up_proj"])).path, Convention::ModelOpt);
    assert_reads(&file(&modelopt(["w1", "w3"])).path, Convention::ModelOpt);
    assert_reads(&file(&compressed()).path, Convention::CompressedTensors);
}

#[test]
fn a_prefix_may_be_empty_or_end_in_a_dot() {
    let mut tensors = Tensors::default();
    for (name, tensor) in modelopt(["w1", "w3"]).0 {
        tensors.0.insert(name.strip_prefix(&format!("{PREFIX}.")).unwrap().into(), tensor);
    }
    let file_without = file(&tensors);
    let checkpoint = Checkpoint::open(&file_without.path).unwrap();
    assert_eq!(checkpoint.prefixes(), [""]);
    assert_eq!(checkpoint.gate_up("").unwrap().n, N);
    let file = file(&compressed());
    assert_eq!(Checkpoint::open(&file.path).unwrap().gate_up(&format!("{PREFIX}.")).unwrap().k, K);
}

fn write_shards(folder: &Path, tensors: &Tensors) -> PathBuf {
    let mut map = HashMap::new();
    for (part, name) in [("gate", "model-1-of-2.safetensors"), ("up", "model-2-of-2.safetensors")] {
        let shard = tensors.only(part);
        shard.write(&folder.join(name));
        map.extend(shard.0.into_keys().map(|tensor| (tensor, name)));
    }
    let index = folder.join("model.safetensors.index.json");
    let json = serde_json::json!({ "metadata": { "total_size": 1 }, "weight_map": map });
    fs::write(&index, json.to_string()).unwrap();
    index
}

#[test]
fn shards_are_found_by_index_by_folder_and_without_an_index() {
    let folder = TempDir::new().unwrap();
    let index = write_shards(folder.path(), &compressed());
    assert_reads(&index, Convention::CompressedTensors);
    assert_reads(folder.path(), Convention::CompressedTensors);
    fs::remove_file(index).unwrap();
    assert_reads(folder.path(), Convention::CompressedTensors);

    let single = TempDir::new().unwrap();
    modelopt(["gate_proj", "up_proj"]).write(&single.path().join("m.safetensors"));
    assert_reads(single.path(), Convention::ModelOpt);
}

#[test]
fn damaged_sets_of_shards_are_refused() {
    let folder = TempDir::new().unwrap();
    let index = write_shards(folder.path(), &compressed());
    let open = |path: &Path| Checkpoint::open(path).unwrap_err().to_string();

    // A missing shard hurts only those who need it.
    let shard = folder.path().join("model-2-of-2.safetensors");
    let bytes = fs::read(&shard).unwrap();
    fs::remove_file(&shard).unwrap();
    let checkpoint = Checkpoint::open(&index).unwrap();
    let text = checkpoint.gate_up(PREFIX).unwrap_err().to_string();
    assert_has(&text, &["model-2-of-2.safetensors", "cannot open"]);

    // An index of other files.
    modelopt(["w1", "w3"]).write(&shard);
    let checkpoint = Checkpoint::open(&index).unwrap();
    let text = checkpoint.gate_up(PREFIX).unwrap_err().to_string();
    assert_has(&text, &["model-2-of-2.safetensors", "up_proj.weight_packed", "index"]);
    fs::write(&shard, &bytes).unwrap();

    fs::copy(&shard, folder.path().join("copy.safetensors")).unwrap();
    fs::remove_file(&index).unwrap();
    assert_has(&open(folder.path()), &["is also in", "up_proj"]);

    for (json, part) in [
        ("", "is not an index"),
        ("{}", "weight_map"),
        ("{\"weight_map\": {\"a\": 3}}", "is not an index"),
        ("{\"weight_map\": {\"a\": \"../b.safetensors\"}}", "outside its own folder"),
        ("{\"weight_map\": {\"a\": \"/etc/passwd\"}}", "outside its own folder"),
        ("{\"weight_map\": {\"a\": \"\"}}", "outside its own folder"),
    ] {
        fs::write(&index, json).unwrap();
        assert_has(&open(&index), &[part, "index.json"]);
    }
    fs::write(folder.path().join("other.safetensors.index.json"), "{}").unwrap();
    assert_has(&open(folder.path()), &["2 indices"]);
}

#[test]
fn paths_that_are_no_checkpoint() {
    let folder = TempDir::new().unwrap();
    let open = |path: &Path| Checkpoint::open(path).unwrap_err().to_string();
    assert_has(&open(folder.path()), &["holds no .safetensors file"]);
    assert_has(&open(&folder.path().join("absent.safetensors")), &["absent", "cannot open"]);
    let text = folder.path().join("weights.bin");
    fs::write(&text, "hello").unwrap();
    assert_has(&open(&text), &["weights.bin", "neither"]);
    let mislabelled = folder.path().join("text.safetensors");
    fs::write(&mislabelled, "this is no safetensors file at all").unwrap();
    assert_has(&open(&mislabelled), &["text.safetensors", "header", "damaged"]);
    fs::write(&mislabelled, "").unwrap();
    assert_has(&open(&mislabelled), &["0 bytes long"]);
}

#[test]
fn missing_tensors_are_named_with_their_neighbours() {
    for (tensors, all) in [
        (modelopt(["gate_proj", "up_proj"]), ["weight", "weight_scale", "weight_scale_2"]),
        (compressed(), ["weight_packed", "weight_scale", "weight_global_scale"]),
    ] {
        for layer in ["gate_proj", "up_proj"] {
            for name in all {
                let mut tensors = tensors.clone();
                let tensor = format!("{PREFIX}.{layer}.{name}");
                tensors.0.remove(&tensor).unwrap();
                let text = refusal(&tensors);
                assert_has(&text, &["no tensor", &format!("{layer}.{name}")]);
            }
        }
    }
    let file = file(&modelopt(["w1", "w3"]));
    let checkpoint = Checkpoint::open(&file.path).unwrap();
    let text = checkpoint.gate_up("model.layers.4.mlp").unwrap_err().to_string();
    assert_has(&text, &["model.layers.4.mlp.gate_proj", "w1", PREFIX]);
    assert!(matches!(checkpoint.gate_up("x"), Err(Error::MissingTensor { .. })));
}

#[test]
fn mislabelled_tensors_are_refused() {
    let good = modelopt(["gate_proj", "up_proj"]);
    let gate = |name: &str| format!("{PREFIX}.gate_proj.{name}");
    let with = |name: &str, dtype, shape: &[usize], bytes: usize| {
        let mut tensors = good.clone();
        tensors.set(&gate(name), dtype, shape, vec![0x11; bytes]);
        refusal(&tensors)
    };
    let half = K / 2;
    assert_has(&with("weight", Dtype::BF16, &[N, K], 2 * N * K), &["weight", "BF16", "U8"]);
    assert_has(&with("weight", Dtype::U8, &[N * half], N * half), &["[256]", "[N, K/2]"]);
    assert_has(&with("weight", Dtype::U8, &[1, N, half], N * half), &["stacked experts"]);
    assert_has(&with("weight", Dtype::U8, &[N, 0], 0), &["[8, 0]"]);
    assert_has(&with("weight", Dtype::U8, &[N, 12], N * 12), &["K = 24", "multiple of 16"]);
    assert_has(&with("weight", Dtype::U8, &[N + 8, half], (N + 8) * half), &["[8, 4]", "[16, 4]"]);
    let scale = "weight_scale";
    assert_has(&with(scale, Dtype::U8, &[N, 4], N * 4), &["weight_scale", "U8", "F8_E4M3"]);
    assert_has(&with(scale, Dtype::F8_E5M2, &[N, 4], N * 4), &["F8_E5M2"]);
    assert_has(&with(scale, Dtype::F8_E4M3, &[N, 2], N * 2), &["[8, 2]", "[8, 4]", "MXFP4"]);
    assert_has(&with(scale, Dtype::F8_E4M3, &[4, N], N * 4), &["transposed"]);
    let scale_2 = "weight_scale_2";
    assert_has(&with(scale_2, Dtype::BF16, &[], 2), &["weight_scale_2", "BF16", "F32"]);
    assert_has(&with(scale_2, Dtype::F32, &[N], 4 * N), &["[8]", "one number"]);

    for value in [0.0, -1.0, f32::NAN, f32::INFINITY] {
        for name in [scale_2, "input_scale"] {
            let mut tensors = good.clone();
            tensors.scalar(&gate(name), &[], value);
            assert_has(&refusal(&tensors), &[&gate(name), &value.to_string(), "above 0"]);
        }
    }
    // 1e-40 is a legal multiplier, but as a divisor it has no inverse.
    let mut tensors = compressed();
    tensors.scalar(&gate("weight_global_scale"), &[1], 1e-40);
    assert_has(&refusal(&tensors), &["weight_global_scale", "inverse"]);
}

#[test]
fn a_nan_block_scale_is_named_by_file_tensor_row_and_block() {
    for (byte, what) in [(0x7f, "NaN"), (0xff, "NaN"), (0x80, "negative")] {
        let mut tensors = compressed();
        let name = format!("{PREFIX}.up_proj.weight_scale");
        tensors.0.get_mut(&name).unwrap().2[6 * 4 + 1] = byte;
        assert_has(&refusal(&tensors), &[&name, "row 6, block 1", what]);
    }
}

#[test]
fn pairs_that_do_not_belong_together() {
    let mut mixed = modelopt(["gate_proj", "up_proj"]).only("gate_proj");
    mixed.0.extend(compressed().only("up_proj").0);
    assert_has(&refusal(&mixed), &["up_proj", "compressed-tensors", "ModelOpt", "inverses"]);

    let mut shapes = modelopt(["gate_proj", "up_proj"]);
    let up = |name: &str| format!("{PREFIX}.up_proj.{name}");
    shapes.set(&up("weight"), Dtype::U8, &[16, K / 2], vec![0; 16 * K / 2]);
    shapes.set(&up("weight_scale"), Dtype::F8_E4M3, &[16, K / 16], vec![0; 16 * K / 16]);
    assert_has(&refusal(&shapes), &["N = 16", "N = 8", "one layer"]);

    let mut dense = Tensors::default();
    for name in ["gate_proj", "up_proj"] {
        let weight = format!("{PREFIX}.{name}.weight");
        dense.set(&weight, Dtype::BF16, &[N, K], vec![0; 2 * N * K]);
    }
    assert_has(&refusal(&dense), &["BF16", "not quantised to NVFP4"]);
}

#[test]
fn input_scales_that_differ_or_are_absent() {
    let mut tensors = modelopt(["gate_proj", "up_proj"]);
    let up = format!("{PREFIX}.up_proj.input_scale");
    tensors.scalar(&up, &[], 0.5);
    let text = |tensors: &Tensors| {
        let file = file(tensors);
        let checkpoint = Checkpoint::open(&file.path).unwrap();
        let pair = checkpoint.gate_up(PREFIX).unwrap();
        assert_eq!(pair.alphas_for(2.0), (0.5, 1.0));
        pair.alphas().unwrap_err().to_string()
    };
    assert_has(&text(&tensors), &["0.125", "0.5", "alphas_for"]);
    tensors.0.remove(&up);
    assert_has(&text(&tensors), &["only one"]);
    tensors.0.remove(&format!("{PREFIX}.gate_proj.input_scale"));
    assert_has(&text(&tensors), &["without input scales", "FromData"]);
}

#[test]
fn a_file_cut_off_anywhere_is_refused() {
    let bytes = modelopt(["gate_proj", "up_proj"]).bytes();
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("cut.safetensors");
    for length in 0..bytes.len() {
        fs::write(&path, &bytes[..length]).unwrap();
        let text = Checkpoint::open(&path).unwrap_err().to_string();
        assert_has(&text, &["cut.safetensors", "damaged"]);
    }
    fs::write(&path, [&bytes[..], &[0]].concat()).unwrap();
    assert_has(&Checkpoint::open(&path).unwrap_err().to_string(), &["cut.safetensors"]);
}

#[test]
fn a_file_with_any_header_byte_changed_never_panics() {
    let bytes = compressed().bytes();
    let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("flipped.safetensors");
    for at in 0..header {
        for flip in [0x01, 0x10, 0x80] {
            let mut bytes = bytes.clone();
            bytes[at] ^= flip;
            fs::write(&path, &bytes).unwrap();
            // Some changes, such as of an unused name, are none of the pair's business.
            if let Ok(checkpoint) = Checkpoint::open(&path) {
                let _ = checkpoint.gate_up(PREFIX).map(|pair| pair.blocked_scales());
            }
        }
    }
}

#[test]
fn offsets_that_overflow_are_refused() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("huge.safetensors");
    let huge = u64::MAX;
    let size = 1u64 << 60;
    let mut entries = String::from("\"__metadata__\": {\"data_offsets\": \"x\"}");
    for i in 0..16 {
        let (from, to) = (i * size, (i + 1).checked_mul(size).unwrap_or(huge));
        let len = to - from;
        entries += &format!(
            ", \"t{i:02}\": {{\"dtype\": \"U8\", \"shape\": [{len}], \"data_offsets\": [{from}, {to}]}}"
        );
    }
    let header = format!("{{{entries}}}");
    let bytes = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes()].concat();
    fs::write(&path, bytes).unwrap();
    assert_has(&Checkpoint::open(&path).unwrap_err().to_string(), &["huge.safetensors", "data"]);
}
