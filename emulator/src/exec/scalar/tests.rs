//! Scalar instructions from PTX text to bits: one line per fact.

use proptest::prelude::*;

use super::super::{scalar, warp_ops};
use crate::{
    decode::{self, op::Op, program::Kernel},
    error::{Fault, FaultKind},
    machine::registers::{Lanes, Registers},
};

/// A kernel of straight code with the usual register names.
fn kernel(code: &str) -> Kernel {
    let text = format!(
        ".version 9.0\n.target sm_100a\n.address_size 64\n.visible .entry k() {{
        .reg .pred %p<9>; .reg .b16 %rs<9>; .reg .b32 %r<9>; .reg .b64 %rd<9>; .reg .f32 %f<9>;
        .reg .b8 %b<9>; .reg .b128 %q<3>; .reg .f64 %fd<9>;
        {code}
        }}"
    );
    let program = decode::program(text.as_bytes()).unwrap_or_else(|why| panic!("{code}: {why}"));
    program.kernel("k").unwrap().unwrap_or_else(|why| panic!("{code}: {why}")).clone()
}

fn execute(kernel: &Kernel, regs: &mut Registers, lanes: Lanes) -> Result<(), Box<Fault>> {
    for instr in &kernel.instrs {
        match &instr.op {
            Op::Scalar(op) => scalar::execute(op, regs, lanes)?,
            Op::Warp(op) => warp_ops::execute(op, regs, lanes)?,
            _ => {}
        }
    }
    Ok(())
}

fn slot(kernel: &Kernel, name: &str) -> usize {
    let found = kernel.register_names.iter().find(|(_, known)| known == name);
    found.unwrap_or_else(|| panic!("no {name}")).0 as usize
}

fn pred(kernel: &Kernel, name: &str) -> usize {
    kernel.predicate_names.iter().find(|(_, known)| known == name).unwrap().0 as usize
}

/// Runs `code` on all lanes and gives register `%x0` of the kind that the code names: the value of
/// lane 7, of 32 or 64 bits.
fn run(code: &str) -> u64 {
    let kernel = kernel(code);
    let mut regs = Registers::new(kernel.slots as usize, kernel.preds as usize);
    execute(&kernel, &mut regs, u32::MAX).unwrap_or_else(|why| panic!("{code}: {why}"));
    for (name, words) in [("%r0", 1), ("%f0", 1), ("%rs0", 1), ("%b0", 1), ("%rd0", 2), ("%fd0", 2)]
    {
        if let Some((slot, _)) = kernel.register_names.iter().find(|(_, known)| known == name) {
            let at = *slot as usize;
            let high = if words == 2 { regs.words[at + 1][7] } else { 0 };
            return u64::from(regs.words[at][7]) | u64::from(high) << 32;
        }
    }
    u64::from(regs.preds[pred(&kernel, "%p0")] >> 7 & 1)
}

#[track_caller]
fn check(facts: &[(&str, u64)]) {
    for &(code, expected) in facts {
        let found = run(code);
        assert_eq!(found, expected, "{code}: {found:#x}, not {expected:#x}");
    }
}

