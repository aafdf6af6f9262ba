//! Stands in for the client of the feature `reqwest`.

use super::HttpClient;
use crate::ConfigError;

/// There is none.
pub(crate) fn default_client() -> Result<HttpClient, ConfigError> {
    Err(ConfigError::HttpClientMissing)
}
