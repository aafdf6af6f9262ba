//! Auth0, Okta, Keycloak, Amazon Cognito, Google, Zitadel.

use serde::Deserialize;
use serde_json::{Value, json};
use tower_keep::{Claims, Jwt};

use super::{Provider, changed, lasting, outcome, verdict};

const API: &str = "https://api.example.com";

#[tokio::test]
async fn auth0_in_both_of_its_profiles() {
    const ISSUER: &str = "https://tenant.eu.auth0.com/";
    let provider = Provider::new(ISSUER, "https://tenant.eu.auth0.com/.well-known/jwks.json");
    let claims = lasting(json!({
        "iss": ISSUER,
        "sub": "auth0|6553da60a54af58e29493993",
        "aud": [API, "https://tenant.eu.auth0.com/userinfo"],
        "azp": "K1AUPhZq8mRi0Q0pjhkfu1D7y6KjDQja",
        "scope": "openid profile read:orders",
        "permissions": ["read:orders", "write:orders"],
    }));
    let rfc9068 =
        changed(claims.clone(), json!({ "azp": null, "client_id": "K1AUPhZq8mRi0Q0pjhkfu1D7y6KjDQja", "jti": "t1" }));
    let [as_jwt, as_at_jwt] =
        [("JWT", &claims), ("at+jwt", &rfc9068)].map(|(typ, claims)| provider.sign(json!({ "typ": typ }), claims));
    let strict = provider.discover(ISSUER).audience(API).build().unwrap();
    let lenient = provider.discover(ISSUER).audience(API).accept_typ_jwt().scope_claim("permissions").build().unwrap();

    assert_eq!((outcome(&strict, &as_jwt).await, outcome(&strict, &as_at_jwt).await), ("token_typ", "ok"));
    let principal = verdict(&lenient, &as_jwt).await.unwrap();
    assert_eq!(principal.subject(), "auth0|6553da60a54af58e29493993");
    assert!(principal.scopes().contains("write:orders") && !principal.scopes().contains("openid"));
    // Without the slash at the end, it is another issuer.
    let without = provider
        .sign(json!({ "typ": "JWT" }), &changed(claims.clone(), json!({ "iss": "https://tenant.eu.auth0.com" })));
    assert_eq!(outcome(&lenient, &without).await, "token_issuer");
    let id_token = json!({ "aud": "K1AUPhZq8mRi0Q0pjhkfu1D7y6KjDQja", "nonce": "n", "permissions": null });
    let id_token = provider.sign(json!({ "typ": "JWT" }), &changed(claims, id_token));
    assert_eq!(outcome(&lenient, &id_token).await, "token_audience");
}

#[tokio::test]
async fn okta_by_an_authorization_server_of_ones_own() {
    const ISSUER: &str = "https://example.okta.com/oauth2/default";
    let provider = Provider::new(ISSUER, "https://example.okta.com/oauth2/default/v1/keys");
    let claims = lasting(json!({
        "ver": 1,
        "jti": "AT.0mP4JKAZX1iACIT4vbEDF7LpvDVjxypPMf0D7uX39RE",
        "iss": ISSUER,
        "aud": "api://default",
        "cid": "nmdP1fcyvdVO11AL7ECm",
        "uid": "00ulevx0v8oZc1uGz0g3",
        "scp": ["openid", "orders:read"],
        "sub": "jane@example.com",
    }));
    let tokens = provider.discover(ISSUER).audience("api://default").accept_no_typ().build().unwrap();

    let principal = verdict(&tokens, &provider.sign(json!({}), &claims)).await.unwrap();

    assert_eq!(principal.subject(), "jane@example.com");
    assert!(principal.scopes().contains("orders:read"));
    assert_eq!(principal.credential_id(), Some("AT.0mP4JKAZX1iACIT4vbEDF7LpvDVjxypPMf0D7uX39RE"));
    // The server of the organization gives out tokens for itself alone.
    let of_organization = json!({ "iss": "https://example.okta.com", "aud": "https://example.okta.com" });
    let typ = json!({ "typ": "application/okta-internal-at+jwt" });
    assert_eq!(outcome(&tokens, &provider.sign(typ, &changed(claims.clone(), of_organization))).await, "token_typ");
    // A service speaks for itself: `sub` is the client.
    let service = json!({ "sub": "nmdP1fcyvdVO11AL7ECm", "uid": null, "scp": ["orders:read"] });
    assert_eq!(outcome(&tokens, &provider.sign(json!({}), &changed(claims, service))).await, "ok");
}