#[test]
fn integers() {
    check(&[
        ("add.s32 %r0, 2147483647, 1;", 0x8000_0000),
        ("add.sat.s32 %r0, 2147483647, 1;", 0x7fff_ffff),
        ("sub.sat.s32 %r0, -2147483648, 1;", 0x8000_0000),
        ("sub.s16 %rs0, -2, 3;", 0xfffb),
        ("add.s64 %rd0, 0xffffffff, 1;", 1 << 32),
        ("mul.lo.s32 %r0, -3, 5;", 0xffff_fff1),
        ("mul.hi.s32 %r0, -3, 5;", 0xffff_ffff),
        ("mul.hi.u32 %r0, 0xffffffff, 0xffffffff;", 0xffff_fffe),
        ("mul.wide.s32 %rd0, -3, 5;", -15i64 as u64),
        ("mul.wide.u32 %rd0, 0xffffffff, 0xffffffff;", 0xffff_fffe_0000_0001),
        ("mul.wide.u16 %r0, 0xffff, 256;", 0x00ff_ff00),
        ("mul.hi.u64 %rd0, -1, -1;", -2i64 as u64),
        ("mul.hi.s64 %rd0, -1, -1;", 0),
        ("mul.hi.u16 %rs0, 60000, 18725;", (60000 * 18725) >> 16),
        ("mad.lo.s32 %r0, 7, 6, -2;", 40),
        ("mad.wide.s32 %rd0, -2, 2, 1;", -3i64 as u64),
        ("mad.wide.u32 %rd0, -1, 2, 1;", 0x1_ffff_ffff),
        ("mad.hi.sat.s32 %r0, 0x7fffffff, 0x7fffffff, 0x7fffffff;", 0x7fff_ffff),
        ("mul24.lo.s32 %r0, 0xffffff, 2;", 0xffff_fffe),
        ("mul24.hi.u32 %r0, 0xffffff, 0xffffff;", 0xffff_fe00),
        ("div.s32 %r0, -7, 2;", 0xffff_fffd),
        ("div.s32 %r0, -2147483648, -1;", 0x8000_0000),
        ("div.u32 %r0, 7, 0;", 0xffff_ffff),
        ("rem.s32 %r0, -7, 2;", 0xffff_ffff),
        ("div.u64 %rd0, -1, 3;", 0x5555_5555_5555_5555),
        ("min.s32 %r0, -1, 1;", 0xffff_ffff),
        ("min.u32 %r0, -1, 1;", 1),
        ("max.u64 %rd0, 5, 1;", 5),
        ("max.u16x2 %r0, 0x00010005, 0x00030002;", 0x0003_0005),
        ("min.s16x2 %r0, 0xffff0005, 0x00030002;", 0xffff_0002),
        ("add.u16x2 %r0, 0xffff0005, 0x00030002;", 0x0002_0007),
        ("neg.s32 %r0, 5;", 0xffff_fffb),
        ("abs.s64 %rd0, -5;", 5),
        ("sad.s32 %r0, -3, 4, 10;", 17),
        ("and.b16 %rs0, 0x0ff0, 0x00ff;", 0x00f0),
        ("not.b16 %rs0, 0x00ff;", 0xff00),
        ("cnot.b32 %r0, 0;", 1),
        ("shl.b32 %r0, 1, 31;", 1 << 31),
        ("shl.b32 %r0, 1, 32;", 0),
        ("shr.u32 %r0, -1, 40;", 0),
        ("shr.s32 %r0, -8, 40;", 0xffff_ffff),
        ("shr.s16 %rs0, 0x8000, 3;", 0xf000),
        ("shl.b16 %rs0, 0x8001, 1;", 2),
        ("shr.s64 %rd0, -8, 1;", -4i64 as u64),
        ("add.cc.u32 %r1, -1, 1; addc.u32 %r0, 5, 6;", 12),
        ("sub.cc.u32 %r1, 0, 1; subc.u32 %r0, 5, 2;", 2),
        ("mad.lo.cc.u32 %r1, -1, 1, 1; madc.hi.u32 %r0, 2, 3, 4;", 5),
        ("dp4a.s32.u32 %r0, 0xff010203, 0x04030201, 100;", 106),
        ("dp2a.lo.s32.s32 %r0, 0xffff0003, 0x0000ff02, 10;", 17),
    ]);
}

