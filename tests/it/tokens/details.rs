//! The claims as a type of the user's own, and conditions on it.

use std::collections::HashMap;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::{Value, json};
use tower_keep::{Cause, Principal};

use super::mint::{AUDIENCE, ISSUER, claims, claims_with};
use super::tools::{Desk, OK, TYPE, outcome, verdict, with_member, with_raw};
use crate::support::START;

#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
struct Me {
    email: String,
    #[serde(default)]
    admin: bool,
}

#[test]
fn claims_are_read_as_a_type_and_refused_where_they_do_not_fit() {
    const MISFIT: &str = "token_claims_misfit";
    let desk = Desk::new();
    let me = |changes| desk.read::<Me>(changes).map(|principal| principal.details::<Me>().unwrap().clone());
    assert_eq!(me(json!({ "email": "a@b", "admin": true })), Ok(Me { email: "a@b".to_owned(), admin: true }));
    assert_eq!(me(json!({ "email": "a@b" })), Ok(Me { email: "a@b".to_owned(), admin: false }));
    for changes in [
        json!({}),
        json!({ "email": 1 }),
        json!({ "email": ["a@b"] }),
        json!({ "email": "a@b", "admin": "yes" }),
        json!({ "email": "a@b", "admin": 1 }),
    ] {
        assert_eq!(me(changes.clone()), Err(MISFIT), "{changes}");
    }
    let jwt = desk.0.verifier().claims::<Me>().build().unwrap();
    assert_eq!(desk.judge(&jwt, &with_member(r#""email":"a","email":"b""#)), MISFIT);
    // A claim that is wrong by itself is told as that, whatever the type makes of it.
    assert_eq!(desk.judge(&jwt, &with_raw("exp", Some("\"1\""))), TYPE);
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

#[derive(Debug, Deserialize)]
struct Registered {
    iss: String,
    sub: String,
    aud: OneOrMany,
    exp: u64,
    iat: f64,
    nbf: Option<u64>,
    jti: Option<String>,
    scope: String,
    tenant: Option<u8>,
}

#[test]
fn a_type_may_hold_the_registered_claims_as_well() {
    let desk = Desk::new();
    let jwt = desk.0.verifier().claims::<Registered>().required_claims(["tenant"]).build().unwrap();
    let changes = json!({ "aud": ["x", AUDIENCE], "tenant": 7 });
    let principal = verdict(&jwt, &desk.0.token(&claims_with(changes))).unwrap();
    let read = principal.details::<Registered>().unwrap();
    assert_eq!((read.iss.as_str(), read.sub.as_str(), read.exp), (ISSUER, principal.subject(), START + 3600));
    assert!(matches!(&read.aud, OneOrMany::Many(all) if all[1] == AUDIENCE));
    assert_eq!((read.iat, read.nbf, read.tenant), (START as f64, None, Some(7)));
    assert_eq!((read.jti.as_deref(), read.scope.as_str()), (Some("t1"), "orders:read"));
    assert_eq!(principal.scopes().to_string(), "orders:read");

    let principal = desk.read::<Registered>(json!({})).unwrap();
    let read = principal.details::<Registered>().unwrap();
    assert!(matches!(&read.aud, OneOrMany::One(one) if one == AUDIENCE));
    // It may ask for more than the crate does.
    assert_eq!(desk.read::<Registered>(json!({ "exp": START as f64 + 60.5 })).unwrap_err(), "token_claims_misfit");
    assert_eq!(desk.read::<Registered>(json!({ "tenant": 256 })).unwrap_err(), "token_claims_misfit");
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Kind {
    User { email: String },
    Machine { client_id: String, exp: u64 },
}

#[derive(Debug, Deserialize)]
struct Wrapped(Me);

#[derive(Debug, Deserialize)]
#[serde(transparent)]
struct Transparent {
    me: Option<Me>,
}

#[derive(Debug, Deserialize)]
struct Flat {
    sub: String,
    #[serde(flatten)]
    me: Me,
    #[serde(flatten)]
    rest: HashMap<String, Value>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "it is here to be refused")]
struct Strict {
    email: String,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Tagged {
    User { email: String },
    Robot,
}

#[test]
fn types_of_every_make_are_read() {
    let desk = Desk::new();
    let email = || json!({ "email": "a@b" });
    let whole = claims_with(email());

    let principal = desk.read::<Value>(email()).unwrap();
    assert_eq!(principal.details::<Value>(), Some(&whole));
    let principal = desk.read::<HashMap<String, Value>>(email()).unwrap();
    assert_eq!(principal.details::<HashMap<String, Value>>().unwrap().len(), whole.as_object().unwrap().len());
    let principal = desk.read::<serde_json::Map<String, Value>>(email()).unwrap();
    assert_eq!(principal.details::<serde_json::Map<String, Value>>(), whole.as_object());
    let principal = desk.read::<Kind>(email()).unwrap();
    assert!(matches!(principal.details::<Kind>(), Some(Kind::User { email }) if email == "a@b"));
    let principal = desk.read::<Kind>(json!({})).unwrap();
    let machine = principal.details::<Kind>().unwrap();
    assert!(matches!(machine, Kind::Machine { client_id, exp } if client_id == "web" && *exp == START + 3600));
    assert_eq!(desk.read::<Kind>(json!({ "client_id": null })).unwrap_err(), "token_claims_misfit");
    let principal = desk.read::<Option<Me>>(email()).unwrap();
    assert_eq!(principal.details::<Option<Me>>().unwrap().as_ref().unwrap().email, "a@b");
    assert_eq!(desk.read::<Option<Me>>(json!({})).unwrap_err(), "token_claims_misfit");
    let principal = desk.read::<Wrapped>(email()).unwrap();
    assert_eq!(principal.details::<Wrapped>().unwrap().0.email, "a@b");
    let principal = desk.read::<Transparent>(email()).unwrap();
    assert_eq!(principal.details::<Transparent>().unwrap().me.as_ref().unwrap().email, "a@b");
    let principal = desk.read::<Box<Me>>(email()).unwrap();
    assert_eq!(principal.details::<Box<Me>>().unwrap().email, "a@b");
    let principal = desk.read::<Flat>(email()).unwrap();
    let flat = principal.details::<Flat>().unwrap();
    assert_eq!((flat.sub.as_str(), flat.me.email.as_str()), ("alice", "a@b"));
    assert_eq!(flat.rest["exp"], START + 3600);
    let principal = desk.read::<Tagged>(json!({ "kind": "user", "email": "a@b" })).unwrap();
    assert!(matches!(principal.details::<Tagged>(), Some(Tagged::User { email }) if email == "a@b"));
    let principal = desk.read::<Tagged>(json!({ "kind": "robot" })).unwrap();
    assert!(matches!(principal.details::<Tagged>(), Some(Tagged::Robot)));
    let principal = desk.read::<IgnoredAny>(email()).unwrap();
    assert!(principal.details::<IgnoredAny>().is_some());
    let principal = desk.read::<()>(email()).unwrap();
    assert_eq!(principal.details::<()>(), Some(&()));

    // Types that no claims set fits.
    let misfit = Err("token_claims_misfit");
    let tell = |read: Result<Principal, &'static str>| read.map(|_| ());
    assert_eq!(tell(desk.read::<Strict>(email())), misfit);
    assert_eq!(tell(desk.read::<Vec<String>>(email())), misfit);
    assert_eq!(tell(desk.read::<String>(email())), misfit);
    assert_eq!(tell(desk.read::<u64>(email())), misfit);
    assert_eq!(tell(desk.read::<(String, String)>(email())), misfit);
}

/// Reads one member and no further.
struct First;

impl<'de> Deserialize<'de> for First {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct One;
        impl<'de> Visitor<'de> for One {
            type Value = First;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("claims")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<First, A::Error> {
                map.next_entry::<IgnoredAny, IgnoredAny>()?;
                Ok(First)
            }
        }
        deserializer.deserialize_map(One)
    }
}

/// Takes whatever it is given, and nothing where that fails.
struct Lenient(Option<HashMap<String, Value>>);

impl<'de> Deserialize<'de> for Lenient {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(HashMap::deserialize(deserializer).ok()))
    }
}

#[test]
fn a_type_that_reads_less_or_forgives_more_spares_no_claim_from_being_looked_at() {
    let desk = Desk::new();
    let first = desk.0.verifier().claims::<First>().build().unwrap();
    let lenient = desk.0.verifier().claims::<Lenient>().build().unwrap();
    let exp = START + 3600;
    for jwt in [&first, &lenient] {
        assert_eq!(desk.judge(jwt, &claims().to_string()), OK);
        for (text, expected) in [
            (with_raw("exp", Some("1")), "token_expired"),
            (with_raw("exp", Some("\"9\"")), TYPE),
            (with_raw("nbf", Some("\"99999999999\"")), TYPE),
            (with_raw("aud", None), "token_audience"),
            (with_raw("aud", Some(&format!("[\"{AUDIENCE}\",1]"))), TYPE),
            (with_member(r#""cnf":{}"#), "token_bound"),
            (with_member(&format!("\"exp\":{exp}")), "token_claim_repeated"),
            (with_member(r#""scope":"admin""#), "token_claim_repeated"),
        ] {
            assert_eq!(desk.judge(jwt, &text), expected, "{text}");
        }
        for text in [r#"{"a":tru,"b":1}"#, r#"{"a":1"#, r#"{"a" 1}"#] {
            assert_ne!(desk.judge(jwt, text), OK, "{text}");
        }
        let text = with_member(r#""x":tru"#);
        assert_ne!(desk.judge(jwt, &text), OK, "{text}");
    }
    let principal = verdict(&lenient, &desk.0.token(&claims())).unwrap();
    assert!(principal.details::<Lenient>().unwrap().0.is_some());
}

#[test]
fn a_condition_of_ones_own_is_asked_beside_all_others() {
    let desk = Desk::new();
    let token = desk.0.token(&claims_with(json!({ "email": "a@b", "admin": true })));
    let of = |admin: bool, email: &'static str| {
        let me = desk.0.verifier().claims::<Me>();
        me.predicate(move |me| me.admin == admin).predicate(move |me| me.email == email).build().unwrap()
    };
    assert_eq!(outcome(&of(true, "a@b"), &token), OK);
    for jwt in [of(false, "a@b"), of(true, "x"), of(false, "x")] {
        let rejection = verdict(&jwt, &token).unwrap_err();
        assert_eq!((rejection.cause(), rejection.reason()), (Cause::Invalid, "token_predicate"));
        assert_eq!(rejection.credential_id(), Some("t1"));
    }
    // One that was set before the type was named still counts.
    for (holds, expected) in [(true, OK), (false, "token_predicate")] {
        let jwt = desk.0.verifier().predicate(move |()| holds).claims::<Me>().build().unwrap();
        assert_eq!(outcome(&jwt, &token), expected);
    }
}
