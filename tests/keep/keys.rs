//! Keys from their making to their end.

use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;

use axum::body::Body;
use axum::{Router, routing::get};
use http::{Request, StatusCode};
use tower::ServiceExt;
use tower_keep::{ApiKeyLayer, KeyHasher, KeyRules, SqliteStore};

use crate::support::{PEPPER, Place, text};

/// What a server over the same store answers to a key.
async fn answer(place: &Place, key: &str) -> StatusCode {
    let rules = KeyRules::default().with_hasher(KeyHasher::from_pepper_text(PEPPER).unwrap());
    let store = SqliteStore::builder().rules(rules).open(&place.store).await.unwrap();
    let app = Router::new().route("/", get(|| async { "in" })).layer(ApiKeyLayer::new(store.clone()));
    let request = Request::get("/").header("x-api-key", key).body(Body::empty()).unwrap();
    let status = app.oneshot(request).await.unwrap().status();
    store.close().await.unwrap();
    status
}

#[tokio::test]
async fn a_server_over_the_same_store_knows_what_keep_did() {
    let place = Place::sqlite();

    let (key, id) = place.created(&["--scope", "read", "--expires", "90d"]);
    assert_eq!(answer(&place, &key).await, StatusCode::OK);

    let rotated = place.keep(&["keys", "rotate", &id, "--grace", "1h"]).ok().json();
    let newer = text(&rotated["key"]);
    assert_eq!(rotated["id"], id.as_str());
    assert_eq!(answer(&place, &key).await, StatusCode::OK);
    assert_eq!(answer(&place, &newer).await, StatusCode::OK);

    let newest = text(&place.keep(&["keys", "rotate", &id, "--grace", "0s", "--yes"]).ok().json()["key"]);
    assert_eq!(answer(&place, &newer).await, StatusCode::UNAUTHORIZED);

    place.keep(&["keys", "revoke", &id, "--yes"]).ok();
    assert_eq!(answer(&place, &newest).await, StatusCode::UNAUTHORIZED);
    place.keep(&["keys", "rotate", &id]).is(1);
}

#[test]
fn keys_in_a_file_are_operated_in_the_same_way() {
    let place = Place::file();
    let (key, id) = place.created(&["--scope", "read"]);
    assert!(std::fs::read_to_string(place.path("keys.toml")).unwrap().contains("owner = \"billing\""));

    let newer = text(&place.keep(&["keys", "rotate", &id]).ok().json()["key"]);
    place.keep_with(&key, &["keys", "verify"]).ok();
    place.keep_with(&newer, &["keys", "leaked", "--yes"]).ok();

    place.keep_with(&key, &["keys", "verify"]).is(1);
    assert_eq!(place.keep(&["keys", "list"]).ok().lines()[0]["state"], "revoked");
    assert_eq!(place.keep(&["keys", "show", &id]).ok().json().get("audit"), None);
    place.keep(&["keys", "audit"]).is(4);
    let exported = place.keep(&["keys", "export"]).ok().out;
    let other = Place::file();
    other.keep_with(&exported, &["keys", "import"]).ok();
    assert_eq!(other.keep(&["keys", "export"]).ok().out, exported);
    place.write("keys.toml", "not a file of keys");
    place.keep(&["keys", "list"]).is(4).says("line 1");
}

#[test]
fn a_key_has_what_was_asked_for() {
    let place = Place::sqlite();
    let args = ["--scope", "a:read", "--scope", "a:write", "--not-before", "2026-01-01T00:00:00Z", "--expires", "90d"];
    let more = ["--label", "team=red=blue", "--rate", "100/1m", "--network", "10.0.0.0/8"];

    let (_, id) = place.created(&[&args[..], &more].concat());

    let shown = place.keep(&["keys", "show", &format!("tk_{id}")]).ok().json();
    assert_eq!(shown["scopes"], serde_json::json!(["a:read", "a:write"]));
    assert_eq!(shown["not_before"], "2026-01-01T00:00:00Z");
    assert_eq!(shown["labels"]["team"], "red=blue");
    assert_eq!(shown["rate"], "100/60s");
    assert_eq!(shown["networks"][0], "10.0.0.0/8");
    assert_eq!(shown["digest"], "hmac-sha256/2026");
    assert_eq!(shown["audit"][0]["action"], "issued");
    assert!(text(&shown["audit"][0]["actor"]).starts_with("alice"));
    assert!(shown.get("key").is_none());
}

#[test]
fn a_key_is_verified_by_what_comes_in() {
    let place = Place::sqlite();
    let (key, id) = place.created(&["--network", "10.0.0.0/8"]);
    let (other, _) = place.created(&[]);
    let verify = |key: &str| place.keep_with(key, &["keys", "verify"]);

    let good = verify(&format!("{key}\n")).ok().json();
    assert_eq!((&good["good"], &good["id"], &good["owner"]), (&true.into(), &id.as_str().into(), &"billing".into()));

    place.keep_with(&key, &["keys", "verify", "--from", "10.1.2.3"]).ok();
    let elsewhere = place.keep_with(&key, &["keys", "verify", "--from", "192.0.2.1"]).is(1).json();
    assert_eq!(elsewhere["reason"], "key_network");
    let typo = format!("{}{}", &key[..key.len() - 1], if key.ends_with('a') { 'b' } else { 'a' });
    assert_eq!(verify(&typo).is(1).json()["reason"], "key_checksum");
    assert_eq!(verify("tk_short").is(1).json()["reason"], "key_malformed");
    assert_eq!(verify("a key of another system, unknown").is(1).json()["reason"], "key_unknown");
    place.keep(&["keys", "revoke", &id, "--yes"]).ok();
    assert_eq!(verify(&key).is(1).json()["reason"], "key_revoked");
    verify(&other).ok();
    verify("").is(2);
}