#[test]
fn bits() {
    check(&[
        ("popc.b32 %r0, 0xf0f;", 8),
        ("popc.b64 %r0, -1;", 64),
        ("clz.b32 %r0, 1;", 31),
        ("clz.b64 %r0, 0;", 64),
        ("brev.b32 %r0, 1;", 1 << 31),
        ("bfind.u32 %r0, 0x100;", 8),
        ("bfind.s32 %r0, -1;", 0xffff_ffff),
        ("bfind.shiftamt.u32 %r0, 0x100;", 23),
        ("bfe.u32 %r0, 0x12345678, 8, 12;", 0x456),
        ("bfe.s32 %r0, 0x12348678, 8, 8;", 0xffff_ff86),
        ("bfe.s32 %r0, 0x80000000, 28, 8;", 0xffff_fff8),
        ("bfe.u32 %r0, 5, 0, 0;", 0),
        ("bfi.b32 %r0, 0xff, 0, 28, 8;", 0xf000_0000),
        ("bfi.b64 %rd0, 0xab, 0x1111111111111111, 32, 8;", 0x1111_11ab_1111_1111),
        ("szext.wrap.s32 %r0, 0x80, 8;", 0xffff_ff80),
        ("bmsk.clamp.b32 %r0, 4, 8;", 0xff0),
        ("fns.b32 %r0, 0xaa, 0, 2;", 3),
        ("fns.b32 %r0, 0xaa, 7, -2;", 5),
        ("shf.l.wrap.b32 %r0, 0x80000000, 1, 1;", 3),
        ("shf.r.clamp.b32 %r0, 1, 0xabcd, 32;", 0xabcd),
        ("shf.r.wrap.b32 %r0, 0x10, 1, 4;", 0x1000_0001),
        ("lop3.b32 %r0, 0xf0, 0xcc, 0xaa, 0x96;", 0x96),
        ("lop3.b32 %r0, 12, 10, 9, 0xe8;", 8),
        ("lop3.or.b32 _|%p0, 1, 2, 4, 0x80, 0;", 0),
        ("prmt.b32 %r0, 0x33221100, 0x77665544, 0x7610;", 0x7766_1100),
        ("prmt.b32 %r0, 0x00000080, 0, 0x4448;", 0x0000_00ff),
        ("prmt.b32.f4e %r0, 0x33221100, 0x77665544, 1;", 0x4433_2211),
        ("prmt.b32.b4e %r0, 0x33221100, 0x77665544, 0;", 0x5566_7700),
        ("prmt.b32.rc8 %r0, 0x33221100, 0, 2;", 0x2222_2222),
        ("prmt.b32.ecl %r0, 0x33221100, 0, 1;", 0x3322_1111),
        ("prmt.b32.ecr %r0, 0x33221100, 0, 1;", 0x1111_1100),
        ("prmt.b32.rc16 %r0, 0x33221100, 0, 1;", 0x3322_3322),
    ]);
}

#[test]
fn moves() {
    check(&[
        ("mov.b32 %r0, 0f3F800000;", 0x3f80_0000),
        ("mov.f32 %f0, 1.5;", 0x3fc0_0000),
        ("mov.f64 %fd0, 0d3FF0000000000000;", 0x3ff0_0000_0000_0000),
        ("mov.b16 %rs0, -1;", 0xffff),
        ("mov.b64 %rd0, {1, 2};", 2 << 32 | 1),
        ("mov.b64 %rd0, {1, 2, 3, 4};", 0x0004_0003_0002_0001),
        ("mov.b32 %r0, {1, 2};", 0x2_0001),
        ("mov.b16 %rs0, {1, 2};", 0x201),
        ("mov.b64 %rd1, 0x100000002; mov.b64 {_, %r0}, %rd1;", 1),
        ("mov.b16 %rs1, 0x1234; mov.b16 {%b1, %b0}, %rs1;", 0x12),
        ("mov.b128 %q0, {7, 9}; mov.b128 %q1, %q0; mov.b128 {_, %rd0}, %q1;", 9),
        ("selp.b32 %r0, 1, 2, 0;", 2),
        ("mov.pred %p1, -1; selp.b64 %rd0, 1, 2, %p1;", 1),
        ("mov.pred %p1, 0; selp.b16 %rs0, 1, 2, !%p1;", 1),
        ("slct.b32.s32 %r0, 1, 2, -1;", 2),
        ("slct.b32.f32 %r0, 1, 2, 0f80000000;", 1),
        ("mov.pred %p1, 1; mov.pred %p2, 0; xor.pred %p0, %p1, %p2;", 1),
        ("mov.pred %p1, 1; not.pred %p0, %p1;", 0),
        ("setp.lt.s32 %p0, -1, 0;", 1),
        ("setp.lt.u32 %p0, -1, 0;", 0),
        ("setp.ge.s64 %p0, -1, 0;", 0),
        ("setp.eq.b16 %p0, 0x1ffff, 0xffff;", 1),
        ("setp.lo.u32 %p0, 1, 2;", 1),
        ("setp.eq.and.s32 %p0, 1, 1, 0;", 0),
        ("setp.eq.s32 %p1|%p0, 1, 1;", 0),
        ("set.eq.u32.s32 %r0, 1, 1;", 0xffff_ffff),
        ("set.lt.f32.u32 %f0, 1, 2;", 0x3f80_0000),
        ("set.gt.f16x2.f16x2 %r0, 0x3c004000, 0x40003c00;", 0x0000_3c00),
    ]);
}

