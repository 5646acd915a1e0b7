//! Arithmetic, logic, comparison, conversion, data movement between registers, and the warp-wide
//! exchanges of them.

use super::{Dst, Pred, PredSrc, Slot, Src, Width};

/// An integer type. Untyped (`.b32`) operations use the unsigned one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names are PTX's own")]
pub enum Int {
    U16,
    S16,
    U32,
    S32,
    U64,
    S64,
    U16x2,
    S16x2,
}

impl Int {
    /// Width of the register.
    pub const fn width(self) -> Width {
        match self {
            Int::U16 | Int::S16 => Width::B16,
            Int::U32 | Int::S32 | Int::U16x2 | Int::S16x2 => Width::B32,
            Int::U64 | Int::S64 => Width::B64,
        }
    }

    /// Whether it is signed.
    pub const fn signed(self) -> bool {
        matches!(self, Int::S16 | Int::S32 | Int::S64 | Int::S16x2)
    }
}

/// A floating-point type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names are PTX's own")]
pub enum Float {
    F16,
    F16x2,
    BF16,
    BF16x2,
    F32,
    F32x2,
    F64,
}

impl Float {
    /// Width of the register.
    pub const fn width(self) -> Width {
        match self {
            Float::F16 | Float::BF16 => Width::B16,
            Float::F16x2 | Float::BF16x2 | Float::F32 => Width::B32,
            Float::F32x2 | Float::F64 => Width::B64,
        }
    }
}

/// Which part of a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MulPart {
    /// The low half.
    Lo,
    /// The high half.
    Hi,
    /// All of it, twice as wide as the operands.
    Wide,
    /// `mul24.lo`: bits 31..0 of the product of two 24-bit numbers.
    Lo24,
    /// `mul24.hi`: bits 47..16.
    Hi24,
}

/// Integer operations of two operands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names are PTX's own")]
pub enum IntOp2 {
    Add,
    Sub,
    /// `add.sat.s32`.
    AddSat,
    /// `sub.sat.s32`.
    SubSat,
    Mul(MulPart),
    /// Division by zero gives all ones.
    Div,
    Rem,
    Min,
    Max,
    /// `min.relu`.
    MinRelu,
    /// `max.relu`.
    MaxRelu,
    And,
    Or,
    Xor,
    /// Shift amounts are 32 bits and clamped.
    Shl,
    /// Arithmetic for signed types.
    Shr,
}

/// Integer operations of one operand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names are PTX's own")]
pub enum IntOp1 {
    Neg,
    Abs,
    Not,
    Cnot,
    /// 32-bit result.
    Popc,
    /// 32-bit result.
    Clz,
    Brev,
    /// 32-bit result, all ones when there is none.
    Bfind,
    /// `bfind.shiftamt`.
    BfindShift,
}

/// The condition-code register of the `.cc` instructions, kept as a hidden predicate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct CarryUse {
    /// Adds (or subtracts) it.
    pub carry_in: Option<Pred>,
    /// Writes it.
    pub carry_out: Option<Pred>,
}

/// Directions of rounding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rounding {
    /// To nearest, ties to even.
    Rn,
    /// To nearest, ties away from zero.
    Rna,
    /// Towards zero.
    Rz,
    /// Towards minus infinity.
    Rm,
    /// Towards plus infinity.
    Rp,
    /// Stochastic, by supplied random bits.
    Rs,
}

/// Modifiers of a floating-point operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FloatMode {
    /// Rounding; nearest even where not written.
    pub rounding: Rounding,
    /// Subnormal inputs and results become zeros of their sign.
    pub ftz: bool,
    /// Clamps to [0, 1], NaN to +0.
    pub sat: bool,
    /// Negative results and NaN become zero (min, max: NaN stays NaN).
    pub relu: bool,
    /// `.NaN` of min and max: a NaN operand gives NaN.
    pub nan: bool,
    /// `.xorsign.abs` of min and max.
    pub xorsign_abs: bool,
    /// `.abs` of three-input min and max.
    pub abs: bool,
}

impl Default for FloatMode {
    fn default() -> Self {
        FloatMode {
            rounding: Rounding::Rn,
            ftz: false,
            sat: false,
            relu: false,
            nan: false,
            xorsign_abs: false,
            abs: false,
        }
    }
}

