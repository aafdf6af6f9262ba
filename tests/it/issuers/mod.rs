//! Several issuers, each under rules of its own.

mod again;
mod tenants;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::StatusCode;
use serde_json::json;
use tower_keep::{
    Algorithm, Answer, ApiKey, ApiKeyLayer, Bearer, BearerLayer, Cause, ConfigError, Issuers, IssuersBuilder, Jwt,
    KeySet, Ownership, PresentedToken, Principal, Rejection, Tenants, TokenForm, TokenVerifier,
};

use crate::support::{TestClock, get, send, status, store, with, with_key};
use crate::tokens::mint::{AUDIENCE, Signer, claims_with, encode};

pub const STAFF: &str = "https://staff.example.com";
pub const PARTNERS: &str = "https://login.partner.example";

/// Two issuers with a key each.
struct Two {
    staff: Signer,
    partners: Signer,
}

impl Two {
    fn new() -> Self {
        Self { staff: Signer::new(Algorithm::EdDSA), partners: Signer::new(Algorithm::ES256) }
    }

    fn staff(&self) -> Jwt {
        verifier(&self.staff, STAFF, AUDIENCE)
    }

    fn partners(&self) -> Jwt {
        let keys = KeySet::try_from(&self.partners.jwk()).unwrap();
        let tokens = Jwt::with_keys(keys).issuer(PARTNERS).audience("orders").accept_typ_jwt();
        tokens.scope_claim("roles").clock(TestClock::new()).build().unwrap()
    }

    fn issuers(&self) -> Issuers {
        Issuers::new([(STAFF, self.staff()), (PARTNERS, self.partners())]).unwrap()
    }
}

pub fn verifier(signer: &Signer, issuer: &str, audience: &str) -> Jwt {
    let keys = KeySet::try_from(&signer.jwk()).unwrap();
    Jwt::with_keys(keys).issuer(issuer).audience(audience).clock(TestClock::new()).build().unwrap()
}

pub fn token_of(signer: &Signer, issuer: &str) -> String {
    signer.token(&claims_with(json!({ "iss": issuer })))
}

/// What a verifier says to a token, where it says it at once.
pub fn verdict(verifier: &impl TokenVerifier, token: &str) -> Result<Principal, Rejection> {
    verifier.verify(&PresentedToken::from_text(token)?).now().unwrap()
}

pub fn outcome(verifier: &impl TokenVerifier, token: &str) -> &'static str {
    verdict(verifier, token).map_or_else(|rejection| rejection.reason(), |_| "ok")
}

/// Lets in what it is told to, at once or later, and counts how often it was asked.
#[derive(Clone, Default)]
struct Opaque {
    asked: Arc<AtomicUsize>,
    issuer: Option<&'static str>,
    later: bool,
}

impl TokenVerifier for Opaque {
    fn verify(&self, _: &PresentedToken) -> Answer<Result<Principal, Rejection>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let principal = Principal::builder("opaque");
        let principal = self.issuer.into_iter().fold(principal, |it, issuer| it.issuer(issuer)).build();
        match self.later {
            true => Answer::later(async move { Ok(principal) }),
            false => Answer::Now(Ok(principal)),
        }
    }

    fn form(&self) -> TokenForm {
        TokenForm::Any
    }
}

