//! Microsoft Entra: one tenant, and many.

use std::sync::Arc;

use serde_json::{Value, json};
use tower_keep::{Algorithm, Answer, ConfigError, Issuers, Jwt, JwtBuilder, PresentedToken, Tenants, TokenVerifier};

use super::{Provider, changed, lasting, outcome, verdict};

const TENANT: &str = "72f988bf-86f1-41af-91ab-2d7cd011db47";
const OTHER: &str = "f8cdef31-a31e-4b4a-93e4-5f571e91255a";
const CLIENT: &str = "6e74172b-be56-4843-9ff4-e66a39bb12e3";
const KEYS: &str = "https://login.microsoftonline.com/common/discovery/v2.0/keys";
const TEMPLATE: &str = "https://login.microsoftonline.com/{tid}/v2.0";

fn issuer(tenant: &str) -> String {
    format!("https://login.microsoftonline.com/{tenant}/v2.0")
}

/// An access token of version 2.0 that a user has.
fn of_user(tenant: &str) -> Value {
    lasting(json!({
        "aud": CLIENT,
        "iss": issuer(tenant),
        "nbf": crate::support::START,
        "aio": "AXQAi/8IAAAA",
        "azp": "6731de76-14a6-49ae-97bc-6eba6914391e",
        "azpacr": "0",
        "name": "Abe Lincoln",
        "oid": "690222be-ff1a-4d56-abd1-7e4f7d38e474",
        "preferred_username": "abeli@example.com",
        "rh": "I",
        "scp": "access_as_user Orders.Read",
        "sub": "HKZpfaHyWadeOouYlitjrI-KffTm222X5rrV3xDqfKQ",
        "tid": tenant,
        "uti": "fqiBqXLPj0eQa82S-IYFAA",
        "ver": "2.0",
    }))
}

/// The key as Entra publishes it: without `alg`, and with the issuers that it may speak for.
fn entra(key_issuer: Value) -> Provider {
    Provider::publishing(KEYS, json!({ "alg": null, "x5t": "k1", "issuer": key_issuer }))
}

fn multi_tenant(provider: &Provider) -> JwtBuilder {
    let tokens = provider.keys(KEYS).issuer_template(TEMPLATE).audience(CLIENT);
    tokens.algorithms([Algorithm::RS256]).accept_typ_jwt()
}

fn jwt(builder: JwtBuilder) -> Jwt {
    builder.build().unwrap()
}

#[tokio::test]
async fn a_token_of_a_single_tenant_is_let_in() {
    let keys_at = format!("https://login.microsoftonline.com/{TENANT}/discovery/v2.0/keys");
    let metadata = format!("{}/.well-known/openid-configuration", issuer(TENANT));
    let provider = Provider::publishing(&keys_at, json!({ "alg": null, "issuer": issuer(TENANT) }))
        .with(&metadata, json!({ "issuer": issuer(TENANT), "jwks_uri": keys_at }));
    let tokens = provider.discover(&issuer(TENANT)).audience(CLIENT).algorithms([Algorithm::RS256]).accept_typ_jwt();
    let tokens = jwt(tokens);
    let sign = |claims: &Value| provider.sign(json!({ "typ": "JWT", "x5t": "k1" }), claims);

    let principal = verdict(&tokens, &sign(&of_user(TENANT))).await.unwrap();

    assert_eq!(principal.subject(), "HKZpfaHyWadeOouYlitjrI-KffTm222X5rrV3xDqfKQ");
    assert!(principal.scopes().contains("access_as_user"));
    assert_eq!(outcome(&tokens, &sign(&of_user(OTHER))).await, "token_issuer");
    let version_1 = json!({ "iss": format!("https://sts.windows.net/{TENANT}/"), "ver": "1.0" });
    assert_eq!(outcome(&tokens, &sign(&changed(of_user(TENANT), version_1))).await, "token_issuer");
    let graph = json!({ "aud": "00000003-0000-0000-c000-000000000000" });
    assert_eq!(outcome(&tokens, &sign(&changed(of_user(TENANT), graph))).await, "token_audience");
}

#[tokio::test]
async fn an_application_has_roles_in_the_place_of_scopes() {
    let provider = entra(json!(issuer("{tenantid}")));
    let tokens = jwt(multi_tenant(&provider).scope_claim("roles").subject_claim("oid"));
    let of_application = json!({ "scp": null, "roles": ["Orders.Read.All"], "idtyp": "app" });
    let token = provider.sign(json!({ "typ": "JWT" }), &changed(of_user(TENANT), of_application));

    let principal = verdict(&tokens, &token).await.unwrap();

    assert!(principal.scopes().contains("Orders.Read.All"));
    assert_eq!(principal.subject(), "690222be-ff1a-4d56-abd1-7e4f7d38e474");
    let of_user = provider.sign(json!({ "typ": "JWT" }), &of_user(TENANT));
    assert_eq!(outcome(&tokens, &of_user).await, "token_claim_missing");
}

