//! The claim that stands in for `aud`.

use serde_json::{Value, json};
use tower_keep::{Algorithm, ConfigError, JwtBuilder};

use crate::tokens::mint::{AUDIENCE, Signer, claims_with};
use crate::tokens::tools::{OK, TYPE, outcome};

#[test]
fn another_claim_can_stand_in_for_the_audience() {
    const OTHER: &str = "token_audience";
    let signer = Signer::new(Algorithm::EdDSA);
    let build = |settings: fn(JwtBuilder) -> JwtBuilder| settings(signer.verifier()).build().unwrap();
    let jwt = build(|it| it.audience("web").audience_claim("client_id"));
    let cases: [(Value, Value, &str); 15] = [
        (Value::Null, json!("web"), OK),
        (Value::Null, json!(["web"]), OK),
        (Value::Null, json!(AUDIENCE), OK),
        (Value::Null, json!("mobile"), OTHER),
        (Value::Null, json!("WEB"), OTHER),
        (Value::Null, json!(""), OTHER),
        (Value::Null, json!([]), OTHER),
        (Value::Null, Value::Null, OTHER),
        (Value::Null, json!(7), TYPE),
        (Value::Null, json!({ "web": true }), TYPE),
        // An audience that is there counts, too.
        (json!(AUDIENCE), json!("web"), OK),
        (json!(["x", "web"]), json!("web"), OK),
        (json!("https://other.example.com"), json!("web"), OTHER),
        (json!(AUDIENCE), json!("mobile"), OTHER),
        (json!(7), json!("web"), TYPE),
    ];
    for (aud, client, expected) in cases {
        let token = signer.token(&claims_with(json!({ "aud": aud, "client_id": client })));
        assert_eq!(outcome(&jwt, &token), expected, "{aud} {client}");
    }
    let anybodys = build(|it| it.audience_claim("client_id").dangerous_any_audience());
    assert_eq!(outcome(&anybodys, &signer.token(&claims_with(json!({ "aud": "x", "client_id": "y" })))), OK);
}

#[test]
fn the_claim_says_one_thing_and_has_a_name() {
    let signer = Signer::new(Algorithm::EdDSA);
    let errors = |builder: JwtBuilder| builder.build().map_or_else(|it| it.as_slice().to_vec(), |_| Vec::new());
    let reserved = |given: &str| vec![ConfigError::ClaimReserved { given: given.to_owned() }];
    for name in ["iss", "aud", "sub", "scope", "scp", "exp", "cnf"] {
        assert_eq!(errors(signer.verifier().audience_claim(name)), reserved(name), "{name}");
    }
    for name in ["client_id", "azp", "cid", "appid"] {
        assert_eq!(errors(signer.verifier().audience_claim(name)), [], "{name}");
    }
    assert_eq!(errors(signer.verifier().audience_claim("")), [ConfigError::ClaimNameEmpty]);
    assert_eq!(errors(signer.verifier().audience_claim("cid").subject_claim("cid")), reserved("cid"));
    assert_eq!(errors(signer.verifier().audience_claim("cid").scope_claim("cid")), reserved("cid"));
}
