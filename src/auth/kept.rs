//! The head of a request as it came, for layers that put the credential back.

use http::request::Parts;
use http::{HeaderMap, Uri};

/// What a scheme may take from: the header fields and the target.
#[derive(Debug)]
pub(crate) struct Kept {
    headers: HeaderMap,
    uri: Uri,
}

impl Kept {
    pub(crate) fn of(head: &Parts) -> Self {
        Self { headers: head.headers.clone(), uri: head.uri.clone() }
    }

    /// Puts back what is missing now, marked sensitive.
    pub(crate) fn restore(self, head: &mut Parts) {
        for name in self.headers.keys() {
            if head.headers.get_all(name).iter().eq(self.headers.get_all(name).iter()) {
                continue;
            }
            head.headers.remove(name);
            for value in self.headers.get_all(name) {
                let mut value = value.clone();
                value.set_sensitive(true);
                head.headers.append(name, value);
            }
        }
        head.uri = self.uri;
    }
}
