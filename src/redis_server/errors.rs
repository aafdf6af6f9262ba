//! What errors of Redis mean.

use redis::{ErrorKind, RedisError, ServerErrorKind};

use crate::StoreError;

/// Tells whether the server is out of reach for now, or whether somebody has to change something.
pub(crate) fn store_error(error: RedisError) -> StoreError {
    match error.kind() {
        ErrorKind::AuthenticationFailed
        | ErrorKind::Client
        | ErrorKind::InvalidClientConfig
        | ErrorKind::Parse
        | ErrorKind::RESP3NotSupported
        | ErrorKind::UnexpectedReturnType => StoreError::misconfigured(error),
        ErrorKind::Server(
            ServerErrorKind::CrossSlot | ServerErrorKind::Moved | ServerErrorKind::Ask | ServerErrorKind::NoPerm,
        ) => StoreError::misconfigured(error),
        ErrorKind::Server(ServerErrorKind::ResponseError) if !passes(&error) => StoreError::misconfigured(error),
        ErrorKind::Extension if is_setting(error.code()) => StoreError::misconfigured(error),
        _ => StoreError::unavailable(error),
    }
}

/// Tells whether a plain `ERR` is about a state that passes by itself. Old servers wrap errors within scripts in one.
fn passes(error: &RedisError) -> bool {
    let detail = error.detail().unwrap_or_default();
    ["max number of clients", "OOM ", "READONLY", "LOADING", "MISCONF"].iter().any(|state| detail.contains(state))
}

fn is_setting(code: Option<&str>) -> bool {
    matches!(code, Some("NOAUTH" | "NOPROTO" | "WRONGPASS" | "WRONGTYPE" | "DENIED"))
}
