//! Stands in for keys that are fetched, where none are.

use std::sync::Arc;

use super::{Jwt, Keys};
use crate::bearer::PresentedToken;
use crate::bearer::jwt::Algorithm;
use crate::{Answer, ConfigError, Principal, Rejection};

/// There are none.
#[derive(Debug)]
pub(super) enum Opening {}

/// There are none.
#[derive(Debug)]
pub(super) enum Live {}

impl Live {
    pub(super) fn open(
        opening: Opening,
        _: Option<Vec<Algorithm>>,
    ) -> Result<(Arc<Keys>, Arc<Self>), Vec<ConfigError>> {
        match opening {}
    }

    pub(super) fn verify(&self, _: &Jwt, _: &PresentedToken) -> Answer<Result<Principal, Rejection>> {
        match *self {}
    }
}
