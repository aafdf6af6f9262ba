//! When a token is good: the times that it names, and the clock that they are held against.

use std::time::{Duration, UNIX_EPOCH};

use serde_json::json;
use tower_keep::Cause;

use super::mint::{claims, claims_with};
use super::tools::{Desk, OK, SetClock, TYPE, outcome, verdict, with_raw};
use crate::support::{START, at};

#[test]
fn a_time_is_a_number_and_nothing_else() {
    let desk = Desk::new();
    let jwt = desk.jwt(|it| it);
    let digits = format!("\"{}\"", START + 60);
    let list = format!("[{}]", START + 60);
    let object = format!("{{\"seconds\":{}}}", START + 60);
    let wrong = [
        "null",
        "true",
        "false",
        "{}",
        "[]",
        r#""""#,
        r#""soon""#,
        r#""99999999999""#,
        &digits,
        &list,
        &object,
        "1e400",
        "-1e400",
    ];
    for name in ["exp", "nbf", "iat"] {
        for value in wrong {
            assert_eq!(desk.judge(&jwt, &with_raw(name, Some(value))), TYPE, "{name} {value}");
        }
        // No JSON at all.
        for value in ["NaN", "Infinity", "+1", "0x7", "01", "1.", ".5", "1_000", "soon"] {
            let outcome = desk.judge(&jwt, &with_raw(name, Some(value)));
            assert!([TYPE, "token_claims"].contains(&outcome), "{name} {value}: {outcome}");
        }
    }
}

/// Numbers as texts, relative to the start.
fn start(offset: f64) -> String {
    // A fraction of a half is exact in a double of this size.
    format!("{:?}", START as f64 + offset)
}

#[test]
fn a_token_ends_at_its_exp_and_not_a_second_later() {
    const ENDED: &str = "token_expired";
    let desk = Desk::new();
    for (leeway, cases) in [
        (
            0,
            vec![
                (start(-1.0), ENDED),
                (start(-0.5), ENDED),
                (start(0.0), ENDED),
                (START.to_string(), ENDED),
                (start(0.5), OK),
                (start(1.0), OK),
                ((START + 1).to_string(), OK),
            ],
        ),
        (30, vec![(start(-31.0), ENDED), (start(-30.0), ENDED), (start(-29.5), OK), (start(-29.0), OK)]),
        (300, vec![(start(-300.0), ENDED), (start(-299.0), OK)]),
    ] {
        let jwt = desk.jwt(|it| it.leeway(Duration::from_secs(leeway)));
        let extremes = [
            ("0", ENDED),
            ("-0", ENDED),
            ("-1", ENDED),
            ("-1.5", ENDED),
            ("-1e300", ENDED),
            ("1e-300", ENDED),
            ("1e300", OK),
            ("1e12", OK),
            ("18446744073709551615", OK),
            ("18446744073709551616", OK),
            ("99999999999999999999999999999999", OK),
        ];
        let extremes = extremes.map(|(value, expected)| (value.to_owned(), expected));
        for (value, expected) in cases.into_iter().chain(extremes) {
            let text = with_raw("exp", Some(&value));
            assert_eq!(desk.judge(&jwt, &text), expected, "{value} with a leeway of {leeway}");
        }
        assert_eq!(desk.judge(&jwt, &with_raw("exp", None)), "token_claim_missing");
    }
}

#[test]
fn a_token_starts_at_its_nbf_and_was_not_made_in_the_future() {
    let desk = Desk::new();
    for (name, early) in [("nbf", "token_not_yet_valid"), ("iat", "token_from_future")] {
        for (leeway, cases) in [
            (0, vec![(start(-1.0), OK), (start(0.0), OK), (start(0.5), early), (start(1.0), early)]),
            (30, vec![(start(29.0), OK), (start(30.0), OK), (start(30.5), early), (start(31.0), early)]),
        ] {
            let jwt = desk.jwt(|it| it.leeway(Duration::from_secs(leeway)));
            let extremes = [
                ("0", OK),
                ("-1", OK),
                ("-1e300", OK),
                ("1e300", early),
                ("18446744073709551615", early),
                ("1e12", early),
            ];
            let extremes = extremes.map(|(value, expected)| (value.to_owned(), expected));
            for (value, expected) in cases.into_iter().chain(extremes) {
                let text = with_raw(name, Some(&value));
                assert_eq!(desk.judge(&jwt, &text), expected, "{name} {value} with a leeway of {leeway}");
            }
            assert_eq!(desk.judge(&jwt, &with_raw(name, None)), OK, "{name} may be missing");
        }
    }
}

