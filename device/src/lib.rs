//! The GPU side: Rust with inline PTX.