#[test]
fn each_issuer_is_judged_by_its_own_rules() {
    let two = Two::new();
    let issuers = two.issuers();
    let of_partners = json!({ "iss": PARTNERS, "aud": "orders", "roles": ["seller"] });
    let header = json!({ "alg": "ES256", "typ": "JWT", "kid": "k1" }).to_string();
    let partner = two.partners.jws(&header, claims_with(of_partners.clone()).to_string());

    let by_staff = verdict(&issuers, &token_of(&two.staff, STAFF)).unwrap();
    let by_partners = verdict(&issuers, &partner).unwrap();

    assert_eq!((by_staff.issuer(), by_staff.scopes().to_string().as_str()), (Some(STAFF), "orders:read"));
    assert_eq!((by_partners.issuer(), by_partners.scopes().to_string().as_str()), (Some(PARTNERS), "seller"));
    // What the other issuer may do, this one may not.
    let typ = json!({ "alg": "EdDSA", "typ": "JWT", "kid": "k1" }).to_string();
    let cases = [
        ("token_typ", two.staff.jws(typ, claims_with(json!({ "iss": STAFF })).to_string())),
        ("token_audience", two.staff.token(&claims_with(json!({ "iss": STAFF, "aud": "orders" })))),
        ("token_audience", two.partners.token(&claims_with(json!({ "iss": PARTNERS, "roles": [] })))),
        ("token_claim_missing", two.partners.token(&claims_with(json!({ "iss": PARTNERS, "aud": "orders" })))),
        // A key speaks for its own issuer.
        ("token_alg_mismatch", token_of(&two.partners, STAFF)),
        ("token_alg_mismatch", two.staff.token(&claims_with(of_partners))),
        ("token_signature", token_of(&Signer::new(Algorithm::EdDSA), STAFF)),
    ];
    for (expected, token) in cases {
        assert_eq!(outcome(&issuers, &token), expected);
    }
}

#[test]
fn a_token_whose_issuer_is_not_known_to_the_letter_is_refused() {
    let two = Two::new();
    let issuers = two.issuers();
    let names = [
        "https://evil.example",
        "https://staff.example.com/",
        "https://STAFF.example.com",
        "https://staff.example.com ",
        "http://staff.example.com",
        "https://staff.example.com.evil.example",
        "staff.example.com",
        "",
    ];
    for name in names {
        let rejection = verdict(&issuers, &token_of(&two.staff, name)).unwrap_err();

        assert_eq!((rejection.cause(), rejection.reason()), (Cause::Invalid, "token_issuer_unknown"), "{name:?}");
    }
}