/// Floating-point operations of two operands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names are PTX's own")]
pub enum FloatOp2 {
    Add,
    Sub,
    Mul,
    /// `.rn` and its kin, and `.full`: all correctly rounded here.
    Div,
    /// `.approx`: correctly rounded, but for large divisors.
    DivApprox,
    Min,
    Max,
    /// The sign of `a` with the magnitude of `b`.
    CopySign,
}

/// Floating-point operations of one operand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names are PTX's own")]
pub enum FloatOp1 {
    Neg,
    Abs,
    Rcp,
    Sqrt,
    Rsqrt,
    Sin,
    Cos,
    Lg2,
    Ex2,
    Tanh,
}

/// `testp`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names are PTX's own")]
pub enum FloatTest {
    Finite,
    Infinite,
    Number,
    NotANumber,
    Normal,
    Subnormal,
}

/// Comparisons. The `U` forms are true when an operand is NaN.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names are PTX's own")]
pub enum CmpOp {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    Equ,
    Neu,
    Ltu,
    Leu,
    Gtu,
    Geu,
    Num,
    Nan,
}

/// How a comparison combines with a third predicate, and the operations on predicates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names are PTX's own")]
pub enum BoolOp {
    And,
    Or,
    Xor,
}

/// One side of a scalar conversion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names are PTX's own")]
pub enum CvtFormat {
    U8,
    S8,
    U16,
    S16,
    U32,
    S32,
    U64,
    S64,
    F16,
    BF16,
    TF32,
    F32,
    F64,
}

impl CvtFormat {
    /// Width of the value.
    pub const fn width(self) -> Width {
        match self {
            CvtFormat::U8 | CvtFormat::S8 => Width::B8,
            CvtFormat::U16 | CvtFormat::S16 | CvtFormat::F16 | CvtFormat::BF16 => Width::B16,
            CvtFormat::U32 | CvtFormat::S32 | CvtFormat::TF32 | CvtFormat::F32 => Width::B32,
            CvtFormat::U64 | CvtFormat::S64 | CvtFormat::F64 => Width::B64,
        }
    }

    /// Whether it is an integer type.
    pub const fn is_int(self) -> bool {
        !matches!(
            self,
            CvtFormat::F16 | CvtFormat::BF16 | CvtFormat::TF32 | CvtFormat::F32 | CvtFormat::F64
        )
    }

    /// Whether it is a signed integer type.
    pub const fn is_signed(self) -> bool {
        matches!(self, CvtFormat::S8 | CvtFormat::S16 | CvtFormat::S32 | CvtFormat::S64)
    }
}

/// One side of a conversion of several numbers at once; the name is that of one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names are PTX's own")]
pub enum PackedFormat {
    F32,
    F16,
    BF16,
    E4M3,
    E5M2,
    E2M1,
    E2M3,
    E3M2,
    Ue8m0,
}

/// `prmt` modes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names are PTX's own")]
pub enum PrmtMode {
    Default,
    F4e,
    B4e,
    Rc8,
    Ecl,
    Ecr,
    Rc16,
}

/// What a shift does with amounts beyond the width.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names are PTX's own")]
pub enum ShiftClamp {
    Clamp,
    Wrap,
}

