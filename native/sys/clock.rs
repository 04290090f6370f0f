//! A clock that only goes forward and also counts while the machine is suspended (safety T23).

/// Microseconds since the machine started (CLOCK_BOOTTIME): the engine's `Time`.
pub fn now() -> u64 {
    let mut value = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `value` is a valid timespec that lives through the call.
    unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &mut value) };
    value.tv_sec.unsigned_abs().saturating_mul(1_000_000).saturating_add(value.tv_nsec.unsigned_abs() / 1_000)
}