#[test]
fn a_token_that_does_not_name_one_issuer_is_refused() {
    let two = Two::new();
    let issuers = two.issuers();
    let good = claims_with(json!({ "iss": STAFF })).to_string();
    let without = claims_with(json!({ "iss": null })).to_string();
    let cases = [
        (without.clone(), "token_issuer"),
        (format!(r#"{{"iss":"{STAFF}",{}"#, &good[1..]), "token_claim_repeated"),
        (format!(r#"{{"\u0069ss":"{PARTNERS}",{}"#, &good[1..]), "token_claim_repeated"),
        (format!(r#"{{"iss":["{STAFF}"],{}"#, &without[1..]), "token_claim_type"),
        (format!(r#"{{"iss":null,{}"#, &without[1..]), "token_claim_type"),
        (format!(r#"[{good}]"#), "token_claims"),
        (format!("{good}{good}"), "token_claims"),
        (String::new(), "token_claims"),
    ];
    for (payload, expected) in cases {
        let token = two.staff.jws(two.staff.header().to_string(), &payload);

        assert_eq!(outcome(&issuers, &token), expected, "{payload:?}");
    }
    let header = encode(two.staff.header().to_string());
    for (token, expected) in [
        ("opaque".to_owned(), "token_segments"),
        (format!("{header}.e30"), "token_segments"),
        (format!("{header}.e30.x.y"), "token_segments"),
        (format!("{header}.e30=.x"), "token_segments"),
        (format!("{header}.e3.x"), "token_encoding"),
        (format!("{header}.a.x"), "token_encoding"),
        ("a".repeat(8 * 1024 + 1), "token_too_long"),
    ] {
        let reason = outcome(&issuers, &token);
        // A padding in the midst is no character of a token.
        assert!(reason == expected || (reason == "token_malformed" && token.contains('=')), "{token}: {reason}");
    }
}

#[tokio::test]
async fn what_has_characters_of_no_token_is_400_and_everything_else_401() {
    let layer = BearerLayer::new(Two::new().issuers());
    for (token, expected) in [
        ("a.b{.c", StatusCode::BAD_REQUEST),
        ("a,b", StatusCode::BAD_REQUEST),
        ("opaque", StatusCode::UNAUTHORIZED),
        ("a.b.c", StatusCode::UNAUTHORIZED),
    ] {
        let request = with(get("/"), "authorization", &format!("Bearer {token}"));
        assert_eq!(status(layer.clone(), request).await, expected, "{token}");
    }
}

#[test]
fn the_length_is_looked_at_first_and_may_be_set() {
    let two = Two::new();
    let long = |bytes: usize| two.staff.token(&claims_with(json!({ "iss": STAFF, "x": "x".repeat(bytes) })));
    let of_limit = |bytes| Issuers::builder().issuer(STAFF, two.staff()).token_limit(bytes).build().unwrap();
    let opaque = Opaque::default();
    let catching = Issuers::builder().issuer(STAFF, two.staff()).opaque(opaque.clone()).build().unwrap();

    assert_eq!(outcome(&two.issuers(), &long(8 * 1024)), "token_too_long");
    assert_eq!(outcome(&of_limit(100), &long(0)), "token_too_long");
    assert_eq!(outcome(&of_limit(64 * 1024), &long(100)), "ok");
    assert_eq!(outcome(&catching, &"x".repeat(9 * 1024)), "token_too_long");
    assert_eq!(opaque.asked.load(Ordering::SeqCst), 0);
}

#[test]
fn opaque_tokens_go_to_their_verifier_and_jwts_never_do() {
    let two = Two::new();
    let opaque = Opaque::default();
    let issuers = Issuers::builder().issuer(STAFF, two.staff()).opaque(opaque.clone()).build().unwrap();
    let asked = || opaque.asked.load(Ordering::SeqCst);

    assert_eq!(verdict(&issuers, "2YotnFZFEjr1zCsicMWpAA").unwrap().subject(), "opaque");
    assert_eq!(verdict(&issuers, "a.b").unwrap().subject(), "opaque");
    assert_eq!(verdict(&issuers, "a.b.c.d.e").unwrap().subject(), "opaque");
    assert_eq!(asked(), 3);
    assert_eq!(verdict(&issuers, &token_of(&two.staff, STAFF)).unwrap().subject(), "alice");
    assert_eq!(outcome(&issuers, &token_of(&two.staff, PARTNERS)), "token_issuer_unknown");
    assert_eq!(outcome(&issuers, "a.b.c"), "token_encoding");
    assert_eq!(asked(), 3);
}

#[tokio::test]
async fn a_principal_of_another_issuer_is_refused_whatever_the_verifier() {
    let two = Two::new();
    let token = token_of(&two.staff, STAFF);
    for later in [false, true] {
        let ask = async |issuer| {
            let verifier = Opaque { issuer, later, ..Opaque::default() };
            let issuers = Issuers::new([(STAFF, verifier)]).unwrap();
            let verdict = issuers.verify(&PresentedToken::from_text(&token).unwrap()).await;
            verdict.map_or_else(|rejection| rejection.reason(), |_| "ok")
        };

        assert_eq!(ask(Some(PARTNERS)).await, "token_issuer");
        assert_eq!(ask(Some(STAFF)).await, "ok");
        assert_eq!(ask(None).await, "ok");
    }
}

#[test]
fn names_that_were_swapped_are_noticed() {
    let two = Two::new();
    let swapped = Issuers::new([(PARTNERS, two.staff()), (STAFF, two.partners())]).unwrap_err();
    let differs = |given: &str, own: &str| ConfigError::IssuerDiffers { given: given.into(), own: own.into() };
    assert_eq!(swapped.as_slice(), [differs(PARTNERS, STAFF), differs(STAFF, PARTNERS)]);
}

#[test]
fn an_issuer_stands_in_the_list_once() {
    let errors = |issuers: &[&str]| {
        let issuers = Issuers::new(issuers.iter().map(|issuer| (*issuer, Opaque::default())));
        issuers.map_or_else(|errors| errors.as_slice().to_vec(), |_| Vec::new())
    };
    let repeated = ConfigError::IssuerRepeated { given: STAFF.to_owned() };

    assert_eq!(errors(&[STAFF, PARTNERS]), []);
    assert_eq!(errors(&[STAFF, PARTNERS, STAFF]), [repeated]);
    assert_eq!(errors(&[]), [ConfigError::IssuerMissing]);
    assert_eq!(errors(&[STAFF, ""]), [ConfigError::IssuerMissing]);
    let opaque = Issuers::builder().opaque(Opaque::default()).token_limit(0).build().unwrap_err();
    assert_eq!(opaque.as_slice(), [ConfigError::IssuerMissing, ConfigError::TokenLimitZero]);
}

#[tokio::test]
async fn keys_and_several_issuers_stand_side_by_side() {
    let two = Two::new();
    let (keys, issued) = store();
    let opaque = Opaque::default();
    let token = |token: &str| with(get("/"), "authorization", &format!("Bearer {token}"));
    for catches in [false, true] {
        let builder = Issuers::builder().issuer(STAFF, two.staff()).issuer(PARTNERS, two.partners());
        let builder = if catches { builder.opaque(opaque.clone()) } else { builder };
        let layer =
            ApiKeyLayer::over(ApiKey::new(keys.clone()).bearer()).or(BearerLayer::new(builder.build().unwrap()));
        layer.check().unwrap();
        let who = async |request| send(layer.clone(), request).await.0.into_body();

        assert_eq!(who(with_key(&issued)).await, "hello billing");
        assert_eq!(who(token(issued.key().expose())).await, "hello billing");
        assert_eq!(who(token(&token_of(&two.staff, STAFF))).await, "hello alice");
        assert_eq!(status(layer.clone(), token(&token_of(&two.staff, "https://evil.example"))).await, 401);
        let opaque = send(layer.clone(), token("2YotnFZFEjr1zCsicMWpAA")).await.0;
        assert_eq!(opaque.status(), if catches { StatusCode::OK } else { StatusCode::UNAUTHORIZED });
    }
}

#[test]
fn a_layer_has_one_verifier_of_jwts_and_one_of_all_the_rest() {
    let two = Two::new();
    let catching = || Issuers::builder().issuer(STAFF, two.staff()).opaque(Opaque::default()).build().unwrap();
    let contested = |kind| Err(ConfigError::BearerContested { kind });

    assert_eq!((two.issuers().form(), catching().form()), (TokenForm::Jwt, TokenForm::Any));
    let layer = BearerLayer::new(two.issuers());
    assert_eq!(layer.clone().or(BearerLayer::new(two.partners())).check(), contested(Ownership::Form));
    assert_eq!(layer.or(BearerLayer::new(Opaque::default())).check(), Ok(()));
    let layer = BearerLayer::new(catching());
    assert_eq!(layer.or(BearerLayer::new(Opaque::default())).check(), contested(Ownership::CatchAll));
}

#[test]
fn issuers_print_their_names_alone() {
    let two = Two::new();
    let text = format!("{:?} {:?}", two.issuers(), Bearer::new(two.issuers()));
    assert!(text.contains(STAFF) && text.contains(PARTNERS), "{text}");
    assert!(!text.contains(two.staff.jwk()["x"].as_str().unwrap()), "{text}");
    fn shared<T: Send + Sync + std::fmt::Debug + 'static>() {}
    shared::<(Issuers, IssuersBuilder, Tenants)>();
    let builder = Issuers::builder().issuer(STAFF, two.staff());
    assert!(format!("{builder:?}").contains(STAFF));
}
