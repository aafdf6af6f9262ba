//! What people see, at a terminal that `script` makes.

use std::process::{Command, Stdio};

use crate::support::{Done, Place, run};

/// Runs `keep` at a terminal, where somebody types.
fn at_terminal(place: &Place, args: &[&str], typed: &str) -> Option<Done> {
    let there =
        Command::new("script").arg("--version").stdout(Stdio::null()).status().is_ok_and(|status| status.success());
    if !there {
        println!("there is no `script` here");
        return None;
    }
    let line = [env!("CARGO_BIN_EXE_keep")].into_iter().chain(args.iter().copied()).collect::<Vec<_>>().join(" ");
    let mut command = Command::new("script");
    command.args(["--quiet", "--return", "--command", &line, "/dev/null"]).env("TERM", "xterm");
    command.env("KEEP_STORE", &place.store).env("KEEP_PEPPER", crate::support::PEPPER);
    Some(run(&mut command, typed))
}

#[test]
fn people_see_tables() {
    let place = Place::sqlite();
    place.created(&[]);

    let Some(done) = at_terminal(&place, &["keys", "list"], "") else { return };

    assert!(done.ok().out.starts_with("ID "));
}

#[test]
fn people_are_asked_before_a_key_is_revoked() {
    let place = Place::sqlite();
    let (key, id) = place.created(&[]);

    let Some(no) = at_terminal(&place, &["keys", "revoke", &id], "no\n") else { return };
    let no = no.is(4);
    assert!(no.out.contains(&format!("Revoke {id} for good?")), "{no:?}");
    place.keep_with(&key, &["keys", "verify"]).ok();

    at_terminal(&place, &["keys", "revoke", &id], "yes\n").unwrap().ok();
    place.keep_with(&key, &["keys", "verify"]).is(1);
}

#[test]
fn a_key_that_is_typed_is_not_shown() {
    let place = Place::sqlite();
    let (key, _) = place.created(&[]);

    let Some(done) = at_terminal(&place, &["keys", "verify"], &format!("{key}\n")) else { return };

    let done = done.ok();
    assert!(done.out.contains("key: ") && done.out.contains("good"), "{done:?}");
}
