//! Whether a key is good, by what a store found.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use http::{HeaderName, HeaderValue};

use super::rehash::Rehasher;
use super::slow::Checked;
use super::{DigestTag, Found, KeyDigest, KeyId, KeyRecord, KeyRules, KeyStore, PresentedKey};
use crate::{Admission, Exposure, Principal, Rejection};

const SUPERSEDED: HeaderName = HeaderName::from_static("api-key-superseded");

/// What judging a key takes.
pub(super) struct Core {
    pub(super) store: Arc<dyn KeyStore>,
    pub(super) rules: KeyRules,
    pub(super) rehasher: Option<Rehasher>,
    /// The record that a key is compared with if there is none.
    nobody: Arc<KeyRecord>,
}

impl Core {
    pub(super) fn new(store: Arc<dyn KeyStore>, rules: KeyRules, rehasher: Option<Rehasher>) -> Arc<Self> {
        // No key has this digest, and none is let in that had it.
        let digest = KeyDigest::new(rules.hasher().digest("").tag(), [0; 32]);
        let nobody = Arc::new(KeyRecord::new(KeyId::of_letters(b"000000000000"), "", digest));
        Arc::new(Self { store, rules, rehasher, nobody })
    }
}

impl Core {
    /// Compares a key with what was found. Whatever is wrong with it, the work and the answer are the same: a key of
    /// which there is no record is compared with a record that nobody has the key to.
    pub(super) fn judge(&self, key: &PresentedKey, id: Option<KeyId>, found: Found) -> Result<Admission, Rejection> {
        let found = found?;
        let record = found.as_ref().unwrap_or(&self.nobody);
        let now = self.rules.now();
        // Kept from being moved to where there is a record.
        let secret = black_box(matching(record, key.as_str(), &self.rules, now));
        let id = id.unwrap_or(*record.id());
        let about = |rejection: Rejection| rejection.about(id.as_str());
        let (record, digest, until) = match (found, secret) {
            (Some(record), Matching::Secret(digest, until)) => (record, digest, until),
            // A key that has ended is invalid, whatever its secret is: its pepper may be gone for good.
            (Some(record), Matching::Unknowable(tag)) => {
                return Err(about(record.fault(now).map_or_else(|| pepper_missing(tag), Rejection::invalid)));
            }
            (found, _) => {
                let reason = if found.is_some() { "key_mismatch" } else { "key_unknown" };
                return Err(about(Rejection::invalid(reason)));
            }
        };
        self.admit(key, record, (digest, until), now)
    }

    /// Compares a key with the slow hash that it was checked by, if it was, and else with what was found.
    pub(super) fn judge_checked(
        &self,
        key: &PresentedKey,
        id: Option<KeyId>,
        found: Found,
        checked: Checked,
    ) -> Result<Admission, Rejection> {
        match checked? {
            None => self.judge(key, id, found),
            Some((record, true)) => self.admit(key, record, (KeyDigest::none(), None), self.rules.now()),
            Some((record, false)) => Err(Rejection::invalid("key_mismatch").about(record.id().as_str())),
        }
    }

    /// Lets a key in that has the secret of a record, by one of its digests, unless its time is over.
    fn admit(
        &self,
        key: &PresentedKey,
        record: Arc<KeyRecord>,
        (digest, until): (KeyDigest, Option<SystemTime>),
        now: SystemTime,
    ) -> Result<Admission, Rejection> {
        let about = |rejection: Rejection| rejection.about(record.id().as_str());
        match record.fault(now) {
            // Somebody said that whoever holds it is not welcome.
            Some(reason @ "key_revoked") => return Err(about(Rejection::invalid(reason))),
            Some(reason) => return Err(about(Rejection::invalid(reason).genuine())),
            None => {}
        }
        if until.is_some_and(|until| until <= now) {
            return Err(about(Rejection::invalid("key_superseded").genuine()));
        }
        if !record.allows(key.peer()) {
            return Err(about(elsewhere(key)));
        }
        self.store.seen(record.id(), now);
        if let Some(rehasher) = &self.rehasher {
            rehasher.rehash(&self.rules, *record.id(), digest, key.as_str());
        }
        let admission = Admission::new(Principal::from_identity(record, until));
        Ok(match until {
            Some(until) => admission.with_header(SUPERSEDED, superseded(until)),
            None => admission,
        })
    }

