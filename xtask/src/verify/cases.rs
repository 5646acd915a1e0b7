//! What is verified: shapes, tiles, outputs and data.

use std::fmt;
use std::str::FromStr;

use anyhow::{Result, bail};
use nvfp4_dual_gemm::plan::sm100::B200_SMS;
use nvfp4_dual_gemm::{OutputType, Plan, Problem};
use nvfp4_dual_gemm_tests::data::{DataKind, Inputs, Shape};

/// `M,N,K[,L]` on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShapeArgument(pub Shape);

impl FromStr for ShapeArgument {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers = text.split(',').map(|part| part.trim().parse::<usize>());
        let numbers: Vec<usize> = numbers
            .collect::<Result<_, _>>()
            .map_err(|error| format!("'{text}' is not M,N,K or M,N,K,L: {error}"))?;
        let shape = match numbers[..] {
            [m, n, k] => (m, n, k, 1),
            [m, n, k, l] => (m, n, k, l),
            _ => {
                return Err(format!(
                    "'{text}' has {} numbers: give M,N,K or M,N,K,L",
                    numbers.len()
                ));
            }
        };
        let (m, n, k, l) = shape;
        Problem::new(m, n, k).with_batch(l).check().map_err(|error| error.to_string())?;
        Ok(ShapeArgument(shape))
    }
}

/// Where a case's numbers come from.
#[derive(Debug, Clone)]
pub enum Source {
    /// Made for the purpose.
    Made(DataKind),
    /// A checkpoint's weights, and activations made for them.
    Checkpoint(Box<Inputs>),
}

/// One line of the table.
#[derive(Debug, Clone)]
pub struct Case {
    /// M, N, K, L.
    pub shape: Shape,
    /// Columns of the tile to force; `None` lets the plan choose.
    pub tile_n: Option<u32>,
    /// Element type of C.
    pub output: OutputType,
    /// The numbers.
    pub source: Source,
    /// Seeds, where the command line names none.
    pub default_seeds: u64,
}

impl Case {
    /// The inputs, always the same for a case.
    pub fn inputs(&self) -> Inputs {
        match &self.source {
            Source::Made(kind) => Inputs::new(*kind, self.shape, 0x5eed),
            Source::Checkpoint(inputs) => (**inputs).clone(),
        }
    }

    /// The plan for a problem of this case.
    pub fn plan(&self, problem: &Problem) -> nvfp4_dual_gemm::Result<Plan> {
        match self.tile_n {
            Some(tile_n) => Plan::with_tile(problem, 128, tile_n, B200_SMS),
            None => Plan::choose(problem, B200_SMS),
        }
    }

    /// Units of work, for a progress bar: MMA tiles.
    pub fn work(&self) -> u64 {
        let (m, n, k, l) = self.shape;
        (m.div_ceil(128) * n.div_ceil(64) * k.div_ceil(256) * l) as u64
    }

    /// What the data column says.
    pub fn data(&self) -> String {
        match &self.source {
            Source::Made(kind) => kind.to_string(),
            Source::Checkpoint(_) => "checkpoint".to_owned(),
        }
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (m, n, k, l) = self.shape;
        write!(f, "{m},{n},{k},{l} {} {}", self.data(), self.output)
    }
}

/// Shape, columns of the tile.
type Standard = (Shape, u32);

/// The standard set. Together: both tiles; M, N and K below, at and above every tile edge; a K that
/// is an odd multiple of 32 (half an atom of scales), and one that is not a whole number of atoms'
/// tiles; rings that are not filled, filled once, and gone round twice; batches.
const STANDARD: [Standard; 14] = [
    ((1, 8, 32, 1), 128),
    ((128, 128, 256, 1), 128),
    ((129, 136, 288, 1), 128),
    ((100, 248, 1056, 2), 128),
    ((257, 264, 1344, 1), 128),
    ((64, 128, 2560, 1), 128),
    ((127, 200, 96, 3), 128),
    ((1, 8, 64, 1), 64),
    ((128, 64, 256, 1), 64),
    ((129, 72, 544, 1), 64),
    ((40, 136, 800, 2), 64),
    ((255, 192, 1568, 1), 64),
    ((16, 64, 3328, 1), 64),
    ((130, 328, 224, 1), 64),
];

