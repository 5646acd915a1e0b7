//! Prints the PTX that rust-cuda made of the device crate.

fn main() {
    print!("{}", include_str!(concat!(env!("OUT_DIR"), "/kernels.ptx")));
}
