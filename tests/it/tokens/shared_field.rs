//! Who owns `Authorization: Bearer`: API keys by their prefix, then tokens by their form, then the one that takes all the
//! rest, in whichever order the layers stand.

use std::convert::Infallible;

use http::{HeaderValue, Request, Response, StatusCode};
use tower::{Layer, Service};
use tower_keep::{
    Anonymous, Answer, ApiKey, ApiKeyLayer, AuthLayer, BearerLayer, ConfigError, IssuedKey, KeyFormat, KeyHasher,
    KeyRules, MemoryStore, NewKey, Ownership, PresentedToken, Principal, Rejection, Scheme, Secret, TokenForm,
    TokenVerifier,
};

use super::mint::{Signer, claims, claims_with};
use crate::log::logged;
use crate::support::{Inner, TestClock, Ticket, get, rules, send, values, with};

/// A key of a form that is not ours, as it was before this crate.
const FOREIGN: &str = "0123456789abcdef0123456789abcdef";
/// The same with a dot in it.
const FOREIGN_DOT: &str = "0123456789abcdef.0123456789abcdef";
/// The session of a verifier that takes texts of any form.
const SESSION: &str = "session~of~carol";

/// All that a request may come with.
struct World {
    keys: MemoryStore,
    importing: MemoryStore,
    issued: IssuedKey,
    signer: Signer,
    jwt: String,
    expired: String,
}

impl World {
    fn new() -> Self {
        let keys = MemoryStore::with(rules(&TestClock::new()));
        let importing = MemoryStore::with(rules(&TestClock::new()).accepting_imported());
        let issued = keys.issue(NewKey::for_owner("billing")).unwrap();
        importing.insert((**issued.record()).clone()).unwrap();
        for key in [FOREIGN, FOREIGN_DOT] {
            importing.import(&Secret::new(key.to_owned()), NewKey::for_owner("legacy")).unwrap();
        }
        let signer = Signer::new(tower_keep::Algorithm::EdDSA);
        let jwt = signer.token(&claims());
        let expired = signer.token(&claims_with(serde_json::json!({ "exp": 1 })));
        Self { keys, importing, issued, signer, jwt, expired }
    }

    fn key(&self) -> &str {
        self.issued.key().expose()
    }

    /// Returns the key with its last letter changed.
    fn mistyped(&self) -> String {
        let (body, last) = self.key().split_at(self.key().len() - 1);
        format!("{body}{}", if last == "a" { "b" } else { "a" })
    }

    fn keys(&self) -> ApiKeyLayer {
        ApiKeyLayer::over(ApiKey::new(self.keys.clone()).bearer())
    }

    fn importing(&self) -> ApiKeyLayer {
        ApiKeyLayer::over(ApiKey::new(self.importing.clone()).bearer())
    }

    fn tokens(&self) -> BearerLayer {
        BearerLayer::new(self.signer.verifier().build().unwrap())
    }
}

/// Knows one session, whatever it looks like.
struct Sessions;

impl TokenVerifier for Sessions {
    fn verify(&self, token: &PresentedToken) -> Answer<Result<Principal, Rejection>> {
        Answer::Now(match token.expose() {
            SESSION => Ok(Principal::builder("carol").scheme("session").build()),
            _ => Err(Rejection::invalid("session_unknown")),
        })
    }

    fn form(&self) -> TokenForm {
        TokenForm::Any
    }
}

