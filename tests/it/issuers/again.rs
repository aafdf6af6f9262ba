//! Tokens that come again: their issuer is guessed, and what is asked of them is the same.

use serde_json::json;
use tower_keep::{
    Algorithm, Answer, Issuers, Jwt, KeySet, PresentedToken, Principal, Rejection, TokenForm, TokenVerifier,
};

use super::{PARTNERS, STAFF, outcome, token_of, verdict, verifier};
use crate::support::TestClock;
use crate::tokens::mint::{AUDIENCE, Signer, claims_with};

#[test]
fn a_token_that_comes_again_is_asked_all_that_changes() {
    let (signer, other) = (Signer::new(Algorithm::EdDSA), Signer::new(Algorithm::EdDSA));
    let keys = || KeySet::try_from(&signer.jwk()).unwrap();
    let clock = TestClock::new();
    let staff = Jwt::with_keys(keys()).issuer(STAFF).audience(AUDIENCE).clock(clock.clone()).build().unwrap();
    let issuers =
        Issuers::builder().issuer(STAFF, staff.clone()).issuer(PARTNERS, verifier(&other, PARTNERS, AUDIENCE));
    let issuers = issuers.build().unwrap();
    let token = token_of(&signer, STAFF);
    for _ in 0..3 {
        assert_eq!(outcome(&issuers, &token), "ok");
    }

    staff.replace_keys(KeySet::try_from(&other.jwk()).unwrap()).unwrap();
    assert_eq!(outcome(&issuers, &token), "token_signature");
    staff.replace_keys(keys()).unwrap();
    assert_eq!(outcome(&issuers, &token), "ok");
    clock.advance(24 * 60 * 60);
    assert_eq!(outcome(&issuers, &token), "token_expired");
}

#[test]
fn each_of_many_tokens_that_come_again_is_that_of_its_issuer() {
    let signers = [Signer::new(Algorithm::EdDSA), Signer::new(Algorithm::EdDSA)];
    let names = [STAFF, PARTNERS];
    let verifiers = names.into_iter().zip(&signers).map(|(name, signer)| (name, verifier(signer, name, AUDIENCE)));
    let issuers = Issuers::new(verifiers).unwrap();
    let tokens = (0..200).map(|number| {
        let (name, signer) = (names[number % 2], &signers[number % 2]);
        (name, format!("u{number}"), signer.token(&claims_with(json!({ "iss": name, "sub": format!("u{number}") }))))
    });
    let tokens: Vec<_> = tokens.collect();

    for (name, subject, token) in tokens.iter().chain(&tokens) {
        let principal = verdict(&issuers, token).unwrap();

        assert_eq!((principal.issuer(), principal.subject()), (Some(*name), subject.as_str()));
        // The end of a signature is what the guess is made by, and says nothing by itself.
        let forged = format!("{}{}", if token.starts_with('a') { "b" } else { "a" }, &token[1..]);
        assert!(verdict(&issuers, &forged).is_err());
    }
}

#[test]
fn whoever_is_guessed_vouches_for_one_issuer_alone() {
    /// It says of any token that it remembers who sent it, for another issuer.
    struct Boaster;

    impl TokenVerifier for Boaster {
        fn verify(&self, _: &PresentedToken) -> Answer<Result<Principal, Rejection>> {
            Answer::Now(Err(Rejection::invalid("not_verified")))
        }

        fn remembered(&self, _: &PresentedToken) -> Option<Principal> {
            Some(Principal::builder("mallory").scheme("bearer").issuer(PARTNERS).build())
        }

        fn form(&self) -> TokenForm {
            TokenForm::Jwt
        }
    }
    let issuers = Issuers::new([(STAFF, Boaster)]).unwrap();

    assert_eq!(outcome(&issuers, &token_of(&Signer::new(Algorithm::EdDSA), STAFF)), "not_verified");
}
