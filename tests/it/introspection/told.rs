//! What the log and the metrics are told of questions about tokens.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::task::JoinSet;
use tower_keep::{ClientAuth, Introspection};

use super::{ENDPOINT, Reply, Server, TOKEN, good, good_with, outcome};
use crate::log::{Log, logged};
use crate::metrics::counted_while;
use crate::tokens::mint::{AUDIENCE, ISSUER};

fn told(log: &Log) -> Vec<String> {
    let mut lines = log.lines();
    lines.retain(|line| line.contains("introspected"));
    lines
}

#[tokio::test]
async fn each_question_is_an_event_and_a_token_that_is_remembered_is_none() {
    let introspected = |active| format!("DEBUG tower_keep message=introspected from={ENDPOINT:?} active={active}");
    let failed =
        |error| format!("WARN tower_keep message=not_introspected from={ENDPOINT:?} suppressed=0 error={error}");
    let cases = [
        (Reply::ok(&good()), introspected("true")),
        // What the server says, whether or not that is enough here.
        (Reply::ok(&good_with(json!({ "aud": "x" }))), introspected("true")),
        (Reply::ok(&json!({ "active": false })), introspected("false")),
        (Reply::ok(&json!({ "active": "true" })), introspected("false")),
        (Reply::status(502), failed("status 502")),
        (Reply::status(401), failed("status 401")),
        (Reply::Broken, failed("the server could not be reached: connection refused")),
    ];
    for (reply, expected) in cases {
        let tokens = Server::new(reply).asker().build().unwrap();
        let log = logged();

        outcome(&tokens, TOKEN).await;

        assert_eq!(told(&log), [expected.as_str()]);
        outcome(&tokens, TOKEN).await;
        let again = told(&log);
        assert!(again.is_empty() || expected.contains("not_introspected"), "{again:?}");
    }
}

#[tokio::test]
async fn it_is_told_where_was_asked_and_no_more() {
    let server = Server::new(Reply::Broken);
    let cases =
        [(Introspection::discover(ISSUER), ISSUER), (Introspection::at(format!("{ENDPOINT}?code=s3cr3t")), ENDPOINT)];
    for (asker, from) in cases {
        let asker = asker.client(server.client()).client_auth(ClientAuth::none("orders")).audience(AUDIENCE);
        let tokens = asker.build().unwrap();
        let log = logged();

        outcome(&tokens, TOKEN).await;

        let lines = told(&log);
        assert!(lines.len() == 1 && lines[0].contains(&format!(" from={from:?} ")), "{lines:?}");
    }
}

#[tokio::test]
async fn a_flood_of_questions_that_fail_is_logged_as_a_trickle() {
    let tokens = Server::new(Reply::status(500)).taking(Duration::from_millis(100)).asker().build().unwrap();
    let log = logged();
    let start = Instant::now();
    let mut callers = JoinSet::new();
    for number in 0..200 {
        let tokens = tokens.clone();
        callers.spawn(async move { outcome(&tokens, &format!("t{number}")).await });
    }

    callers.join_all().await;

    let windows = start.elapsed().as_secs() as usize + 2;
    let lines = told(&log).len();
    assert!((10..=10 * windows).contains(&lines), "{lines} lines in {windows} windows");
}

#[test]
fn questions_are_counted_by_what_came_of_them() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let work = async {
        let server = Server::content();
        let tokens = server.asker().build().unwrap();
        for token in ["a", "a", "b"] {
            assert_eq!(outcome(&tokens, token).await, "ok");
        }
        server.reply_with(Reply::ok(&json!({ "active": false })));
        assert_eq!(outcome(&tokens, "c").await, "token_inactive");
        server.reply_with(Reply::Broken);
        for token in ["d", "d", "e"] {
            // The server is left alone after the first time.
            assert_eq!(outcome(&tokens, token).await, "introspection_unavailable");
        }
    };

    let counts = counted_while(|| runtime.block_on(work));

    let expected = [("active", 2), ("failed", 1), ("inactive", 1)].map(|(outcome, count)| {
        (format!("tower_keep_introspections_total{{from={ENDPOINT},outcome={outcome}}}"), count)
    });
    assert_eq!(counts, expected.into());
}
