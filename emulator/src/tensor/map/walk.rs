//! The walk over a box: which bytes of global memory go where in shared memory.

use super::{ElementType, MAX_RANK, TensorMap};

/// A run of bytes that is contiguous on both sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// Offset from the shared address, before swizzling.
    pub shared_offset: u32,
    /// Length in bytes.
    pub bytes: u32,
    /// Device address, or `None` for elements outside the tensor: those are filled when loading and
    /// skipped when storing.
    pub global: Option<u64>,
}

impl TensorMap {
    /// Checks that a copy may start at these coordinates.
    ///
    /// # Errors
    /// When the number of coordinates is not the rank, or the innermost one does not start at a
    /// multiple of 16 bytes.
    pub fn check_coordinates(&self, coordinates: &[i32]) -> Result<(), String> {
        if coordinates.len() != self.rank {
            return Err(format!(
                "{} coordinates for a tensor map of rank {}",
                coordinates.len(),
                self.rank
            ));
        }
        let multiple = match self.element {
            ElementType::Packed4 => 16,
            ElementType::Padded4 | ElementType::Padded6 => 128,
            // The copy starts at a multiple of 16 bytes: an H200 takes anything else for an illegal
            // instruction.
            element => 128 / element.bits() as i32,
        };
        if coordinates[0] % multiple != 0 {
            return Err(format!(
                "coordinate 0 is {}; type {:?} needs a multiple of {multiple} elements",
                coordinates[0], self.element
            ));
        }
        Ok(())
    }

    /// Visits the box at `coordinates` row by row, in the order of shared memory; a row is split
    /// where it enters or leaves the tensor, and at the gaps of the padded types.
    ///
    /// The map must be valid and the coordinates checked.
    pub fn walk(&self, coordinates: &[i32], mut visit: impl FnMut(Piece)) {
        let pitch = self.pitch();
        let mut at = [0u32; MAX_RANK];
        for row in 0..self.rows() {
            let mut inside = true;
            let mut address = self.base;
            for d in 1..self.rank {
                let index = i64::from(coordinates[d])
                    + i64::from(at[d]) * i64::from(self.element_strides[d]);
                inside &= (0..self.dims[d] as i64).contains(&index);
                address =
                    address.wrapping_add_signed(index.wrapping_mul(self.strides[d - 1] as i64));
            }
            self.walk_row(
                i64::from(coordinates[0]),
                inside.then_some(address),
                &mut |piece: Piece| {
                    visit(Piece { shared_offset: row * pitch + piece.shared_offset, ..piece });
                },
            );
            for (d, index) in at.iter_mut().enumerate().take(self.rank).skip(1) {
                *index += 1;
                if *index < self.copied(d) {
                    break;
                }
                *index = 0;
            }
        }
    }

    /// One row that begins at element `first`, of a tensor row at `address` (`None` if the whole
    /// row is outside).
    fn walk_row(&self, first: i64, address: Option<u64>, visit: &mut impl FnMut(Piece)) {
        let extent = i64::from(self.box_dims[0]);
        let bits = i64::from(self.element.bits());
        let shared = |elements: i64| (elements * bits / 8) as u32;
        let Some(address) = address else {
            return self.emit(0, extent, None, visit);
        };
        // Elements before the tensor, inside it, and after it; each part may be empty.
        let begin = (-first).clamp(0, extent);
        let end = (self.dims[0] as i64 - first).clamp(begin, extent);
        let source = address.wrapping_add_signed((first + begin) * bits / 8);
        debug_assert!(shared(begin) * 8 == (begin * bits) as u32, "parts are whole bytes");
        self.emit(0, begin, None, visit);
        self.emit(begin, end, Some(source), visit);
        self.emit(end, extent, None, visit);
    }

    /// Emits elements `begin..end` of a row, with `global` the address of element `begin`.
    fn emit(&self, begin: i64, end: i64, global: Option<u64>, visit: &mut impl FnMut(Piece)) {
        if begin == end {
            return;
        }
        let bits = i64::from(self.element.bits());
        if !self.element.is_padded() {
            let offset = (begin * bits / 8) as u32;
            let bytes = ((end - begin) * bits / 8) as u32;
            return visit(Piece { shared_offset: offset, bytes, global });
        }
        // Groups of 16 elements at every 16th byte; whole groups by the coordinate and box rules.
        let bytes = (16 * bits / 8) as u32;
        for group in begin / 16..end / 16 {
            let source = global.map(|g| g + ((group - begin / 16) as u64) * u64::from(bytes));
            visit(Piece { shared_offset: 16 * group as u32, bytes, global: source });
        }
    }

    /// As [`TensorMap::walk`], collected.
    ///
    /// # Errors
    /// As [`TensorMap::check_coordinates`].
    pub fn pieces(&self, coordinates: &[i32]) -> Result<Vec<Piece>, String> {
        self.check_coordinates(coordinates)?;
        let mut pieces = vec![];
        self.walk(coordinates, |piece| pieces.push(piece));
        Ok(pieces)
    }

    /// The rows of `.tile::gather4` and `.tile::scatter4`: box row i is row `rows[i]` of a
    /// two-dimensional tensor, from column `column`.
    ///
    /// # Errors
    /// When the map is not of rank 2 with a box of one row, or the column is misplaced.
    pub fn gather4(&self, column: i32, rows: [i32; 4]) -> Result<Vec<Piece>, String> {
        if self.rank != 2 || self.box_dims[1] != 1 {
            return Err(format!(
                "gather4 and scatter4 need rank 2 and box[1] = 1; the map has rank {} and box[1] = {}",
                self.rank, self.box_dims[1]
            ));
        }
        self.check_coordinates(&[column, rows[0]])?;
        let mut pieces = vec![];
        for (i, row) in rows.into_iter().enumerate() {
            self.walk(&[column, row], |piece| {
                let shared_offset = piece.shared_offset + i as u32 * self.pitch();
                pieces.push(Piece { shared_offset, ..piece });
            });
        }
        Ok(pieces)
    }
}
