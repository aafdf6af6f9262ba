//! The claims of a token: the registered ones (RFC 7519, section 4.1) and the user's own type, read in one pass.
//!
//! The user's type is driven through a map that looks at every member on its way: a registered claim is noted, and its
//! value handed on. So a claim may stand in both, and nothing is read twice but the few short values that do.

mod pass;

use std::any::Any;
use std::borrow::Cow;
use std::marker::PhantomData;
use std::time::Duration;

use serde::de::{DeserializeOwned, Deserializer};
use serde_json::error::Category;

use super::known::Known;
use crate::{ConfigError, Rejection, Scopes};
use pass::Pass;

/// What the claims of a token are held against while they are read.
#[derive(Debug, Default)]
pub(crate) struct Expected {
    pub(crate) audiences: Vec<String>,
    pub(crate) scope_claim: Option<String>,
    pub(crate) subject_claim: Option<String>,
    /// The claim that stands in for `aud`.
    pub(crate) audience_claim: Option<String>,
    /// The claim whose value stands in the issuer.
    pub(crate) tenant_claim: Option<String>,
    pub(crate) required: Vec<String>,
}

/// The claims that this crate looks at.
#[derive(Debug, Default)]
pub(crate) struct Registered<'a> {
    pub(crate) iss: Option<Cow<'a, str>>,
    pub(crate) sub: Option<Cow<'a, str>>,
    pub(crate) tenant: Option<Cow<'a, str>>,
    pub(crate) jti: Option<Cow<'a, str>>,
    pub(crate) sid: Option<Cow<'a, str>>,
    pub(crate) acr: Option<Cow<'a, str>>,
    pub(crate) exp: Option<Duration>,
    pub(crate) nbf: Option<Duration>,
    pub(crate) iat: Option<Duration>,
    pub(crate) auth_time: Option<Duration>,
    /// Whether one of the expected audiences is named; nothing if there is no `aud`.
    aud: Option<bool>,
    /// The same of the claim that stands in for it.
    stand_in: Option<bool>,
    pub(crate) scopes: Option<Scopes>,
    scp: Option<Scopes>,
    pub(crate) bound: bool,
    pub(crate) of_id_token: bool,
    /// Which of the required claims were met, by their place in the list.
    required: u32,
    /// Which of them are null.
    null: u32,
    seen: u32,
    fault: Option<&'static str>,
}

/// A claim that is looked at.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u32)]
enum Claim {
    Iss,
    Sub,
    Jti,
    Sid,
    Acr,
    Exp,
    Nbf,
    Iat,
    AuthTime,
    Aud,
    Audience,
    Tenant,
    Scope,
    Scp,
    Cnf,
    OfIdToken,
    OtherSub,
    OtherScope,
    OtherScp,
}

/// Why a member is looked at: for what it says, because it has to be there, or both.
#[derive(Clone, Copy)]
struct Interest {
    claim: Option<Claim>,
    required: Option<usize>,
}

/// Claims that cannot hold the subject, scopes, an audience or a tenant.
const RESERVED: [&str; 12] =
    ["iss", "aud", "exp", "nbf", "iat", "jti", "sid", "acr", "auth_time", "cnf", "at_hash", "c_hash"];
/// How many claims can be required.
const REQUIRED_MAX: usize = 32;

impl Expected {
    /// Requires some claims, each once.
    pub(crate) fn require(&mut self, names: impl Iterator<Item = String>) {
        for name in names {
            if !self.required.contains(&name) {
                self.required.push(name);
            }
        }
    }

    /// Returns the chosen claims that have another meaning. A claim says one thing.
    pub(crate) fn reserved(&self, tenant_claim: Option<&String>) -> Vec<ConfigError> {
        let Self { scope_claim, subject_claim, audience_claim, .. } = self;
        let chosen = [scope_claim.as_ref(), subject_claim.as_ref(), audience_claim.as_ref(), tenant_claim];
        let is_taken = |place: usize, name: &str| {
            let means_another = match place {
                0 => name == "sub",
                1 => matches!(name, "scope" | "scp"),
                _ => matches!(name, "sub" | "scope" | "scp"),
            };
            let is_chosen = |it: &Option<&String>| it.is_some_and(|it| it == name);
            means_another || RESERVED.contains(&name) || chosen[..place].iter().any(is_chosen)
        };
        let names = chosen.iter().enumerate().filter_map(|(place, name)| Some((place, (*name)?)));
        let taken = names.filter(|(place, name)| is_taken(*place, name));
        taken.map(|(_, name)| ConfigError::ClaimReserved { given: name.clone() }).collect()
    }

