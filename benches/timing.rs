//! Whether the time that an answer takes tells something that the answer does not, in the way of dudect ("Dude, is my
//! code constant time?", Reparaz, Balasch and Verbauwhede, 2017): two classes of input in random order, and Welch's
//! t-test on what they took, also without the slowest measurements, which are the operating system's.
//!
//! ```text
//! cargo bench --all-features --bench timing               # 10^5 measurements of each pair
//! cargo bench --all-features --bench timing -- 10000000   # before a release
//! ```
//!
//! A loop that stops at the first difference runs along as a control: a run in which it does not show proves nothing.
//! The program fails then, if digests or signatures of secrets can be told apart in all of three runs, and if refusals of known and unknown ids
//! differ by more than a twentieth.

#![allow(clippy::expect_used, reason = "a benchmark may stop")]

mod support;

use std::hint::black_box;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http::Method;
use tower::Layer;
use tower_keep::{
    Algorithm, Answer, ApiKey, ApiKeyLayer, Auth, DigestTag, Found, KeyDigest, KeyFormat, KeyHasher, KeyId, KeyRecord,
    KeyRules, KeySet, KeyStore, Lookup, MemoryStore, NewKey, Secret, VerificationKey,
};

use support::{Body, Hello, drive, guarded, request, scattered};

/// What the paper takes as proof of a difference.
const LEAK: f64 = 4.5;
/// What the control has to show.
const CONTROL: f64 = 50.0;
const RUNS: usize = 3;
/// By what part the medians of two classes that are no secret may differ.
const CLOSE: f64 = 0.05;
/// How many keys there are of each kind: texts that differ take different times, whatever they are compared with.
const KEYS: usize = 256;