/// Instructions that touch nothing but registers, each lane for itself.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "fields are PTX's own operand names: d, a, b, c")]
pub enum ScalarOp {
    /// `mov` of one register or constant.
    Mov { width: Width, d: Slot, a: Src },
    /// `mov.b64 d, {a, b}` and the like: `parts` of `part` bits each, low one first.
    Pack { d: Slot, part: Width, parts: Box<[Src]> },
    /// `mov.b64 {a, b}, d` and the like.
    Unpack { part: Width, parts: Box<[Dst]>, a: Src },
    /// `mov.pred`, `not.pred`.
    MovPred { d: Pred, a: PredSrc },
    /// `and.pred`, `or.pred`, `xor.pred`.
    LogicPred { op: BoolOp, d: Pred, a: PredSrc, b: PredSrc },
    /// Integer arithmetic and logic.
    Int2 { op: IntOp2, ty: Int, d: Slot, a: Src, b: Src },
    /// Integer arithmetic and logic.
    Int1 { op: IntOp1, ty: Int, d: Slot, a: Src },
    /// `mad`, `mad24`; `sat` is `.hi.sat.s32`.
    IntMad { part: MulPart, ty: Int, sat: bool, d: Slot, a: Src, b: Src, c: Src },
    /// `add.cc`, `addc`, `sub.cc`, `subc`.
    IntCarry { subtract: bool, ty: Int, carry: CarryUse, d: Slot, a: Src, b: Src },
    /// `mad.cc`, `madc`.
    MadCarry { part: MulPart, ty: Int, carry: CarryUse, d: Slot, a: Src, b: Src, c: Src },
    /// `sad`.
    Sad { ty: Int, d: Slot, a: Src, b: Src, c: Src },
    /// `dp4a`: four 8-bit products.
    Dp4a { a_signed: bool, b_signed: bool, d: Slot, a: Src, b: Src, c: Src },
    /// `dp2a`: two 16×8-bit products.
    Dp2a { a_signed: bool, b_signed: bool, high: bool, d: Slot, a: Src, b: Src, c: Src },
    /// `bfe`.
    Bfe { ty: Int, d: Slot, a: Src, position: Src, length: Src },
    /// `bfi`: `a`'s low bits into `b`.
    Bfi { width: Width, d: Slot, a: Src, b: Src, position: Src, length: Src },
    /// `szext`.
    Szext { signed: bool, mode: ShiftClamp, d: Slot, a: Src, b: Src },
    /// `bmsk`.
    Bmsk { mode: ShiftClamp, d: Slot, a: Src, b: Src },
    /// `fns`.
    Fns { d: Slot, mask: Src, base: Src, offset: Src },
    /// `shf`: a funnel shift of `b:a`.
    Shf { left: bool, mode: ShiftClamp, d: Slot, a: Src, b: Src, c: Src },
    /// `lop3`; with `test`, also `p = (d != 0) op q`.
    Lop3 { d: Dst, a: Src, b: Src, c: Src, table: u8, test: Option<(Pred, BoolOp, PredSrc)> },
    /// `prmt`.
    Prmt { mode: PrmtMode, d: Slot, a: Src, b: Src, c: Src },
    /// Floating-point arithmetic.
    Float2 { op: FloatOp2, ty: Float, mode: FloatMode, d: Slot, a: Src, b: Src },
    /// `min` and `max` of three.
    Float3 { max: bool, mode: FloatMode, d: Slot, a: Src, b: Src, c: Src },
    /// Floating-point functions.
    Float1 { op: FloatOp1, ty: Float, mode: FloatMode, d: Slot, a: Src },
    /// `fma`, and `mad` of floats.
    Fma { ty: Float, mode: FloatMode, d: Slot, a: Src, b: Src, c: Src },
    /// `testp`.
    TestFloat { test: FloatTest, ty: Float, d: Pred, a: Src },
    /// `setp` of integers and bits; `p = cmp op combine`, `q = !cmp op combine`.
    SetpInt {
        cmp: CmpOp,
        ty: Int,
        p: Option<Pred>,
        q: Option<Pred>,
        a: Src,
        b: Src,
        combine: Option<(BoolOp, PredSrc)>,
    },
    /// `setp` of floats. For the packed types `p` and `q` are the low and high comparisons.
    SetpFloat {
        cmp: CmpOp,
        ty: Float,
        ftz: bool,
        p: Option<Pred>,
        q: Option<Pred>,
        a: Src,
        b: Src,
        combine: Option<(BoolOp, PredSrc)>,
    },
    /// `set`: the comparison (as a hidden `setp` computed it) as a number of that format.
    SetFrom { format: CvtFormat, d: Slot, p: PredSrc },
    /// `set` of packed halves: both comparisons as f16x2, bf16x2 (or two 16-bit masks).
    SetFromPair { ones: u16, d: Slot, low: PredSrc, high: PredSrc },
    /// `selp`.
    Selp { width: Width, d: Slot, a: Src, b: Src, p: PredSrc },
    /// `slct`: `a` where `c ≥ 0`, else `b`.
    Slct { width: Width, float: bool, ftz: bool, d: Slot, a: Src, b: Src, c: Src },
    /// `cvt` of one number.
    Cvt {
        to: CvtFormat,
        from: CvtFormat,
        /// `None`: none was written; exact, or the default of the pair.
        rounding: Option<Rounding>,
        /// `.rni` and its kin: round to an integral value.
        integral: bool,
        ftz: bool,
        sat: bool,
        satfinite: bool,
        relu: bool,
        /// Width of the destination register; an integer is extended into it.
        reg: Width,
        d: Slot,
        a: Src,
    },
    /// `cvt` of two or four numbers. Sources are in PTX's order, most significant first: two or
    /// four f32 registers, or one register that holds the pair.
    CvtPacked {
        to: PackedFormat,
        from: PackedFormat,
        rounding: Rounding,
        ftz: bool,
        satfinite: bool,
        relu: bool,
        /// How many numbers.
        count: u32,
        d: Slot,
        a: Box<[Src]>,
        /// `.rs`: 32 random bits.
        random: Option<Src>,
    },
    /// `cvt.pack.sat`: saturates `a` and `b` to `bits` bits and packs them, above `c` if given.
    CvtPack { signed: bool, bits: u32, d: Slot, a: Src, b: Src, c: Option<Src> },
    /// A video instruction.
    Video { video: Box<Video>, d: Slot, a: Src, b: Src, c: Src },
}