#[test]
fn a_leaked_key_is_revoked_only_if_all_of_it_is_right() {
    let place = Place::sqlite();
    let (key, id) = place.created(&[]);
    let format = tower_keep::KeyFormat::default();
    let forged = format!("tk_{id}{}", &format.generate().unwrap().expose()["tk_000000000000".len()..]);

    place.keep_with(&key, &["keys", "leaked"]).is(4).says("--yes");
    place.keep_with(&forged, &["keys", "leaked", "--yes"]).is(1);
    place.keep_with(&id, &["keys", "leaked", "--yes"]).is(1);
    place.keep_with(&key, &["keys", "verify"]).ok();

    let revoked = place.keep_with(&key, &["keys", "leaked", "--yes"]).ok();

    assert_eq!(revoked.json()["state"], "revoked");
    assert!(!revoked.out.contains(&key) && !revoked.err.contains(&key));
    place.keep_with(&key, &["keys", "verify"]).is(1);
    place.keep_with(&key, &["keys", "leaked"]).ok();
}

#[test]
fn what_cannot_be_undone_needs_a_yes() {
    let place = Place::sqlite();
    let (key, id) = place.created(&[]);

    place.keep(&["keys", "revoke", &id]).is(4).says("--yes");
    place.keep(&["keys", "rotate", &id, "--grace", "0s"]).is(4).says("--yes");
    place.keep_with(&key, &["keys", "verify"]).ok();

    place.keep(&["keys", "revoke", &id, "nobody", "--yes"]).is(1).says("nobody");
    place.keep_with(&key, &["keys", "verify"]).is(1);
    place.keep(&["keys", "show", "nobody"]).is(1);
}

#[test]
fn a_list_holds_what_was_asked_for_and_no_digest() {
    let place = Place::sqlite();
    let (_, id) = place.created(&["--label", "team=red"]);
    let (_, revoked) = place.created(&[]);
    place.keep(&["keys", "revoke", &revoked, "--yes"]).ok();
    place.keep(&["keys", "create", "--owner", "other"]).ok();
    let ids = |args: &[&str]| -> Vec<String> {
        let done = place.keep(&[&["keys", "list"], args].concat()).ok();
        assert!(!done.out.contains("hmac-sha256/2026:"), "{done:?}");
        done.lines().iter().map(|line| text(&line["id"])).collect()
    };

    assert_eq!(ids(&[]).len(), 3);
    assert_eq!(ids(&["--owner", "billing"]).len(), 2);
    assert_eq!(ids(&["--label", "team=red"]), std::slice::from_ref(&id));
    assert_eq!(ids(&["--owner", "billing", "--good"]), [id]);
    let first = ids(&["--limit", "1"]);
    assert_eq!(ids(&["--after", &first[0]]).len(), 2);
}

#[test]
fn a_table_for_people_is_aligned_and_steers_no_terminal() {
    let place = Place::sqlite();
    place.created(&[]);
    place.keep(&["keys", "create", "--owner", "\u{1b}[31mred\u{202e}"]).ok();

    let table = place.keep(&["keys", "list", "--human"]).ok().out;

    let lines: Vec<_> = table.lines().collect();
    let at = lines[0].find("STATE").unwrap();
    assert!(lines[1..].iter().all(|line| line[at..].starts_with("good")), "{table}");
    assert!(!table.contains('\u{1b}') && !table.contains('\u{202e}') && table.contains("\\u{1b}"), "{table}");
}

#[test]
fn the_audit_tells_who_did_what() {
    let place = Place::sqlite();
    let (_, id) = place.created(&["--as", "robot"]);
    place.created(&[]);
    place.keep(&["keys", "rotate", &id]).ok();
    place.keep(&["keys", "revoke", &id, "--yes", "--as", "bob"]).ok();

    let entries = place.keep(&["keys", "audit", &id]).ok().lines();

    let told: Vec<_> = entries.iter().map(|entry| (text(&entry["action"]), text(&entry["actor"]))).collect();
    assert_eq!(told[0], ("revoked".to_owned(), "bob".to_owned()));
    assert_eq!(told[1].0, "rotated");
    assert_eq!(told[2], ("issued".to_owned(), "robot".to_owned()));
    assert_eq!(place.keep(&["keys", "audit", "--limit", "1"]).ok().lines().len(), 1);
    let number = entries[1]["number"].to_string();
    assert_eq!(place.keep(&["keys", "audit", "--before", &number]).ok().lines().len(), 2);
}

#[test]
fn a_reader_that_goes_away_is_no_panic() {
    let place = Place::sqlite();
    let lines = (0..3_000).map(|n| format!("{{\"key\":\"a-key-of-another-system-{n:05}\",\"owner\":\"o\"}}\n"));
    place.keep_with(&lines.collect::<String>(), &["keys", "import", "--format", "plain"]).ok();

    let mut child = place.command(&["keys", "list"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = String::new();
    BufReader::with_capacity(64, child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    let mut err = String::new();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();

    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(err.is_empty(), "{err}");
}
