//! Stands in for TLS where it is not compiled in.

use crate::StoreError;

pub(super) fn prepare() -> Result<(), StoreError> {
    Err(StoreError::misconfigured("TLS to Redis needs the feature `redis-tls`"))
}
