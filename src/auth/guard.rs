//! What a layer asks for, prepared once, so that refusals further in can say it, too.

use bytes::Bytes;
use http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Response, response};

use super::problem::{PROBLEM_JSON, text};
use super::responder::NO_STORE;
use crate::events::RefusalLog;
use crate::standing::Keeper;
use crate::{Cause, Challenge, Rejection, Scheme};

/// The face of a layer: its challenges, its answers written ahead, and its log.
#[derive(Debug)]
pub(crate) struct Guard {
    challenges: Vec<Challenge>,
    missing: Written,
    all_blamed: Blamed,
    none_blamed: Blamed,
    one_blamed: Vec<(&'static str, Blamed)>,
    vary: Option<HeaderValue>,
    report_only: bool,
    log: RefusalLog,
    keeper: Option<Keeper>,
}

/// An answer that is written ahead: copied but for its text, which becomes the body.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) head: response::Parts,
    pub(crate) text: Bytes,
}

/// The default answers to a bad credential, by whose challenges carry the error code.
#[derive(Debug)]
struct Blamed {
    malformed: Written,
    invalid: Written,
}

impl Blamed {
    fn new(challenges: &[Challenge], scheme: Option<&'static str>) -> Self {
        let answer = |cause| answer(challenges, &Rejection::new(cause, "").presented_as(scheme));
        Self { malformed: answer(Cause::Malformed), invalid: answer(Cause::Invalid) }
    }
}

/// Writes the default answer to a refusal that asks for a credential.
fn answer(challenges: &[Challenge], rejection: &Rejection) -> Written {
    let (mut head, ()) = Response::new(()).into_parts();
    head.status = rejection.cause().status();
    head.headers.insert(CONTENT_TYPE, PROBLEM_JSON);
    head.headers.insert(CACHE_CONTROL, NO_STORE);
    for challenge in challenges {
        head.headers.append(WWW_AUTHENTICATE, header(challenge, rejection));
    }
    Written { head, text: text(rejection.cause(), rejection.needed_scopes()) }
}

/// Writes a challenge as it answers a refusal.
fn header(challenge: &Challenge, rejection: &Rejection) -> HeaderValue {
    let blamed = rejection.challenge_scheme().is_none_or(|scheme| scheme.eq_ignore_ascii_case(challenge.scheme()));
    let mut challenge = challenge.clone();
    if blamed {
        if let Some(code) = rejection.cause().error_code() {
            challenge = challenge.with("error", code);
        }
        let scopes = rejection.needed_scopes();
        if !scopes.is_empty() {
            challenge = challenge.with("scope", scopes.to_string());
        }
        for (name, value) in rejection.params().iter().cloned() {
            challenge = challenge.with(name, value);
        }
    }
    challenge.to_header()
}

impl Guard {
    pub(crate) fn new<C: Scheme>(scheme: &C, report_only: bool, refusals_per_second: u32) -> Self {
        let challenges = scheme.challenges();
        let names: Vec<_> = scheme.fields().iter().map(|field| field.as_str().to_owned()).collect();
        let blamed = |challenge: &Challenge| Blamed::new(&challenges, Some(challenge.scheme()));
        Self {
            missing: answer(&challenges, &Rejection::missing()),
            all_blamed: Blamed::new(&challenges, None),
            // No authentication scheme has this name.
            none_blamed: Blamed::new(&challenges, Some("")),
            one_blamed: challenges.iter().map(|challenge| (challenge.scheme(), blamed(challenge))).collect(),
            challenges,
            // Names of fields with commas between them are a field value.
            vary: HeaderValue::try_from(names.join(", ")).ok().filter(|vary| !vary.is_empty()),
            report_only,
            log: RefusalLog::new(refusals_per_second),
            keeper: None,
        }
    }

    /// Names who knows how the principals of the layer stand.
    pub(crate) fn kept_by(mut self, keeper: Keeper) -> Self {
        self.keeper = Some(keeper);
        self
    }

    pub(crate) const fn keeper(&self) -> Option<&Keeper> {
        self.keeper.as_ref()
    }

    /// Returns whether the layer only tells what it would refuse.
    pub(crate) const fn is_report_only(&self) -> bool {
        self.report_only
    }

    /// Returns the fields by which an answer to nobody varies.
    pub(crate) const fn vary(&self) -> Option<&HeaderValue> {
        self.vary.as_ref()
    }

    pub(crate) const fn log(&self) -> &RefusalLog {
        &self.log
    }

    /// Returns the default answer to a refusal, if it was written ahead: no credential and bad ones are what there may be
    /// floods of.
    pub(crate) fn written_ahead(&self, rejection: &Rejection) -> Option<&Written> {
        if !rejection.is_plain() {
            return None;
        }
        let blamed = match rejection.challenge_scheme() {
            None => &self.all_blamed,
            Some(scheme) => {
                // Most schemes write their name in one way only, which is compared at once.
                let is = |known: &str| known == scheme || known.eq_ignore_ascii_case(scheme);
                self.one_blamed.iter().find(|(known, _)| is(known)).map_or(&self.none_blamed, |(_, blamed)| blamed)
            }
        };
        match rejection.cause() {
            Cause::Missing => Some(&self.missing),
            Cause::Malformed => Some(&blamed.malformed),
            Cause::Invalid => Some(&blamed.invalid),
            _ => None,
        }
    }

    /// Adds the challenges, one field each: a list in one field is where clients go wrong.
    pub(crate) fn challenge(&self, rejection: &Rejection, headers: &mut HeaderMap) {
        for challenge in &self.challenges {
            headers.append(WWW_AUTHENTICATE, header(challenge, rejection));
        }
    }

    /// Judges what is left in `Authorization` after every scheme of the layer took what it owns.
    ///
    /// A value under an authentication scheme that the layer asks for belongs to nobody: it is a second credential if
    /// one was taken, and a bad one otherwise. A value under any other scheme is none of the layer's business.
    pub(crate) fn leftover(&self, head: &mut Parts, taken: bool) -> Result<(), Rejection> {
        let Some(first) = head.headers.get(AUTHORIZATION) else { return Ok(()) };
        let values = head.headers.get_all(AUTHORIZATION);
        let asked_for = |value: &HeaderValue| {
            let scheme = crate::token::scheme(value);
            let mut known = self.challenges.iter().map(Challenge::scheme);
            known.find(|known| known.as_bytes().eq_ignore_ascii_case(scheme))
        };
        let Some(scheme) = values.iter().find_map(asked_for) else { return Ok(()) };
        let rejection = if taken || values.iter().nth(1).is_some() {
            Rejection::malformed("credential_repeated")
        } else if crate::token::credentials(first).is_none() {
            Rejection::malformed("authorization_malformed")
        } else {
            Rejection::invalid("credential_unowned")
        };
        head.headers.remove(AUTHORIZATION);
        Err(rejection.presented_as(Some(scheme)))
    }
}