#[test]
fn floats() {
    check(&[
        ("add.f32 %f0, 0f3F800000, 0f33800000;", 0x3f80_0000),
        ("add.rp.f32 %f0, 0f3F800000, 0f33800000;", 0x3f80_0001),
        ("add.rm.f32 %f0, 0fBF800000, 0fA0000000;", 0xbf80_0001),
        ("add.rz.f32 %f0, 0f3F800000, 0fA0000000;", 0x3f7f_ffff),
        ("sub.f32 %f0, 0f7F800000, 0f7F800000;", 0x7fff_ffff),
        ("mul.f32 %f0, 0f00800000, 0f3F000000;", 0x0040_0000),
        ("mul.ftz.f32 %f0, 0f00800000, 0f3F000000;", 0),
        ("mul.ftz.f32 %f0, 0f80400000, 0f3F800000;", 0x8000_0000),
        ("add.sat.f32 %f0, 2.0, 1.0;", 0x3f80_0000),
        ("add.sat.f32 %f0, 0f7FC00000, 1.0;", 0),
        ("div.rn.f32 %f0, 1.0, 3.0;", 0x3eaa_aaab),
        ("div.rz.f32 %f0, 1.0, 3.0;", 0x3eaa_aaaa),
        ("div.rm.f32 %f0, -1.0, 3.0;", 0xbeaa_aaab),
        ("div.full.f32 %f0, 1.0, -4.0;", 0xbe80_0000),
        ("rcp.rn.f32 %f0, 3.0;", 0x3eaa_aaab),
        ("rcp.approx.ftz.f32 %f0, 0.0;", 0x7f80_0000),
        ("sqrt.rn.f32 %f0, 2.0;", 0x3fb5_04f3),
        ("sqrt.rp.f32 %f0, 2.0;", 0x3fb5_04f4),
        ("rsqrt.approx.f32 %f0, 4.0;", 0x3f00_0000),
        ("ex2.approx.f32 %f0, -1.0;", 0x3f00_0000),
        ("ex2.approx.ftz.f32 %f0, -127.0;", 0),
        ("ex2.approx.f32 %f0, -127.0;", 0x0040_0000),
        ("lg2.approx.f32 %f0, 8.0;", 0x4040_0000),
        ("tanh.approx.f32 %f0, 0.0;", 0),
        ("sin.approx.f32 %f0, 0.0;", 0),
        ("cos.approx.f32 %f0, 0.0;", 0x3f80_0000),
        // 1 + 2^-24 · (1 + 2^-23): a fused product lifts the sum over the tie.
        ("fma.rn.f32 %f0, 0f33800000, 0f3F800001, 0f3F800000;", 0x3f80_0001),
        ("fma.rn.f32 %f0, 0f33800000, 0f3F800000, 0f3F800000;", 0x3f80_0000),
        ("fma.rm.f32 %f0, 0f33800000, 0f3F800001, 0f3F800000;", 0x3f80_0000),
        ("fma.rn.f32 %f0, 0f7F800000, 0.0, 1.0;", 0x7fff_ffff),
        ("max.f32 %f0, 0f7FC00000, 1.0;", 0x3f80_0000),
        ("max.NaN.f32 %f0, 0f7FC00000, 1.0;", 0x7fff_ffff),
        ("max.f32 %f0, 0f80000000, 0f00000000;", 0),
        ("min.f32 %f0, 0f00000000, 0f80000000;", 0x8000_0000),
        ("max.f32 %f0, 1.0, 2.0, 3.0;", 0x4040_0000),
        ("max.xorsign.abs.f32 %f0, -3.0, 2.0;", 0xc040_0000),
        ("abs.f32 %f0, -1.0;", 0x3f80_0000),
        ("neg.f32 %f0, 0.0;", 0x8000_0000),
        ("copysign.f32 %f0, -1.0, 2.0;", 0xc000_0000),
        ("add.f64 %fd0, 1.0, 2.0;", 0x4008_0000_0000_0000),
        ("add.rp.f64 %fd0, 1.0, 0d3C00000000000000;", 0x3ff0_0000_0000_0001),
        ("fma.rz.f64 %fd0, 1.0, 1.0, 0dBC00000000000000;", 0x3fef_ffff_ffff_ffff),
        ("div.rm.f64 %fd0, 1.0, 3.0;", 0x3fd5_5555_5555_5555),
        ("div.rp.f64 %fd0, 1.0, 3.0;", 0x3fd5_5555_5555_5556),
        (
            "mov.b64 %rd1, {0x3f800000, 0x40000000}; add.rn.f32x2 %rd0, %rd1, %rd1;",
            0x4080_0000_4000_0000,
        ),
        (
            "mov.b64 %rd1, {0x3f800000, 0x40000000}; fma.rn.f32x2 %rd0, %rd1, %rd1, %rd1;",
            0x40c0_0000_4000_0000,
        ),
        ("add.f16 %rs0, 0x3c00, 0x3c00;", 0x4000),
        ("add.f16x2 %r0, 0x3c00bc00, 0x3c003c00;", 0x4000_0000),
        ("mul.bf16x2 %r0, 0x3f804000, 0x40004000;", 0x4000_4080),
        ("fma.rn.relu.f16 %rs0, 0x3c00, 0xbc00, 0x0000;", 0),
        ("fma.rn.bf16 %rs0, 0x3f80, 0x3f80, 0x3b80;", 0x3f80),
        ("fma.rn.bf16 %rs0, 0x3f80, 0x3f80, 0x3b81;", 0x3f81),
        ("max.bf16x2 %r0, 0x3f804000, 0x40003f80;", 0x4000_4000),
        ("abs.bf16 %rs0, 0xbf80;", 0x3f80),
        ("mov.b16 %rs1, 0x3c00; add.f32.f16 %f0, %rs1, 1.0;", 0x4000_0000),
        ("setp.eq.f32 %p0, 0f7FC00000, 0f7FC00000;", 0),
        ("setp.ne.f32 %p0, 0f7FC00000, 0f7FC00000;", 0),
        ("setp.neu.f32 %p0, 0f7FC00000, 1.0;", 1),
        ("setp.nan.f32 %p0, 0f7FC00000, 1.0;", 1),
        ("setp.lt.ftz.f32 %p0, 0f00000000, 0f00000001;", 0),
        ("setp.lt.f32 %p0, 0f00000000, 0f00000001;", 1),
        ("setp.eq.f16x2 %p1|%p0, 0x3c000000, 0x3c003c00;", 1),
        ("testp.subnormal.f32 %p0, 0f00000001;", 1),
        ("testp.normal.f32 %p0, 0f00000000;", 1),
    ]);
}

