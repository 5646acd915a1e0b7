//! The 32-bit instruction descriptor of `tcgen05.mma`: one numbering of the types per kind.

/// `.kind::…` of `tcgen05.mma`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MmaKind {
    /// `.kind::f16`: f16 or bf16.
    F16,
    /// `.kind::tf32`
    Tf32,
    /// `.kind::f8f6f4`: 8-, 6- and 4-bit floats in 8-bit containers.
    F8f6f4,
    /// `.kind::i8`
    I8,
    /// `.kind::mxf8f6f4`: as `f8f6f4`, with a ue8m0 scale per 32 elements.
    Mxf8f6f4,
    /// `.kind::mxf4`: packed e2m1, with a ue8m0 scale per 32 elements.
    Mxf4,
    /// `.kind::mxf4nvf4`: packed e2m1, with a ue4m3 scale per 16 or a ue8m0 scale per 32 elements.
    Mxf4nvf4,
}

impl MmaKind {
    /// K of one dense instruction.
    pub const fn k(self) -> u32 {
        match self {
            MmaKind::F16 => 16,
            MmaKind::Tf32 => 8,
            MmaKind::F8f6f4 | MmaKind::I8 | MmaKind::Mxf8f6f4 => 32,
            MmaKind::Mxf4 | MmaKind::Mxf4nvf4 => 64,
        }
    }

    /// Whether the kind takes scale factors.
    pub const fn is_block_scaled(self) -> bool {
        matches!(self, MmaKind::Mxf8f6f4 | MmaKind::Mxf4 | MmaKind::Mxf4nvf4)
    }

    /// The PTX name after `.kind::`.
    pub const fn name(self) -> &'static str {
        match self {
            MmaKind::F16 => "f16",
            MmaKind::Tf32 => "tf32",
            MmaKind::F8f6f4 => "f8f6f4",
            MmaKind::I8 => "i8",
            MmaKind::Mxf8f6f4 => "mxf8f6f4",
            MmaKind::Mxf4 => "mxf4",
            MmaKind::Mxf4nvf4 => "mxf4nvf4",
        }
    }
}

/// The type of the elements of A or B.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Element {
    /// IEEE half.
    F16,
    /// bfloat16.
    Bf16,
    /// tf32 in 32-bit containers.
    Tf32,
    /// 8-bit float, four exponent bits.
    E4m3,
    /// 8-bit float, five exponent bits.
    E5m2,
    /// 6-bit float, two exponent bits.
    E2m3,
    /// 6-bit float, three exponent bits.
    E3m2,
    /// 4-bit float.
    E2m1,
    /// Unsigned byte.
    U8,
    /// Signed byte.
    S8,
}

/// The type of the accumulator D.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Accumulator {
    /// f16, one per 32-bit column.
    F16,
    /// f32.
    F32,
    /// s32.
    S32,
}

/// The type of block scales.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ScaleType {
    /// e4m3 without sign.
    Ue4m3,
    /// A power of two.
    Ue8m0,
}

/// What an instruction descriptor says, together with what its kind implies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct InstrDescriptor {
    /// The kind it was decoded for.
    pub kind: MmaKind,
    /// Rows of A and D, over both CTAs of a pair.
    pub m: u32,
    /// Rows of B, columns of D.
    pub n: u32,
    /// Length of the dot products.
    pub k: u32,
    /// Elements of A.
    pub a: Element,
    /// Elements of B.
    pub b: Element,
    /// Accumulator type.
    pub d: Accumulator,
    /// Scale type, for block-scaled kinds.
    pub scale: Option<ScaleType>,
    /// A enters with its sign flipped.
    pub negate_a: bool,
    /// B enters with its sign flipped.
    pub negate_b: bool,
    /// A is MN-major.
    pub a_mn_major: bool,
    /// B is MN-major.
    pub b_mn_major: bool,
    /// Byte within a scale cell at which A's factors begin.
    pub scale_a_id: u32,
    /// Byte within a scale cell at which B's factors begin.
    pub scale_b_id: u32,
    /// Results of `.kind::i8` saturate.
    pub saturate: bool,
    /// Of a sparse instruction, which of two columns of metadata.
    pub sparse: Option<u32>,
}

/// What the words of an instruction say about its descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Form {
    /// `.cta_group::N`.
    pub cta_group: u32,
    /// `.sp`.
    pub sparse: bool,
    /// `.ws`.
    pub weight_stationary: bool,
}

