//! From where a key is accepted.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::ConfigError;
use crate::origin::network;

/// Networks of a key; none of them is all of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Networks(Vec<IpNet>);

impl Networks {
    pub(super) fn add(&mut self, given: &str) -> Result<(), ConfigError> {
        let network = network(given).ok_or_else(|| ConfigError::KeyNetwork { given: given.to_owned() })?;
        if !self.0.contains(&network) {
            self.0.push(network);
        }
        Ok(())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn allow(&self, address: Option<IpAddr>) -> bool {
        let is_in = |address: IpAddr| self.0.iter().any(|network| network.contains(&address.to_canonical()));
        self.0.is_empty() || address.is_some_and(is_in)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(IpNet::to_string)
    }
}
