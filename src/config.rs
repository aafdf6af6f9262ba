//! What can be wrong with a configuration.

mod errors;

use std::convert::Infallible;
use std::error::Error;
use std::fmt;
use std::time::Duration;

use crate::{KeyFault, Ownership, SkippedKey};
pub use errors::ConfigErrors;

/// A layer, a scheme or a store was configured with something it cannot use.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum ConfigError {
    /// A header field name is not one (RFC 9110, section 5.1).
    HeaderName {
        /// What was given instead.
        given: String,
    },
    /// A header field has a meaning of its own and cannot hold a key.
    HeaderReserved {
        /// The field.
        given: String,
    },
    /// A query parameter or cookie name is empty or has characters that would need quoting.
    ParameterName {
        /// What was given instead.
        given: String,
    },
    /// An origin is not `scheme://host[:port]` (RFC 6454, section 6.2).
    Origin {
        /// What was given instead.
        given: String,
    },
    /// A scope is not a scope token: printable ASCII without space, `"` and `\` (RFC 6749, section 3.3).
    Scope {
        /// What was given instead.
        given: String,
    },
    /// A list of needed scopes is empty, so it is not clear who may pass.
    ScopesEmpty,
    /// A scope is not in the catalogue of the API.
    ScopeUnlisted {
        /// The scope.
        given: String,
    },
    /// A scope is one that clients ask an authorization server for, and that no resource needs: `offline_access`.
    ScopeReserved {
        /// The scope.
        given: String,
    },
    /// The identifier of a resource is not an `https` URL as clients write it: host in lower case, no user, no query, no
    /// fragment, no port 443 (RFC 9728, section 1.2).
    ResourceUrl {
        /// What was given instead.
        given: String,
    },
    /// A resource is named whose tokens the verifier does not accept, since its audience is another one.
    ResourceAudience {
        /// The resource.
        resource: String,
    },
    /// The verifier does not say who issues its tokens, so the metadata of the resource has nobody to name.
    AuthorizationServersMissing,
    /// A login is required without a condition that it has to meet.
    LoginConditionsMissing,
    /// An authentication context class is empty, or has characters other than printable ASCII without space, `"` and `\`.
    Acr {
        /// What was given instead.
        given: String,
    },
    /// A method path is not `/package.Service/Method`.
    MethodPath {
        /// What was given instead.
        given: String,
    },
    /// A realm has characters outside printable ASCII.
    Realm {
        /// What was given instead.
        given: String,
    },
    /// A key prefix is not made of ASCII letters and digits, with single `_` between them, 32 characters at most.
    KeyPrefix {
        /// How long the text is that was given. It may be a secret in the wrong place, so it is not shown.
        length: usize,
    },
    /// A key id is empty, longer than 36 characters, or has characters other than ASCII letters, digits, `-`, `.`
    /// and `_`.
    KeyId {
        /// How long the text is that was given. It may be a secret in the wrong place, so it is not shown.
        length: usize,
    },
    /// Copies of keys would be good for longer than a revocation may take to be known.
    CacheTime {
        /// The time that was given.
        given: Duration,
        /// The longest that is possible.
        most: Duration,
    },
    /// A digest is not 64 hexadecimal digits.
    DigestText {
        /// How long the text is that was given. It may be a secret in the wrong place, so it is not shown.
        length: usize,
    },
    /// What a key is bound to is not a network, such as `10.0.0.0/8`, or an address.
    KeyNetwork {
        /// What was given instead.
        given: String,
    },
    /// A limit of requests is not a number of them and a time of 1 second to 30 days, such as `100/60s`.
    RateLimit {
        /// What was given instead.
        given: String,
    },
    /// A pepper id is not 1 to 8 ASCII letters, digits or `-`.
    PepperId {
        /// How long the text is that was given. It may be a secret in the wrong place, so it is not shown.
        length: usize,
    },
    /// Two ways to make digests have one tag, so it would not be clear by which pepper a digest was made.
    PepperIdRepeated {
        /// The tag.
        given: String,
    },
    /// A pepper is shorter than 32 bytes.
    PepperTooShort {
        /// How many bytes were given.
        bytes: usize,
    },
    /// A file of peppers cannot be read.
    PepperFile {
        /// Which file, and why not.
        reason: String,
    },
    /// A text of peppers has something else in it than `<pepper id>:<hexadecimal digits>`.
    PepperText {
        /// On which line. What stands there may be a secret, so it is not shown.
        line: usize,
    },
    /// A text of peppers has none in it.
    PeppersMissing,
    /// No issuer was given, so tokens of anybody whose key is trusted would be let in.
    IssuerMissing,
    /// An issuer stands in a list twice, so it would not be clear whose rules count.
    IssuerRepeated {
        /// The issuer.
        given: String,
    },
    /// A verifier stands in a list under another issuer than its own, so it would refuse every token.
    IssuerDiffers {
        /// The issuer in the list.
        given: String,
        /// That of the verifier.
        own: String,
    },
    /// The keys of a verifier are fetched, so others would not stay.
    KeysAreFetched,
    /// What issuers are looked up below is not an `https` URL that ends in `/`.
    IssuerPrefix {
        /// What was given instead.
        given: String,
    },
    /// A template of issuers is not an `https` URL with the name of one claim in braces, behind the host.
    IssuerTemplate {
        /// What was given instead.
        given: String,
    },
    /// Tenants are named and no template of their issuers, or the list is empty, or one of them has other characters than
    /// letters, digits and `-`.
    Tenants,
    /// No audience was given, so tokens meant for another service would be let in.
    AudienceMissing,
    /// The list of algorithms is empty, so no token could be let in.
    AlgorithmsMissing,
    /// The leeway is longer than 300 seconds.
    LeewayTooLong {
        /// What was given instead.
        given: Duration,
    },
    /// The greatest length of a token is zero.
    TokenLimitZero,
    /// The name of a claim is empty.
    ClaimNameEmpty,
    /// A claim has a meaning of its own and cannot hold scopes, the subject, an audience or a tenant.
    ClaimReserved {
        /// The claim.
        given: String,
    },
    /// A `typ` is empty, or that of another kind of token.
    Typ {
        /// What was given instead.
        given: String,
    },
    /// More than 32 claims are required.
    ClaimsTooMany {
        /// How many were given.
        given: usize,
    },
    /// A key cannot be used.
    Key(KeyFault),
    /// A key set could not be read.
    KeySetUnreadable {
        /// Why not.
        reason: String,
    },
    /// A key set has secrets beside public keys: a public key might be taken for a secret.
    KeySetMixed,
    /// There is no key that could be used.
    KeysMissing {
        /// Those that were there and had to be skipped.
        skipped: Vec<SkippedKey>,
    },
    /// Two schemes of one layer take the same kind of values under `Authorization: Bearer`, so it would not be clear whose
    /// one is.
    BearerContested {
        /// The kind.
        kind: Ownership,
    },
    /// A network of proxies is neither an address nor a network such as `10.0.0.0/8`.
    ProxyNetwork {
        /// What was given instead.
        given: String,
    },
    /// A network of proxies has every address in it, so everybody would be believed.
    ProxyNetworkOpen {
        /// What was given.
        given: String,
    },
    /// The number of proxies in a row is not 1 to 8.
    ProxyHops {
        /// What was given instead.
        given: usize,
    },
    /// Proxies are trusted by their address, and nothing says where the address of a peer stands.
    PeerMissing,
    /// A host is not a name or an address with or without a port, such as `api.example.com` or `[::1]:8443`.
    Host {
        /// What was given instead.
        given: String,
    },
    /// The list of hosts is empty.
    HostsEmpty,
    /// A path that is exempt does not start with `/`, or has something in it that may be written in another way.
    ExemptPath {
        /// What was given instead.
        given: String,
    },
    /// HSTS preload needs a year at least, and all hosts below this one.
    HstsPreload,
    /// No HTTP client was named, and there is no default one without the feature `reqwest`.
    HttpClientMissing,
    /// The HTTP client could not be made.
    HttpClient {
        /// Why not.
        reason: String,
    },
    /// A text is not the URL of a server, or has a user, a fragment or a query in it that has no place there.
    EndpointUrl {
        /// What was given instead, without the user.
        given: String,
    },
    /// A server is not asked over `https`.
    EndpointNotHttps {
        /// What was given instead.
        given: String,
    },
    /// A text is not the one private key of an algorithm, in PKCS#8 and PEM.
    SigningKey {
        /// The algorithm.
        algorithm: &'static str,
    },
    /// Nothing says who this service is when it asks another server, or its client id is empty.
    ClientAuthMissing,
    /// What another server said of a token would be remembered for longer than a minute.
    RememberedTooLong {
        /// How long instead.
        given: Duration,
    },
    /// A digest tag is neither `sha256` nor `hmac-sha256/<pepper id>`.
    DigestTag {
        /// How long the text is that was given. It may be a secret in the wrong place, so it is not shown.
        length: usize,
    },
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HeaderName { given } => write!(f, "{given:?} is not a header field name"),
            Self::HeaderReserved { given } => {
                write!(f, "header field {given:?} has a meaning of its own and cannot hold a key")
            }
            Self::ParameterName { given } => write!(f, "{given:?} cannot name a query parameter or cookie"),
            Self::Origin { given } => write!(f, "{given:?} is not an origin such as \"https://app.example.com\""),
            Self::Scope { given } => write!(f, "{given:?} is not a scope token"),
            Self::ScopesEmpty => f.write_str("the list of needed scopes is empty"),
            Self::ScopeUnlisted { given } => write!(f, "scope {given:?} is not in the catalogue"),
            Self::ScopeReserved { given } => write!(f, "scope {given:?} is asked of an authorization server alone"),
            Self::ResourceUrl { given } => write!(
                f,
                "{given:?} is not the identifier of a resource such as \"https://api.example.com/mcp\": https, host in \
                 lower case, no user, port 443, query or fragment"
            ),
            Self::ResourceAudience { resource } => {
                write!(f, "no audience of the verifier is the resource {resource:?}; `audience_may_differ` allows that")
            }
            Self::AuthorizationServersMissing => {
                f.write_str("nobody is named who issues tokens for the resource; `authorization_servers` does")
            }
            Self::LoginConditionsMissing => f.write_str("a login is required without a condition"),
            Self::Acr { given } => write!(f, "{given:?} is not an authentication context class"),
            Self::MethodPath { given } => {
                write!(f, "{given:?} is not a method path such as \"/package.Service/Method\"")
            }
            Self::Realm { given } => write!(f, "realm {given:?} has characters outside printable ASCII"),
            Self::KeyPrefix { length } => write!(
                f,
                "a text of {length} bytes is no key prefix: letters and digits with single '_' between them, 32 at most"
            ),
            Self::KeyId { length } => {
                write!(f, "a text of {length} bytes is no key id: 1 to 36 ASCII letters, digits, '-', '.' or '_'")
            }
            Self::PepperId { length } => {
                write!(f, "a text of {length} bytes is no pepper id: 1 to 8 ASCII letters, digits or '-'")
            }
            Self::PepperIdRepeated { given } => write!(f, "two ways to make digests have the tag {given:?}"),
            Self::PepperTooShort { bytes } => write!(f, "a pepper of {bytes} bytes is too short, 32 are needed"),
            Self::PepperFile { reason } => write!(f, "the file of peppers cannot be read: {reason}"),
            Self::PepperText { line } => {
                write!(f, "line {line} of the peppers is not \"<pepper id>:<hexadecimal digits>\"")
            }
            Self::PeppersMissing => f.write_str("there is no pepper where peppers should be"),
            Self::IssuerMissing => f.write_str("no issuer was given"),
            Self::IssuerRepeated { given } => write!(f, "issuer {given:?} was given twice"),
            Self::IssuerDiffers { given, own } => write!(f, "the verifier of issuer {given:?} is that of {own:?}"),
            Self::KeysAreFetched => f.write_str("the keys are fetched from their issuer; `reload` does so at once"),
            Self::IssuerPrefix { given } => {
                write!(f, "{given:?} is not a URL such as \"https://login.example.com/realms/\"")
            }
            Self::IssuerTemplate { given } => {
                write!(f, "{given:?} is not a URL such as \"https://login.example.com/{{tid}}/v2.0\"")
            }
            Self::Tenants => {
                f.write_str("the tenants are none, have no template, or other characters than letters, digits and '-'")
            }
            Self::AudienceMissing => f.write_str("no audience was given"),
            Self::AlgorithmsMissing => f.write_str("the list of algorithms is empty"),
            Self::LeewayTooLong { given } => write!(f, "a leeway of {given:?} is too long, 300 seconds at most"),
            Self::TokenLimitZero => f.write_str("the greatest length of a token is zero"),
            Self::ClaimNameEmpty => f.write_str("the name of a claim is empty"),
            Self::ClaimReserved { given } => write!(f, "claim {given:?} has a meaning of its own"),
            Self::Typ { given } => write!(f, "typ {given:?} is not one of access tokens"),
            Self::ClaimsTooMany { given } => write!(f, "{given} claims are required, 32 at most"),
            Self::Key(fault) => write!(f, "the key cannot be used: {fault}"),
            Self::KeySetUnreadable { reason } => write!(f, "the key set cannot be read: {reason}"),
            Self::KeySetMixed => f.write_str("the key set has secrets beside public keys"),
            Self::KeysMissing { skipped } => {
                f.write_str("there is no key that could be used")?;
                skipped.iter().try_for_each(|skipped| write!(f, "; {skipped}"))
            }
            Self::BearerContested { kind: Ownership::Form } => f.write_str("two schemes of one layer take JWTs"),
            Self::BearerContested { .. } => f.write_str("two schemes of one layer take bearer credentials of any form"),
            Self::CacheTime { given, most } => {
                write!(f, "{given:?} is too long for copies of keys, {most:?} is the most")
            }
            Self::DigestText { length } => write!(f, "a digest is 64 hexadecimal digits, not a text of {length} bytes"),
            Self::KeyNetwork { given } => write!(f, "{given:?} is not a network such as \"10.0.0.0/8\""),
            Self::RateLimit { given } => {
                write!(f, "{given:?} is not a limit such as \"100/60s\", of one request or more in 1 second to 30 days")
            }
            Self::ProxyNetwork { given } => write!(f, "{given:?} is not a network such as \"10.0.0.0/8\""),
            Self::ProxyNetworkOpen { given } => write!(
                f,
                "network {given:?} has every address in it; `TrustedProxies::dangerous_any_peer` is what believes everybody"
            ),
            Self::ProxyHops { given } => write!(f, "{given} proxies in a row, 1 to 8 are possible"),
            Self::PeerMissing => f.write_str(
                "proxies are trusted by their address, and `peer_from` or `peer` has to say where the address stands",
            ),
            Self::Host { given } => write!(f, "{given:?} is not a host such as \"api.example.com\""),
            Self::HostsEmpty => f.write_str("the list of hosts is empty"),
            Self::ExemptPath { given } => write!(f, "{given:?} is not a path such as \"/healthz\""),
            Self::HttpClientMissing => {
                f.write_str("no HTTP client was named, and there is no default one without the feature `reqwest`")
            }
            Self::HttpClient { reason } => write!(f, "the HTTP client could not be made: {reason}"),
            Self::EndpointUrl { given } => write!(f, "{given:?} is not a URL such as \"https://login.example.com\""),
            Self::EndpointNotHttps { given } => {
                write!(f, "{given:?} is not an https URL; `insecure_allow_loopback` allows http to this machine")
            }
            Self::HstsPreload => f.write_str("preload needs a max-age of a year at least, and includeSubDomains"),
            Self::SigningKey { algorithm } => {
                write!(f, "the text is no PEM with one private key for {algorithm} in PKCS#8")
            }
            Self::ClientAuthMissing => {
                f.write_str("nothing says who asks: `client_auth` is missing, or the client id is empty")
            }
            Self::RememberedTooLong { given } => {
                write!(f, "answers would be remembered for {given:?}, 60 seconds are possible")
            }
            Self::DigestTag { length } => {
                write!(
                    f,
                    "a text of {length} bytes is none of \"sha256\", \"sha256-bare\", \"hmac-sha256/<pepper id>\""
                )
            }
        }
    }
}

impl Error for ConfigError {}

impl From<KeyFault> for ConfigError {
    fn from(fault: KeyFault) -> Self {
        Self::Key(fault)
    }
}

impl From<Infallible> for ConfigError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}