impl Form {
    /// Neither sparse nor weight-stationary.
    pub const fn dense(cta_group: u32) -> Form {
        Form { cta_group, sparse: false, weight_stationary: false }
    }
}

impl InstrDescriptor {
    /// Bits of one element of K as it lies in shared memory.
    pub const fn element_bits(&self) -> u32 {
        match self.kind {
            MmaKind::F16 => 16,
            MmaKind::Tf32 => 32,
            MmaKind::F8f6f4 | MmaKind::I8 | MmaKind::Mxf8f6f4 => 8,
            MmaKind::Mxf4 | MmaKind::Mxf4nvf4 => 4,
        }
    }

    /// Bytes of every sixteen of an operand in shared memory that carry elements: all, but for the 6-
    /// and 4-bit types of the kinds that give each element a byte.
    pub const fn data_bytes(&self, element: Element) -> u32 {
        match (self.element_bits(), element) {
            (8, Element::E2m1) => 8,
            (8, Element::E2m3 | Element::E3m2) => 12,
            _ => 16,
        }
    }

    /// Checks that the scale-factor ids fit `factors` factors per row and K step.
    ///
    /// # Errors
    /// Names the id, its value and the rule.
    pub fn check_scale_ids(&self, factors: u32) -> Result<(), String> {
        for (name, id) in [("A", self.scale_a_id), ("B", self.scale_b_id)] {
            let legal = match factors {
                4 => id == 0,
                2 => id == 0 || id == 2,
                _ => true,
            };
            if !legal {
                return Err(format!(
                    "instruction descriptor: scale-factor id {id} of {name} is not allowed with \
                     {factors} factors per row (4X: 0; 2X: 0 or 2; 1X: 0 to 3)"
                ));
            }
        }
        Ok(())
    }
}

struct Bits {
    bits: u32,
    kind: MmaKind,
}

impl Bits {
    fn field(&self, low: u32, width: u32) -> u32 {
        (self.bits >> low) & ((1 << width) - 1)
    }

    fn error(&self, what: impl std::fmt::Display) -> String {
        format!("instruction descriptor {:#010x} for kind::{}: {what}", self.bits, self.kind.name())
    }

    fn reserved(&self, low: u32, width: u32) -> Result<(), String> {
        match self.field(low, width) {
            0 => Ok(()),
            value => {
                let high = low + width - 1;
                Err(self.error(format!("bits {high}:{low} hold {value:#x} and must be 0")))
            }
        }
    }

    fn element(&self, name: &str, low: u32) -> Result<Element, String> {
        let code = self.field(low, 3);
        let element = match (self.kind, code) {
            (MmaKind::F16, 0) => Element::F16,
            (MmaKind::F16, 1) => Element::Bf16,
            (MmaKind::Tf32, 2) => Element::Tf32,
            (MmaKind::F8f6f4 | MmaKind::Mxf8f6f4, 0) => Element::E4m3,
            (MmaKind::F8f6f4 | MmaKind::Mxf8f6f4, 1) => Element::E5m2,
            (MmaKind::F8f6f4 | MmaKind::Mxf8f6f4, 3) => Element::E2m3,
            (MmaKind::F8f6f4 | MmaKind::Mxf8f6f4, 4) => Element::E3m2,
            (MmaKind::F8f6f4 | MmaKind::Mxf8f6f4, 5) => Element::E2m1,
            (MmaKind::I8, 0) => Element::U8,
            (MmaKind::I8, 1) => Element::S8,
            (MmaKind::Mxf4 | MmaKind::Mxf4nvf4, 1) => Element::E2m1,
            _ => return Err(self.error(format!("type code {code} of {name} is not defined"))),
        };
        Ok(element)
    }
}