/// The contest's test shapes.
const CONTEST_TESTS: [(usize, usize, usize); 9] = [
    (1536, 512, 7168),
    (256, 512, 256),
    (3072, 1024, 1536),
    (7168, 1024, 256),
    (7168, 2304, 2048),
    (4608, 384, 7168),
    (7168, 384, 2304),
    (512, 768, 7168),
    (4096, 768, 512),
];

/// The contest's benchmark shapes.
const CONTEST_BENCHMARKS: [(usize, usize, usize); 4] =
    [(256, 4096, 7168), (512, 4096, 7168), (256, 3072, 4096), (512, 3072, 7168)];

/// The cases that the command line asks for.
pub fn select(shapes: &[ShapeArgument], data: &[DataKind], all: bool) -> Result<Vec<Case>> {
    let kinds = if data.is_empty() { &DataKind::ALL } else { data };
    let mut cases = vec![];
    for &ShapeArgument(shape) in shapes {
        for &kind in kinds {
            for output in [OutputType::F16, OutputType::Bf16] {
                cases.push(case(shape, None, output, kind, 2));
            }
        }
    }
    if shapes.is_empty() {
        // Every shape meets two kinds of data and both outputs, every kind meets every tail.
        for (i, &(shape, tile_n)) in STANDARD.iter().enumerate() {
            for (j, output) in [OutputType::F16, OutputType::Bf16].into_iter().enumerate() {
                let kind = DataKind::ALL[(i + 2 * j + i / 4) % 4];
                if kinds.contains(&kind) {
                    cases.push(case(shape, Some(tile_n), output, kind, 6));
                }
            }
        }
    }
    if all {
        for (m, n, k) in CONTEST_TESTS.into_iter().chain(CONTEST_BENCHMARKS) {
            cases.push(case((m, n, k, 1), None, OutputType::F16, DataKind::Contest, 1));
        }
    }
    if cases.is_empty() {
        bail!("no case is left of what was asked for");
    }
    Ok(cases)
}

fn case(shape: Shape, tile_n: Option<u32>, output: OutputType, kind: DataKind, seeds: u64) -> Case {
    Case { shape, tile_n, output, source: Source::Made(kind), default_seeds: seeds }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_standard_set_covers_what_it_says() {
        let cases = select(&[], &[], false).unwrap();
        for tile in [64, 128] {
            for kind in DataKind::ALL {
                let of_kind =
                    |case: &&Case| case.tile_n == Some(tile) && case.data() == kind.to_string();
                assert!(cases.iter().filter(of_kind).count() >= 3, "{tile} {kind}");
            }
            for output in [OutputType::F16, OutputType::Bf16] {
                assert!(
                    cases.iter().any(|case| case.tile_n == Some(tile) && case.output == output)
                );
            }
        }
        assert!(cases.iter().any(|case| case.shape.3 > 1));
        assert!(cases.iter().any(|case| case.shape.2 % 64 == 32));
    }

    #[test]
    fn shapes_are_read_and_refused() {
        let shape = |text: &str| text.parse::<ShapeArgument>();
        assert_eq!(shape("3,8,32").unwrap(), ShapeArgument((3, 8, 32, 1)));
        assert_eq!(shape("3, 8, 32, 4").unwrap(), ShapeArgument((3, 8, 32, 4)));
        assert!(shape("3,8").unwrap_err().contains("2 numbers"));
        assert!(shape("3,8,x").unwrap_err().contains("M,N,K"));
        assert!(shape("3,8,33").unwrap_err().contains("K = 33"));
        assert!(shape("0,8,32").unwrap_err().contains("M = 0"));
        assert!(shape("99999999999999999999,8,32").is_err());
    }
}
