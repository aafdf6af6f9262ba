//! It is asked about its tokens (RFC 7662).

use std::time::Duration;

use tokio::time::timeout;
use tower_keep::{
    Algorithm, AuthLayer, BearerLayer, ClientAuth, HttpClient, Introspection, IntrospectionBuilder, Issuers, Scheme,
    SigningKey,
};

use super::{API, OPAQUE_API, OTHER_API, PATIENCE, Provider, ask};

const SECRET: &str = "a secret that is a test";

#[tokio::test]
async fn whoever_may_ask_it_is_told_of_opaque_tokens() {
    let Some(provider) = Provider::start(0, "k1", "ES256").await else { return };
    let token = provider.token(OPAQUE_API, "orders:read").await;
    let url = format!("{}/token/introspection", provider.url);

    for auth in every_auth(&provider) {
        let discovered = layer(provider.asked(auth.clone()));
        // A client that says who it is by a key says so to the issuer.
        let at_url = Introspection::at(&url).client(client()).insecure_allow_loopback().issuer(&provider.url);
        let at_url = layer(at_url.client_auth(auth.clone()).audience(OPAQUE_API).subject_claim("client_id"));

        for layer in [discovered, at_url] {
            assert_eq!(ask(&layer, &token).await, (200, "checkout orders:read".to_owned()), "{auth:?}");
            assert_eq!(ask(&layer, &token).await.0, 200, "remembered, {auth:?}");
            assert_eq!(ask(&layer, "junk").await.0, 401, "{auth:?}");
        }
    }
}

#[tokio::test]
async fn its_answers_are_let_in_where_they_are_signed() {
    for algorithm in ["RS256", "ES256", "EdDSA"] {
        let Some(provider) = Provider::start(0, "k1", algorithm).await else { return };
        let keys = provider.issuer().keys();
        let layer = layer(provider.asked(basic(SECRET)).signed_by_remote(keys));
        let token = provider.token(OPAQUE_API, "orders:read").await;

        assert_eq!(ask(&layer, &token).await, (200, "checkout orders:read".to_owned()), "{algorithm}");
        assert_eq!(ask(&layer, "junk").await.0, 401, "{algorithm}");
    }
}

#[tokio::test]
async fn answers_that_others_signed_are_none() {
    let Some(provider) = Provider::start(0, "k1", "EdDSA").await else { return };
    let Some(other) = Provider::start(0, "k1", "EdDSA").await else { return };
    let layer = layer(provider.asked(basic(SECRET)).signed_by_remote(other.issuer().keys()));

    assert_eq!(ask(&layer, &provider.token(OPAQUE_API, "").await).await.0, 503);
}

#[tokio::test]
async fn its_opaque_tokens_for_others_are_refused() {
    let Some(provider) = Provider::start(0, "k1", "ES256").await else { return };
    let token = provider.token(OPAQUE_API, "orders:read").await;
    let for_other = Introspection::discover(provider.issuer()).client_auth(basic(SECRET)).audience(OTHER_API);

    assert_eq!(ask(&layer(for_other.subject_claim("client_id")), &token).await.0, 401);
}

#[tokio::test]
async fn opaque_tokens_and_jwts_of_it_are_let_in_by_one_layer() {
    let Some(provider) = Provider::start(0, "k1", "EdDSA").await else { return };
    let tokens = provider.tokens();
    let asked = provider.asked(basic(SECRET)).build().expect("nothing is wrong");
    let issuers = Issuers::builder().issuer(&provider.url, tokens.clone()).opaque(asked.clone());
    let opaque = provider.token(OPAQUE_API, "orders:read").await;
    let jwt = provider.token(API, "orders:write").await;

    both_are_let_in(&BearerLayer::new(issuers.build().expect("nothing is wrong")), &opaque, &jwt).await;
    // The one that takes all that no other owns comes last or first, as one likes.
    let (tokens, asked) = (BearerLayer::new(tokens), BearerLayer::new(asked));
    both_are_let_in(&tokens.clone().or(asked.clone()), &opaque, &jwt).await;
    both_are_let_in(&asked.or(tokens), &opaque, &jwt).await;
}

async fn both_are_let_in<C: Scheme>(layer: &AuthLayer<C>, opaque: &str, jwt: &str) {
    assert_eq!(ask(layer, opaque).await, (200, "checkout orders:read".to_owned()));
    assert_eq!(ask(layer, jwt).await, (200, "checkout orders:write".to_owned()));
    assert_eq!(ask(layer, &opaque[1..]).await.0, 401);
    assert_eq!(ask(layer, &jwt[..jwt.len() - 4]).await.0, 401);
}

