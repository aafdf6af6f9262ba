//! What a layer asks for, prepared once, so that refusals further in can say it, too.

use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue};

use crate::events::RefusalLog;
use crate::{Cause, Challenge, Rejection, Scheme};

/// The face of a layer: its challenges, written ahead, and its log.
#[derive(Debug)]
pub(crate) struct Guard {
    challenges: Vec<Prepared>,
    vary: Option<HeaderValue>,
    report_only: bool,
    log: RefusalLog,
}

/// A challenge in the three forms that are fixed.
#[derive(Debug)]
struct Prepared {
    challenge: Challenge,
    plain: HeaderValue,
    malformed: HeaderValue,
    invalid: HeaderValue,
}

impl Prepared {
    fn new(challenge: Challenge) -> Self {
        let with_error = |cause: Cause| match cause.error_code() {
            Some(code) => challenge.clone().with("error", code).to_header(),
            None => challenge.to_header(),
        };
        Self {
            plain: challenge.to_header(),
            malformed: with_error(Cause::Malformed),
            invalid: with_error(Cause::Invalid),
            challenge,
        }
    }

    fn header(&self, rejection: &Rejection) -> HeaderValue {
        let blamed =
            rejection.challenge_scheme().is_none_or(|scheme| scheme.eq_ignore_ascii_case(self.challenge.scheme()));
        let scopes = rejection.needed_scopes();
        match rejection.cause() {
            _ if !blamed => self.plain.clone(),
            Cause::Missing if rejection.params().is_empty() => self.plain.clone(),
            Cause::Malformed if rejection.params().is_empty() => self.malformed.clone(),
            Cause::Invalid if rejection.params().is_empty() => self.invalid.clone(),
            cause => {
                let mut challenge = self.challenge.clone();
                if let Some(code) = cause.error_code() {
                    challenge = challenge.with("error", code);
                }
                if !scopes.is_empty() {
                    challenge = challenge.with("scope", scopes.to_string());
                }
                let params = rejection.params().iter().cloned();
                params.fold(challenge, |challenge, (name, value)| challenge.with(name, value)).to_header()
            }
        }
    }
}

impl Guard {
    pub(crate) fn new<C: Scheme>(scheme: &C, report_only: bool, refusals_per_second: u32) -> Self {
        let fields: Vec<_> = scheme.fields().iter().map(|field| field.as_str().to_owned()).collect();
        Self {
            challenges: scheme.challenges().into_iter().map(Prepared::new).collect(),
            // Names of fields with commas between them are a field value.
            vary: HeaderValue::try_from(fields.join(", ")).ok().filter(|vary| !vary.is_empty()),
            report_only,
            log: RefusalLog::new(refusals_per_second),
        }
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

    /// Adds the challenges, one field each: a list in one field is where clients go wrong.
    pub(crate) fn challenge(&self, rejection: &Rejection, headers: &mut HeaderMap) {
        for prepared in &self.challenges {
            headers.append(WWW_AUTHENTICATE, prepared.header(rejection));
        }
    }

    /// Judges what is left in `Authorization` after every scheme of the layer took what it owns.
    ///
    /// A value under an authentication scheme that the layer asks for belongs to nobody: it is a second credential if
    /// one was taken, and a bad one otherwise. A value under any other scheme is none of the layer's business.
    pub(crate) fn leftover(&self, head: &mut Parts, taken: bool) -> Result<(), Rejection> {
        let values = head.headers.get_all(AUTHORIZATION);
        let Some(first) = values.iter().next() else { return Ok(()) };
        let asked_for = |value: &HeaderValue| {
            let scheme = crate::token::scheme(value);
            let mut known = self.challenges.iter().map(|prepared| prepared.challenge.scheme());
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
