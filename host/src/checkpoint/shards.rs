//! Files of a checkpoint: found, mapped when first needed, and looked into by tensor name.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Component, Path, PathBuf};
use std::sync::OnceLock;

use safetensors::Dtype;
use safetensors::tensor::TensorInfo;
use serde::Deserialize;

use super::mapped::{Mapped, REPLACE, bad, io};
use crate::error::{Error, Result};

const INDEX_SUFFIX: &str = ".safetensors.index.json";
const FILE_SUFFIX: &str = ".safetensors";

/// The files of a checkpoint and which tensor is in which.
#[derive(Debug)]
pub(super) struct Shards {
    path: PathBuf,
    files: Vec<Shard>,
    /// From tensor to index in `files`.
    tensors: BTreeMap<String, usize>,
}

#[derive(Debug)]
struct Shard {
    path: PathBuf,
    mapped: OnceLock<Mapped>,
}

/// One tensor as it lies in its file.
#[derive(Debug)]
pub(super) struct Stored<'a> {
    path: &'a Path,
    name: String,
    info: &'a TensorInfo,
    data: &'a [u8],
}

/// What an index must hold; other keys are somebody else's.
#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

impl Shards {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let kind = fs::metadata(path).map_err(io(path, "open the checkpoint"))?;
        if kind.is_dir() {
            return Self::open_folder(path);
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.ends_with(INDEX_SUFFIX) {
            Self::open_index(path)
        } else if name.ends_with(FILE_SUFFIX) {
            Self::open_files(path, vec![path.into()])
        } else {
            Err(bad(
                path,
                "is neither a folder nor a .safetensors file nor a .safetensors.index.json".into(),
                "pass one of these",
            ))
        }
    }

    fn open_folder(path: &Path) -> Result<Self> {
        let mut indices = Vec::new();
        let mut files = Vec::new();
        for entry in fs::read_dir(path).map_err(io(path, "list the folder"))? {
            let entry = entry.map_err(io(path, "list the folder"))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.ends_with(INDEX_SUFFIX) {
                indices.push(entry.path());
            } else if name.ends_with(FILE_SUFFIX) {
                files.push(entry.path());
            }
        }
        files.sort();
        match (indices.as_slice(), files.is_empty()) {
            ([index], _) => Self::open_index(index),
            ([], false) => Self::open_files(path, files),
            ([], true) => {
                Err(bad(path, "holds no .safetensors file".into(), "pass the checkpoint's folder"))
            }
            _ => {
                let reason = format!("holds {} indices", indices.len());
                Err(bad(path, reason, "pass the .safetensors.index.json that is meant"))
            }
        }
    }

    /// All files are read for their headers, as nothing else says what they hold.
    fn open_files(path: &Path, paths: Vec<PathBuf>) -> Result<Self> {
        let files: Vec<Shard> = paths.into_iter().map(Shard::new).collect();
        let mut tensors = BTreeMap::new();
        for (index, file) in files.iter().enumerate() {
            for name in file.mapped()?.metadata.tensors().into_keys() {
                if let Some(other) = tensors.insert(name.clone(), index) {
                    let reason =
                        format!("tensor {name} is also in {}", files[other].path.display());
                    let remedy = "pass one of the files, or write an index that says which holds";
                    return Err(bad(&file.path, reason, remedy));
                }
            }
        }
        Ok(Shards { path: path.into(), files, tensors })
    }

    fn open_index(path: &Path) -> Result<Self> {
        let text = fs::read(path).map_err(io(path, "read the index"))?;
        let index: Index = serde_json::from_slice(&text).map_err(|error| {
            let remedy = "an index has a \"weight_map\" from tensor names to file names";
            bad(path, format!("is not an index: {error}"), remedy)
        })?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let mut files = Vec::new();
        let mut known = HashMap::new();
        let mut tensors = BTreeMap::new();
        for (tensor, file) in index.weight_map {
            // An index comes from elsewhere: it may name its neighbours, nothing above them.
            if !Path::new(&file).components().all(|part| matches!(part, Component::Normal(_)))
                || file.is_empty()
            {
                let reason = format!("places tensor {tensor} in {file:?}, outside its own folder");
                return Err(bad(path, reason, "an index names files beside it"));
            }
            let at = *known.entry(file).or_insert_with_key(|file| {
                files.push(Shard::new(folder.join(file)));
                files.len() - 1
            });
            tensors.insert(tensor, at);
        }
        Ok(Shards { path: path.into(), files, tensors })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    pub(super) fn tensor(&self, name: &str) -> Result<Stored<'_>> {
        let Some(&file) = self.tensors.get(name) else {
            let layer = name.rsplit_once('.').map_or(name, |(layer, _)| layer);
            let beside: Vec<_> = self
                .names()
                .filter(|n| n.rsplit_once('.').is_some_and(|(l, _)| l == layer))
                .collect();
            let hint = match beside.as_slice() {
                [] => format!("there is nothing below {layer}"),
                names => format!("below {layer} there are only {}", names.join(", ")),
            };
            return Err(Error::MissingTensor {
                path: self.path.clone(),
                tensor: name.into(),
                hint,
            });
        };
        self.files[file].tensor(name)
    }
}

impl Shard {
    fn new(path: PathBuf) -> Self {
        Shard { path, mapped: OnceLock::new() }
    }

    fn mapped(&self) -> Result<&Mapped> {
        match self.mapped.get() {
            Some(mapped) => Ok(mapped),
            None => {
                let mapped = Mapped::open(&self.path)?;
                Ok(self.mapped.get_or_init(|| mapped))
            }
        }
    }

    fn tensor(&self, name: &str) -> Result<Stored<'_>> {
        let mapped = self.mapped()?;
        let Some(info) = mapped.metadata.info(name) else {
            return Err(Error::MissingTensor {
                path: self.path.clone(),
                tensor: name.into(),
                hint: "the index says that it is here: the index belongs to other files".into(),
            });
        };
        let Some(data) = mapped.data(info) else {
            let reason = format!("tensor {name} lies beyond the end of the file");
            return Err(bad(&self.path, reason, REPLACE));
        };
        Ok(Stored { path: &self.path, name: name.into(), info, data })
    }
}

impl<'a> Stored<'a> {
    pub(super) fn path(&self) -> &'a Path {
        self.path
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn dtype(&self) -> Dtype {
        self.info.dtype
    }

    pub(super) fn shape(&self) -> &'a [usize] {
        &self.info.shape
    }

    pub(super) fn data(&self) -> &'a [u8] {
        self.data
    }

    pub(super) fn expect_dtype(&self, dtype: Dtype, why: &str) -> Result<()> {
        if self.dtype() == dtype {
            return Ok(());
        }
        Err(self.wrong(format!("type {:?}, expected {dtype:?}: {why}", self.dtype())))
    }

    /// Rows and columns of a tensor of rank 2 that is not empty.
    pub(super) fn matrix(&self, meaning: &str) -> Result<(usize, usize)> {
        match *self.shape() {
            [rows, columns] if rows > 0 && columns > 0 => Ok((rows, columns)),
            [_, _, _] => Err(self.wrong(format!(
                "shape {:?}: stacked experts are not supported, expected {meaning}",
                self.shape()
            ))),
            _ => Err(self.wrong(format!("shape {:?}, expected {meaning}", self.shape()))),
        }
    }

    pub(super) fn wrong(&self, reason: String) -> Error {
        Error::Tensor { path: self.path.into(), tensor: self.name.clone(), reason }
    }
}
