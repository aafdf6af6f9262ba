//! TLS to Redis.

use rustls::crypto::{CryptoProvider, aws_lc_rs};

use crate::StoreError;

/// Sees to it that rustls knows which cryptography to use: the client asks for that of the process, and panics where there
/// are two to choose from.
pub(super) fn prepare() -> Result<(), StoreError> {
    if CryptoProvider::get_default().is_none() {
        // Somebody else may have been faster, and then there is one.
        let _there_is_one = aws_lc_rs::default_provider().install_default();
    }
    Ok(())
}
