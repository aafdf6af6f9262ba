//! Settings for issuers that write their tokens in a way of their own. The file `docs/providers.md` of the repository says
//! which issuer takes which.

use std::any::Any;

use serde::de::DeserializeOwned;

use super::JwtBuilder;

impl<T: DeserializeOwned + Any + Send + Sync> JwtBuilder<T> {
    /// Names the issuers of all tenants of one service, in the place of [`issuer`](Self::issuer): an `https` URL in which a claim
    /// stands in braces, behind the host. A token has to have the claim, as a string of 1 to 64 letters, digits and `-`, and an
    /// `iss` that is the URL with the value of the claim in it, letter by letter.
    ///
    /// ```
    /// # #[cfg(feature = "jwks")] {
    /// use tower_keep::{Algorithm, Jwt, RemoteKeys};
    ///
    /// # fn tokens() -> Result<Jwt, tower_keep::ConfigErrors> {
    /// // Microsoft Entra, for two tenants.
    /// let tokens = Jwt::with_remote_keys(RemoteKeys::new("https://login.microsoftonline.com/common/discovery/v2.0/keys"))
    ///     .issuer_template("https://login.microsoftonline.com/{tid}/v2.0")
    ///     .tenants(["72f988bf-86f1-41af-91ab-2d7cd011db47", "f8cdef31-a31e-4b4a-93e4-5f571e91255a"])
    ///     .audience("6e74172b-be56-4843-9ff4-e66a39bb12e3")
    ///     .algorithms([Algorithm::RS256])
    ///     .accept_typ_jwt()
    ///     .build()?;
    /// # Ok(tokens)
    /// # }
    /// # }
    /// ```
    ///
    /// # Security
    ///
    /// Without [`tenants`](Self::tenants) it is anybody who can have a tenant there that is let in. A key whose JWK has a member
    /// `issuer`, as those of Microsoft Entra have, is good for that issuer alone, or for all of them if it says `{tenantid}` there.
    #[must_use]
    pub fn issuer_template(mut self, template: impl Into<String>) -> Self {
        self.settings.template = Some(template.into());
        self.settings.issuer = None;
        self
    }

    /// Names the tenants that may come, by the value of the claim in the [template](Self::issuer_template). Several calls name
    /// more of them.
    #[must_use]
    pub fn tenants<N: Into<String>>(mut self, tenants: impl IntoIterator<Item = N>) -> Self {
        self.settings.tenants.get_or_insert_default().extend(tenants.into_iter().map(Into::into));
        self
    }

    /// Looks for the [audience](Self::audience) in another claim than `aud`: `client_id`, for issuers that leave `aud` out, such as
    /// Amazon Cognito. It has to be there, and be or hold one of the audiences. An `aud` that is there all the same has to name
    /// one of them, too (RFC 7519, section 4.1.3).
    ///
    /// # Security
    ///
    /// The client that a token was given to stands in the place of the service that it was made for: every service that this
    /// client talks to gets tokens that are good here.
    #[must_use]
    pub fn audience_claim(mut self, name: impl Into<String>) -> Self {
        self.settings.expected.audience_claim = Some(name.into());
        self
    }
}
