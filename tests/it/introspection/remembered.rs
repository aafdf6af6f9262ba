//! What is remembered of answers, and for how long.

use std::time::{Duration, SystemTime};

use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::advance;
use tower_keep::{Denial, MemoryDenyList, PresentedToken, TokenVerifier};

use super::{Reply, Server, TOKEN, good, good_with, outcome, verdict};
use crate::support::{START, TestClock};

const INACTIVE: &str = "token_inactive";

fn inactive() -> Reply {
    Reply::ok(&json!({ "active": false }))
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[tokio::test(start_paused = true)]
async fn a_good_token_is_asked_about_once_a_minute() {
    let server = Server::content();
    let tokens = server.asker().build().unwrap();
    assert_eq!(outcome(&tokens, TOKEN).await, "ok");
    server.reply_with(inactive());

    advance(seconds(60) - Duration::from_millis(1)).await;
    assert_eq!(outcome(&tokens, TOKEN).await, "ok");
    assert_eq!(server.asked(), 1);

    advance(Duration::from_millis(1)).await;
    assert_eq!(outcome(&tokens, TOKEN).await, INACTIVE);
    assert_eq!(server.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_time_can_be_shortened_to_none() {
    let server = Server::content();
    let short = server.asker().positive_ttl(seconds(10)).build().unwrap();
    for _ in 0..2 {
        assert_eq!(outcome(&short, TOKEN).await, "ok");
        advance(seconds(10)).await;
    }
    assert_eq!(server.asked(), 2);

    for none in [server.asker().remember_none(), server.asker().positive_ttl(Duration::ZERO)] {
        let (none, before) = (none.build().unwrap(), server.asked());
        for _ in 0..3 {
            assert_eq!(outcome(&none, TOKEN).await, "ok");
        }
        assert_eq!(server.asked(), before + 3);
    }
}

#[tokio::test(start_paused = true)]
async fn no_token_is_remembered_beyond_its_end() {
    let clock = TestClock::new();
    let server = Server::new(Reply::ok(&good_with(json!({ "exp": START + 10 }))));
    let tokens = server.asker().clock(clock.clone()).build().unwrap();
    assert_eq!(outcome(&tokens, TOKEN).await, "ok");

    clock.advance(9);
    assert_eq!(outcome(&tokens, TOKEN).await, "ok");
    assert_eq!(server.asked(), 1);
    // Within the leeway it is the server that knows.
    clock.advance(1);
    assert_eq!(outcome(&tokens, TOKEN).await, "ok");
    assert_eq!(server.asked(), 2);
    clock.advance(30);
    assert_eq!(outcome(&tokens, TOKEN).await, "token_expired");
}

#[tokio::test(start_paused = true)]
async fn what_changes_is_asked_each_time() {
    let (clock, denied) = (TestClock::new(), MemoryDenyList::new());
    let server = Server::new(Reply::ok(&good_with(json!({ "nbf": START, "iat": START }))));
    let open = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    let tokens = {
        let open = std::sync::Arc::clone(&open);
        let asker = server.asker().clock(clock.clone()).deny_list(denied.clone()).leeway(Duration::ZERO);
        asker.predicate(move |()| open.load(std::sync::atomic::Ordering::SeqCst)).build().unwrap()
    };
    assert_eq!(outcome(&tokens, TOKEN).await, "ok");

    open.store(false, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(outcome(&tokens, TOKEN).await, "token_predicate");
    open.store(true, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(outcome(&tokens, TOKEN).await, "ok");
    let denial = Denial::subject("alice").until(SystemTime::now() + seconds(1 << 30));
    denied.deny(denial.clone());
    assert_eq!(outcome(&tokens, TOKEN).await, "token_denied");
    denied.allow(&denial);
    assert_eq!(outcome(&tokens, TOKEN).await, "ok");
    assert_eq!(server.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_not_good_is_remembered_for_five_seconds() {
    let server = Server::new(inactive());
    let tokens = server.asker().build().unwrap();
    assert_eq!(outcome(&tokens, TOKEN).await, INACTIVE);
    server.reply_with(Reply::ok(&good()));

    advance(seconds(5) - Duration::from_millis(1)).await;
    assert_eq!(outcome(&tokens, TOKEN).await, INACTIVE);
    advance(Duration::from_millis(1)).await;
    assert_eq!(outcome(&tokens, TOKEN).await, "ok");
    assert_eq!(server.asked(), 2);

    let server = Server::new(inactive());
    let never = server.asker().negative_ttl(Duration::ZERO).build().unwrap();
    for _ in 0..3 {
        assert_eq!(outcome(&never, TOKEN).await, INACTIVE);
    }
    assert_eq!(server.asked(), 3);
}

#[tokio::test(start_paused = true)]
async fn who_guesses_tokens_has_no_good_one_forgotten() {
    let server = Server::content();
    let tokens = server.asker().remember(8).build().unwrap();
    assert_eq!(outcome(&tokens, TOKEN).await, "ok");
    server.reply_with(inactive());

    for guess in 0..5_000 {
        assert_eq!(outcome(&tokens, &format!("guess-{guess}")).await, INACTIVE);
    }

    assert_eq!(outcome(&tokens, TOKEN).await, "ok");
    assert_eq!(server.asked(), 5_001);
}

#[tokio::test(start_paused = true)]
async fn one_token_is_never_taken_for_another() {
    let server = Server::content();
    let tokens = server.asker().build().unwrap();
    let tail = "a".repeat(64);
    assert_eq!(outcome(&tokens, &format!("x{tail}")).await, "ok");
    server.reply_with(inactive());

    for other in [format!("y{tail}"), tail.clone(), format!("x{tail}a"), format!("xx{tail}"), format!("X{tail}")] {
        assert_eq!(outcome(&tokens, &other).await, INACTIVE, "{other}");
    }
    // Short ones are remembered as well as long ones.
    for _ in 0..2 {
        assert_eq!(outcome(&tokens, "b").await, INACTIVE);
    }
    assert_eq!(server.asked(), 7);
}

#[tokio::test(start_paused = true)]
async fn a_thousand_requests_with_one_token_are_one_question() {
    for reply in [Reply::ok(&good()), inactive(), Reply::Broken, Reply::Silence, Reply::status(500)] {
        let server = Server::new(reply).taking(seconds(1));
        let tokens = server.asker().remember_none().negative_ttl(Duration::ZERO).build().unwrap();
        let mut callers = JoinSet::new();
        for _ in 0..1_000 {
            let tokens = tokens.clone();
            callers.spawn(async move { outcome(&tokens, TOKEN).await });
        }

        let outcomes = callers.join_all().await;

        assert_eq!(outcomes.len(), 1_000);
        assert!(outcomes.iter().all(|outcome| *outcome == outcomes[0]), "{outcomes:?}");
        assert_eq!(server.asked(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_thousand_tokens_at_once_are_as_many_questions_as_a_server_can_bear() {
    let server = Server::content().taking(seconds(1));
    let tokens = server.asker().build().unwrap();
    let mut callers = JoinSet::new();
    for number in 0..1_000 {
        let tokens = tokens.clone();
        callers.spawn(async move { outcome(&tokens, &format!("t{number}")).await });
    }

    let outcomes = callers.join_all().await;

    assert_eq!(outcomes.iter().filter(|outcome| **outcome == "ok").count(), 256);
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == "introspection_busy").count(), 744);
    assert_eq!(server.asked(), 256);
    // That they were refused is not remembered.
    assert_eq!(outcome(&tokens, "t999").await, "ok");
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_goes_away_ends_nothing() {
    let server = Server::content().taking(seconds(1));
    let tokens = server.asker().build().unwrap();
    let gone = tokio::spawn({
        let tokens = tokens.clone();
        async move { verdict(&tokens, TOKEN).await.map(drop) }
    });
    tokio::task::yield_now().await;
    let stays = tokio::spawn({
        let tokens = tokens.clone();
        async move { outcome(&tokens, TOKEN).await }
    });
    advance(Duration::from_millis(500)).await;

    gone.abort();

    assert!(gone.await.unwrap_err().is_cancelled());
    assert_eq!(stays.await.unwrap(), "ok");
    assert_eq!(outcome(&tokens, TOKEN).await, "ok");
    assert_eq!(server.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_kept_though_nobody_waits_for_it() {
    let server = Server::content().taking(seconds(1));
    let tokens = server.asker().build().unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(10), verdict(&tokens, TOKEN)).await.is_err());

    advance(seconds(2)).await;

    assert_eq!(outcome(&tokens, TOKEN).await, "ok");
    assert_eq!(server.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_remembered_is_told_without_a_question() {
    let server = Server::content();
    let (clock, denied) = (TestClock::new(), MemoryDenyList::new());
    let tokens = server.asker().clock(clock.clone()).deny_list(denied.clone()).build().unwrap();
    let token = PresentedToken::from_text(TOKEN).unwrap();
    assert!(tokens.remembered(&token).is_none());
    assert_eq!(server.asked(), 0);

    assert_eq!(outcome(&tokens, TOKEN).await, "ok");
    assert_eq!(tokens.remembered(&token).unwrap().subject(), "alice");
    denied.deny(Denial::token("t1"));
    assert!(tokens.remembered(&token).is_none());
    assert_eq!(server.asked(), 1);
}
