//! What `keep` says of itself, and what it does with arguments that make no sense.

use std::time::{Duration, Instant};

use crate::support::{Place, keep, run};

#[test]
fn no_option_takes_a_secret() {
    for command in
        ["keys create", "keys verify", "keys leaked", "keys import", "token inspect", "token verify", "pepper new"]
    {
        let args: Vec<_> = command.split(' ').chain(["--help"]).collect();
        let help = run(&mut keep(&args), "").ok().out;

        for secret in ["--key ", "--token ", "--secret ", "--pepper ", "--password", "<KEY>", "<TOKEN>", "[MISPLACED]"]
        {
            assert!(!help.contains(secret), "{command}: {secret}");
        }
    }
}

#[test]
fn a_key_or_token_in_an_argument_is_refused_and_not_repeated() {
    let place = Place::sqlite();
    let (key, _) = place.created(&[]);
    let commands = [&["keys", "verify", &key][..], &["keys", "leaked", &key], &["token", "inspect", &key]];

    for args in commands.into_iter().chain([&["keys", "show", &key][..], &["keys", "revoke", "--yes", &key]]) {
        let done = place.keep(args).is(2);

        assert!(!done.err.contains(&key) && !done.out.contains(&key), "{done:?}");
    }
    place.keep_with(&key, &["keys", "verify"]).ok();
}

#[test]
fn help_tells_the_exit_codes() {
    let help = run(&mut keep(&["--help"]), "").ok().out;

    for line in ["  0    ", "  1    ", "  2    ", "  3    ", "  4    ", "  130  "] {
        assert!(help.contains(line), "{line}");
    }
}

#[test]
fn every_shell_has_completions() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = run(&mut keep(&["completions", shell]), "").ok().out;

        assert!(script.contains("keep") && script.contains("leaked"), "{shell}");
    }
}

#[test]
fn a_pattern_is_that_of_the_prefix() {
    let done = run(&mut keep(&["--prefix", "acme_live", "pattern"]), "").ok();

    assert_eq!(done.out, format!("{}\n", tower_keep::KeyFormat::new("acme_live").unwrap().pattern()));
    run(&mut keep(&["--prefix", "acme live", "pattern"]), "").is(4);
}

#[test]
fn a_fresh_pepper_is_a_line_for_a_file_of_peppers() {
    let place = Place::sqlite();
    let line = run(&mut keep(&["pepper", "new", "--id", "2027"]), "").ok().out;
    let file = place.write("peppers", &format!("{line}{}\n", crate::support::PEPPER));

    let json = place.keep(&["keys", "create", "--owner", "billing", "--pepper-file", &file]).ok().json();

    assert_eq!(json["digest"], "hmac-sha256/2027");
}

#[test]
fn a_store_has_to_be_named_and_to_be_one() {
    run(&mut keep(&["keys", "list"]), "").is(4).says("KEEP_STORE");
    run(&mut keep(&["keys", "list", "--store", "garbage"]), "").is(4);
    run(&mut keep(&["keys", "list", "--store", "mysql://localhost/keys"]), "").is(4).says("mysql://localhost");
    run(&mut keep(&["keys", "list", "--store", "sqlite:/no/such/folder/keys.db"]), "").is(4);
    run(&mut keep(&["keys"]), "").is(2);
    run(&mut keep(&["keys", "create"]), "").is(2);
    run(&mut keep(&["keys", "create", "--owner", "a", "--expires", "soon"]), "").is(2);
}

#[test]
fn a_name_with_a_mistake_in_it_does_not_become_an_empty_store() {
    let place = Place::sqlite();

    place.keep(&["keys", "list"]).is(4).says("keys.db");

    assert!(!place.folder.path().join("keys.db").exists());
}

#[test]
fn a_store_out_of_reach_is_told_in_time_and_its_password_is_not() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    // Somebody who listens and never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addresses = [closed, silent.local_addr().unwrap()];
    let urls = addresses.into_iter().flat_map(|address| {
        ["postgres://user:hunter2@", "redis://:hunter2@"].map(|start| format!("{start}{address}/0"))
    });
    for url in urls {
        let started = Instant::now();

        let done = run(keep(&["keys", "list", "--timeout", "3s"]).env("KEEP_STORE", &url), "").is(3);

        assert!(started.elapsed() < Duration::from_secs(8), "{url}");
        assert!(!done.err.contains("hunter2"), "{done:?}");
    }
}

#[test]
fn a_password_in_an_argument_is_warned_of_and_one_in_a_file_is_not() {
    let url = "mysql://user:hunter2@localhost/keys";
    let place = Place::sqlite();
    let file = place.write("url", &format!("{url}\n"));

    let argument = run(&mut keep(&["keys", "list", "--store", url]), "").is(4).says("--store-file");
    let file = run(&mut keep(&["keys", "list", "--store-file", &file]), "").is(4);

    assert!(!file.err.contains("--store-file"), "{file:?}");
    assert!(!argument.err.contains("hunter2") && !file.err.contains("hunter2"));
}

#[test]
fn peppers_that_cannot_be_read_stop_everything() {
    let place = Place::sqlite();
    let wrong = place.write("peppers", "2026:c0ffee\n");

    place.keep(&["keys", "create", "--owner", "a", "--pepper-file", &wrong]).is(4).says("too short");
    place.keep(&["keys", "create", "--owner", "a", "--pepper-file", "/nowhere"]).is(4).says("/nowhere");
    let without = run(keep(&["keys", "create", "--owner", "a"]).env("KEEP_STORE", &place.store), "").ok();
    assert!(without.err.contains("no pepper is configured"), "{without:?}");
}