#[test]
fn the_limits_are_exact_to_the_nanosecond() {
    let desk = Desk::new();
    let clock = SetClock::new();
    let jwt = desk.jwt(|it| it.clock(clock.clone()).leeway(Duration::ZERO));
    let token = desk.0.token(&claims_with(json!({ "nbf": START, "exp": START + 60 })));
    let nano = Duration::from_nanos(1);
    let cases = [
        (at(START) - nano, "token_not_yet_valid"),
        (at(START), OK),
        (at(START) + nano, OK),
        (at(START + 60) - nano, OK),
        (at(START + 60), "token_expired"),
        (at(START + 60) + nano, "token_expired"),
    ];
    for (now, expected) in cases {
        clock.set(now);
        assert_eq!(outcome(&jwt, &token), expected, "{now:?}");
    }
}

#[test]
fn a_token_may_be_too_old_whatever_its_exp() {
    let desk = Desk::new();
    for (leeway, cases) in [
        (0, [(59, OK), (60, OK), (61, "token_too_old"), (START, "token_too_old")]),
        (30, [(61, OK), (90, OK), (91, "token_too_old"), (START, "token_too_old")]),
    ] {
        let jwt = desk.jwt(|it| it.max_age(Duration::from_secs(60)).leeway(Duration::from_secs(leeway)));
        for (age, expected) in cases {
            let text = claims_with(json!({ "iat": START - age })).to_string();
            assert_eq!(desk.judge(&jwt, &text), expected, "{age} with a leeway of {leeway}");
        }
        assert_eq!(desk.judge(&jwt, &with_raw("iat", None)), "token_claim_missing");
        assert_eq!(desk.judge(&jwt, &with_raw("iat", Some(&start(60.0)))), "token_from_future");
    }
    let patient = desk.jwt(|it| it.max_age(Duration::MAX));
    assert_eq!(desk.judge(&patient, &with_raw("iat", Some("0"))), OK);
}

#[test]
fn a_clock_that_is_far_off_lets_nobody_in_and_breaks_nothing() {
    let desk = Desk::new();
    let clock = SetClock::new();
    let jwt = desk.jwt(|it| it.clock(clock.clone()));
    let token = desk.0.token(&claims());
    // Without `iat` nothing in the token says that it is from the future.
    let undated = desk.sign(&with_raw("iat", None));
    // Seen once, so that what is remembered is judged by the clock, too.
    assert_eq!([outcome(&jwt, &token), outcome(&jwt, &undated)], [OK, OK]);

    for before in [Duration::from_nanos(1), Duration::from_secs(1), Duration::from_secs(10_000_000_000)] {
        clock.set(UNIX_EPOCH - before);
        for token in [&token, &undated] {
            let rejection = verdict(&jwt, token).unwrap_err();
            assert_eq!((rejection.cause(), rejection.reason()), (Cause::Misconfigured, "clock_before_1970"));
        }
    }
    clock.set(UNIX_EPOCH);
    assert_eq!(outcome(&jwt, &token), "token_from_future");
    // The latest end that is kept is that of the year 9999.
    const END: u64 = 253_402_300_799;
    for after in [10_u64.pow(10), END, END + 30, 10_u64.pow(15), i64::MAX as u64] {
        clock.set(at(after));
        assert_eq!([outcome(&jwt, &token), outcome(&jwt, &undated)], ["token_expired"; 2], "{after}");
        let endless = desk.sign(&with_raw("exp", Some("1e300")));
        assert_eq!(outcome(&jwt, &endless), if after < END + 30 { OK } else { "token_expired" }, "{after}");
    }
}

#[test]
fn a_clock_that_jumps_back_and_forth_is_followed_each_time() {
    let desk = Desk::new();
    let clock = SetClock::new();
    let jwt = desk.jwt(|it| it.clock(clock.clone()));
    let token = desk.0.token(&claims());
    for _ in 0..3 {
        for (now, expected) in [
            (START, OK),
            (START - 3600, "token_from_future"),
            (START + 3600 + 29, OK),
            (START + 86_400, "token_expired"),
            (START - 30, OK),
            (START + 3600 + 30, "token_expired"),
        ] {
            clock.set(at(now));
            assert_eq!(outcome(&jwt, &token), expected, "{now}");
        }
    }
}