    /// Returns what is wrong if no audience is named, where one is needed.
    pub(crate) fn no_audience(&self, any: bool) -> Option<ConfigError> {
        let names_none = self.audiences.is_empty() || self.audiences.iter().any(String::is_empty);
        (!any && names_none).then_some(ConfigError::AudienceMissing)
    }

    /// Returns what is wrong with names of claims and their number.
    pub(crate) fn misnamed(&self) -> impl Iterator<Item = ConfigError> {
        let Self { required, scope_claim, subject_claim, audience_claim, .. } = self;
        let chosen = scope_claim.iter().chain(subject_claim).chain(audience_claim);
        let is_empty = required.iter().chain(chosen).any(String::is_empty);
        let given = required.len();
        let wrong =
            [(is_empty, ConfigError::ClaimNameEmpty), (given > REQUIRED_MAX, ConfigError::ClaimsTooMany { given })];
        wrong.into_iter().filter_map(|(is_wrong, error)| is_wrong.then_some(error))
    }

    /// Returns whether any claim was chosen for something.
    fn chooses(&self) -> bool {
        [&self.subject_claim, &self.scope_claim, &self.audience_claim, &self.tenant_claim]
            .iter()
            .any(|chosen| chosen.is_some())
    }

    fn interest(&self, name: &str, chooses: bool) -> Option<Interest> {
        let claim = match name.as_bytes() {
            b"iss" => Some(Claim::Iss),
            b"exp" => Some(Claim::Exp),
            b"nbf" => Some(Claim::Nbf),
            b"iat" => Some(Claim::Iat),
            b"aud" => Some(Claim::Aud),
            b"jti" => Some(Claim::Jti),
            b"sid" => Some(Claim::Sid),
            b"acr" => Some(Claim::Acr),
            b"auth_time" => Some(Claim::AuthTime),
            b"cnf" => Some(Claim::Cnf),
            b"at_hash" | b"c_hash" => Some(Claim::OfIdToken),
            // Where another claim stands in for it, it has to be what it should be, and says nothing.
            b"sub" => Some(if self.subject_claim.is_some() { Claim::OtherSub } else { Claim::Sub }),
            b"scope" => Some(if self.scope_claim.is_some() { Claim::OtherScope } else { Claim::Scope }),
            b"scp" => Some(if self.scope_claim.is_some() { Claim::OtherScp } else { Claim::Scp }),
            _ => None,
        };
        let claim = if chooses { self.chosen(name).or(claim) } else { claim };
        let required = self.required.iter().position(|required| required == name);
        (claim.is_some() || required.is_some()).then_some(Interest { claim, required })
    }

    /// Returns for what a claim was chosen. None of those that have a meaning of their own can be.
    fn chosen(&self, name: &str) -> Option<Claim> {
        let chosen = [
            (&self.subject_claim, Claim::Sub),
            (&self.scope_claim, Claim::Scope),
            (&self.audience_claim, Claim::Audience),
            (&self.tenant_claim, Claim::Tenant),
        ];
        chosen.into_iter().find(|(chosen, _)| chosen.as_deref() == Some(name)).map(|(_, claim)| claim)
    }
}

impl<'a> Registered<'a> {
    /// Reads the claims of a token whose signature is good, where there were none yet.
    pub(crate) fn read<T: DeserializeOwned + Any>(
        &mut self,
        json: &'a [u8],
        expected: &Expected,
    ) -> Result<T, Rejection> {
        // RFC 8725, section 3.7. The parser itself looks at the strings alone that somebody asks for.
        let json = std::str::from_utf8(json).map_err(|_| Rejection::invalid(UNREADABLE))?;
        let mut deserializer = serde_json::Deserializer::from_str(json);
        let pass = Pass { registered: self, expected, details: PhantomData };
        let read = deserializer.deserialize_map(pass).and_then(|details| deserializer.end().map(|()| details));
        // A type may make the best of an error, which does not make a claim good that is ours to judge.
        if let Some(fault) = self.fault {
            return Err(Rejection::invalid(fault));
        }
        // What the parser says may quote the token, so only its kind is told.
        let kind = |error: serde_json::Error| match error.classify() {
            Category::Data => MISFIT,
            _ => UNREADABLE,
        };
        read.map_err(|error| Rejection::invalid(kind(error)))
    }