#[test]
fn conversions() {
    check(&[
        ("mov.b32 %r1, 0x180; cvt.s32.s8 %r0, %r1;", 0xffff_ff80),
        ("mov.b32 %r1, -1; cvt.u64.u32 %rd0, %r1;", 0xffff_ffff),
        ("mov.b32 %r1, -1; cvt.s64.s32 %rd0, %r1;", u64::MAX),
        ("mov.b64 %rd1, -2; cvt.u32.u64 %r0, %rd1;", 0xffff_fffe),
        ("mov.b32 %r1, 0x12345; cvt.u16.u32 %rs0, %r1;", 0x2345),
        ("mov.b32 %r1, 0x1ff; cvt.u32.u8 %r0, %r1;", 0xff),
        ("mov.b32 %r1, 300; cvt.sat.u8.s32 %r0, %r1;", 255),
        ("mov.b32 %r1, -300; cvt.sat.s8.s32 %r0, %r1;", 0xffff_ff80),
        ("cvt.rn.f32.s32 %f0, 16777217;", 0x4b80_0000),
        ("cvt.rp.f32.s32 %f0, 16777217;", 0x4b80_0001),
        ("cvt.rn.f32.u64 %f0, -1;", 0x5f80_0000),
        ("cvt.rz.f32.u64 %f0, -1;", 0x5f7f_ffff),
        ("cvt.rn.f64.s64 %fd0, -1;", 0xbff0_0000_0000_0000),
        ("cvt.rn.f16.s32 %rs0, 65520;", 0x7c00),
        ("cvt.rzi.s32.f32 %r0, -1.75;", 0xffff_ffff),
        ("cvt.rni.s32.f32 %r0, 2.5;", 2),
        ("cvt.rpi.u32.f32 %r0, 2.1;", 3),
        ("cvt.rzi.u32.f32 %r0, -5.0;", 0),
        ("cvt.rzi.s32.f32 %r0, 1e20;", 0x7fff_ffff),
        ("cvt.rzi.s32.f32 %r0, 0f7FC00000;", 0),
        ("cvt.rzi.s64.f32 %rd0, 0f7FC00000;", 1 << 63),
        ("cvt.rzi.s64.f64 %rd0, -3.99;", -3i64 as u64),
        ("cvt.rmi.f32.f32 %f0, -1.5;", 0xc000_0000),
        ("cvt.sat.f32.f32 %f0, 1.5;", 0x3f80_0000),
        ("cvt.ftz.f32.f32 %f0, 0f80000001;", 0x8000_0000),
        ("cvt.f64.f32 %fd0, 1.5;", 0x3ff8_0000_0000_0000),
        ("cvt.rn.f32.f64 %f0, 0d3FF0000010000000;", 0x3f80_0000),
        ("cvt.rp.f32.f64 %f0, 0d3FF0000010000000;", 0x3f80_0001),
        ("cvt.f32.f16 %f0, 0x3c01;", 0x3f80_2000),
        ("cvt.f32.bf16 %f0, 0x3f81;", 0x3f81_0000),
        ("cvt.rn.f16.f32 %rs0, 0f3F801000;", 0x3c00),
        ("cvt.rn.f16.f32 %rs0, 0f7FC00000;", 0x7fff),
        ("cvt.rz.f16.f32 %rs0, 70000.0;", 0x7bff),
        ("cvt.rn.relu.bf16.f32 %rs0, -2.0;", 0),
        ("cvt.rna.tf32.f32 %r0, 0f3F801000;", 0x3f80_2000),
        ("cvt.bf16.f16 %rs0, 0x3c00;", 0x3f80),
        // The first source is the upper half.
        ("cvt.rn.f16x2.f32 %r0, 1.0, 2.0;", 0x3c00_4000),
        ("cvt.rn.bf16x2.f32 %r0, 1.0, 2.0;", 0x3f80_4000),
        ("cvt.rn.satfinite.e4m3x2.f32 %rs0, 1.0, 1e9;", 0x387e),
        ("cvt.rn.satfinite.e5m2x2.f32 %rs0, -1.0, 0f7FC00000;", 0xbc7f),
        ("cvt.rn.satfinite.e4m3x2.f16x2 %rs0, 0x3c004000;", 0x3840),
        ("cvt.rn.satfinite.e2m1x2.f32 %b0, 6.0, -0.5;", 0x79),
        ("cvt.rn.satfinite.relu.e2m1x2.f32 %b0, 2.5, -0.5;", 0x40),
        ("mov.b16 %rs1, 0x79; cvt.u8.u16 %b1, %rs1; cvt.rn.f16x2.e2m1x2 %r0, %b1;", 0x4600_b800),
        ("cvt.rn.f16x2.e4m3x2 %r0, 0x387e;", 0x3c00_5f00),
        ("cvt.rn.f16x2.e5m2x2 %r0, 0x3c7c;", 0x3c00_7c00),
        ("cvt.rn.satfinite.e2m3x2.f32 %rs0, 7.5, 1.0;", 0x1f08),
        ("cvt.rp.satfinite.ue8m0x2.f32 %rs0, 1.5, 1.0;", 0x807f),
        ("cvt.rz.satfinite.ue8m0x2.f32 %rs0, 1.5, 4.0;", 0x7f81),
        ("cvt.rn.bf16x2.ue8m0x2 %r0, 0x7f80;", 0x3f80_4000),
        ("cvt.pack.sat.u8.s32.b32 %r0, 300, -5, 0xabcd;", 0xabcd_ff00),
        ("cvt.pack.sat.s16.s32 %r0, 70000, -70000;", 0x7fff_8000),
    ]);
}