fn main() -> ExitCode {
    let asked = std::env::args().skip(1).find_map(|argument| argument.parse().ok());
    let samples: u64 = asked.unwrap_or(100_000);
    let mut good = shows("control, a loop that stops: first byte or last byte", || control(samples));
    good &= hides("KeyDigest::matches: first byte or last byte", || comparison(samples));
    good &= hides("KeySet::verify, HS256: first byte or last byte of the MAC", || mac(samples));
    // That an id is there is no secret; all the same it takes the same work. What is left is where records lie in
    // memory, and that a table takes longer or shorter to say that there is nothing.
    good &= is_close("ApiKeyLayer: unknown id, or known id and wrong secret", || layer(samples));
    good &= is_close("the same over MemoryStore", || table(samples));
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn shows(name: &str, measure: impl Fn() -> Verdict) -> bool {
    let verdict = measure();
    println!("{name}: {verdict}");
    verdict.t > CONTROL
}

fn hides(name: &str, measure: impl Fn() -> Verdict) -> bool {
    (0..RUNS).map(|_| measure()).inspect(|verdict| println!("{name}: {verdict}")).any(|verdict| verdict.t <= LEAK)
}

fn is_close(name: &str, measure: impl Fn() -> Verdict) -> bool {
    let verdict = measure();
    let [one, other] = verdict.medians;
    let apart = (one - other).abs() / one.max(other);
    println!("{name}: {verdict}, {:.1} % apart", 100.0 * apart);
    apart <= CLOSE
}

fn control(samples: u64) -> Verdict {
    digests(samples, |left, right| left.as_bytes().iter().zip(right.as_bytes()).all(|(l, r)| black_box(l) == r))
}

fn comparison(samples: u64) -> Verdict {
    digests(samples, KeyDigest::matches)
}

/// Compares digests that differ in the first byte with ones that differ in the last.
fn digests(samples: u64, equal: impl Fn(&KeyDigest, &KeyDigest) -> bool) -> Verdict {
    const REPEATED: u32 = 32;
    let stored = KeyHasher::sha256().digest("some key");
    measure(
        samples,
        |class, random| {
            let mut bytes = *stored.as_bytes();
            // An odd number is no zero, so there is a difference.
            bytes[if class { 31 } else { 0 }] ^= random as u8 | 1;
            KeyDigest::new(DigestTag::SHA256, bytes)
        },
        |presented| {
            for _ in 0..REPEATED {
                black_box(equal(black_box(&stored), black_box(&presented)));
            }
        },
    )
}

/// Verifies tokens whose MAC is wrong in the first byte or in the last.
fn mac(samples: u64) -> Verdict {
    let mut secret = [0; 32];
    aws_lc_rs::rand::fill(&mut secret).expect("there is randomness");
    let keys = KeySet::from(VerificationKey::secret(Algorithm::HS256, &secret).expect("the secret is long enough"));
    let signed = format!("{}.{}", encode(r#"{"alg":"HS256"}"#), encode(r#"{"sub":"alice"}"#));
    let mac = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &secret), signed.as_bytes());
    measure(
        samples,
        |class, random| {
            let mut mac = mac.as_ref().to_vec();
            mac[if class { 31 } else { 0 }] ^= random as u8 | 1;
            format!("{signed}.{}", encode(mac))
        },
        |token| keys.verify(&token),
    )
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// A store that has a record for every other id, and takes the same time for all, unlike any table.
struct Steady {
    record: Arc<KeyRecord>,
    rules: KeyRules,
}

impl Steady {
    fn knows(id: &KeyId) -> bool {
        id.as_str().bytes().fold(0, std::ops::BitXor::bitxor) & 1 == 1
    }
}

impl KeyStore for Steady {
    fn find(&self, by: &Lookup) -> Answer<Found> {
        let record = black_box(Some(Arc::clone(&self.record)));
        Answer::Now(Ok(record.filter(|_| matches!(by, Lookup::Id(id) if Self::knows(id)))))
    }

    fn rules(&self) -> KeyRules {
        self.rules.clone()
    }
}

/// Sends keys that are all refused to a layer whose store takes the same time for each.
fn layer(samples: u64) -> Verdict {
    let rules = rules();
    let issued = rules.issue(NewKey::for_owner("customer")).expect("the key can be issued");
    let fresh = || rules.format().generate().expect("there is randomness");
    let is_known = |key: &Secret| rules.format().parse(key.expose()).is_ok_and(|id| Steady::knows(&id));
    let (known, unknown): (Vec<_>, _) = (0..2 * KEYS).map(|_| fresh()).partition(is_known);
    let store = Steady { record: Arc::clone(issued.record()), rules: rules.clone() };
    refusals(samples, [&unknown, &known], ApiKeyLayer::new(store).layer(Hello))
}

/// Sends keys that are all refused to a layer over a real store.
fn table(samples: u64) -> Verdict {
    let store = MemoryStore::with(rules());
    let issued = || store.issue(NewKey::for_owner("customer")).expect("the key can be issued");
    let wrong_secret = || store.rules().reissue(issued().id()).expect("so can another secret").0;
    let known: Vec<_> = (0..KEYS).map(|_| wrong_secret()).collect();
    let unknown: Vec<_> = (0..KEYS).map(|_| store.rules().format().generate().expect("there is randomness")).collect();
    refusals(samples, [&unknown, &known], guarded(&store))
}

fn rules() -> KeyRules {
    let hasher = KeyHasher::peppered("bench", [7; 32]).expect("the pepper is long enough");
    KeyRules::new(KeyFormat::default(), hasher)
}

fn refusals(samples: u64, keys: [&[Secret]; 2], mut service: Auth<Hello, ApiKey>) -> Verdict {
    measure(
        samples,
        |class, random| {
            let keys = keys[usize::from(class)];
            let key = &keys[(random % keys.len() as u64) as usize];
            request::<Body>(Method::POST, Some(("x-api-key", key.expose())))
        },
        |request| drive(&mut service, request),
    )
}

/// Takes the time of each call on inputs of two classes in random order. Inputs are made and outputs are dropped
/// outside the clock.
fn measure<I, O>(samples: u64, input: impl Fn(bool, u64) -> I, mut call: impl FnMut(I) -> O) -> Verdict {
    // The first calls find cold caches.
    let warm_up = samples / 10;
    let mut seed = Instant::now().elapsed().as_nanos() as u64 ^ u64::from(std::process::id());
    let mut times = Vec::with_capacity(samples as usize);
    for number in 0..warm_up + samples {
        seed = scattered(seed);
        let class = seed & 1 == 1;
        let input = black_box(input(class, seed >> 1));
        let start = Instant::now();
        let output = call(input);
        let time = start.elapsed();
        drop(black_box(output));
        if number >= warm_up {
            times.push((class, time.as_nanos() as f64));
        }
    }
    Verdict::of(&times)
}

/// How well two classes can be told apart.
struct Verdict {
    /// The greatest |t|, over all crops.
    t: f64,
    medians: [f64; 2],
}

impl Verdict {
    fn of(times: &[(bool, f64)]) -> Self {
        let mut sorted: Vec<_> = times.iter().map(|(_, time)| *time).collect();
        sorted.sort_by(f64::total_cmp);
        // As dudect does: the whole, and a hundred crops that keep from 7 % to nearly all.
        let kept = (1..=100).map(|crop| 1.0 - 0.5_f64.powf(10.0 * f64::from(crop) / 100.0));
        let limits = kept.map(|kept| sorted[(kept * (sorted.len() - 1) as f64) as usize]);
        let t = limits.chain([f64::INFINITY]).map(|limit| welch(times, limit).abs()).fold(0.0, f64::max);
        let median = |class: bool| {
            let mut own: Vec<_> = times.iter().filter(|(of, _)| *of == class).map(|(_, time)| *time).collect();
            own.sort_by(f64::total_cmp);
            own.get(own.len() / 2).copied().unwrap_or_default()
        };
        Self { t, medians: [median(false), median(true)] }
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { t, medians: [one, other] } = self;
        write!(f, "|t| = {t:.2}, medians {one} ns and {other} ns")
    }
}

/// Returns Welch's t of the two classes, over the times up to a limit.
fn welch(times: &[(bool, f64)], limit: f64) -> f64 {
    let mut classes = [Moments::default(), Moments::default()];
    for (class, time) in times.iter().filter(|(_, time)| *time <= limit) {
        classes[usize::from(*class)].add(*time);
    }
    let [one, other] = classes;
    let error = (one.variance() / one.count + other.variance() / other.count).sqrt();
    if error > 0.0 { (one.mean - other.mean) / error } else { 0.0 }
}

/// The mean and the variance of what was added, by Welford's method.
#[derive(Default)]
struct Moments {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Moments {
    fn add(&mut self, value: f64) {
        self.count += 1.0;
        let distance = value - self.mean;
        self.mean += distance / self.count;
        self.squares += distance * (value - self.mean);
    }

    fn variance(&self) -> f64 {
        if self.count > 1.0 { self.squares / (self.count - 1.0) } else { 0.0 }
    }
}