    /// Judges a key that others have seen by the slow hash that it was checked by, if it was, and else by what was found.
    pub(super) fn judge_exposed_checked(&self, key: &PresentedKey, found: Found, checked: Checked) -> Exposure {
        match checked {
            Ok(None) => self.judge_exposed(key, found),
            Ok(Some((record, true)))
                if !matches!(record.fault(self.rules.now()), Some("key_revoked" | "key_expired")) =>
            {
                Exposure::of(Principal::from_identity(record, None))
            }
            Ok(Some(_)) => Exposure::worthless(),
            Err(rejection) => Exposure::unknown(rejection),
        }
    }

    /// Judges a key that others have seen, by what was found. One that will be good later is worth something already.
    fn judge_exposed(&self, key: &PresentedKey, found: Found) -> Exposure {
        let record = match found {
            Ok(Some(record)) => record,
            Ok(None) => return Exposure::worthless(),
            Err(error) => return Exposure::unknown(error.into()),
        };
        let now = self.rules.now();
        match (matching(&record, key.as_str(), &self.rules, now), record.fault(now)) {
            (_, Some("key_revoked" | "key_expired")) | (Matching::None, _) => Exposure::worthless(),
            (Matching::Secret(_, Some(until)), _) if until <= now => Exposure::worthless(),
            (Matching::Secret(_, until), _) => Exposure::of(Principal::from_identity(record, until)),
            (Matching::Unknowable(tag), _) => Exposure::unknown(pepper_missing(tag)),
        }
    }
}

/// Finds the secret of a record that a key is. It is one piece of code for all records, so that its time does not depend
/// on what is around it.
#[inline(never)]
fn matching(record: &KeyRecord, key: &str, rules: &KeyRules, now: SystemTime) -> Matching {
    let present = [(record.digest(), None)].into_iter();
    let before = record.superseded().iter().map(|superseded| (superseded.digest(), Some(superseded.until())));
    let mut computed = None::<KeyDigest>;
    let mut hit = None;
    let mut missing = None;
    for (stored, until) in present.chain(before) {
        // A slow hash is compared elsewhere, by those who can.
        if stored.is_none() {
            continue;
        }
        let digest = match computed.filter(|digest| digest.tag() == stored.tag()) {
            Some(digest) => digest,
            None => match rules.hasher().digest_as(stored.tag(), key) {
                Some(digest) => digest,
                // Its pepper is not at hand: this secret can be neither right nor wrong, unless its time is over.
                None => {
                    if until.is_none_or(|until| until > now) {
                        missing = missing.or(Some(stored.tag()));
                    }
                    continue;
                }
            },
        };
        computed = Some(digest);
        // Every secret is compared, so that the time does not tell which one it was.
        if digest.matches(stored) && hit.is_none() {
            hit = Some((digest, until));
        }
    }
    match (hit, missing) {
        (Some((digest, until)), _) => Matching::Secret(digest, until),
        (None, None) => Matching::None,
        (None, Some(tag)) => Matching::Unknowable(tag),
    }
}

/// Which secret of a record a key is.
enum Matching {
    /// The present one, or one that works until a time, by its digest.
    Secret(KeyDigest, Option<SystemTime>),
    /// None of them.
    None,
    /// None of those that can be told; another digest was made in a way that is not accepted here.
    Unknowable(DigestTag),
}

/// Refuses a good key that came from an address it is not good for, or from an address that nobody knows.
fn elsewhere(key: &PresentedKey) -> Rejection {
    match key.peer() {
        Some(_) => Rejection::forbidden("key_network"),
        None => Rejection::misconfigured(
            "peer_unknown",
            "a key is bound to networks, and the address of the client is unknown: `RequireHttps` has to stand outside of this \
             layer, and to know the peer by `peer_from` or `peer`",
        ),
    }
}

fn pepper_missing(tag: DigestTag) -> Rejection {
    let text = format!("a digest of the key was made as {tag}, which is not configured");
    Rejection::misconfigured("pepper_missing", text)
}

/// Writes until when a superseded secret works, in the form of RFC 9651, section 3.3.7.
fn superseded(until: SystemTime) -> HeaderValue {
    let seconds = until.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    // An `@` and digits are a field value.
    HeaderValue::try_from(format!("@{seconds}")).unwrap_or(HeaderValue::from_static("@0"))
}
