//! Generic addresses: which 64-bit ranges stand for shared memory, local memory and parameters.
//! Global and constant data keep their own addresses.

use super::shared;
use crate::decode::op::Space;

/// Start of the window of shared memory: 4 GiB, a 32-bit shared address each.
pub const SHARED: u64 = 0x7e00_0000_0000;
/// Start of the window of a thread's local memory.
pub const LOCAL: u64 = 0x7d00_0000_0000;
/// Start of the window of a thread's call frame.
pub const FRAME: u64 = 0x7c00_0000_0000;
/// Start of the window of the entry's parameters.
pub const PARAM: u64 = 0x7b00_0000_0000;
/// Address of a module's first function; no data lies there.
pub const FUNCTIONS: u64 = 0x7a00_0000_0000;
/// Bytes from one function's address to the next.
pub const FUNCTION_STEP: u64 = 16;
/// Size of every window.
pub const SIZE: u64 = 1 << 32;

/// The address that stands for a module's function of that number.
pub fn function(number: u32) -> u64 {
    FUNCTIONS + u64::from(number) * FUNCTION_STEP
}

/// The number of the function with that address.
pub fn function_at(address: u64) -> Option<u32> {
    let offset = address.wrapping_sub(FUNCTIONS);
    let fits = offset < SIZE && offset.is_multiple_of(FUNCTION_STEP);
    fits.then_some((offset / FUNCTION_STEP) as u32)
}

/// The state space of a generic address, and the address in it.
pub fn resolve(address: u64) -> (Space, u64) {
    match address {
        a if a.wrapping_sub(SHARED) < SIZE => (Space::SharedCluster, a - SHARED),
        a if a.wrapping_sub(LOCAL) < SIZE => (Space::Local, a - LOCAL),
        a if a.wrapping_sub(FRAME) < SIZE => (Space::ParamFrame, a - FRAME),
        a if a.wrapping_sub(PARAM) < SIZE => (Space::ParamEntry, a - PARAM),
        a => (Space::Global, a),
    }
}

/// The generic address of an address in `space`.
pub fn generic(space: Space, address: u64) -> u64 {
    match space {
        Space::SharedCta | Space::SharedCluster => SHARED + (address & 0xffff_ffff),
        Space::Local => LOCAL + (address & 0xffff_ffff),
        Space::ParamFrame => FRAME + (address & 0xffff_ffff),
        Space::ParamEntry => PARAM + (address & 0xffff_ffff),
        Space::Generic | Space::Global | Space::Const => address,
    }
}

/// The address in `space` of a generic address: `cvta.to`. What lies outside the window gives an
/// address that no access accepts.
pub fn specific(space: Space, address: u64) -> u64 {
    match space {
        Space::Generic | Space::Global | Space::Const => address,
        _ => address.wrapping_sub(generic(space, 0)),
    }
}

/// `isspacep`; `own` is the rank of the asking CTA.
pub fn is_in(space: Space, address: u64, own: u32) -> bool {
    let (found, inner) = resolve(address);
    match space {
        Space::SharedCta => found == Space::SharedCluster && shared::rank_of(inner as u32) == own,
        Space::Generic => true,
        Space::Const => false,
        space => found == space,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        for space in [Space::SharedCluster, Space::Local, Space::ParamEntry, Space::ParamFrame] {
            let generic = generic(space, 0x0100_0404);
            assert_eq!(resolve(generic), (space, 0x0100_0404));
            assert_eq!(specific(space, generic), 0x0100_0404);
        }
        assert_eq!(resolve(0x7f20_0000_0100), (Space::Global, 0x7f20_0000_0100));
        assert!(is_in(Space::SharedCta, SHARED + 0x0100_0404, 1));
        assert!(!is_in(Space::SharedCta, SHARED + 0x0100_0404, 0));
        assert!(is_in(Space::SharedCluster, SHARED + 0x0100_0404, 0));
        assert!(!is_in(Space::Global, SHARED, 0));
    }
}
