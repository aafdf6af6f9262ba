//! Stands in for a framework that is not enabled.

use std::any::Any;

use bytes::Bytes;

/// Knows no body type.
#[inline]
pub(crate) fn carry(_slot: &mut dyn Any, _bytes: &Bytes) -> bool {
    false
}