/// Decodes the descriptor of an instruction.
///
/// # Errors
/// Names the field, its value and what would be legal.
pub fn decode(kind: MmaKind, form: Form, bits: u32) -> Result<InstrDescriptor, String> {
    let b = Bits { bits, kind };
    let sparse = match (form.sparse, b.field(2, 1)) {
        (false, 0) => {
            b.reserved(0, 2)?;
            None
        }
        (false, _) => {
            return Err(b.error("the sparsity bit (2) is set, but the instruction is dense"));
        }
        (true, 0) => {
            return Err(b.error("the sparsity bit (2) is not set, but the instruction is sparse"));
        }
        (true, _) => {
            b.reserved(1, 1)?;
            let selector = b.field(0, 1);
            if selector == 1 && !matches!(kind, MmaKind::F16 | MmaKind::Tf32) {
                return Err(b.error("the sparsity selector (bits 1:0) must be 0"));
            }
            Some(selector)
        }
    };
    b.reserved(6, 1)?;
    let scaled = kind.is_block_scaled();
    if kind != MmaKind::I8 {
        b.reserved(3, 1)?;
    }
    let (d, scale, m) = if scaled {
        b.reserved(24, 3)?;
        (Accumulator::F32, Some(scale_type(&b)?), b.field(27, 2) << 7)
    } else {
        b.reserved(23, 1)?;
        b.reserved(29, 1)?;
        // How far a `.ws` instruction may look for a B to use again.
        if !form.weight_stationary {
            b.reserved(30, 2)?;
        }
        (accumulator(&b)?, None, b.field(24, 5) << 4)
    };
    match kind {
        MmaKind::Mxf8f6f4 => b.reserved(31, 1)?,
        MmaKind::Mxf4 | MmaKind::Mxf4nvf4 if b.field(31, 1) == 1 => {
            return Err(b.error("bit 31 asks for K = 96, which only sm_103 has"));
        }
        _ => {}
    }
    let n = b.field(17, 6) << 3;
    check_shape(&b, form, m, n)?;
    let descriptor = InstrDescriptor {
        kind,
        m,
        n,
        k: kind.k() * if form.sparse { 2 } else { 1 },
        a: b.element("A", 7)?,
        b: b.element("B", 10)?,
        d,
        scale,
        negate_a: b.field(13, 1) == 1,
        negate_b: b.field(14, 1) == 1,
        a_mn_major: b.field(15, 1) == 1,
        b_mn_major: b.field(16, 1) == 1,
        scale_a_id: if scaled { b.field(29, 2) } else { 0 },
        scale_b_id: if scaled { b.field(4, 2) } else { 0 },
        saturate: kind == MmaKind::I8 && b.field(3, 1) == 1,
        sparse,
    };
    if kind == MmaKind::I8 && (descriptor.negate_a || descriptor.negate_b) {
        return Err(b.error("negation (bits 13, 14) is not defined for integers"));
    }
    if descriptor.element_bits() == 4 && (descriptor.a_mn_major || descriptor.b_mn_major) {
        return Err(b.error("packed 4-bit operands must be K-major (bits 15, 16 must be 0)"));
    }
    Ok(descriptor)
}

fn scale_type(b: &Bits) -> Result<ScaleType, String> {
    match (b.kind, b.field(23, 1)) {
        (MmaKind::Mxf4nvf4, 0) => Ok(ScaleType::Ue4m3),
        (_, 1) => Ok(ScaleType::Ue8m0),
        _ => Err(b.error("scale type (bit 23) 0 is UE4M3, which only kind::mxf4nvf4 takes")),
    }
}

fn accumulator(b: &Bits) -> Result<Accumulator, String> {
    match (b.kind, b.field(4, 2)) {
        (MmaKind::F16 | MmaKind::F8f6f4, 0) => Ok(Accumulator::F16),
        (MmaKind::F16 | MmaKind::F8f6f4 | MmaKind::Tf32, 1) => Ok(Accumulator::F32),
        (MmaKind::I8, 2) => Ok(Accumulator::S32),
        (_, code) => Err(b.error(format!("D type code {code} (bits 5:4) is not defined"))),
    }
}