/// What is to come of a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Outcome {
    /// Let in, as this subject.
    In(&'static str),
    /// Nobody's: 401, or anonymous behind an optional layer.
    Nobody,
    /// 401, and which challenge is blamed.
    Bad(&'static str),
    /// 401, and no challenge is blamed.
    BadElsewhere,
    /// 400, and which challenge is blamed.
    Malformed(&'static str),
    /// 400 for two credentials, of which no challenge is blamed more than the other.
    Two,
}

use Outcome::{Bad, BadElsewhere, In, Malformed, Nobody, Two};

/// Asserts what comes of a request, the challenges included, without and with `optional`.
async fn assert_outcome<C: Scheme>(layer: AuthLayer<C>, name: &str, fields: &[(&str, String)], expected: Outcome) {
    for optional in [false, true] {
        let layer = if optional { layer.clone().optional() } else { layer.clone() };
        let mut request = get("/");
        for (field, value) in fields {
            request = with(request, field, value);
        }
        let (response, heads) = send(layer, request).await;

        let (status, who) = match (expected, optional) {
            (In(who), _) => (StatusCode::OK, Some(who)),
            (Nobody, true) => (StatusCode::OK, None),
            (Nobody, false) | (Bad(_) | BadElsewhere, _) => (StatusCode::UNAUTHORIZED, None),
            (Malformed(_) | Two, _) => (StatusCode::BAD_REQUEST, None),
        };
        let about = format!("{name}, optional: {optional}");
        assert_eq!(response.status(), status, "{about}");
        assert_eq!(heads.len(), usize::from(status == StatusCode::OK), "{about}");
        if let Some(head) = heads.first() {
            assert_eq!(head.extensions.get::<Principal>().map(Principal::subject), who, "{about}");
            assert_eq!(head.extensions.get::<Anonymous>().is_some(), who.is_none(), "{about}");
            let left = values(&head.headers, "authorization");
            // What stands under another authentication scheme is none of this layer's business.
            let is_other = |value: &String| value.starts_with("Basic ") || value.starts_with("BearerX ");
            assert!(left.iter().all(is_other), "{about}: {left:?} is left");
            assert!(!head.headers.contains_key("x-api-key"), "{about}");
        }
        let blamed = |scheme: &str| match expected {
            Bad(blamed) if blamed == scheme => r#", error="invalid_token""#,
            Malformed(blamed) if blamed == scheme => r#", error="invalid_request""#,
            Two => r#", error="invalid_request""#,
            _ => "",
        };
        let mut found = values(response.headers(), "www-authenticate");
        found.sort_unstable();
        let challenges = ["ApiKey", "Bearer"].map(|scheme| format!("{scheme} realm=\"api\"{}", blamed(scheme)));
        match status {
            StatusCode::OK => assert!(found.is_empty(), "{about}"),
            _ => assert_eq!(found, challenges, "{about}"),
        }
    }
}

type Row = (&'static str, Vec<(&'static str, String)>, Outcome, Outcome);

/// The requests, and what comes of them where keys of other forms are unknown, and where they are taken.
fn rows(world: &World) -> Vec<Row> {
    let bearer = |value: &str| vec![("authorization", format!("Bearer {value}"))];
    let raw = |value: &str| vec![("authorization", value.to_owned())];
    let field = |value: &str| vec![("x-api-key", value.to_owned())];
    let both = |first: Vec<(&'static str, String)>, second: Vec<(&'static str, String)>| [first, second].concat();
    let (key, jwt) = (world.key(), &*world.jwt);
    let segments: Vec<&str> = jwt.split('.').collect();
    let same = |name, fields, outcome| (name, fields, outcome, outcome);
    vec![
        same("key", bearer(key), In("billing")),
        same("key, other case of the scheme", raw(&format!("bEARER {key}")), In("billing")),
        same("key, mistyped", bearer(&world.mistyped()), Bad("Bearer")),
        same("key, its prefix alone", bearer("test_"), Bad("Bearer")),
        same("key, with two dots", bearer("test_aaaa.bbbb.cccc"), Bad("Bearer")),
        same("key, with a token behind it", bearer(&format!("test_{jwt}")), Bad("Bearer")),
        same("key under ApiKey", raw(&format!("ApiKey {key}")), In("billing")),
        same("key under ApiKey, mistyped", raw(&format!("ApiKey {}", world.mistyped())), Bad("ApiKey")),
        same("token under ApiKey", raw(&format!("ApiKey {jwt}")), Bad("ApiKey")),
        same("key without a scheme", raw(key), Malformed("ApiKey")),
        same("token", bearer(jwt), In("alice")),
        same("token, behind more spaces than one", raw(&format!("Bearer    {jwt}")), In("alice")),
        same("token, expired", bearer(&world.expired), Bad("Bearer")),
        same("token, cut off", bearer(&jwt[..jwt.len() - 4]), Bad("Bearer")),
        same("text of three segments", bearer("aaaa.bbbb.cccc"), Bad("Bearer")),
        same("text of three empty segments", bearer(".."), Bad("Bearer")),
        same(
            "text of three segments, the last one empty",
            bearer(&format!("{}.{}.", segments[0], segments[1])),
            Bad("Bearer"),
        ),
        same("text of five segments", bearer("a.b.c.d.e"), Bad("Bearer")),
        same("opaque text", bearer("opaque"), Bad("Bearer")),
        same("opaque text with a dot", bearer("opa.que"), Bad("Bearer")),
        same("opaque text that ends as base64 does", bearer("b3BhcXVl=="), Bad("Bearer")),
        ("foreign key", bearer(FOREIGN), Bad("Bearer"), In("legacy")),
        ("foreign key with a dot", bearer(FOREIGN_DOT), Bad("Bearer"), In("legacy")),
        ("foreign key in its field", field(FOREIGN), Bad("ApiKey"), In("legacy")),
        same("key in its field", field(key), In("billing")),
        same("key in its field, mistyped", field(&world.mistyped()), Bad("ApiKey")),
        same("token in the field of keys", field(jwt), Bad("ApiKey")),
        same("key in its field and a token", both(field(key), bearer(jwt)), Two),
        same("bad key in its field and a token", both(field("junk"), bearer(jwt)), Two),
        same("key in its field and a bad token", both(field(key), bearer(&world.expired)), Two),
        // Where keys have any form, these are two of them.
        ("key in its field and opaque text", both(field(key), bearer("opaque")), Two, Malformed("ApiKey")),
        same("key in both fields", both(field(key), bearer(key)), Malformed("ApiKey")),
        same("key in its field and Basic", both(field(key), raw("Basic YTpi")), In("billing")),
        same("two tokens", both(bearer(jwt), bearer(jwt)), Malformed("Bearer")),
        same("token and key in two fields", both(bearer(jwt), bearer(key)), Malformed("Bearer")),
        same("key and token in two fields", both(bearer(key), bearer(jwt)), Malformed("Bearer")),
        same("two keys", both(bearer(key), bearer(key)), Malformed("Bearer")),
        same("token and Basic in two fields", both(bearer(jwt), raw("Basic YTpi")), Malformed("Bearer")),
        same("Basic and token in two fields", both(raw("Basic YTpi"), bearer(jwt)), Malformed("Bearer")),
        same("Basic", raw("Basic YTpi"), Nobody),
        same("nothing", vec![], Nobody),
        // RFC 9449: a credential that this layer does not take, and no other one's business either.
        same("DPoP", raw(&format!("DPoP {jwt}")), BadElsewhere),
        same("DPoP, other case", raw(&format!("dpop {jwt}")), BadElsewhere),
        same("key in its field and DPoP", both(field(key), raw(&format!("DPoP {jwt}"))), BadElsewhere),
        same("token and DPoP in two fields", both(bearer(jwt), raw(&format!("DPoP {jwt}"))), Malformed("Bearer")),
        same("scheme alone", raw("Bearer"), Malformed("Bearer")),
        same("scheme and a space", raw("Bearer "), Malformed("Bearer")),
        same("scheme and a tab", raw(&format!("Bearer\t{jwt}")), Malformed("Bearer")),
        same("two words", raw("Bearer two words"), Malformed("Bearer")),
        same("a list", raw(&format!("Bearer {jwt}, Bearer {jwt}")), Malformed("Bearer")),
        same("a scheme that starts as ours does", raw(&format!("BearerX {jwt}")), Nobody),
    ]
}

#[tokio::test]
async fn keys_and_tokens_share_a_field_in_either_order() {
    let world = World::new();
    for (name, fields, expected, _) in rows(&world) {
        assert_outcome(world.keys().or(world.tokens()), &format!("{name}, keys first"), &fields, expected).await;
        assert_outcome(world.tokens().or(world.keys()), &format!("{name}, tokens first"), &fields, expected).await;
    }
}

#[tokio::test]
async fn keys_of_any_form_and_tokens_share_a_field_in_either_order() {
    let world = World::new();
    for (name, fields, _, expected) in rows(&world) {
        assert_outcome(world.importing().or(world.tokens()), &format!("{name}, keys first"), &fields, expected).await;
        assert_outcome(world.tokens().or(world.importing()), &format!("{name}, tokens first"), &fields, expected).await;
    }
}

#[tokio::test]
async fn three_schemes_share_a_field_in_every_order_and_nesting() {
    let world = World::new();
    let keys = || world.keys();
    let tokens = || world.tokens();
    let sessions = || BearerLayer::new(Sessions);
    let ticket = || AuthLayer::over(Ticket);
    let mut all = rows(&world);
    let session = vec![("authorization", format!("Bearer {SESSION}"))];
    all.push(("session", session.clone(), In("carol"), In("carol")));
    all.push(("session and a key", [session, vec![("x-api-key", world.key().to_owned())]].concat(), Two, Two));
    for (name, fields, expected, _) in all {
        assert_outcome(keys().or(tokens()).or(sessions()), &format!("{name}, (kt)s"), &fields, expected).await;
        assert_outcome(keys().or(sessions()).or(tokens()), &format!("{name}, (ks)t"), &fields, expected).await;
        assert_outcome(tokens().or(keys()).or(sessions()), &format!("{name}, (tk)s"), &fields, expected).await;
        assert_outcome(tokens().or(sessions()).or(keys()), &format!("{name}, (ts)k"), &fields, expected).await;
        assert_outcome(sessions().or(keys()).or(tokens()), &format!("{name}, (sk)t"), &fields, expected).await;
        assert_outcome(sessions().or(tokens()).or(keys()), &format!("{name}, (st)k"), &fields, expected).await;
        assert_outcome(keys().or(tokens().or(sessions())), &format!("{name}, k(ts)"), &fields, expected).await;
        assert_outcome(sessions().or(tokens().or(keys())), &format!("{name}, s(tk)"), &fields, expected).await;
        assert_outcome(tokens().or(sessions().or(keys())), &format!("{name}, t(sk)"), &fields, expected).await;
    }
    // A scheme that has no part in the field neither helps nor hinders.
    for fields in [vec![("ticket", "good".to_owned())], vec![("authorization", format!("Bearer {}", world.jwt))]] {
        let who = if fields[0].0 == "ticket" { "guest" } else { "alice" };
        for layer in [0, 1] {
            let request = with(get("/"), fields[0].0, &fields[0].1);
            let heads = match layer {
                0 => send(ticket().or(keys()).or(tokens()), request).await.1,
                _ => send(tokens().or(keys().or(ticket())), request).await.1,
            };
            assert_eq!(heads[0].extensions.get::<Principal>().unwrap().subject(), who);
        }
    }
}

#[tokio::test]
async fn two_formats_of_keys_share_a_field_by_their_prefixes() {
    let world = World::new();
    let rules = KeyRules::new(KeyFormat::new("live").unwrap(), KeyHasher::sha256());
    let other = MemoryStore::with(rules);
    let live = other.issue(NewKey::for_owner("live")).unwrap();
    let live_layer = || ApiKeyLayer::over(ApiKey::new(other.clone()).bearer().header("x-live-key").unwrap());
    for (value, who) in [(world.key(), "billing"), (live.key().expose(), "live"), (&world.jwt, "alice")] {
        let fields = [("authorization", format!("Bearer {value}"))];
        assert_outcome(world.keys().or(live_layer()).or(world.tokens()), who, &fields, In(who)).await;
        assert_outcome(live_layer().or(world.keys()).or(world.tokens()), who, &fields, In(who)).await;
        assert_outcome(world.tokens().or(live_layer()).or(world.keys()), who, &fields, In(who)).await;
    }
}

#[tokio::test]
async fn of_two_stores_with_one_prefix_the_first_one_takes_the_key() {
    let (world, other) = (World::new(), World::new());
    let fields = [("authorization", format!("Bearer {}", world.key()))];
    assert_outcome(world.keys().or(other.keys()), "first", &fields, In("billing")).await;
    assert_outcome(other.keys().or(world.keys()), "second", &fields, Bad("Bearer")).await;
}

#[tokio::test]
async fn keys_that_are_not_read_from_bearer_leave_it_to_tokens() {
    let world = World::new();
    let keys = || ApiKeyLayer::new(world.keys.clone());
    let rows: [(&str, (&str, String), Outcome); 4] = [
        ("token", ("authorization", format!("Bearer {}", world.jwt)), In("alice")),
        ("key as a token", ("authorization", format!("Bearer {}", world.key())), Bad("Bearer")),
        ("key under ApiKey", ("authorization", format!("ApiKey {}", world.key())), In("billing")),
        ("key", ("x-api-key", world.key().to_owned()), In("billing")),
    ];
    for (name, field, expected) in rows {
        assert_outcome(keys().or(world.tokens()), name, std::slice::from_ref(&field), expected).await;
        assert_outcome(world.tokens().or(keys()), name, std::slice::from_ref(&field), expected).await;
    }
}

/// Sends a request to a layer that is set up wrongly.
async fn misconfigured<L>(layer: L, request: Request<String>)
where
    L: Layer<Inner>,
    L::Service: Service<Request<String>, Response = Response<String>, Error = Infallible>,
{
    let log = logged();
    let (response, heads) = send(layer, request).await;
    assert_eq!((response.status(), heads.len()), (StatusCode::INTERNAL_SERVER_ERROR, 0));
    assert!(!response.headers().contains_key("www-authenticate"));
    let lines = log.lines();
    assert!(lines[0].starts_with("ERROR") && lines[0].contains("schemes_misconfigured"), "{lines:?}");
    assert!(lines[0].contains("two schemes of one layer"), "{lines:?}");
}

#[tokio::test]
async fn two_that_take_the_same_are_told_at_the_start_and_on_every_request() {
    let world = World::new();
    let sessions = || BearerLayer::new(Sessions);
    let repeated = Err(ConfigError::BearerContested { kind: Ownership::CatchAll });
    assert_eq!(sessions().or(sessions()).check(), repeated);
    assert_eq!(world.importing().or(sessions()).check(), repeated);
    assert_eq!(sessions().or(world.importing()).check(), repeated);
    assert_eq!(world.importing().or(world.importing()).check(), repeated);
    assert_eq!(sessions().or(world.tokens()).or(world.importing()).check(), repeated);
    assert_eq!(world.tokens().or(sessions().or(sessions())).check(), repeated);
    assert_eq!(sessions().or(sessions()).or(world.tokens()).check(), repeated);
    for requests in [get("/"), with(get("/"), "x-api-key", world.key())] {
        let (head, body) = requests.into_parts();
        let again = Request::from_parts(head.clone(), body.clone());
        misconfigured(world.importing().or(sessions()), Request::from_parts(head, body)).await;
        misconfigured(world.tokens().or(sessions().or(sessions())).optional(), again).await;
    }

    assert_eq!(world.keys().check(), Ok(()));
    assert_eq!(world.keys().or(world.tokens()).check(), Ok(()));
    assert_eq!(world.importing().or(world.tokens()).check(), Ok(()));
    let twice = Err(ConfigError::BearerContested { kind: Ownership::Form });
    assert_eq!(world.tokens().or(world.tokens()).check(), twice);
    assert_eq!(world.tokens().or(world.keys()).or(world.tokens()).check(), twice);
    misconfigured(world.tokens().or(world.tokens()), get("/")).await;
    assert_eq!(world.keys().or(world.keys()).check(), Ok(()));
    assert_eq!(world.keys().or(sessions()).or(world.tokens()).check(), Ok(()));
    // Foreign keys that stand in a field of their own take nothing of the shared one.
    let apart = || ApiKeyLayer::new(world.importing.clone());
    assert_eq!(apart().or(sessions()).check(), Ok(()));
}

#[tokio::test]
async fn both_credentials_are_gone_whatever_the_verdict() {
    let world = World::new();
    let fields = [("x-api-key", world.key().to_owned()), ("authorization", format!("Bearer {}", world.jwt))];
    for tokens_first in [false, true] {
        let mut head = fields.iter().fold(get("/"), |it, (name, value)| with(it, name, value)).into_parts().0;
        let error = match tokens_first {
            false => world.keys().or(world.tokens()).scheme().take(&mut head).map(|_| ()).unwrap_err(),
            true => world.tokens().or(world.keys()).scheme().take(&mut head).map(|_| ()).unwrap_err(),
        };
        assert_eq!(error.reason(), "credential_repeated");
        assert!(head.headers.is_empty(), "{:?}", head.headers);
    }
}

#[tokio::test]
async fn bytes_that_are_no_text_are_malformed() {
    let world = World::new();
    for bytes in [&b"Bearer \xff"[..], b"Bearer a.b.\xe9", b"Bearer \xc3\xa9", b"Bearer test_\xff"] {
        for layer in [0, 1, 2] {
            let mut request = get("/");
            request.headers_mut().insert("authorization", HeaderValue::from_bytes(bytes).unwrap());
            let (response, heads) = match layer {
                0 => send(world.tokens(), request).await,
                1 => send(world.keys().or(world.tokens()).optional(), request).await,
                _ => send(BearerLayer::new(Sessions).or(world.tokens()).or(world.keys()), request).await,
            };
            assert_eq!((response.status(), heads.len()), (StatusCode::BAD_REQUEST, 0), "{bytes:?} {layer}");
        }
    }
}
