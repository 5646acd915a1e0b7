//! Blackwell's tensor core and its memory.
//!
//! | instruction | executed by | completes |
//! |---|---|---|
//! | `alloc`, `dealloc`, `relinquish_alloc_permit` | one warp, converged | at once (`alloc` may block) |
//! | `cp`, `mma` | one thread | asynchronously; `commit` tells |
//! | `commit` | the thread that issued the work | asynchronously, one arrival on an mbarrier |
//! | `ld` | a warp, converged, on its own 32 lanes of tensor memory | `wait::ld` |
//! | `fence::before_thread_sync`, `fence::after_thread_sync` | each thread on either side of a barrier | at once |

pub mod alloc;
pub mod mma;
pub mod transfer;
