//! What errors of a database mean to those who change keys.

use crate::StoreError;
use crate::api_key::store::AdminError;
use crate::sql::store_error;

/// As [`store_error`], where something was to be stored of which there may be one already.
pub(crate) fn admin_error(error: sqlx::Error, passes: fn(&str) -> bool) -> AdminError {
    match error.as_database_error().is_some_and(|error| error.is_unique_violation()) {
        true => AdminError::AlreadyExists,
        false => store_error(error, passes).into(),
    }
}

/// The database holds what makes no sense.
pub(crate) fn corrupt(what: &str) -> StoreError {
    StoreError::misconfigured(format!("{what} cannot be read"))
}