/// Lane numbers in `%r1`, then `code` under a mask; gives `%r0` and `%p0`.
fn across(code: &str, lanes: Lanes) -> Result<([u32; 32], Lanes), Box<Fault>> {
    let kernel = kernel(&format!("mov.b32 %r0, %r1; mov.b32 %r0, 0; mov.pred %p0, 0; {code}"));
    let mut regs = Registers::new(kernel.slots as usize, kernel.preds as usize);
    let lane_numbers = std::array::from_fn(|lane| lane as u32);
    // Every lane has its number, and reads it once so that the register exists.
    regs.set(slot(&kernel, "%r1"), u32::MAX, &lane_numbers);
    execute(&kernel, &mut regs, lanes)?;
    Ok((regs.words[slot(&kernel, "%r0")], regs.preds[pred(&kernel, "%p0")]))
}

#[test]
fn shuffles() {
    let (idx, inside) = across("shfl.sync.idx.b32 %r0|%p0, %r1, 3, 31, -1;", u32::MAX).unwrap();
    assert_eq!((idx, inside), ([3; 32], u32::MAX));
    let (bfly, _) = across("shfl.sync.bfly.b32 %r0, %r1, 16, 31, -1;", u32::MAX).unwrap();
    assert_eq!(bfly, std::array::from_fn(|lane| lane as u32 ^ 16));
    let (down, inside) = across("shfl.sync.down.b32 %r0|%p0, %r1, 1, 31, -1;", u32::MAX).unwrap();
    assert_eq!(down, std::array::from_fn(|lane| (lane as u32 + 1).min(31)));
    assert_eq!(inside, u32::MAX >> 1);
    let (up, inside) = across("shfl.sync.up.b32 %r0|%p0, %r1, 2, 0, -1;", u32::MAX).unwrap();
    assert_eq!(up, std::array::from_fn(|l| if l < 2 { l as u32 } else { l as u32 - 2 }));
    assert_eq!(inside, !3);
    // Segments of eight lanes: c = (32 - 8) << 8 | 31.
    let (idx, _) = across("shfl.sync.idx.b32 %r0, %r1, 1, 0x181f, -1;", u32::MAX).unwrap();
    assert_eq!(idx, std::array::from_fn(|lane| lane as u32 / 8 * 8 + 1));
    let fault = across("shfl.sync.idx.b32 %r0, %r1, 20, 31, 0xffff;", 0xffff).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Convergence);
    let fault = across("shfl.sync.idx.b32 %r0, %r1, 0, 31, 1;", 3).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Convergence);
}