#[tokio::test]
async fn keycloak_with_the_roles_of_its_realm() {
    #[derive(Clone, Deserialize)]
    struct Token {
        typ: String,
        realm_access: Roles,
    }
    #[derive(Clone, Deserialize)]
    struct Roles {
        roles: Vec<String>,
    }
    const ISSUER: &str = "https://id.example.com/realms/shop";
    let provider = Provider::new(ISSUER, "https://id.example.com/realms/shop/protocol/openid-connect/certs");
    let claims = lasting(json!({
        "jti": "trrtac:8a3e9a3c-36a1-41d8-bd38-93b5bb1f2b5d",
        "iss": ISSUER,
        "aud": ["orders-api", "account"],
        "sub": "f1888f4d-5172-4359-be0c-af338505d86c",
        "typ": "Bearer",
        "azp": "web",
        "sid": "6c5d44b5-8a3c-4b5e-9d0c-5b7a3b9e5c1f",
        "acr": "1",
        "realm_access": { "roles": ["offline_access", "seller"] },
        "resource_access": { "account": { "roles": ["view-profile"] } },
        "scope": "openid email profile",
    }));
    let tokens = provider.discover(ISSUER).audience("orders-api").accept_typ_jwt().claims::<Token>();
    let tokens = tokens.predicate(|token: &Token| token.typ == "Bearer").build().unwrap();
    let sign = |changes: Value| provider.sign(json!({ "typ": "JWT" }), &changed(claims.clone(), changes));

    let principal = verdict(&tokens, &sign(json!({}))).await.unwrap();

    assert_eq!(principal.details::<Token>().unwrap().realm_access.roles, ["offline_access", "seller"]);
    assert_eq!(outcome(&tokens, &sign(json!({ "aud": "account" }))).await, "token_audience");
    assert_eq!(outcome(&tokens, &sign(json!({ "aud": null }))).await, "token_audience");
    assert_eq!(outcome(&tokens, &sign(json!({ "typ": "ID", "at_hash": "x" }))).await, "token_is_id_token");
    assert_eq!(outcome(&tokens, &sign(json!({ "typ": "Refresh" }))).await, "token_predicate");
    let of_other_realm = json!({ "iss": "https://id.example.com/realms/other" });
    assert_eq!(outcome(&tokens, &sign(of_other_realm)).await, "token_issuer");
}

#[tokio::test]
async fn amazon_cognito_by_the_client_since_there_is_no_audience() {
    #[derive(Clone, Deserialize)]
    struct Token {
        token_use: String,
    }
    const ISSUER: &str = "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Example";
    const CLIENT: &str = "1example23456789";
    let provider = Provider::new(ISSUER, &format!("{ISSUER}/.well-known/jwks.json"));
    let claims = lasting(json!({
        "sub": "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
        "device_key": "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
        "cognito:groups": ["admin"],
        "iss": ISSUER,
        "version": 2,
        "client_id": CLIENT,
        "origin_jti": "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
        "event_id": "64f513be-32db-42b0-b78e-b02127b4f463",
        "token_use": "access",
        "scope": "aws.cognito.signin.user.admin orders/read",
        "auth_time": crate::support::START,
        "jti": "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
        "username": "my-test-user",
    }));
    let tokens = provider.discover(ISSUER).audience(CLIENT).audience_claim("client_id").accept_no_typ();
    let tokens = tokens.claims::<Token>().predicate(|token: &Token| token.token_use == "access").build().unwrap();
    let sign = |changes: Value| provider.sign(json!({}), &changed(claims.clone(), changes));

    let principal = verdict(&tokens, &sign(json!({}))).await.unwrap();

    assert!(principal.scopes().contains("orders/read"));
    assert_eq!(outcome(&tokens, &sign(json!({ "client_id": "another" }))).await, "token_audience");
    assert_eq!(outcome(&tokens, &sign(json!({ "client_id": null }))).await, "token_audience");
    assert_eq!(outcome(&tokens, &sign(json!({ "token_use": "id" }))).await, "token_predicate");
    assert_eq!(outcome(&tokens, &sign(json!({ "token_use": null }))).await, "token_claims_misfit");
    let id_token = json!({ "token_use": "id", "aud": CLIENT, "client_id": null, "at_hash": "x", "cognito:username": "my-test-user" });
    assert_eq!(outcome(&tokens, &sign(id_token)).await, "token_audience");
    // Tokens that are bound to a resource have an audience, which has to be this one.
    assert_eq!(outcome(&tokens, &sign(json!({ "aud": "https://other.example.com" }))).await, "token_audience");
}

