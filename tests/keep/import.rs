//! Import and export.

use std::fs;

use serde_json::json;
use tower_keep::{DigestTag, KeyDigest, KeyHasher};

use crate::support::Place;

#[test]
fn what_was_exported_is_the_same_after_an_import() {
    let (one, two) = (Place::sqlite(), Place::sqlite());
    let (key, id) =
        one.created(&["--scope", "read", "--label", "a=b", "--rate", "5/1s", "--network", "::1", "--expires", "9d"]);
    one.created(&[]);
    one.keep(&["keys", "rotate", &id]).ok();
    let file = one.path("export.jsonl");

    one.keep(&["keys", "export", &file]).ok();
    let done = two.keep(&["keys", "import", &file]).ok().json();
    let again = two.keep(&["keys", "import", &file]).ok().json();

    assert_eq!((&done["stored"], &done["already_there"]), (&json!(2), &json!(0)));
    assert_eq!((&again["stored"], &again["already_there"]), (&json!(0), &json!(2)));
    assert_eq!(two.keep(&["keys", "export"]).ok().out, fs::read_to_string(&file).unwrap());
    assert!(!fs::read_to_string(&file).unwrap().contains(&key));
    two.keep_with(&key, &["keys", "verify"]).ok();
    two.keep(&["keys", "import", "--fail-on-existing", &file]).is(1).says("2 records");
}

#[cfg(unix)]
#[test]
fn an_export_is_readable_by_its_owner_alone_and_replaces_what_was_there() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::sqlite();
    place.created(&[]);
    let file = place.write("export.jsonl", "old\n");

    place.keep(&["keys", "export", &file]).ok();

    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_to_string(&file).unwrap().lines().count(), 1);
    assert!(
        !fs::read_dir(place.folder.path()).unwrap().any(|entry| entry
            .unwrap()
            .path()
            .extension()
            .is_some_and(|e| e == "part"))
    );
    place.keep(&["keys", "export", &place.path("no/such/folder")]).is(4);
}

#[test]
fn keys_of_other_systems_work_as_they_are() {
    let place = Place::sqlite();
    let plain = "their_key_0123456789abcdefghij";
    let known = "another_key_0123456789abcdefgh";
    let bare = KeyHasher::sha256().also_accepting_bare_sha256().unwrap();
    let digest: KeyDigest = bare.digest_as(DigestTag::SHA256_BARE, known).unwrap();
    let lines = format!("{}\n\n", json!({ "key": plain, "owner": "a", "scopes": ["read"], "expires_at": "90d" }));
    let digests = json!({ "sha256": digest.to_hex(), "owner": "b", "labels": { "old": "7" } }).to_string();

    place.keep_with(&lines, &["keys", "import", "--format", "plain"]).ok();
    place.keep_with(&digests, &["keys", "import", "--format", "sha256", "-"]).ok();

    assert_eq!(place.keep_with(plain, &["keys", "verify"]).ok().json()["owner"], "a");
    assert_eq!(place.keep_with(known, &["keys", "verify"]).ok().json()["digest"], "sha256-bare");
    let again = place.keep_with(&lines, &["keys", "import", "--format", "plain"]).ok().json();
    assert_eq!(again["already_there"], 1);
    place.keep_with(plain, &["keys", "leaked", "--yes"]).ok();
    place.keep_with(plain, &["keys", "verify"]).is(1);
}

#[test]
fn slow_hashes_of_other_systems_are_records() {
    let place = Place::sqlite();
    let record = json!({ "id": "old-1", "owner": "a", "slow_hash": "$2b$12$abcdefghijklmnopqrstuv" });

    place.keep_with(&record.to_string(), &["keys", "import"]).ok();

    assert_eq!(place.keep(&["keys", "show", "old-1"]).ok().json()["digest"], "slow");
}