#[tokio::test]
async fn of_many_tenants_each_is_let_in_under_its_own_issuer() {
    let provider = entra(json!(issuer("{tenantid}")));
    let tokens = jwt(multi_tenant(&provider));
    for tenant in [TENANT, OTHER] {
        let token = provider.sign(json!({ "typ": "JWT" }), &of_user(tenant));
        // Once verified, once remembered.
        for _ in 0..2 {
            let principal = verdict(&tokens, &token).await.unwrap();
            assert_eq!(principal.issuer(), Some(issuer(tenant).as_str()));
        }
    }
}

#[tokio::test]
async fn the_issuer_is_the_template_with_the_tenant_in_it_to_the_letter() {
    let provider = entra(json!(issuer("{tenantid}")));
    let tokens = jwt(multi_tenant(&provider));
    let cases = [
        (json!(issuer(OTHER)), json!(TENANT), "token_issuer"),
        (json!(issuer(TENANT)), Value::Null, "token_issuer"),
        (Value::Null, json!(TENANT), "token_issuer"),
        (json!(issuer("")), json!(""), "token_issuer"),
        (json!(issuer("{tid}")), json!("{tid}"), "token_issuer"),
        (json!(issuer("a/b")), json!("a/b"), "token_issuer"),
        (json!(issuer("a.b")), json!("a.b"), "token_issuer"),
        (json!(issuer("a%2fb")), json!("a%2fb"), "token_issuer"),
        (json!(issuer("ä")), json!("ä"), "token_issuer"),
        (json!(issuer(&"a".repeat(65))), json!("a".repeat(65)), "token_issuer"),
        (json!(issuer(&"a".repeat(64))), json!("a".repeat(64)), "ok"),
        (json!(issuer(TENANT).to_uppercase()), json!(TENANT), "token_issuer"),
        (json!(issuer(TENANT)), json!(TENANT.to_uppercase()), "token_issuer"),
        (json!(issuer(TENANT) + "/"), json!(TENANT), "token_issuer"),
        (json!(format!("https://login.microsoftonline.com/{TENANT}")), json!(TENANT), "token_issuer"),
        (json!(format!("https://evil.example/{TENANT}/v2.0")), json!(TENANT), "token_issuer"),
        (json!("https://login.microsoftonline.com//v2.0"), json!(TENANT), "token_issuer"),
        (json!("https://login.microsoftonline.com/v2.0"), json!(TENANT), "token_issuer"),
        (json!(issuer(TENANT)), json!([TENANT]), "token_claim_type"),
        (json!(issuer("7")), json!(7), "token_claim_type"),
        (json!(issuer("7")), json!("7"), "ok"),
    ];
    for (issuer, tenant, expected) in cases {
        let claims = changed(of_user(TENANT), json!({ "iss": issuer, "tid": tenant }));
        let token = provider.sign(json!({ "typ": "JWT" }), &claims);
        assert_eq!(outcome(&tokens, &token).await, expected, "{issuer} {tenant}");
    }
    let twice = format!(r#"{{"tid":"{TENANT}",{}"#, &of_user(TENANT).to_string()[1..]);
    let header = json!({ "alg": "RS256", "kid": "k1", "typ": "JWT" }).to_string();
    assert_eq!(outcome(&tokens, &provider.signer.jws(header, twice)).await, "token_claim_repeated");
}

#[tokio::test]
async fn tenants_that_are_named_come_and_no_others() {
    let provider = entra(json!(issuer("{tenantid}")));
    let tokens = jwt(multi_tenant(&provider).tenants([TENANT]));
    let both = jwt(multi_tenant(&provider).tenants([TENANT]).tenants([OTHER]));
    let [token, other] = [TENANT, OTHER].map(|tenant| provider.sign(json!({ "typ": "JWT" }), &of_user(tenant)));

    assert_eq!((outcome(&tokens, &token).await, outcome(&tokens, &other).await), ("ok", "token_issuer"));
    assert_eq!((outcome(&both, &token).await, outcome(&both, &other).await), ("ok", "ok"));
}

/// A key of the accounts that people have by themselves once signed tokens of companies.
#[tokio::test]
async fn a_key_of_one_tenant_speaks_for_no_other() {
    let cases = [
        (json!(issuer(TENANT)), "ok", "token_issuer"),
        (json!(issuer("{tenantid}")), "ok", "ok"),
        (json!(issuer("{tid}")), "ok", "ok"),
        (Value::Null, "ok", "ok"),
        (json!(issuer("9188040d-6c67-4c5b-b112-36a304b66dad")), "token_issuer", "token_issuer"),
        (json!("https://login.microsoftonline.com/{tenantid}/v1.0"), "token_issuer", "token_issuer"),
        (json!(""), "token_issuer", "token_issuer"),
        (json!({ "a": [] }), "token_issuer", "token_issuer"),
        (json!("{tenantid}"), "token_issuer", "token_issuer"),
    ];
    for (key_issuer, of_tenant, of_other) in cases {
        let provider = entra(key_issuer.clone());
        let tokens = jwt(multi_tenant(&provider));
        let token = |tenant| provider.sign(json!({ "typ": "JWT" }), &of_user(tenant));

        let seen = (outcome(&tokens, &token(TENANT)).await, outcome(&tokens, &token(OTHER)).await);

        assert_eq!(seen, (of_tenant, of_other), "{key_issuer}");
    }
}

#[tokio::test]
async fn all_tenants_can_share_a_verifier_beside_other_issuers() {
    let provider = entra(json!(issuer("{tenantid}")));
    let shared: Arc<dyn TokenVerifier> = Arc::new(jwt(multi_tenant(&provider).tenants([TENANT, OTHER])));
    let tenants =
        Tenants::below("https://login.microsoftonline.com/", move |_| Answer::Now(Ok(Some(Arc::clone(&shared)))));
    let staff = jwt(provider.keys(KEYS).issuer("https://staff.example.com").audience(CLIENT).accept_typ_jwt());
    let issuers = Issuers::builder().issuer("https://staff.example.com", staff).resolve(tenants).build().unwrap();
    let verdict = async |claims: Value| {
        let token = PresentedToken::from_text(&provider.sign(json!({ "typ": "JWT" }), &claims)).unwrap();
        let verdict = issuers.verify(&token).await;
        verdict.map_or_else(|rejection| rejection.reason().to_owned(), |who| who.issuer().unwrap().to_owned())
    };

    assert_eq!(verdict(of_user(TENANT)).await, issuer(TENANT));
    assert_eq!(verdict(of_user(OTHER)).await, issuer(OTHER));
    assert_eq!(verdict(of_user("9188040d-6c67-4c5b-b112-36a304b66dad")).await, "token_issuer");
    let of_staff = changed(of_user(TENANT), json!({ "iss": "https://staff.example.com" }));
    assert_eq!(verdict(of_staff).await, "https://staff.example.com");
    let of_nobody = changed(of_user(TENANT), json!({ "iss": "https://sts.windows.net/x/" }));
    assert_eq!(verdict(of_nobody).await, "token_issuer_unknown");
}

#[test]
fn templates_and_tenants_that_make_no_sense_are_told() {
    let provider = entra(json!(issuer("{tenantid}")));
    let errors = |builder: JwtBuilder| builder.build().map_or_else(|it| it.as_slice().to_vec(), |_| Vec::new());
    let template = |text: &str| provider.keys(KEYS).issuer_template(text).audience(CLIENT);
    let wrong = |given: &str| vec![ConfigError::IssuerTemplate { given: given.to_owned() }];
    let reserved = |given: &str| vec![ConfigError::ClaimReserved { given: given.to_owned() }];

    assert_eq!(errors(template(TEMPLATE)), []);
    assert_eq!(errors(template(TEMPLATE).tenants([TENANT])), []);
    for text in ["", "https://login.microsoftonline.com/v2.0", "http://login.example.com/{tid}", "{tid}"] {
        assert_eq!(errors(template(text)), wrong(text), "{text}");
    }
    for claim in ["iss", "sub", "aud", "scope", "scp", "jti", "cnf", "exp"] {
        assert_eq!(errors(template(&format!("https://login.example.com/{{{claim}}}"))), reserved(claim), "{claim}");
    }
    assert_eq!(errors(template(TEMPLATE).subject_claim("tid")), reserved("tid"));
    assert_eq!(errors(template(TEMPLATE).scope_claim("tid")), reserved("tid"));
    assert_eq!(errors(template(TEMPLATE).audience_claim("tid")), reserved("tid"));
    let tenants = vec![ConfigError::Tenants];
    assert_eq!(errors(template(TEMPLATE).tenants(Vec::<String>::new())), tenants);
    assert_eq!(errors(template(TEMPLATE).tenants([TENANT, ""])), tenants);
    assert_eq!(errors(template(TEMPLATE).tenants(["example.com"])), tenants);
    let one = || provider.keys(KEYS).issuer(issuer(TENANT)).audience(CLIENT);
    assert_eq!(errors(one().tenants([TENANT])), tenants);
    // The last call counts.
    assert_eq!(errors(template("").issuer(issuer(TENANT))), []);
    assert_eq!(errors(one().issuer_template("")), wrong(""));
    assert_eq!(errors(one().issuer("").issuer_template(TEMPLATE)), []);
}