    /// Returns whether all is there that has to be: a subject, what is required, and the scopes where they are read from a
    /// claim of another name.
    pub(crate) fn is_complete(&self, expected: &Expected) -> bool {
        let has_scopes = self.scopes.is_some() || self.scp.is_some();
        let has_required = u64::from(self.required & !self.null) == (1_u64 << expected.required.len()) - 1;
        self.sub.as_deref().is_some_and(|sub| !sub.is_empty())
            && has_required
            && (has_scopes || expected.scope_claim.is_none())
    }

    /// Returns whether the token is for one of the expected audiences. Where another claim stands in for `aud`, an `aud` that is
    /// there counts as well (RFC 7519, section 4.1.3).
    pub(crate) fn is_for_us(&self, expected: &Expected) -> bool {
        match expected.audience_claim {
            None => self.aud == Some(true),
            Some(_) => self.stand_in == Some(true) && self.aud != Some(false),
        }
    }

    /// Returns the scopes: those of `scope`, or else those of `scp`.
    pub(crate) fn take_scopes(&mut self) -> Option<Scopes> {
        self.scopes.take().or_else(|| self.scp.take())
    }

    /// Notes that a claim was met, which happens once. Two names stand for an ID token, and one token may have both.
    fn meet(&mut self, interest: Interest) -> Result<(), &'static str> {
        let required = interest.required.map_or(0, |place| 1 << place);
        let claim = interest.claim.filter(|claim| *claim != Claim::OfIdToken).map_or(0, |claim| 1 << claim as u32);
        if self.required & required != 0 || self.seen & claim != 0 {
            return Err("token_claim_repeated");
        }
        self.required |= required;
        self.seen |= claim;
        Ok(())
    }

    fn note_text(&mut self, claim: Claim, text: Cow<'a, str>) {
        let slot = match claim {
            Claim::Iss => &mut self.iss,
            Claim::Sub => &mut self.sub,
            Claim::Jti => &mut self.jti,
            Claim::Sid => &mut self.sid,
            Claim::Acr => &mut self.acr,
            Claim::Tenant => &mut self.tenant,
            _ => return,
        };
        *slot = Some(text);
    }

    fn note_date(&mut self, claim: Claim, date: Duration) {
        match claim {
            Claim::Exp => self.exp = Some(date),
            Claim::Nbf => self.nbf = Some(date),
            Claim::AuthTime => self.auth_time = Some(date),
            _ => self.iat = Some(date),
        }
    }

    /// Notes a claim that is a string or an array of strings.
    fn note_list(&mut self, claim: Claim, list: &Known<'a>, expected: &Expected) -> Result<(), &'static str> {
        let is_for_us = || list.texts().iter().any(|name| expected.audiences.iter().any(|it| it == name));
        match claim {
            // RFC 7519, section 4.1.3.
            Claim::Aud => self.aud = Some(is_for_us()),
            Claim::Audience => self.stand_in = Some(is_for_us()),
            Claim::Scope => self.scopes = Some(scopes(list)?),
            Claim::Scp => self.scp = Some(scopes(list)?),
            _ => {}
        }
        Ok(())
    }
}

/// A registered claim of another JSON type than its own counts as a fault, never as missing.
const WRONG_TYPE: &str = "token_claim_type";
/// The claims are a claims set, and not one of the user's type.
pub(crate) const MISFIT: &str = "token_claims_misfit";
/// The claims are no JSON.
const UNREADABLE: &str = "token_claims";

/// Reads scopes: a list with spaces between (RFC 8693, section 4.2), or an array. An element of an array that is not a
/// scope, such as a role of two words, grants nothing.
fn scopes(list: &Known<'_>) -> Result<Scopes, &'static str> {
    match list {
        Known::List(names) => Ok(Scopes::of_those_that_are(names.iter().map(|name| &**name))),
        list => {
            list.texts().iter().try_fold(Scopes::none(), |_, list| Scopes::try_from(&**list)).map_err(|_| "token_scope")
        }
    }
}