#[test]
fn a_bad_line_of_a_file_is_named_and_nothing_of_the_file_is_stored() {
    let place = Place::sqlite();
    place.created(&[]);
    let good = |n: usize| json!({ "key": format!("their_key_0123456789abcde_{n}"), "owner": "a" }).to_string();
    let secret = "hunter2hunter2hunter2hunter2";
    let bad = [
        json!(secret).to_string(),
        json!({ "key": secret }).to_string(),
        json!({ "key": [secret], "owner": "a" }).to_string(),
        json!({ "key": secret, "owner": "" }).to_string(),
        json!({ "key": "short", "owner": "a" }).to_string(),
        json!({ "key": secret, "owner": "a", "expires_at": "2020-01-01T00:00:00Z" }).to_string(),
        format!("{{{secret}"),
    ];
    for bad in bad {
        let lines: Vec<_> = (0..6_000).map(good).chain([bad.clone()]).collect();
        let file = place.write("lines", &lines.join("\n"));

        let done = place.keep(&["keys", "import", "--format", "plain", &file]).is(4);

        assert!(done.err.contains("line 6001: ") && done.err.contains("nothing was stored"), "{bad}: {done:?}");
        assert!(!done.err.contains("hunter2") && done.out.is_empty(), "{done:?}");
    }
    assert_eq!(place.keep(&["keys", "list"]).ok().lines().len(), 1);
    place.keep(&["keys", "import", "/no/such/file"]).is(4);
}

#[test]
fn what_came_through_a_pipe_before_a_bad_line_stays_batch_by_batch() {
    let place = Place::sqlite();
    let good = |n: usize| json!({ "key": format!("their_key_0123456789abcde_{n}"), "owner": "a" }).to_string();
    let lines: Vec<_> = (0..5_500).map(good).chain(["no".to_owned()]).collect();

    let done = place.keep_with(&lines.join("\n"), &["keys", "import", "--format", "plain"]).is(4);

    assert!(done.err.contains("line 5501: ") && done.err.contains("5,000 records were stored"), "{done:?}");
    assert_eq!(place.keep(&["keys", "list"]).ok().lines().len(), 5_000);
}

#[test]
fn records_of_another_pepper_are_stored_and_warned_of() {
    let place = Place::sqlite();
    let record = json!({ "id": "a", "owner": "a", "digest": format!("hmac-sha256/1999:{}", "00".repeat(32)) });

    place.keep_with(&record.to_string(), &["keys", "import"]).ok().says("hmac-sha256/1999");
}

#[test]
fn a_hundred_thousand_keys_come_in_with_a_rate_and_in_little_memory() {
    let place = Place::sqlite();
    let line =
        |n: usize| format!("{{\"sha256\":\"{n:064x}\",\"owner\":\"owner-{}\",\"scopes\":[\"read\"]}}\n", n % 500);
    let file = place.write("lines", &(0..100_000).map(line).collect::<String>());

    let mut child = place.command(&["keys", "import", "--format", "sha256", "--human", &file]);
    let mut child = child.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let peak = peak_memory(&mut child);
    let mut out = String::new();
    std::io::Read::read_to_string(&mut child.stdout.take().unwrap(), &mut out).unwrap();

    assert!(
        out.starts_with("100,000 records in ") && out.contains("/s): 100,000 stored, 0 were there already"),
        "{out}"
    );
    println!("{out}peak {peak:?} KiB");
    assert!(peak.is_none_or(|kib| kib < 200 * 1024), "{peak:?} KiB");
}

/// Waits for the end of a process, and returns the most memory that it had, in KiB, where the system tells.
fn peak_memory(child: &mut std::process::Child) -> Option<u64> {
    let status = format!("/proc/{}/status", child.id());
    let mut peak = None;
    while child.try_wait().unwrap().is_none() {
        let now = fs::read_to_string(&status).unwrap_or_default();
        let line = now.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        peak = peak.max(kib);
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    peak
}

#[test]
fn a_field_that_is_not_known_is_no_limit_that_is_dropped_in_silence() {
    let place = Place::sqlite();
    let digest = "ab".repeat(32);
    for (format, line) in [
        ("plain", r#"{"key":"an-old-key-of-another-system","owner":"x","expires":"90d"}"#.to_owned()),
        ("plain", r#"{"key":"an-old-key-of-another-system","owner":"x","scope":["a"]}"#.to_owned()),
        ("plain", format!(r#"{{"sha256":"{digest}","owner":"x"}}"#)),
        ("sha256", format!(r#"{{"sha256":"{digest}","owner":"x","expired_at":"2027-01-01T00:00:00Z"}}"#)),
        ("sha256", format!(r#"{{"sha256":"{digest}","key":"an-old-key-of-another-system","owner":"x"}}"#)),
    ] {
        let done = place.keep_with(&line, &["keys", "import", "--format", format]).is(4);
        assert!(!done.err.contains("an-old-key"), "{done:?}");
    }
    place.keep_with(&format!(r#"{{"sha256":"{digest}","owner":"x"}}"#), &["keys", "import", "--format", "sha256"]).ok();
}
