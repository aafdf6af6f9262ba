//! What a file may hold, and what is said of one that holds anything else.

use std::error::Error;
use std::fs;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tower_keep::{FileStore, KeyFileError, KeyHasher, KeyRules, KeyStore, Lookup};

use super::{find, keys, place};

/// What would be a key that somebody put into the file.
const PLANTED: &str = "tk_PLANTEDaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

fn open(name: &str, text: impl AsRef<[u8]>) -> Result<FileStore, KeyFileError> {
    let (_folder, path) = place(name);
    fs::write(&path, text).unwrap();
    FileStore::open(path)
}

fn problem(name: &str, text: &str) -> String {
    open(name, text).map(|store| store.status().keys()).unwrap_err().to_string()
}

#[test]
fn a_mistake_is_named_with_its_place() {
    let digest = "ab".repeat(32);
    let key = |id: &str, rest: &str| format!("[[keys]]\nid = \"{id}\"\nowner = \"o\"\n{rest}\n");
    let good = format!("digest = \"sha256:{digest}\"");

    let cases = [
        ("id = ", "line 1, column "),
        ("version = 2\nkeys = []", "version 2 "),
        ("keys = 1", "line 1, column 8: "),
        (&key("a", &format!("{good}\nscope = []")), "line 5, column 1: unknown field `scope`, expected one of"),
        (&(key("a", &good) + &key("a", &good)), "two keys of the id a"),
        (&key("a", "digest = \"sha256:abcd\""), "64 hexadecimal digits"),
        (&key("a", "digest = \"md5:abcd\""), "line "),
        (&key("a", &good.replace("sha256", "hmac-sha256/2026")), "the key a has a digest hmac-sha256/2026"),
        (&key("a", &format!("{good}\nimported = true")), "the key a is imported"),
        (&key("a", &format!("{good}\nexpires_at = \"soon\"")), "not a time such as"),
        ("", "the file is empty"),
        (" \n", "the file is empty"),
        ("# a comment", "missing field `keys`"),
    ];
    for (text, expected) in cases {
        let said = problem("keys.toml", text);
        assert!(said.contains(expected), "{text:?}: {said}");
    }
    let said = problem("keys.json", "{\"keys\": [\n  {\"id\": \"a\", \"owner\": \"o\"}\n]}");
    assert!(said.contains("line 3, column 1: a needs a digest"), "{said}");
    assert!(problem("keys.json", "{\"keys\": [").contains("line 1, column 10"), "half a file");
    assert!(problem("keys.yaml", "keys: []").contains(".toml or .json"));
    let not_utf8 = open("keys.toml", b"keys = []\n# \xff").unwrap_err().to_string();
    assert!(not_utf8.contains("line 2, column 3"), "{not_utf8}");
}

#[test]
fn two_keys_of_one_digest_are_refused_where_they_are_found_by_it() {
    let (_folder, path) = place("keys.toml");
    let imported = keys(&["a", "b"]).replace("owner", "imported = true\nowner");
    fs::write(&path, imported).unwrap();

    let opened = FileStore::builder().rules(KeyRules::default().accepting_imported()).open(&path);

    assert!(matches!(opened, Err(KeyFileError::DigestRepeated { id }) if id.as_str() == "b"));
}

#[test]
fn what_is_no_file_is_refused() {
    let (folder, path) = place("keys.toml");
    assert!(matches!(FileStore::open(&path), Err(KeyFileError::Missing)));
    assert!(
        matches!(FileStore::builder().create_if_missing().open(folder.path().join("no/keys.toml")), Err(error) if error.source().is_some())
    );

    fs::create_dir(&path).unwrap();
    assert!(matches!(FileStore::open(&path), Err(KeyFileError::NotAFile)));
}

#[test]
fn a_file_may_be_written_by_hand() {
    let digest = KeyHasher::sha256().digest("some key").to_hex();
    let text = format!(
        "# ours\nkeys = [\n  {{ id = \"a\", owner = \"o\", digest = \"sha256:{digest}\", expires_at = 2100-01-01T00:00:00Z }},\n]\n"
    );

    let store = open("keys.toml", text).unwrap();

    let record = find(&store, "a").unwrap();
    assert_eq!(record.expires_at(), Some(humantime_2100()), "a time need not stand in quotes");
}

fn humantime_2100() -> std::time::SystemTime {
    std::time::UNIX_EPOCH + std::time::Duration::from_secs(4_102_444_800)
}

#[test]
fn tools_that_know_no_pepper_may_open_a_file_all_the_same() {
    let (_folder, path) = place("keys.toml");
    fs::write(&path, keys(&["a"]).replace("sha256:", "hmac-sha256/2026:")).unwrap();
    assert!(matches!(FileStore::open(&path), Err(KeyFileError::DigestNotAccepted { .. })));

    let store = FileStore::builder().accepting_any_digest().open(&path).unwrap();

    assert!(find(&store, "a").is_some());
}

#[test]
fn a_key_in_the_wrong_place_is_not_repeated() {
    let texts = [
        format!("keys = [\"{PLANTED}\"]"),
        format!("keys = \"{PLANTED}\""),
        format!("\"{PLANTED}\" = 1"),
        format!("keys = [{{ {PLANTED} = \"billing\" }}]"),
        format!("[[keys]]\nid = \"{PLANTED}\"\nowner = \"o\"\ndigest = \"{PLANTED}\""),
        format!("[[keys]]\nid = \"a\"\nowner = \"o\"\ndigest = \"{PLANTED}:{PLANTED}\""),
        format!("[[keys]]\nid = \"a\"\nowner = \"o\"\nexpires_at = \"{PLANTED}\""),
        format!("[[keys]]\nid = \"a\"\nowner = \"o\"\nscopes = \"{PLANTED}\""),
        format!("keys = [{PLANTED}]"),
        format!("{PLANTED}"),
    ];
    for text in texts {
        for name in ["keys.toml", "keys.json"] {
            let error = open(name, &text).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("PLANTED"), "{text:?}: {error}");
        }
        let json = format!("{{\"keys\": [{{\"id\": \"a\", \"owner\": \"{PLANTED}\", \"scopes\": \"{PLANTED}\"}}]}}");
        let error = open("keys.json", json).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("PLANTED"), "{error}");
    }
}

#[test]
fn no_file_makes_it_panic() {
    let (folder, path) = place("keys.toml");
    let good = keys(&["a", "b"])
        + "scopes = [\"x\"]\nrate = \"1/60s\"\nnetworks = [\"10.0.0.0/8\"]\n[keys.labels]\nx = \"y\"\n";
    let good = good.into_bytes();
    let json = folder.path().join("keys.json");
    let edits = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3_u8), 1..6);
    let mut runner = TestRunner::new(Config { cases: 10_000, failure_persistence: None, ..Config::default() });

    runner
        .run(&(edits, any::<prop::sample::Index>(), any::<bool>()), |(edits, cut, is_cut)| {
            let mut bytes = good.clone();
            for (at, byte, what) in edits {
                let at = at.index(bytes.len());
                match what {
                    0 => bytes[at] = byte,
                    1 => bytes.insert(at, byte),
                    _ => drop(bytes.remove(at)),
                }
            }
            if is_cut {
                bytes.truncate(cut.index(bytes.len()));
            }
            let path = if bytes.len() % 10 == 0 { &json } else { &path };
            fs::write(path, &bytes).unwrap();
            match FileStore::builder().polling_only().open(path) {
                Ok(store) => drop(store.find(&Lookup::Id(super::id("a")))),
                Err(error) => drop(format!("{error} {error:?}")),
            }
            Ok(())
        })
        .unwrap();
}
