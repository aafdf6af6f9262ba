//! What the claims of a token have to say, claim by claim and JSON type by JSON type.

use serde_json::{Value, json};
use tower_keep::JwtBuilder;

use super::mint::{AUDIENCE, ISSUER, claims, claims_with};
use super::tools::{Desk, OK, TYPE, outcome, verdict, with_member, with_raw};
use crate::support::{START, at};

#[test]
fn the_issuer_is_one_text_and_exactly_the_expected_one() {
    const OTHER: &str = "token_issuer";
    let desk = Desk::new();
    let jwt = desk.jwt(|it| it);
    let cases = [
        (None, OTHER),
        (Some("null"), TYPE),
        (Some("0"), TYPE),
        (Some("1.5"), TYPE),
        (Some("true"), TYPE),
        (Some("false"), TYPE),
        (Some("{}"), TYPE),
        (Some(r#"{"iss":"https://login.example.com"}"#), TYPE),
        (Some("[]"), TYPE),
        (Some(r#"["https://login.example.com"]"#), TYPE),
        (Some(r#"["https://login.example.com","https://evil.example"]"#), TYPE),
        (Some(r#"[["https://login.example.com"]]"#), TYPE),
        (Some(r#""""#), OTHER),
        (Some(r#""https://login.example""#), OTHER),
        (Some(r#""https://login.example.co""#), OTHER),
        (Some(r#""https://login.example.com.evil.example""#), OTHER),
        (Some(r#""https://evil.example/https://login.example.com""#), OTHER),
        (Some(r#""login.example.com""#), OTHER),
        (Some(r#""http://login.example.com""#), OTHER),
        (Some(r#""HTTPS://LOGIN.EXAMPLE.COM""#), OTHER),
        (Some(r#""https://Login.example.com""#), OTHER),
        (Some(r#""https://login.example.com/""#), OTHER),
        (Some(r#""https://login.example.com:443""#), OTHER),
        (Some(r#""https://login.example.com?tenant=1""#), OTHER),
        (Some(r##""https://login.example.com#x""##), OTHER),
        (Some(r#""https://login%2eexample.com""#), OTHER),
        (Some(r#""https://user@login.example.com""#), OTHER),
        (Some(r#"" https://login.example.com""#), OTHER),
        (Some(r#""https://login.example.com ""#), OTHER),
        (Some(r#""https://login.example.com\n""#), OTHER),
        (Some(r#""https://login.example.com\u0000""#), OTHER),
        (Some(r#""https://login\uff0eexample.com""#), OTHER),
        (Some(r#""https://login.example.com\ud800""#), TYPE),
        (Some(r#""https://login.example.com""#), OK),
        // Other spellings of the same text.
        (Some(r#""https:\/\/login.example.com""#), OK),
        (Some(r#""\u0068ttps://login.example.com""#), OK),
    ];
    for (value, expected) in cases {
        assert_eq!(desk.judge(&jwt, &with_raw("iss", value)), expected, "{value:?}");
    }
    let anybody = desk.jwt(|it| it.dangerous_any_issuer());
    for (value, expected) in
        [(None, OK), (Some(r#""https://evil.example""#), OK), (Some("null"), TYPE), (Some("[]"), TYPE)]
    {
        assert_eq!(desk.judge(&anybody, &with_raw("iss", value)), expected, "{value:?}");
    }
}

#[test]
fn the_audience_is_a_text_or_a_list_of_texts_that_names_this_service() {
    const OTHER: &str = "token_audience";
    let desk = Desk::new();
    let jwt = desk.jwt(|it| it);
    let cases = [
        (None, OTHER),
        (Some("null"), TYPE),
        (Some("0"), TYPE),
        (Some("true"), TYPE),
        (Some("false"), TYPE),
        (Some("{}"), TYPE),
        (Some(r#"{"aud":"https://api.example.com"}"#), TYPE),
        (Some(r#"{"https://api.example.com":true}"#), TYPE),
        (Some("[]"), OTHER),
        (Some("[null]"), TYPE),
        (Some(r#"[["https://api.example.com"]]"#), TYPE),
        (Some(r#"["https://api.example.com",null]"#), TYPE),
        (Some(r#"[1,"https://api.example.com"]"#), TYPE),
        (Some(r#"["https://api.example.com",["x"]]"#), TYPE),
        (Some(r#"["https://api.example.com",{}]"#), TYPE),
        (Some(r#""""#), OTHER),
        (Some(r#"[""]"#), OTHER),
        (Some(r#""https://api.example""#), OTHER),
        (Some(r#""https://api.example.com/""#), OTHER),
        (Some(r#""https://api.example.com.evil.example""#), OTHER),
        (Some(r#""HTTPS://API.EXAMPLE.COM""#), OTHER),
        (Some(r#""api.example.com""#), OTHER),
        (Some(r#""https://api.example.com https://other.example""#), OTHER),
        (Some(r#""https://api.example.com,https://other.example""#), OTHER),
        (Some(r#"" https://api.example.com""#), OTHER),
        (Some(r#""*""#), OTHER),
        (Some(r#"["https://other.example"]"#), OTHER),
        (Some(r#"["https://other.example","https://api.example"]"#), OTHER),
        (Some(r#""https://login.example.com""#), OTHER),
        (Some(r#""https://api.example.com""#), OK),
        (Some(r#""https:\/\/api.example.com""#), OK),
        (Some(r#"["https://api.example.com"]"#), OK),
        (Some(r#"["https://other.example","https://api.example.com"]"#), OK),
        (Some(r#"["https://api.example.com","https://other.example"]"#), OK),
        (Some(" [ \"https://api.example.com\" ] "), OK),
    ];
    for (value, expected) in cases {
        assert_eq!(desk.judge(&jwt, &with_raw("aud", value)), expected, "{value:?}");
    }
    let several = desk.jwt(|it| it.audience("orders"));
    for (aud, expected) in
        [(json!("orders"), OK), (json!(AUDIENCE), OK), (json!(["orders"]), OK), (json!("order"), OTHER)]
    {
        assert_eq!(desk.judge(&several, &claims_with(json!({ "aud": aud })).to_string()), expected, "{aud}");
    }
    let anybody = desk.jwt(|it| it.dangerous_any_audience());
    for (value, expected) in
        [(None, OK), (Some(r#""x""#), OK), (Some("[]"), OK), (Some("null"), TYPE), (Some("[1]"), TYPE)]
    {
        assert_eq!(desk.judge(&anybody, &with_raw("aud", value)), expected, "{value:?}");
    }
}

#[test]
fn the_subject_is_a_text_that_has_to_be_there() {
    let desk = Desk::new();
    let jwt = desk.jwt(|it| it);
    for (value, expected) in [
        (None, "token_claim_missing"),
        (Some("null"), TYPE),
        (Some("42"), TYPE),
        (Some("true"), TYPE),
        (Some("{}"), TYPE),
        (Some(r#"["alice"]"#), TYPE),
        (Some(r#""alice\ud800""#), TYPE),
        (Some(r#""alice""#), OK),
    ] {
        assert_eq!(desk.judge(&jwt, &with_raw("sub", value)), expected, "{value:?}");
    }
    for name in ["jti", "sid"] {
        for value in ["null", "42", "{}", "[]", "false"] {
            assert_eq!(desk.judge(&jwt, &with_raw(name, Some(value))), TYPE, "{name} {value}");
        }
        assert_eq!(desk.judge(&jwt, &with_raw(name, None)), OK, "{name}");
    }
    let changes = json!({ "sub": "ali\"ce\u{e9}", "jti": "t\u{1f511}", "sid": "s" });
    let principal = verdict(&jwt, &desk.0.token(&claims_with(changes))).unwrap();
    assert_eq!((principal.subject(), principal.credential_id()), ("ali\"ce\u{e9}", Some("t\u{1f511}")));
    assert_eq!(principal.expires_at(), Some(at(START + 3600)));
}

#[test]
fn the_type_of_a_token_is_that_of_an_access_token_unless_a_setting_says_otherwise() {
    let desk = Desk::new();
    let settings = [
        desk.jwt(|it| it),
        desk.jwt(|it| it.accept_typ_jwt()),
        desk.jwt(|it| it.accept_no_typ()),
        desk.jwt(|it| it.accept_typ_jwt().accept_no_typ()),
        desk.jwt(|it| it.accept_id_tokens()),
    ];
    let all = [true; 5];
    let none = [false; 5];
    let for_jwt = [false, true, false, true, true];
    let for_missing = [false, false, true, true, true];
    let cases = [
        (Some(json!("at+jwt")), all),
        (Some(json!("AT+JWT")), all),
        (Some(json!("At+Jwt")), all),
        (Some(json!("application/at+jwt")), all),
        (Some(json!("APPLICATION/AT+JWT")), all),
        (Some(json!("JWT")), for_jwt),
        (Some(json!("jwt")), for_jwt),
        (Some(json!("application/jwt")), for_jwt),
        (None, for_missing),
        (Some(json!("")), none),
        (Some(json!("none")), none),
        (Some(json!("application/")), none),
        (Some(json!("text/at+jwt")), none),
        (Some(json!("application/application/at+jwt")), none),
        (Some(json!(" at+jwt")), none),
        (Some(json!("at+jwt ")), none),
        (Some(json!("at+jwt;v=1")), none),
        (Some(json!("at jwt")), none),
        (Some(json!("at+jwt2")), none),
        (Some(json!("at+j\u{17f}wt")), none),
        (Some(json!("dpop+jwt")), none),
        (Some(json!("logout+jwt")), none),
        (Some(json!("id_token+jwt")), none),
        (Some(json!("secevent+jwt")), none),
        (Some(json!("token-introspection+jwt")), none),
        (Some(json!("JOSE")), none),
        (Some(json!(null)), none),
        (Some(json!(["at+jwt"])), none),
        (Some(json!(1)), none),
    ];
    for (typ, expected) in cases {
        let mut header = desk.0.header();
        match &typ {
            Some(typ) => header["typ"] = typ.clone(),
            None => drop(header.as_object_mut().unwrap().remove("typ")),
        }
        let token = desk.0.jws(header.to_string(), claims().to_string());
        let found = settings.each_ref().map(|jwt| outcome(jwt, &token) == OK);
        assert_eq!(found, expected, "{typ:?}");
    }
}

#[test]
fn an_id_token_is_refused_by_what_only_id_tokens_have() {
    let desk = Desk::new();
    let header = |typ: &str| json!({ "alg": "EdDSA", "kid": "k1", "typ": typ }).to_string();
    let strict = desk.jwt(|it| it.accept_typ_jwt().accept_no_typ());
    let accepting = desk.jwt(|it| it.accept_id_tokens());
    for member in [r#""at_hash":"x""#, r#""c_hash":"x""#, r#""at_hash":null"#, r#""at_hash":"x","c_hash":"y""#] {
        for typ in ["at+jwt", "JWT"] {
            let token = desk.0.jws(header(typ), with_member(member));
            assert_eq!(outcome(&strict, &token), "token_is_id_token", "{member} {typ}");
            assert_eq!(outcome(&accepting, &token), OK, "{member} {typ}");
        }
    }
    // What ID tokens have beside others is no mark of them.
    for member in [r#""nonce":"n""#, r#""azp":"web""#, r#""auth_time":1"#, r#""s_hash":"x""#] {
        assert_eq!(desk.judge(&strict, &with_member(member)), OK, "{member}");
    }
}

#[test]
fn a_token_that_is_bound_to_a_key_is_refused_whatever_it_is_bound_to() {
    let desk = Desk::new();
    let jwt = desk.jwt(|it| it);
    let forms = [
        r#"{"jkt":"0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}"#,
        r#"{"x5t#S256":"bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"}"#,
        r#"{"jwk":{"kty":"OKP"}}"#,
        r#"{"future":1}"#,
        "{}",
        "null",
        "false",
        "0",
        r#""""#,
        "[]",
    ];
    for form in forms {
        for name in ["cnf", "\\u0063nf"] {
            let text = with_member(&format!("\"{name}\":{form}"));
            assert_eq!(desk.judge(&jwt, &text), "token_bound", "{name} {form}");
        }
    }
    assert_eq!(desk.judge(&jwt, &with_member(r#""inner":{"cnf":{}}"#)), OK);
}

#[test]
fn a_required_claim_is_there_and_not_null() {
    const MISSING: &str = "token_claim_missing";
    let desk = Desk::new();
    let jwt = desk.jwt(|it| it.required_claims(["client_id", "tenant", "nbf"]).required_claims(["tenant"]));
    for (changes, expected) in [
        (json!({ "tenant": "x", "nbf": 0 }), OK),
        (json!({ "tenant": false, "nbf": 0 }), OK),
        (json!({ "tenant": 0, "nbf": 0 }), OK),
        (json!({ "tenant": "", "nbf": 0 }), OK),
        (json!({ "tenant": [], "nbf": 0 }), OK),
        (json!({ "tenant": {}, "nbf": 0 }), OK),
        (json!({ "tenant": "null", "nbf": 0 }), OK),
        (json!({ "nbf": 0 }), MISSING),
        (json!({ "tenant": "x" }), MISSING),
        (json!({ "tenant": "x", "nbf": 0, "client_id": null }), MISSING),
        (json!({ "Tenant": "x", "nbf": 0 }), MISSING),
        (json!({ "inner": { "tenant": "x" }, "nbf": 0 }), MISSING),
    ] {
        assert_eq!(desk.judge(&jwt, &claims_with(changes.clone()).to_string()), expected, "{changes}");
    }
    assert_eq!(desk.judge(&jwt, &with_member(r#""tenant":null,"nbf":0"#)), MISSING);
    assert_eq!(desk.judge(&jwt, &with_member(r#""tenant": null ,"nbf":0"#)), MISSING);
    assert_eq!(desk.judge(&jwt, &with_member(r#""tenan\u0074":"x","nbf":0"#)), OK);

    // As many as there may be, each of which counts.
    let names: Vec<String> = (0..32).map(|number| format!("c{number}")).collect();
    let jwt = desk.jwt(|it| it.required_claims(names.clone()));
    let members = |but: usize| {
        let members = names.iter().enumerate().filter(|(place, _)| *place != but);
        members.map(|(_, name)| format!("\"{name}\":1")).collect::<Vec<_>>().join(",")
    };
    assert_eq!(desk.judge(&jwt, &with_member(&members(32))), OK);
    for place in 0..32 {
        assert_eq!(desk.judge(&jwt, &with_member(&members(place))), MISSING, "{place}");
    }
}

#[test]
fn scopes_are_read_from_where_they_stand() {
    type Settings<'a> = &'a dyn Fn(JwtBuilder) -> JwtBuilder;
    let desk = Desk::new();
    let read = |settings: Settings<'_>, changes: Value| {
        let mut all = json!({ "scope": null });
        all.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        let verdict = verdict(&desk.jwt(settings), &desk.0.token(&claims_with(all)));
        verdict.map_or_else(|rejection| rejection.reason().to_owned(), |it| format!("[{}]", it.scopes()))
    };
    let plain = |it: JwtBuilder| it;
    let chosen = |it: JwtBuilder| it.scope_claim("roles");
    let cases: [(Settings<'_>, Value, &str); 37] = [
        (&plain, json!({}), "[]"),
        (&plain, json!({ "scope": "" }), "[]"),
        (&plain, json!({ "scope": " " }), "[]"),
        (&plain, json!({ "scope": "b a" }), "[a b]"),
        (&plain, json!({ "scope": "  b   a b " }), "[a b]"),
        (&plain, json!({ "scope": ["b", "a", "b"] }), "[a b]"),
        (&plain, json!({ "scope": [] }), "[]"),
        (&plain, json!({ "scp": "b a" }), "[a b]"),
        (&plain, json!({ "scp": ["b", "a"] }), "[a b]"),
        (&plain, json!({ "scp": ["b a", "c"] }), "[c]"),
        (&plain, json!({ "scope": "a", "scp": "b" }), "[a]"),
        // `scope` is the standard's, so what it says counts, if it is nothing.
        (&plain, json!({ "scope": "", "scp": "b" }), "[]"),
        (&plain, json!({ "scope": ["two words", "", "quo\"te", "back\\slash", "\u{e9}", "tab\t", "a"] }), "[a]"),
        (&plain, json!({ "scope": "quo\"te" }), "token_scope"),
        (&plain, json!({ "scope": "a back\\slash" }), "token_scope"),
        (&plain, json!({ "scope": "a\tb" }), "token_scope"),
        (&plain, json!({ "scope": "a\nb" }), "token_scope"),
        (&plain, json!({ "scope": "\u{e9}" }), "token_scope"),
        (&plain, json!({ "scope": 1 }), TYPE),
        (&plain, json!({ "scope": true }), TYPE),
        (&plain, json!({ "scope": { "a": true } }), TYPE),
        (&plain, json!({ "scope": ["a", 1] }), TYPE),
        (&plain, json!({ "scope": ["a", ["b"]] }), TYPE),
        (&plain, json!({ "scope": [null] }), TYPE),
        (&plain, json!({ "scp": 1 }), TYPE),
        // A fault in the one is not made good by the other.
        (&plain, json!({ "scope": "a", "scp": 1 }), TYPE),
        (&plain, json!({ "roles": ["a"] }), "[]"),
        (&chosen, json!({ "roles": ["b", "a"] }), "[a b]"),
        (&chosen, json!({ "roles": "b a" }), "[a b]"),
        (&chosen, json!({ "roles": ["Order Manager", "a"] }), "[a]"),
        (&chosen, json!({ "roles": [] }), "[]"),
        (&chosen, json!({ "roles": "" }), "[]"),
        (&chosen, json!({}), "token_claim_missing"),
        (&chosen, json!({ "scope": "a", "scp": "b" }), "token_claim_missing"),
        (&chosen, json!({ "roles": { "a": 1 } }), TYPE),
        (&chosen, json!({ "roles": "a", "scope": 1, "scp": 2 }), TYPE),
        (&chosen, json!({ "Roles": "a" }), "token_claim_missing"),
    ];
    for (settings, changes, expected) in cases {
        assert_eq!(read(settings, changes.clone()), expected, "{changes}");
    }
    for name in ["scope", "scp", "roles"] {
        let jwt = desk.jwt(|it| it.scope_claim(name));
        assert_eq!(desk.judge(&jwt, &with_raw(name, Some("null"))), TYPE, "{name}");
    }
    let required = desk.jwt(|it| it.scope_claim("scp"));
    assert_eq!(desk.judge(&required, &claims().to_string()), "token_claim_missing");
}

#[test]
fn a_claim_that_is_looked_at_stands_once() {
    let desk = Desk::new();
    let good = [
        ("iss", format!("\"{ISSUER}\"")),
        ("aud", format!("\"{AUDIENCE}\"")),
        ("sub", "\"alice\"".to_owned()),
        ("jti", "\"t1\"".to_owned()),
        ("sid", "\"s1\"".to_owned()),
        ("exp", (START + 3600).to_string()),
        ("nbf", START.to_string()),
        ("iat", START.to_string()),
        ("scope", "\"a\"".to_owned()),
        ("scp", "\"a\"".to_owned()),
        ("roles", "\"a\"".to_owned()),
        ("tenant", "1".to_owned()),
        ("cnf", "{}".to_owned()),
    ];
    let plain = |it: JwtBuilder| it.required_claims(["tenant"]);
    let choosing = |it: JwtBuilder| it.required_claims(["tenant"]).scope_claim("roles");
    for (name, value) in &good {
        let jwt = if *name == "roles" { desk.jwt(choosing) } else { desk.jwt(plain) };
        let mut rest: Value = claims_with(json!({ "tenant": 1, "roles": "a" }));
        rest.as_object_mut().unwrap().remove(*name);
        let rest = &rest.to_string()[1..];
        let escaped = format!("\\u{:04x}{}", name.as_bytes()[0], &name[1..]);
        let escaped_end = format!("{}\\u{:04X}", &name[..name.len() - 1], name.as_bytes()[name.len() - 1]);
        if *name != "cnf" {
            assert_eq!(desk.judge(&jwt, &format!("{{\"{escaped}\":{value},{rest}")), OK, "{name}");
        }
        for second in [*name, &escaped, &escaped_end] {
            let members = [
                format!("{{\"{name}\":{value},\"{second}\":{value},{rest}"),
                // With the others between them, and in the other order.
                format!("{{\"{second}\":{value},{},\"{name}\":{value}}}", &rest[..rest.len() - 1]),
            ];
            for text in members {
                assert_eq!(desk.judge(&jwt, &text), "token_claim_repeated", "{text}");
            }
        }
        // A second one is a fault whatever it says.
        for other in ["null", "\"x\"", "[]"] {
            let text = format!("{{\"{name}\":{value},\"{name}\":{other},{rest}");
            assert_eq!(desk.judge(&jwt, &text), "token_claim_repeated", "{text}");
        }
    }
    // A required claim that is null once was there all the same.
    let jwt = desk.jwt(plain);
    assert_ne!(desk.judge(&jwt, &with_member(r#""tenant":null,"tenant":null"#)), OK);
    // What nobody looks at is nobody's business.
    assert_eq!(desk.judge(&jwt, &with_member(r#""tenant":1,"x":1,"x":2,"roles":1,"roles":2"#)), OK);
}

#[test]
fn claims_are_one_object_of_utf_8() {
    const WRONG: &str = "token_claims";
    let desk = Desk::new();
    let jwt = desk.jwt(|it| it);
    let good = claims().to_string();
    let texts = [
        (String::new(), WRONG),
        (" ".to_owned(), WRONG),
        ("{}".to_owned(), "token_issuer"),
        ("null".to_owned(), "token_claims_misfit"),
        ("true".to_owned(), "token_claims_misfit"),
        ("42".to_owned(), "token_claims_misfit"),
        ("\"text\"".to_owned(), "token_claims_misfit"),
        ("[]".to_owned(), "token_claims_misfit"),
        (format!("[{good}]"), "token_claims_misfit"),
        (good[..good.len() - 1].to_owned(), WRONG),
        (format!("{good}x"), WRONG),
        (format!("{good}{good}"), WRONG),
        (format!("{good}\0"), WRONG),
        (format!("\u{feff}{good}"), WRONG),
        (good.replace('"', "'"), WRONG),
        (good.replacen('{', "{,", 1), WRONG),
        (good.replacen('{', "{/**/", 1), WRONG),
        (format!("{},}}", &good[..good.len() - 1]), WRONG),
        (with_member("exp:1"), WRONG),
        (
            with_member(
                r#""x":"line
break""#,
            ),
            WRONG,
        ),
        (format!(" \t\r\n{good} \t\r\n"), OK),
        (serde_json::to_string_pretty(&claims()).unwrap(), OK),
    ];
    for (text, expected) in texts {
        assert_eq!(desk.judge(&jwt, &text), expected, "{text:?}");
    }
    // Wherever bytes stand that are no text: in a value that is looked at, in one that is not, in a name.
    let with_bytes = |before: &str, bytes: &[u8], after: &str| {
        [before.as_bytes(), bytes, after.as_bytes(), good.as_bytes().strip_prefix(b"{").unwrap()].concat()
    };
    for bytes in [&b"\xff"[..], b"\xc0\xaf", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"\xe2\x82", b"\x80"] {
        for (before, after) in
            [("{\"sid\":\"", "\","), ("{\"name\":\"", "\","), ("{\"name\":[{\"x\":\"", "\"}],"), ("{\"name", "\":1,")]
        {
            let token = desk.0.jws(desk.0.header().to_string(), with_bytes(before, bytes, after));
            assert_eq!(outcome(&jwt, &token), WRONG, "{before} {bytes:x?}");
        }
    }
    let token =
        desk.0.jws(desk.0.header().to_string(), with_bytes("{\"name\":\"", "\u{e9}\u{1f511}".as_bytes(), "\","));
    assert_eq!(outcome(&jwt, &token), OK);
    let header = desk.0.header().to_string();
    for bytes in [&b"\xff"[..], b"\xed\xa0\x80"] {
        let header = [b"{\"x\":\"", bytes, b"\",", &header.as_bytes()[1..]].concat();
        assert_eq!(outcome(&jwt, &desk.0.jws(header, &good)), "token_header", "{bytes:x?}");
    }
}

#[test]
fn claims_that_are_deep_or_many_are_read_and_nothing_breaks() {
    let desk = Desk::new();
    let jwt = desk.jwt(|it| it.token_limit(1 << 20));
    let typed = desk.0.verifier().token_limit(1 << 20).claims::<Value>().build().unwrap();
    let deep = with_member(&format!("\"x\":{}{}", "[".repeat(50_000), "]".repeat(50_000)));
    assert_eq!(desk.judge(&jwt, &deep), OK);
    assert_ne!(desk.judge(&typed, &deep), OK, "the parser has its own limit for what it keeps");
    let many = (0..5_000).map(|number| format!("\"x{number}\":{number}")).collect::<Vec<_>>().join(",");
    assert_eq!([desk.judge(&jwt, &with_member(&many)), desk.judge(&typed, &with_member(&many))], [OK, OK]);
    let deep_audience = with_raw("aud", Some(&format!("{}{}", "[".repeat(50_000), "]".repeat(50_000))));
    assert_eq!(desk.judge(&jwt, &deep_audience), TYPE);
}

/// The subject is a text that says something, wherever it stands.
#[test]
fn the_subject_may_stand_in_another_claim() {
    let desk = Desk::new();
    let of_client = desk.jwt(|it| it.subject_claim("client_id"));
    let subject = |changes| verdict(&of_client, &desk.0.token(&claims_with(changes))).map(|it| it.subject().to_owned());

    assert_eq!(subject(json!({})).unwrap(), "web");
    assert_eq!(subject(json!({ "sub": null })).unwrap(), "web");
    assert_eq!(subject(json!({ "sub": 7 })).unwrap_err().reason(), TYPE);
    for wrong in [json!({ "client_id": null }), json!({ "client_id": "" })] {
        assert_eq!(subject(wrong).unwrap_err().reason(), "token_claim_missing");
    }
    assert_eq!(subject(json!({ "client_id": 7 })).unwrap_err().reason(), TYPE);
    assert_eq!(desk.judge(&desk.jwt(|it| it), &claims_with(json!({ "sub": "" })).to_string()), "token_claim_missing");
}

#[test]
fn a_typ_of_an_issuer_s_own_is_accepted_by_name() {
    let desk = Desk::new();
    let okta = desk.jwt(|it| it.accept_typ("application/okta-internal-at+jwt"));
    for (typ, expected) in [
        ("okta-internal-at+jwt", OK),
        ("Application/OKTA-internal-at+JWT", OK),
        ("at+jwt", OK),
        ("internal-at+jwt", "token_typ"),
        ("JWT", "token_typ"),
        ("application/x/okta-internal-at+jwt", "token_typ"),
    ] {
        let header = json!({ "alg": "EdDSA", "typ": typ, "kid": "k1" });
        assert_eq!(outcome(&okta, &desk.0.jws(header.to_string(), claims().to_string())), expected, "{typ}");
    }
}

/// A claim in whose place another one is read says nothing, and is still what it should be.
#[test]
fn a_claim_that_another_one_stands_in_for_is_looked_at_all_the_same() {
    let desk = Desk::new();
    let jwt = desk.jwt(|it| it.subject_claim("client_id").scope_claim("roles"));
    let with_roles = claims_with(json!({ "roles": ["a"], "scp": "b" })).to_string();
    assert_eq!(desk.judge(&jwt, &with_roles), OK);
    for name in ["sub", "scope", "scp"] {
        let twice = with_member(&format!(r#""roles":["a"],"scp":"b","{name}":"x""#));
        let twice = if name == "scp" { twice.replacen('{', r#"{"scp":"c","#, 1) } else { twice };
        assert_eq!(desk.judge(&jwt, &twice), "token_claim_repeated", "{name}: {twice}");
        let wrong = claims_with(json!({ "roles": ["a"], name: 7 })).to_string();
        assert_eq!(desk.judge(&jwt, &wrong), TYPE, "{name}");
    }
}