/// What a video instruction does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Video {
    /// The operation.
    pub op: VideoOp,
    /// 1, or 2 halves, or 4 bytes.
    pub lanes: u32,
    /// The result is signed.
    pub signed: bool,
    /// A is signed.
    pub a_signed: bool,
    /// B is signed.
    pub b_signed: bool,
    /// `.sat`.
    pub saturate: bool,
    /// What happens with C.
    pub second: Option<VideoSecond>,
    /// With one lane, first bit and bits of A; otherwise which lane of A and B, for each lane.
    pub a_part: [u8; 4],
    /// The same for B.
    pub b_part: [u8; 4],
    /// With one lane, first bit and bits of D; otherwise which lanes there are.
    pub mask: [u8; 4],
}

/// The operation of a video instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum VideoOp {
    Add,
    Sub,
    Average,
    Difference,
    Min,
    Max,
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
}

/// What becomes of C in a video instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VideoSecond {
    /// It is added.
    Add,
    /// The smaller one stays.
    Min,
    /// The larger one stays.
    Max,
    /// It fills what the result leaves.
    Merge,
}

/// Exchanges between the lanes of a warp.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "fields are PTX's own operand names: d, p, a, b, c")]
pub enum WarpOp {
    /// `shfl.sync.idx`.
    ShflIdx { d: Slot, p: Option<Pred>, a: Src, b: Src, c: Src, members: Src },
    /// `shfl.sync.up`.
    ShflUp { d: Slot, p: Option<Pred>, a: Src, b: Src, c: Src, members: Src },
    /// `shfl.sync.down`.
    ShflDown { d: Slot, p: Option<Pred>, a: Src, b: Src, c: Src, members: Src },
    /// `shfl.sync.bfly`.
    ShflBfly { d: Slot, p: Option<Pred>, a: Src, b: Src, c: Src, members: Src },
    /// `vote.sync.ballot`.
    Ballot { d: Slot, p: PredSrc, members: Src },
    /// `vote.sync.all`.
    VoteAll { d: Pred, p: PredSrc, members: Src },
    /// `vote.sync.any`.
    VoteAny { d: Pred, p: PredSrc, members: Src },
    /// `vote.sync.uni`.
    VoteUni { d: Pred, p: PredSrc, members: Src },
    /// `match.any.sync`.
    MatchAny { width: Width, d: Slot, a: Src, members: Src },
    /// `match.all.sync`.
    MatchAll { width: Width, d: Slot, p: Option<Pred>, a: Src, members: Src },
    /// `redux.sync` on integers: add, min, max, and, or, xor.
    Redux { op: IntOp2, ty: Int, d: Slot, a: Src, members: Src },
    /// `redux.sync.{min,max}{.abs}{.NaN}.f32`.
    ReduxFloat { max: bool, abs: bool, nan: bool, d: Slot, a: Src, members: Src },
    /// `elect.sync`: the lowest lane of the members.
    Elect { d: Dst, p: Pred, members: Src },
    /// `activemask`.
    ActiveMask { d: Slot },
}

impl WarpOp {
    /// The lanes that must execute it together.
    pub fn member_mask(&self) -> Option<Src> {
        match self {
            WarpOp::ShflIdx { members, .. }
            | WarpOp::ShflUp { members, .. }
            | WarpOp::ShflDown { members, .. }
            | WarpOp::ShflBfly { members, .. }
            | WarpOp::Ballot { members, .. }
            | WarpOp::VoteAll { members, .. }
            | WarpOp::VoteAny { members, .. }
            | WarpOp::VoteUni { members, .. }
            | WarpOp::MatchAny { members, .. }
            | WarpOp::MatchAll { members, .. }
            | WarpOp::Redux { members, .. }
            | WarpOp::ReduxFloat { members, .. }
            | WarpOp::Elect { members, .. } => Some(*members),
            WarpOp::ActiveMask { .. } => None,
        }
    }
}
