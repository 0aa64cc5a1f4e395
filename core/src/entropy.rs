//! Where the random bits of a machine come from: outside.

/// A source of random bits, given to the inputs that need some.
///
/// The runtimes hand in the system's generator; tests a counter or a seeded one, so that a run can be
/// repeated. Jitter and choices among equals need no secrecy; what guards access is not drawn from here.
pub trait Entropy {
    /// The next 64 bits, each value equally likely.
    fn next_u64(&mut self) -> u64;
}
