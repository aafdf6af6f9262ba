//! Stands in for keys that are fetched, where none are.

use std::sync::Arc;

use super::{Jwt, Keys};
use crate::bearer::PresentedToken;
use crate::bearer::jwt::Algorithm;
use crate::{Answer, ConfigError, Principal, Rejection};

/// There are none.
#[derive(Debug)]
pub(crate) enum Opening {}

/// There are none.
#[derive(Debug)]
pub(crate) enum Live {}

impl Live {
    pub(super) fn open(
        opening: Opening,
        _: Option<Vec<Algorithm>>,
    ) -> Result<(Arc<Keys>, Arc<Self>), Vec<ConfigError>> {
        match opening {}
    }

    #[cfg_attr(not(feature = "introspection"), allow(dead_code, reason = "tokens are all that is verified"))]
    pub(super) fn required(&self) -> Answer<Result<(), Rejection>> {
        match *self {}
    }

    #[cfg_attr(not(feature = "introspection"), allow(dead_code, reason = "tokens are all that is verified"))]
    pub(super) fn demanded(&self) -> Answer<Result<(), Rejection>> {
        match *self {}
    }

    pub(super) fn is_usable(&self) -> bool {
        match *self {}
    }

    pub(super) fn verify(&self, _: &Jwt, _: &PresentedToken) -> Answer<Result<Principal, Rejection>> {
        match *self {}
    }
}
