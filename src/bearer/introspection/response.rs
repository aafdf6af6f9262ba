//! What an answer says (RFC 7662, section 2.2).

use std::any::Any;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::memory::Finding;
use crate::Rejection;
use crate::bearer::jwks::object;
use crate::bearer::jwt::claims::{Expected, MISFIT, Registered};
use crate::bearer::jwt::token::Token;
use crate::fetch::FetchError;

const INACTIVE: &str = "token_inactive";
const NO_VERDICT: &str = "introspection_active";

/// Returns whether the server says that the token is active, whether or not it is good here.
pub(super) fn is_active<T>(finding: &Finding<T>) -> bool {
    finding.as_ref().err().is_none_or(|rejection| !matches!(rejection.reason(), INACTIVE | NO_VERDICT))
}

/// What is expected of an answer.
pub(super) struct Rules {
    pub(super) expected: Expected,
    pub(super) issuer: Option<Arc<str>>,
    pub(super) accept_no_issuer: bool,
    pub(super) any_audience: bool,
}

/// Members that only answers have.
#[derive(Deserialize)]
struct Marks<'a> {
    #[serde(borrow)]
    active: Option<&'a RawValue>,
    #[serde(borrow)]
    token_type: Option<&'a RawValue>,
    #[serde(borrow)]
    token_use: Option<&'a RawValue>,
}

impl Rules {
    /// Reads an answer.
    ///
    /// # Errors
    ///
    /// An answer that cannot be read is the server's fault, and says nothing of the token.
    pub(super) fn read<T>(&self, json: &[u8]) -> Result<Finding<T>, FetchError>
    where
        T: DeserializeOwned + Any + Send + Sync,
    {
        let marks: Marks<'_> = object(json).map_err(|error| unreadable(&error))?;
        match marks.active.map(RawValue::get) {
            Some("true") => {}
            Some("false") => return Ok(Err(Rejection::invalid(INACTIVE))),
            _ => return Ok(Err(Rejection::invalid(NO_VERDICT))),
        }
        if marks.token_type.is_some() && text(marks.token_type).is_none() {
            return Err(FetchError::document("token_type is no string"));
        }
        let mut claims = Registered::default();
        match claims.read::<T>(json, &self.expected) {
            Ok(details) => Ok(self.judge(&marks, &claims).map(|()| {
                let exp = claims.exp;
                let mut token = Token::new(&mut claims, exp, self.issuer.clone(), None, details);
                token.introspected = true;
                Arc::new(token)
            })),
            // That is what the service expects of a token, and not what every answer has to be.
            Err(rejection) if rejection.reason() == MISFIT => Ok(Err(rejection)),
            Err(rejection) => Err(FetchError::document(format!("it cannot be read ({})", rejection.reason()))),
        }
    }

    /// Checks what does not change with time.
    fn judge(&self, marks: &Marks<'_>, claims: &Registered<'_>) -> Result<(), Rejection> {
        let is_issuer = match (&self.issuer, &claims.iss) {
            (None, _) => true,
            (Some(expected), Some(issuer)) => **expected == **issuer,
            (Some(_), None) => self.accept_no_issuer,
        };
        let wrong = [
            (!is_issuer, "token_issuer"),
            (!self.any_audience && !claims.is_for_us(&self.expected), "token_audience"),
            (claims.bound || marks.is_bound(), "token_bound"),
            (claims.of_id_token, "token_is_id_token"),
            (marks.is_of_another_use(), "token_use"),
            (!claims.is_complete(&self.expected), "token_claim_missing"),
        ];
        match wrong.into_iter().find(|(is_wrong, _)| *is_wrong) {
            Some((_, reason)) => Err(Rejection::invalid(reason)),
            None => Ok(()),
        }
    }
}

impl Marks<'_> {
    /// Returns whether the token comes with a proof (RFC 9449, section 6.2), whether or not `cnf` says by which key.
    fn is_bound(&self) -> bool {
        text(self.token_type).is_some_and(|kind| kind.eq_ignore_ascii_case("DPoP"))
    }

    /// Returns whether this is no access token. A refresh token may be introspected, too, and is as active; some servers, such
    /// as Ory Hydra, say what it is.
    fn is_of_another_use(&self) -> bool {
        self.token_use.is_some() && !matches!(text(self.token_use).as_deref(), Some("access_token" | "access"))
    }
}

fn text(raw: Option<&RawValue>) -> Option<String> {
    serde_json::from_str(raw?.get()).ok()
}

/// Says where an answer stops being one, and nothing of the answer, which speaks of a person.
pub(super) fn unreadable(error: &serde_json::Error) -> FetchError {
    FetchError::document(format!("it is no answer, from line {} column {} on", error.line(), error.column()))
}