#[test]
fn votes_and_reductions() {
    let odd = "and.b32 %r2, %r1, 1; setp.eq.b32 %p1, %r2, 1;";
    let ballot = format!("{odd} vote.sync.ballot.b32 %r0, %p1, -1;");
    assert_eq!(across(&ballot, u32::MAX).unwrap().0, [0xaaaa_aaaa; 32]);
    let any = format!("{odd} vote.sync.any.pred %p0, %p1, -1;");
    assert_eq!(across(&any, u32::MAX).unwrap().1, u32::MAX);
    let all = format!("{odd} vote.sync.all.pred %p0, %p1, 0xaaaaaaaa;");
    assert_eq!(across(&all, 0xaaaa_aaaa).unwrap().1, 0xaaaa_aaaa);
    let sum = across("redux.sync.add.s32 %r0, %r1, 0xff;", 0xff).unwrap().0;
    assert_eq!(sum[..8], [28; 8]);
    assert_eq!(sum[8..], [0; 24], "lanes outside the mask keep what they had");
    let equal = format!("{odd} match.any.sync.b32 %r0, %r2, -1;");
    assert_eq!(across(&equal, u32::MAX).unwrap().0[..2], [0x5555_5555, 0xaaaa_aaaa]);
    let (leader, who) = across("elect.sync %r0|%p0, 0xfff0;", 0xfff0).unwrap();
    assert_eq!((leader[5], who), (4, 1 << 4));
}

