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
mod functions;
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
mod video;
mod warp;
mod wmma;

use program::{Entry, Program};

use crate::{
    error::Ending,
    parse::{self, ast},
};

/// Parses and decodes a module from the bytes of a PTX file.
pub fn program(bytes: &[u8]) -> Result<Program, Ending> {
    let mut program = decode(&parse::parse_bytes(bytes)?)?;
    program.source = String::from_utf8_lossy(bytes).into();
    Ok(program)
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
        let mut unsupported = vec![];
        let kernel = match builder::kernel(&module, entry, &mut unsupported) {
            Ok(kernel) => Ok(kernel),
            Err(Ending::Unsupported(why)) => {
                unsupported.push(why.clone());
                Err(why)
            }
            // What follows something that was not understood says nothing.
            Err(other) => Err(unsupported.first().cloned().ok_or(other)?),
        };
        kernels.push(Entry { name: entry.name.into(), line: entry.at.line, kernel, unsupported });
    }
    let target = tree.target.first().copied().unwrap_or_default().into();
    let functions = module.numbered.list.iter().map(|function| function.name.into()).collect();
    let globals = module.globals;
    Ok(Program { version: tree.version, target, kernels, globals, functions, source: "".into() })
}
