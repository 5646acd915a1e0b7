//! `setmaxnreg`: registers that nobody releases are waited for in vain.

mod common;

use common::{Bench, fault, one_cta};
use ptx_emulator::error::FaultKind;

fn program(directives: &str, dec: u32, inc: u32) -> String {
    format!(
        ".version 8.0\n.target sm_90a\n.address_size 64\n.visible .entry k()\n{directives}\n{{\n\
         .reg .pred %p<2>;\n.reg .b32 %r<2>;\nmov.u32 %r0, %tid.x;\nsetp.ge.u32 %p0, %r0, 128;\n\
         @%p0 bra TAKE;\nsetmaxnreg.dec.sync.aligned.u32 {dec};\nret;\n\
         TAKE:\nsetmaxnreg.inc.sync.aligned.u32 {inc};\nret;\n}}\n"
    )
}

#[test]
fn what_one_warpgroup_gives_another_takes() {
    for seed in 0..4 {
        let bounds = ".maxntid 256\n.maxnreg 96";
        Bench::new(&program(bounds, 40, 152)).run(&one_cta("k", 256, 0, vec![]), seed).unwrap();
        let greedy = Bench::new(&program(bounds, 40, 160));
        let ending = greedy.run(&one_cta("k", 256, 0, vec![]), seed).unwrap_err();
        let fault = fault(ending);
        assert_eq!(fault.kind, FaultKind::Deadlock);
        assert!(fault.notes.iter().any(|note| note.contains("registers")), "{:?}", fault.notes);
    }
}

#[test]
fn without_bounds_there_is_no_budget() {
    Bench::new(&program("", 40, 248)).run(&one_cta("k", 256, 0, vec![]), 0).unwrap();
}