/// It says nothing of JWTs: 400 with `unsupported_token_type`, also for what only looks like one.
#[tokio::test]
async fn what_it_will_not_tell_of_is_refused_and_is_no_outage() {
    let Some(provider) = Provider::start(0, "k1", "ES256").await else { return };
    let layer = layer(provider.asked(basic(SECRET)));
    let jwt = provider.token(API, "orders:read").await;

    assert_eq!(ask(&layer, &jwt).await.0, 401);
    for number in 0..5 {
        // Encrypted, by its five segments.
        assert_eq!(ask(&layer, &format!("eyJhbGciOiJkaXIifQ.a.b.c.{number}")).await.0, 401);
    }

    assert_eq!(ask(&layer, &provider.token(OPAQUE_API, "").await).await.0, 200);
}

#[tokio::test]
async fn a_token_that_is_revoked_is_refused_once_it_is_not_remembered() {
    let Some(provider) = Provider::start(0, "k1", "ES256").await else { return };
    let asked = || provider.asked(basic(SECRET));
    let (minute, never) = (layer(asked()), layer(asked().remember_none()));
    let moment = layer(asked().positive_ttl(Duration::from_millis(200)));
    let token = provider.token(OPAQUE_API, "orders:read").await;
    for layer in [&minute, &never, &moment] {
        assert_eq!(ask(layer, &token).await.0, 200);
    }

    provider.revoke(&token).await;

    assert_eq!(ask(&never, &token).await.0, 401);
    assert_eq!(ask(&minute, &token).await.0, 200, "for a minute at most");
    let over = async {
        while ask(&moment, &token).await.0 == 200 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, over).await.expect("it is not remembered for ever");
    assert_eq!(ask(&moment, &token).await.0, 401);
}

#[tokio::test]
async fn whoever_may_not_ask_it_is_told_that_the_service_is_set_up_wrongly() {
    let Some(provider) = Provider::start(0, "k1", "ES256").await else { return };
    let Some(other) = Provider::start(0, "k1", "ES256").await else { return };
    let token = provider.token(OPAQUE_API, "orders:read").await;
    let wrong = [
        basic("another secret"),
        ClientAuth::post("orders by form", "another secret".to_owned()),
        ClientAuth::basic("nobody", SECRET.to_owned()),
        by_key(&other, Algorithm::ES256),
        by_key(&other, Algorithm::EdDSA),
        by_key(&provider, Algorithm::ES256).for_audience("https://login.example.com"),
    ];

    for auth in wrong {
        assert_eq!(ask(&layer(provider.asked(auth.clone())), &token).await.0, 500, "{auth:?}");
    }
}

#[tokio::test]
async fn while_it_is_away_only_what_is_remembered_is_let_in() {
    let Some(provider) = Provider::start(0, "k1", "ES256").await else { return };
    let (warm, cold) = (layer(provider.asked(basic(SECRET))), layer(provider.asked(basic(SECRET))));
    let (token, unseen) = (provider.token(OPAQUE_API, "").await, provider.token(OPAQUE_API, "").await);
    assert_eq!(ask(&warm, &token).await.0, 200);
    let provider = provider.stop().await;

    assert_eq!(ask(&warm, &token).await.0, 200);
    assert_eq!(ask(&warm, &unseen).await.0, 503);
    assert_eq!(ask(&cold, &token).await.0, 503);

    // It keeps tokens in its memory, so the old ones are gone.
    let provider = provider.start_again("k1", "ES256").await;
    let token = provider.token(OPAQUE_API, "orders:read").await;
    for layer in [warm, cold] {
        let back = async {
            // It is tried again after a second at the latest, then two.
            while ask(&layer, &token).await.0 == 503 {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        timeout(PATIENCE, back).await.expect("it is found again");
        assert_eq!(ask(&layer, &token).await, (200, "checkout orders:read".to_owned()));
    }
}

impl Provider {
    /// Asks it about opaque tokens. Those of a client that acts for itself have no subject.
    fn asked(&self, auth: ClientAuth) -> IntrospectionBuilder {
        let asked = Introspection::discover(self.issuer()).client_auth(auth);
        asked.audience(OPAQUE_API).subject_claim("client_id")
    }
}

fn layer(asked: IntrospectionBuilder) -> BearerLayer {
    BearerLayer::new(asked.build().expect("nothing is wrong"))
}

fn client() -> HttpClient {
    HttpClient::builder().build().expect("there are certificates to trust")
}

fn basic(secret: &str) -> ClientAuth {
    ClientAuth::basic("orders", secret.to_owned())
}

fn by_key(provider: &Provider, algorithm: Algorithm) -> ClientAuth {
    let pem = provider.client_keys[algorithm.name()].as_str().expect("there is a key");
    let key = SigningKey::pem(algorithm, pem).expect("the key is one");
    ClientAuth::private_key_jwt(format!("orders {algorithm}"), key)
}

/// Every way to say who asks.
fn every_auth(provider: &Provider) -> [ClientAuth; 4] {
    let by_form = ClientAuth::post("orders by form", SECRET.to_owned());
    [basic(SECRET), by_form, by_key(provider, Algorithm::ES256), by_key(provider, Algorithm::EdDSA)]
}
