//! What happens while the server is out of reach.

use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, advance};
use tower_keep::{Cause, Introspection};

use super::{Reply, Server, TOKEN, good, good_with, outcome, verdict};

const UNAVAILABLE: &str = "introspection_unavailable";

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Asks about tokens that nobody has asked about until the server is left alone, and returns how long that lasts.
async fn left_alone_for(tokens: &Introspection, server: &Server) -> Duration {
    let before = server.asked();
    let start = Instant::now();
    loop {
        assert_eq!(outcome(tokens, &format!("t{before}-{}", start.elapsed().as_millis())).await, UNAVAILABLE);
        if server.asked() > before {
            return Instant::now() - start;
        }
        advance(Duration::from_millis(10)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_cannot_be_reached_is_left_alone_for_longer_and_longer() {
    let server = Server::new(Reply::Broken);
    let tokens = server.asker().build().unwrap();
    assert_eq!(outcome(&tokens, TOKEN).await, UNAVAILABLE);

    for most in [1, 2, 4, 8, 16, 32, 60, 60, 60].map(seconds) {
        let rejection = verdict(&tokens, "another").await.unwrap_err();
        let promised = rejection.retry_after().unwrap();

        let waited = left_alone_for(&tokens, &server).await;

        assert!(waited <= most + Duration::from_millis(10) && waited >= most / 2, "{waited:?} of {most:?}");
        assert!(promised <= waited && waited <= promised + Duration::from_millis(10), "{promised:?}, {waited:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_comes_back_is_asked_by_one_and_then_by_all() {
    let server = Server::new(Reply::Broken).taking(Duration::from_millis(100));
    let tokens = server.asker().build().unwrap();
    assert_eq!(outcome(&tokens, TOKEN).await, UNAVAILABLE);
    server.reply_with(Reply::ok(&good()));
    advance(seconds(1)).await;

    let (first, second) = tokio::join!(outcome(&tokens, "a"), outcome(&tokens, "b"));

    assert_eq!((first, second), ("ok", UNAVAILABLE));
    assert_eq!(server.asked(), 2);
    assert_eq!(outcome(&tokens, "b").await, "ok");
    // The next failure is the first one again.
    server.reply_with(Reply::Broken);
    assert_eq!(outcome(&tokens, "c").await, UNAVAILABLE);
    assert!(verdict(&tokens, "d").await.unwrap_err().retry_after().unwrap() <= seconds(1));
}

#[tokio::test(start_paused = true)]
async fn many_questions_that_fail_at_once_are_one_failure() {
    let server = Server::new(Reply::Broken).taking(Duration::from_millis(100));
    let tokens = server.asker().build().unwrap();
    let mut callers = tokio::task::JoinSet::new();
    for number in 0..100 {
        let tokens = tokens.clone();
        callers.spawn(async move { verdict(&tokens, &format!("t{number}")).await.unwrap_err().retry_after().unwrap() });
    }

    let waits = callers.join_all().await;

    assert_eq!(server.asked(), 100);
    assert!(waits.iter().all(|wait| *wait <= seconds(1)), "{waits:?}");
    advance(seconds(1)).await;
    server.reply_with(Reply::ok(&good()));
    assert_eq!(outcome(&tokens, TOKEN).await, "ok");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_silent_costs_three_tokens_five_seconds() {
    let server = Server::new(Reply::Silence);
    let tokens = server.asker().build().unwrap();
    let start = Instant::now();

    let (first, second, third) = tokio::join!(verdict(&tokens, "a"), verdict(&tokens, "b"), verdict(&tokens, "c"));

    for rejection in [first, second, third].map(Result::unwrap_err) {
        assert_eq!(rejection.cause(), Cause::Unavailable);
    }
    assert_eq!(Instant::now() - start, seconds(5));
    assert_eq!(outcome(&tokens, "another").await, UNAVAILABLE);
    assert_eq!(Instant::now() - start, seconds(5));
    assert_eq!(server.asked(), 3);
}

#[tokio::test(start_paused = true)]
async fn remembered_tokens_serve_while_the_server_is_down() {
    let server = Server::content();
    let tokens = server.asker().build().unwrap();
    assert_eq!(outcome(&tokens, TOKEN).await, "ok");
    server.reply_with(Reply::Broken);

    for second in 0..60 {
        assert_eq!(outcome(&tokens, TOKEN).await, "ok", "{second}");
        assert_eq!(outcome(&tokens, "another").await, UNAVAILABLE, "{second}");
        advance(seconds(1)).await;
    }

    assert_eq!(outcome(&tokens, TOKEN).await, UNAVAILABLE);
    assert!(server.asked() < 10, "{}", server.asked());
}

/// What a server may come up with for the sake of one token.
fn chokings() -> [Reply; 7] {
    let page = |length| Reply::Answer(http::StatusCode::OK, "<".repeat(length));
    [
        Reply::status(500),
        Reply::status(401),
        Reply::Silence,
        Reply::Reset,
        page(10),
        page(300 << 10),
        Reply::ok(&good_with(json!({ "token_type": ["DPoP"] }))),
    ]
}

#[tokio::test(start_paused = true)]
async fn one_token_that_the_server_chokes_on_is_nobody_elses_outage() {
    for reply in chokings() {
        let server = Server::content();
        let tokens = server.asker().build().unwrap();
        for _ in 0..10 {
            server.reply_with(reply.clone());
            assert_ne!(outcome(&tokens, "poison").await, "ok");
            advance(seconds(1)).await;
        }
        assert_eq!(server.asked(), 10);
        server.reply_with(Reply::ok(&good()));

        assert_eq!(outcome(&tokens, TOKEN).await, "ok");
    }
}

#[tokio::test(start_paused = true)]
async fn answers_that_make_no_sense_are_nobodys_outage_however_many_tokens_meet_them() {
    let server = Server::new(Reply::Answer(http::StatusCode::OK, "<html>".to_owned()));
    let tokens = server.asker().build().unwrap();
    for number in 0..10 {
        assert_eq!(outcome(&tokens, &format!("t{number}")).await, UNAVAILABLE);
    }
    server.reply_with(Reply::ok(&good()));

    assert_eq!(outcome(&tokens, TOKEN).await, "ok");
}

#[tokio::test(start_paused = true)]
async fn errors_that_three_tokens_meet_in_a_row_are_an_outage() {
    for (status, reason) in [(500, UNAVAILABLE), (401, "introspection_unauthorized")] {
        let server = Server::new(Reply::status(status));
        let tokens = server.asker().build().unwrap();

        for number in 0..10 {
            assert_eq!(outcome(&tokens, &format!("t{number}")).await, reason);
        }

        assert_eq!(server.asked(), 3);
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_held_against_its_token_for_a_second() {
    let server = Server::new(Reply::status(503));
    let tokens = server.asker().build().unwrap();
    assert_eq!(outcome(&tokens, TOKEN).await, UNAVAILABLE);
    server.reply_with(Reply::ok(&good()));
    assert_eq!(outcome(&tokens, TOKEN).await, UNAVAILABLE);
    assert_eq!(server.asked(), 1);

    advance(seconds(1)).await;

    assert_eq!(outcome(&tokens, TOKEN).await, "ok");
}

#[tokio::test(start_paused = true)]
async fn the_token_that_failed_makes_way_for_the_next_one() {
    let server = Server::new(Reply::Broken);
    let tokens = server.asker().build().unwrap();
    assert_eq!(outcome(&tokens, "poison").await, UNAVAILABLE);
    advance(seconds(1)).await;

    assert_eq!(outcome(&tokens, "poison").await, UNAVAILABLE);
    assert_eq!(server.asked(), 1);
    server.reply_with(Reply::ok(&good()));

    assert_eq!(outcome(&tokens, TOKEN).await, "ok");
}

#[tokio::test(start_paused = true)]
async fn odd_tokens_keep_no_server_from_coming_back() {
    let server = Server::new(Reply::Broken);
    let tokens = server.asker().build().unwrap();
    assert_eq!(outcome(&tokens, "first").await, UNAVAILABLE);
    advance(seconds(1)).await;

    // The one question that goes out is about a token of which the server has nothing sensible to say.
    server.reply_with(Reply::Answer(http::StatusCode::OK, "<html>".to_owned()));
    assert_eq!(outcome(&tokens, "odd").await, UNAVAILABLE);
    assert_eq!(server.asked(), 2);
    server.reply_with(Reply::ok(&good()));

    assert_eq!(outcome(&tokens, TOKEN).await, "ok");
}

#[tokio::test(start_paused = true)]
async fn of_many_tokens_that_failed_the_last_one_makes_way_as_well() {
    let server = Server::new(Reply::Broken).taking(Duration::from_millis(1));
    let tokens = server.asker().build().unwrap();
    let names = (0..20).map(|number| format!("t{number}")).collect::<Vec<_>>();
    let mut callers = tokio::task::JoinSet::new();
    for name in names {
        let tokens = tokens.clone();
        callers.spawn(async move { outcome(&tokens, &name).await });
    }
    callers.join_all().await;
    advance(seconds(1)).await;
    let asked = server.asked();
    let wait = verdict(&tokens, "poison").await.unwrap_err().retry_after().unwrap();
    assert_eq!(server.asked(), asked + 1);

    // It is held against the token that failed last, whoever failed before.
    advance(wait).await;
    assert_eq!(outcome(&tokens, "poison").await, UNAVAILABLE);
    assert_eq!(server.asked(), asked + 1);
    server.reply_with(Reply::ok(&good()));
    assert_eq!(outcome(&tokens, TOKEN).await, "ok");
}

#[tokio::test(start_paused = true)]
async fn a_trial_of_which_nothing_comes_is_not_the_last() {
    let server = Server::new(Reply::Broken);
    let tokens = server.asker().build().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let asked = server.clone();
    let abandoned = tokens.clone();
    // A runtime that ends with the question under way.
    std::thread::spawn(move || {
        runtime.block_on(async {
            assert_eq!(outcome(&abandoned, TOKEN).await, UNAVAILABLE);
            advance(seconds(1)).await;
            asked.reply_with(Reply::Silence);
            let waiting = tokio::time::timeout(Duration::from_millis(1), verdict(&abandoned, "another"));
            assert!(waiting.await.is_err());
            assert_eq!(asked.asked(), 2);
        });
    })
    .join()
    .unwrap();
    server.reply_with(Reply::ok(&good()));

    advance(seconds(10)).await;

    assert_eq!(outcome(&tokens, TOKEN).await, "ok");
}

#[test]
fn without_a_runtime_it_is_our_fault() {
    let tokens = Server::content().asker().build().unwrap();
    let token = tower_keep::PresentedToken::from_text(TOKEN).unwrap();

    let verdict = tower_keep::TokenVerifier::verify(&tokens, &token).now().unwrap();

    assert_eq!(verdict.unwrap_err().cause(), Cause::Unavailable);
}
