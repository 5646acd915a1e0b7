//! Which family decodes which instruction.

use super::{
    builder::Builder,
    form::{Decoded, Form},
    op::Op,
};

impl<'m, 'a> Builder<'m, 'a> {
    /// Decodes one instruction. `None`: it became hidden instructions entirely.
    pub(super) fn instruction(&mut self, form: &mut Form<'m, 'a>) -> Decoded<Option<Op>> {
        let op = match form.instruction.opcode {
            "add" | "sub" | "mul" | "div" | "rem" | "min" | "max" | "neg" | "abs" => {
                self.arithmetic(form).map(Some)
            }
            "mad" | "fma" => self.multiply_add(form).map(Some),
            "mul24" | "mad24" => self.multiply_24(form).map(Some),
            "addc" | "subc" | "madc" => self.with_carry(form).map(Some),
            "sad" | "dp4a" | "dp2a" | "popc" | "clz" | "brev" | "bfind" | "bfe" | "bfi"
            | "szext" | "bmsk" | "fns" | "shf" | "prmt" | "lop3" => self.bits(form).map(Some),
            "vadd" | "vsub" | "vabsdiff" | "vmin" | "vmax" | "vset" | "vadd2" | "vsub2"
            | "vavrg2" | "vabsdiff2" | "vmin2" | "vmax2" | "vset2" | "vadd4" | "vsub4"
            | "vavrg4" | "vabsdiff4" | "vmin4" | "vmax4" | "vset4" => self.video(form).map(Some),
            "and" | "or" | "xor" | "not" | "cnot" | "shl" | "shr" => self.logic(form).map(Some),
            "rcp" | "sqrt" | "rsqrt" | "sin" | "cos" | "lg2" | "ex2" | "tanh" | "copysign"
            | "testp" => self.float_function(form).map(Some),
            "setp" => self.setp(form).map(Some),
            "set" => self.set(form).map(Some),
            "selp" | "slct" => self.select(form).map(Some),
            "mov" => self.mov(form).map(Some),
            "cvt" => self.cvt(form).map(Some),
            "cvta" | "isspacep" | "mapa" | "getctarank" => self.address_op(form).map(Some),
            "ld" | "ldu" => self.load(form).map(Some),
            "st" => self.store(form).map(Some),
            "multimem" => self.multimem(form).map(Some),
            "atom" | "red" => self.atom(form).map(Some),
            "prefetch" | "prefetchu" | "applypriority" | "discard" => self.hint(form).map(Some),
            "createpolicy" => self.create_policy(form).map(Some),
            "shfl" | "vote" | "match" | "redux" | "elect" | "activemask" => {
                self.warp_exchange(form).map(Some)
            }
            "bra" | "brx" | "ret" | "exit" | "trap" | "brkpt" | "nanosleep" | "setmaxnreg"
            | "griddepcontrol" | "pmevent" => self.control(form).map(Some),
            "call" => self.call(form),
            "alloca" | "stacksave" | "stackrestore" => self.stack(form).map(Some),
            "bar" | "barrier" => self.barrier(form).map(Some),
            "fence" | "membar" => self.fence(form).map(Some),
            "mbarrier" => self.mbarrier(form).map(Some),
            "cp" => self.copy(form).map(Some),
            "tensormap" => self.tensormap(form).map(Some),
            "clusterlaunchcontrol" => self.launch_control(form).map(Some),
            "ldmatrix" | "stmatrix" | "movmatrix" => self.matrix_move(form).map(Some),
            "mma" => self.mma(form).map(Some),
            "wmma" => self.wmma(form).map(Some),
            "wgmma" => self.wgmma(form).map(Some),
            "tcgen05" => self.tcgen05(form).map(Some),
            _ => Err(form.refuse()),
        }?;
        form.finish()?;
        Ok(op)
    }
}
