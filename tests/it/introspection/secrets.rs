//! No token and no secret of this service in anything that is printed, answered or logged.

use std::error::Error;
use std::fmt::Debug;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::StatusCode;
use serde_json::json;
use tower_keep::{Bearer, BearerLayer, ClientAuth, Rejection};

use super::{Reply, SECRET, Server, TOKEN, good_with, verdict};
use crate::log::logged;
use crate::support::{as_grpc, get, send, with};

fn chain(rejection: &Rejection) -> String {
    let mut text = format!("{rejection:?} {rejection}");
    let mut source = rejection.source();
    while let Some(error) = source {
        text += &format!(" {error:?} {error}");
        source = error.source();
    }
    text
}

/// All ways in which a secret of the tests may be written.
fn secrets() -> [String; 4] {
    let basic = BASE64_STANDARD.encode(format!("orders:{SECRET}"));
    [TOKEN.to_owned(), SECRET.to_owned(), basic, "alice-the-subject".to_owned()]
}

fn assert_clean(text: &str) {
    for secret in secrets() {
        assert!(!text.contains(&secret), "{secret} in {text}");
    }
}

/// Replies that are refused, each in a way of its own. What they say of a person is for nobody's log.
fn replies() -> Vec<Reply> {
    let echo = |text: &str| Reply::Answer(StatusCode::OK, text.replace("TOKEN", TOKEN));
    let about = json!({ "sub": "alice-the-subject", "token": TOKEN });
    let mut wrong = about.clone();
    wrong["exp"] = json!("alice-the-subject");
    vec![
        Reply::ok(&json!({ "active": false, "token": TOKEN, "sub": "alice-the-subject" })),
        Reply::ok(&good_with(about.clone()).as_object().map(|it| json!([it])).unwrap()),
        Reply::ok(&good_with(wrong)),
        Reply::ok(&good_with(json!({ "aud": TOKEN, "sub": "alice-the-subject" }))),
        echo("TOKEN"),
        echo("{\"TOKEN\":"),
        echo("{\"active\":\"TOKEN\"}"),
        Reply::Answer(StatusCode::BAD_REQUEST, json!({ "error": TOKEN }).to_string()),
        Reply::Answer(StatusCode::UNAUTHORIZED, TOKEN.to_owned()),
        Reply::status(500),
        Reply::Broken,
    ]
}

#[tokio::test]
async fn no_answer_and_no_log_line_holds_a_token_or_a_secret() {
    for reply in replies() {
        for auth in [ClientAuth::basic("orders", SECRET.to_owned()), ClientAuth::post("orders", SECRET.to_owned())] {
            let tokens = Server::new(reply.clone()).asker().client_auth(auth).build().unwrap();
            let layer = BearerLayer::new(tokens.clone());
            let request = || with(get("/"), "authorization", &format!("Bearer {TOKEN}"));
            let log = logged();

            let rejection = verdict(&tokens, TOKEN).await.unwrap_err();
            let (plain, seen) = send(layer.clone(), request()).await;
            let (grpc, _) = send(layer, as_grpc(request())).await;

            assert!(seen.is_empty());
            assert_clean(&chain(&rejection));
            assert_clean(&format!("{:?} {}", plain.headers(), plain.body()));
            assert_clean(&format!("{:?} {}", grpc.headers(), grpc.body()));
            let lines = log.lines();
            assert!(!lines.is_empty());
            assert_clean(&lines.join("\n"));
        }
    }
}

#[tokio::test]
async fn the_log_says_whose_fault_it_is() {
    let cases = [
        (Reply::ok(&json!({ "active": false })), "INFO", "reason=\"token_inactive\""),
        (
            Reply::status(401),
            "ERROR",
            "reason=\"introspection_unauthorized\" status=500 report_only=false suppressed=0 error=status 401",
        ),
        (
            Reply::status(502),
            "ERROR",
            "reason=\"introspection_unavailable\" status=503 report_only=false suppressed=0 error=status 502",
        ),
        (Reply::Broken, "ERROR", "error=the server could not be reached: connection refused"),
        (
            Reply::ok(&good_with(json!({ "exp": "soon" }))),
            "ERROR",
            "error=the answer makes no sense: it cannot be read (token_claim_type)",
        ),
    ];
    for (reply, level, expected) in cases {
        let layer = BearerLayer::new(Server::new(reply).asker().build().unwrap());
        let log = logged();

        send(layer, with(get("/"), "authorization", &format!("Bearer {TOKEN}"))).await;

        let lines = log.lines();
        let line = lines.iter().find(|line| line.contains("message=refused")).unwrap();
        assert!(line.starts_with(level) && line.contains(expected), "{line}");
    }
}

#[tokio::test]
async fn no_type_prints_a_token_or_a_secret() {
    let auth = ClientAuth::basic("orders", SECRET.to_owned());
    let server = Server::content();
    let asker = server.asker().client_auth(auth.clone());
    let tokens = server.asker().build().unwrap();
    verdict(&tokens, TOKEN).await.unwrap();
    let (question, _) = server.last_question();

    let post = ClientAuth::post("orders", SECRET.to_owned());
    let layer = BearerLayer::over(Bearer::new(tokens.clone()));
    let printed: [&dyn Debug; 6] = [&auth, &post, &asker, &tokens, &layer, &question];
    for value in printed {
        assert_clean(&format!("{value:?} {value:#?}"));
    }
    assert_eq!(format!("{post:?}"), "ClientAuth { id: \"orders\", method: \"post\", .. }");
}