#[tokio::test]
async fn google_has_id_tokens_and_nothing_else_that_can_be_read() {
    const ISSUER: &str = "https://accounts.google.com";
    const CLIENT: &str = "1234987819200.apps.googleusercontent.com";
    let provider = Provider::new(ISSUER, "https://www.googleapis.com/oauth2/v3/certs");
    let claims = lasting(json!({
        "iss": ISSUER,
        "azp": CLIENT,
        "aud": CLIENT,
        "sub": "10769150350006150715113082367",
        "at_hash": "HK6E_P6Dh8Y93mRNtsDB1Q",
        "hd": "example.com",
        "email": "jsmith@example.com",
        "email_verified": true,
        "nonce": "0394852-3190485-2490358",
    }));
    let google = || provider.discover(ISSUER).audience(CLIENT);
    let tokens = google().accept_id_tokens().build().unwrap();
    let sign = |changes: Value| provider.sign(json!({ "typ": "JWT" }), &changed(claims.clone(), changes));

    assert_eq!(verdict(&tokens, &sign(json!({}))).await.unwrap().subject(), "10769150350006150715113082367");
    assert_eq!(outcome(&tokens, &sign(json!({ "aud": "another.apps.googleusercontent.com" }))).await, "token_audience");
    // The other name that Google gives itself is not the one of its metadata.
    assert_eq!(outcome(&tokens, &sign(json!({ "iss": "accounts.google.com" }))).await, "token_issuer");
    let access_tokens = google().accept_typ_jwt().build().unwrap();
    assert_eq!(outcome(&access_tokens, &sign(json!({}))).await, "token_is_id_token");
    // Those of service accounts, as Cloud Run asks for them.
    let of_service = json!({ "aud": CLIENT, "at_hash": null, "nonce": null, "hd": null });
    assert_eq!(outcome(&tokens, &sign(of_service)).await, "ok");
}

#[tokio::test]
async fn zitadel_where_access_tokens_are_jwts() {
    const ISSUER: &str = "https://shop-abc123.zitadel.cloud";
    const PROJECT: &str = "177088295320977665";
    let provider = Provider::new(ISSUER, &format!("{ISSUER}/oauth/v2/keys"));
    let claims = lasting(json!({
        "iss": ISSUER,
        "aud": ["177088358801801473@shop", PROJECT],
        "client_id": "177088358801801473@shop",
        "sub": "165617850692654601",
        "jti": "V2_251515616184729601-at_251515616184795137",
        "nbf": crate::support::START,
        "urn:zitadel:iam:org:project:roles": { "seller": { "165617850692654601": "shop.example.com" } },
    }));
    #[derive(Clone, Deserialize)]
    struct Token {
        #[serde(rename = "urn:zitadel:iam:org:project:roles", default)]
        roles: std::collections::HashMap<String, Value>,
    }
    let tokens = provider.discover(ISSUER).audience(PROJECT).accept_typ_jwt().claims::<Token>().build().unwrap();
    let of = async |tokens: &Jwt, typ: &str, changes: Value| {
        verdict(tokens, &provider.sign(json!({ "typ": typ }), &changed(claims.clone(), changes))).await
    };

    let principal = of(&tokens, "JWT", json!({})).await.unwrap();

    let mut extensions = http::Extensions::new();
    extensions.insert(principal);
    let token = Claims::<Token>::of(&extensions).unwrap();
    assert!(token.roles.contains_key("seller"));
    assert!(of(&tokens, "at+jwt", json!({})).await.is_ok());
    let of_other_project = json!({ "aud": ["177088358801801473@shop"] });
    assert_eq!(of(&tokens, "JWT", of_other_project).await.unwrap_err().reason(), "token_audience");
}
