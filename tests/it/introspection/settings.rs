//! What a verifier can be built from, and what it says where it cannot.

use std::time::Duration;

use tower_keep::{
    Algorithm, BearerLayer, ClientAuth, ConfigError, Introspection, IntrospectionBuilder, Issuer, Ownership, SigningKey,
};

use super::{ENDPOINT, SECRET, Server};
use crate::support::{get, status, with};
use crate::tokens::mint::{AUDIENCE, ISSUER, Signer, claims};

fn errors(builder: IntrospectionBuilder) -> Vec<ConfigError> {
    builder.build().map_or_else(|errors| errors.as_slice().to_vec(), |_| Vec::new())
}

#[test]
fn every_wrong_setting_is_told_by_name() {
    let seconds = Duration::from_secs;
    let good = || Server::content().asker();
    let at = |url: &str| {
        let auth = ClientAuth::basic("orders", SECRET.to_owned());
        Introspection::at(url).client(Server::content().client()).client_auth(auth).audience(AUDIENCE)
    };
    let of = |url: &str| {
        let issuer = Issuer::discover(url).client(Server::content().client());
        Introspection::discover(issuer).client_auth(ClientAuth::none("orders")).audience(AUDIENCE)
    };
    let bare = || Introspection::at(ENDPOINT).client(Server::content().client());
    let url = |given: &str| ConfigError::EndpointUrl { given: given.to_owned() };
    let no_https = |given: &str| ConfigError::EndpointNotHttps { given: given.to_owned() };
    let too_long = |given| ConfigError::RememberedTooLong { given };
    let cases = [
        (good(), vec![]),
        (bare(), vec![ConfigError::ClientAuthMissing, ConfigError::AudienceMissing]),
        (bare().audience(AUDIENCE), vec![ConfigError::ClientAuthMissing]),
        (good().client_auth(ClientAuth::none("")), vec![ConfigError::ClientAuthMissing]),
        (bare().client_auth(ClientAuth::none("orders")), vec![ConfigError::AudienceMissing]),
        (bare().client_auth(ClientAuth::none("orders")).dangerous_any_audience(), vec![]),
        // A variable that is not set names an audience that any token may have.
        (good().audience(""), vec![ConfigError::AudienceMissing]),
        (good().issuer(""), vec![ConfigError::IssuerMissing]),
        (at("login.example.com"), vec![no_https("login.example.com")]),
        (at("/introspect"), vec![url("/introspect")]),
        (at("https://user@login.example.com"), vec![url("..@login.example.com")]),
        (at("http://login.example.com/"), vec![no_https("http://login.example.com/")]),
        (at("http://127.0.0.1:8080/"), vec![no_https("http://127.0.0.1:8080/")]),
        (at("http://127.0.0.1:8080/").insecure_allow_loopback(), vec![]),
        (at("https://login.example.com/ask?tenant=7"), vec![]),
        (of(ISSUER), vec![]),
        (of("http://login.example.com"), vec![no_https("http://login.example.com")]),
        (of("https://login.example.com?a=b"), vec![url("https://login.example.com?a=b")]),
        (of("http://[::1]:8080").insecure_allow_loopback(), vec![]),
        (good().leeway(seconds(301)), vec![ConfigError::LeewayTooLong { given: seconds(301) }]),
        (good().token_limit(0), vec![ConfigError::TokenLimitZero]),
        (good().positive_ttl(seconds(60)).negative_ttl(seconds(60)), vec![]),
        (good().positive_ttl(seconds(61)), vec![too_long(seconds(61))]),
        (good().negative_ttl(seconds(61)), vec![too_long(seconds(61))]),
        (good().remember(usize::MAX).remember_none(), vec![]),
        (good().required_claims([""]), vec![ConfigError::ClaimNameEmpty]),
        (good().scope_claim("exp"), vec![ConfigError::ClaimReserved { given: "exp".to_owned() }]),
        (good().required_claims((0..33).map(|it| it.to_string())), vec![ConfigError::ClaimsTooMany { given: 33 }]),
    ];
    for (index, (builder, expected)) in cases.into_iter().enumerate() {
        assert_eq!(errors(builder), expected, "case {index}");
    }
}

#[tokio::test]
async fn jwts_and_opaque_tokens_share_a_layer() {
    let signer = Signer::new(Algorithm::EdDSA);
    let server = Server::content();
    let layer =
        BearerLayer::new(signer.verifier().build().unwrap()).or(BearerLayer::new(server.asker().build().unwrap()));
    let bearer = |token: &str| with(get("/"), "authorization", &format!("Bearer {token}"));

    assert_eq!(status(layer.clone(), bearer(&signer.token(&claims()))).await, 200);
    assert_eq!(server.asked(), 0);
    assert_eq!(status(layer.clone(), bearer("opaque")).await, 200);
    assert_eq!(server.asked(), 1);
    // A bad JWT is refused where JWTs are verified, and not asked about.
    assert_eq!(status(layer, bearer("a.b.c")).await, 401);
    assert_eq!(server.asked(), 1);
}

#[test]
fn a_layer_has_one_verifier_of_any_token() {
    let guard = || BearerLayer::new(Server::content().asker().build().unwrap());

    let fault = guard().or(guard()).check().unwrap_err();

    assert_eq!(fault, ConfigError::BearerContested { kind: Ownership::CatchAll });
}

#[test]
fn the_types_are_shared_between_threads() {
    fn shared<T: Send + Sync + std::fmt::Debug + 'static>() {}
    fn cloned<T: Clone>() {}
    shared::<(ClientAuth, Introspection, IntrospectionBuilder, SigningKey)>();
    cloned::<(ClientAuth, Introspection, SigningKey)>();
}