#[test]
fn a_read_of_nothing_is_a_fault() {
    let never = kernel("add.s32 %r0, %r1, 1;");
    let mut regs = Registers::new(never.slots as usize, never.preds as usize);
    regs.set(slot(&never, "%r1"), 0xff, &[0; 32]);
    assert!(execute(&never, &mut regs, 0xff).is_ok());
    let fault = execute(&never, &mut regs, 0x1ff).unwrap_err();
    assert_eq!(fault.kind, FaultKind::UnwrittenRead);
    assert_eq!(fault.actor.unwrap().lane, Some(8));
    regs.pending[slot(&never, "%r0")] = 4;
    let fault = execute(&never, &mut regs, 0xff).unwrap_err();
    assert_eq!(fault.kind, FaultKind::PendingRegister);
    let half = kernel("mov.b64 %rd1, {%r1, %r1}; add.s64 %rd0, %rd1, 1;");
    let mut regs = Registers::new(half.slots as usize, half.preds as usize);
    let fault = execute(&half, &mut regs, 1).unwrap_err();
    assert_eq!(fault.kind, FaultKind::UnwrittenRead);
    let guard = kernel("selp.b32 %r0, 1, 2, %p1;");
    let mut regs = Registers::new(guard.slots as usize, guard.preds as usize);
    assert_eq!(execute(&guard, &mut regs, 1).unwrap_err().kind, FaultKind::UnwrittenRead);
}

proptest! {
    /// Whatever the bits, an instruction has a result.
    #[test]
    fn no_value_is_too_odd(
        form in prop::sample::select(
            include_str!("../../../tests/data/ordinary-forms.txt").lines().collect::<Vec<_>>()),
        seed in prop::collection::vec(
            prop_oneof![any::<u32>(), Just(0), Just(u32::MAX), Just(1 << 31), Just(0x7f80_0000)],
            32))
    {
        let text = format!(
            ".version 9.0\n.target sm_100a\n.entry k() {{ .reg .pred %p<9>; .reg .b16 %rs<9>;
            .reg .b32 %r<99>; .reg .b64 %rd<9>; .reg .f32 %f<9>; .reg .f64 %fd<9>;
            .reg .b128 %q<3>; {form}; }}"
        );
        let Ok(program) = decode::program(text.as_bytes()) else { return Ok(()) };
        let Some(Ok(kernel)) = program.kernel("k") else { return Ok(()) };
        let mut regs = Registers::new(kernel.slots as usize, kernel.preds as usize);
        for slot in 0..kernel.slots as usize {
            let value = std::array::from_fn(|lane| seed[(lane + 7 * slot) % 32]);
            regs.set(slot, u32::MAX, &value);
        }
        for (pred, &bits) in (0..kernel.preds as usize).zip(&seed) {
            regs.set_pred(pred, u32::MAX, bits);
        }
        if let Err(fault) = execute(kernel, &mut regs, u32::MAX) {
            prop_assert_eq!(fault.kind, FaultKind::Convergence, "{}", form);
        }
    }
}
