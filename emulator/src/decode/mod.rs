//! From the syntax tree to typed instructions: [`op`] says what an instruction does, [`mod@program`]
//! what a decoded module holds.
//!
//! A form is matched as a set of words, whatever their order; a word that nobody takes is refused
//! by name, as is an unknown instruction, with its line. Register widths, operand counts and
//! constants are checked here, so that execution need not.

mod arith;
mod builder;
mod compare;
mod control;
mod convert;
mod copy;
mod form;
mod logic;
mod matrix;
mod memory;
mod module;
pub mod op;
mod operands;
pub mod program;
mod scope;
mod special;
mod sync;
mod table;
mod tcgen05;
mod tensormap;
mod warp;

use program::{Entry, Program};

use crate::{
    error::Ending,
    parse::{self, ast},
};

/// Parses and decodes a module from the bytes of a PTX file.
pub fn program(bytes: &[u8]) -> Result<Program, Ending> {
    decode(&parse::parse_bytes(bytes)?)
}

/// Decodes a parsed module. What a kernel uses that is not supported stays with that kernel.
pub fn decode(tree: &ast::Module<'_>) -> Result<Program, Ending> {
    let module = module::Module::new(tree)?;
    let mut kernels = vec![];
    for item in &tree.items {
        let ast::Item::Function(entry) = item else { continue };
        if !entry.is_entry || entry.body.is_none() {
            continue;
        }
        let kernel = match builder::kernel(&module, entry) {
            Ok(kernel) => Ok(kernel),
            Err(Ending::Unsupported(why)) => Err(why),
            Err(other) => return Err(other),
        };
        kernels.push(Entry { name: entry.name.into(), line: entry.at.line, kernel });
    }
    let target = tree.target.first().copied().unwrap_or_default().into();
    Ok(Program { version: tree.version, target, kernels, globals: module.globals })
}