fn check_shape(b: &Bits, form: Form, m: u32, n: u32) -> Result<(), String> {
    if form.weight_stationary {
        return match (m, n) {
            (32 | 64 | 128, 64 | 128 | 256) => Ok(()),
            _ => Err(b.error(format!(
                "M = {m}, N = {n} is no shape of .ws; use M = 32, 64 or 128 with N = 64, 128 or 256"
            ))),
        };
    }
    let cta_group = form.cta_group;
    // (M, step of N); N starts at the step and ends at 256.
    let rule: &[(u32, u32)] = match (b.kind, cta_group) {
        (MmaKind::Mxf8f6f4 | MmaKind::Mxf4 | MmaKind::Mxf4nvf4, 1) => &[(128, 8)],
        (_, 1) => &[(64, 8), (128, 16)],
        (MmaKind::I8, _) => &[(128, 32), (256, 32)],
        _ => &[(128, 16), (256, 16)],
    };
    // Below 32 columns, kind::i8 also takes steps of 8; above, 16.
    let legal = rule.iter().any(|&(rows, step)| {
        let step = if b.kind == MmaKind::I8 && step == 8 && n > 32 { 16 } else { step };
        m == rows && (step..=256).contains(&n) && n.is_multiple_of(step)
    });
    if legal {
        return Ok(());
    }
    let shapes: Vec<String> =
        rule.iter().map(|(m, step)| format!("M = {m} with N = {step}..=256 step {step}")).collect();
    let shapes = shapes.join(", or ");
    Err(b.error(format!("M = {m}, N = {n} is no shape of cta_group::{cta_group}; use {shapes}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nvfp4_shapes_as_tabulated() {
        for (bits, group, m, n) in [
            (0x0804_0480, 1, 128, 16),
            (0x0820_0480, 1, 128, 128),
            (0x0840_0480, 1, 128, 256),
            (0x1004_0480, 2, 256, 16),
            (0x1030_0480, 2, 256, 192),
        ] {
            let d = decode(MmaKind::Mxf4nvf4, Form::dense(group), bits).unwrap();
            assert_eq!((d.m, d.n, d.k), (m, n, 64));
            assert_eq!((d.a, d.b), (Element::E2m1, Element::E2m1));
            assert_eq!(d.scale, Some(ScaleType::Ue4m3));
            assert_eq!(d.d, Accumulator::F32);
            assert!(!d.negate_a && !d.negate_b && !d.a_mn_major && !d.b_mn_major);
        }
    }

    #[test]
    fn dense_kinds() {
        let f16 = 1 << 4 | 1 << 7 | 1 << 10 | 1 << 16 | (128 / 8) << 17 | (64 / 16) << 24;
        let d = decode(MmaKind::F16, Form::dense(1), f16).unwrap();
        assert_eq!((d.m, d.n, d.k, d.a, d.d), (64, 128, 16, Element::Bf16, Accumulator::F32));
        assert!(d.b_mn_major && !d.a_mn_major);
        let i8 = 2 << 4 | 1 << 7 | (256 / 8) << 17 | (256 / 16) << 24;
        let d = decode(MmaKind::I8, Form::dense(2), i8).unwrap();
        assert_eq!((d.a, d.b, d.d), (Element::S8, Element::U8, Accumulator::S32));
        let tf32 = 1 << 4 | 2 << 7 | 2 << 10 | (8 / 8) << 17 | (64 / 16) << 24;
        assert_eq!(decode(MmaKind::Tf32, Form::dense(1), tf32).unwrap().k, 8);
        let mx8 = 1 << 23 | 3 << 29 | 1 << 4 | 5 << 10 | (64 / 8) << 17 | 1 << 27;
        let d = decode(MmaKind::Mxf8f6f4, Form::dense(1), mx8).unwrap();
        assert_eq!((d.a, d.b, d.scale_a_id, d.scale_b_id), (Element::E4m3, Element::E2m1, 3, 1));
        assert!(d.check_scale_ids(1).is_ok());
        assert!(d.check_scale_ids(2).unwrap_err().contains("id 3 of A"));
    }

    #[test]
    fn illegal_values_are_named() {
        let good = 0x0820_0480u32;
        for (bits, needle) in [
            (good | 4, "sparsity"),
            (good | 1, "bits 1:0"),
            (good | 1 << 6, "bits 6:6"),
            (good | 1 << 15, "K-major"),
            (good | 1 << 31, "K = 96"),
            (good | 1 << 25, "bits 26:24"),
            (good & !(7 << 7) | 5 << 7, "type code 5 of A"),
            (good & !(0x3F << 17), "N = 0"),
            (good & !(3 << 27), "M = 0"),
            (good ^ 3 << 27, "M = 256"),
        ] {
            let message = decode(MmaKind::Mxf4nvf4, Form::dense(1), bits).unwrap_err();
            assert!(message.contains(needle), "{message}");
        }
        assert!(decode(MmaKind::Mxf4, Form::dense(1), good).unwrap_err().contains("UE4M3"));
        assert!(
            decode(MmaKind::Mxf4nvf4, Form::dense(2), 0x0802_0480).is_err(),
            "N = 8 needs one CTA"
        );
        assert!(
            decode(MmaKind::F16, Form::dense(1), 3 << 4 | 16 << 17 | 8 << 24)
                .unwrap_err()
                .contains("D type")
        );
        assert!(
            decode(MmaKind::F16, Form::dense(1), 1 << 4 | 1 << 17 | 8 << 24)
                .unwrap_err()
                .contains("N = 8")
        );
    }
}
