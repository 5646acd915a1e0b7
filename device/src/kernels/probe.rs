//! What a probe is: an entry point that executes one wrapper and keeps its result.

/// Keeps a result alive without an instruction of ours.
pub(super) unsafe fn keep<T>(out: *mut T, value: T) {
    // SAFETY: never launched.
    unsafe { out.write_volatile(value) }
}

/// Writes `pub unsafe extern "ptx-kernel" fn name(arguments) { body }` for each probe.
macro_rules! probes {
    ($($name:ident($($argument:ident: $type:ty),*) $body:expr;)*) => {$(
        /// Probe of one wrapper.
        ///
        /// # Safety
        /// Never launched.
        #[unsafe(no_mangle)]
        pub unsafe extern "ptx-kernel" fn $name($($argument: $type),*) {
            #[allow(unused_unsafe)]
            // SAFETY: never launched.
            unsafe { $body }
        }
    )*};
}

pub(super) use probes;
