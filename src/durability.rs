//! What becomes of a change when a machine ends.

/// What a confirmed change survives.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Durability {
    /// The end of the store's process and of its machine.
    Durable,
    /// Neither: it lives in memory alone for a while, or for good. A revocation may be undone by a crash.
    Volatile,
}
