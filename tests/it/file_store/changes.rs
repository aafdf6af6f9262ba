//! A file that changes under the store.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::Duration;

use tower_keep::{FileStore, KeyAdmin, KeyFileError, KeyStore, Notice};

use super::{PATIENCE, find, id, keys, place, replace, until};

#[test]
fn a_file_that_takes_the_place_of_another_is_read() {
    let (_folder, path) = place("keys.toml");
    fs::write(&path, keys(&["a", "b"])).unwrap();
    let store = FileStore::open(&path).unwrap();

    replace(&path, keys(&["b", "c"]));

    until("the new key is found", || find(&store, "c").is_some());
    assert!(find(&store, "a").is_none(), "what is not in the file is gone");
    assert!(find(&store, "b").is_some());
}

#[test]
fn a_file_that_is_written_in_place_is_read_when_it_is_whole() {
    // Of JSON no part is good, however long it takes until the rest is there.
    let (_folder, path) = place("keys.json");
    let key = |id: &str| format!(r#"{{"id": "{id}", "owner": "o", "digest": "sha256:{}"}}"#, "ab".repeat(32));
    let text =
        |ids: &[&str]| format!(r#"{{"keys": [{}]}}"#, ids.iter().map(|id| key(id)).collect::<Vec<_>>().join(",\n"));
    fs::write(&path, text(&["a", "b"])).unwrap();
    let store = FileStore::open(&path).unwrap();

    let mut file = OpenOptions::new().write(true).truncate(true).open(&path).unwrap();
    for part in text(&["a", "b", "c"]).into_bytes().chunks(40) {
        file.write_all(part).unwrap();
        std::thread::sleep(Duration::from_millis(2));
        assert!(find(&store, "b").is_some(), "half a file is not taken");
    }
    drop(file);

    until("the new key is found", || find(&store, "c").is_some());
}

#[test]
fn a_volume_of_kubernetes_is_followed() {
    let (folder, path) = place("keys.toml");
    let version = |name: &str, text: String| {
        fs::create_dir(folder.path().join(name)).unwrap();
        fs::write(folder.path().join(name).join("keys.toml"), text).unwrap();
    };
    version("..2026_1", keys(&["a"]));
    symlink("..2026_1", folder.path().join("..data")).unwrap();
    symlink("..data/keys.toml", &path).unwrap();
    let store = FileStore::open(&path).unwrap();

    version("..2026_2", keys(&["b"]));
    symlink("..2026_2", folder.path().join("..data_tmp")).unwrap();
    fs::rename(folder.path().join("..data_tmp"), folder.path().join("..data")).unwrap();
    fs::remove_dir_all(folder.path().join("..2026_1")).unwrap();

    until("the new key is found", || find(&store, "b").is_some());
    assert!(find(&store, "a").is_none());
    let refused = store.revoke(&id("b")).now().unwrap().unwrap_err();
    assert!(format!("{refused:?}").contains("SymbolicLink"), "it is not for us to change: {refused:?}");
}

#[test]
fn a_file_behind_a_link_to_another_folder_is_followed() {
    let (_folder, path) = place("keys.toml");
    let (_elsewhere, target) = place("keys.toml");
    fs::write(&target, keys(&["a"])).unwrap();
    symlink(&target, &path).unwrap();
    let store = FileStore::open(&path).unwrap();

    replace(&target, keys(&["b"]));

    until("the new key is found", || find(&store, "b").is_some());
}

#[test]
fn keys_stay_while_a_file_is_gone() {
    let (_folder, path) = place("keys.toml");
    fs::write(&path, keys(&["a"])).unwrap();
    let store = FileStore::open(&path).unwrap();

    fs::remove_file(&path).unwrap();
    until("that it is gone is said", || matches!(store.status().error(), Some(KeyFileError::Missing)));
    assert!(find(&store, "a").is_some(), "the key stays");

    fs::write(&path, keys(&["b"])).unwrap();
    until("the new file is read", || find(&store, "b").is_some());
    assert!(store.status().error().is_none(), "and all is well");
}

#[test]
fn a_bad_file_leaves_the_keys_as_they_were_until_it_is_good_again() {
    let (_folder, path) = place("keys.toml");
    let good = keys(&["a"]);
    fs::write(&path, &good).unwrap();
    let store = FileStore::open(&path).unwrap();

    for bad in ["", "\n", "# nothing yet\n", "[[keys]]\nid = ", &keys(&["b", "b"])] {
        replace(&path, bad);
        until("that it is bad is said", || store.status().error().is_some());
        assert!(find(&store, "a").is_some() && find(&store, "b").is_none(), "{bad:?} changes nothing");
        let refused = store.revoke(&id("a")).now().unwrap();
        assert!(refused.is_err(), "what cannot be read is not written");

        replace(&path, &good);
        until("that it is good is seen", || store.status().error().is_none());
    }
    assert_eq!(store.status().keys(), 1);

    replace(&path, "keys = []\n");
    until("a file that says that there are no keys is believed", || find(&store, "a").is_none());
}

#[test]
fn keys_stay_while_a_file_may_not_be_read() {
    let (_folder, path) = place("keys.toml");
    fs::write(&path, keys(&["a"])).unwrap();
    let store = FileStore::open(&path).unwrap();

    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    if fs::read(&path).is_ok() {
        return; // Root reads everything.
    }
    until("that it may not be read is said", || matches!(store.status().error(), Some(KeyFileError::Read(_))));
    assert!(find(&store, "a").is_some());

    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    until("that it may be read again is seen", || store.status().error().is_none());
}

#[test]
fn looking_at_a_file_is_enough() {
    let (_folder, path) = place("keys.json");
    fs::write(&path, r#"{"keys": []}"#).unwrap();
    let store = FileStore::builder().polling_only().open(&path).unwrap();
    assert!(!store.status().is_notified());

    let written = format!(r#"{{"keys": [{{"id": "a", "owner": "o", "digest": "sha256:{}"}}]}}"#, "ab".repeat(32));
    let mut took = Vec::new();
    for round in 0..5 {
        let (text, is_there) = if round % 2 == 0 { (&*written, true) } else { (r#"{"keys": []}"#, false) };
        replace(&path, text);
        took.push(until("the change is seen", || find(&store, "a").is_some() == is_there));
    }

    took.sort();
    println!("a change was in force after {:?} in the middle, by looking alone", took[took.len() / 2]);
    assert!(took[took.len() / 2] < Duration::from_secs(2), "{took:?}");
}

#[tokio::test]
async fn whoever_keeps_copies_is_told_which_keys_changed() {
    let (_folder, path) = place("keys.toml");
    fs::write(&path, keys(&["a", "b"])).unwrap();
    let store = FileStore::open(&path).unwrap();
    let mut notices = store.notices().unwrap();
    let mut next = async || tokio::time::timeout(PATIENCE, notices.next()).await.unwrap().unwrap();
    assert!(matches!(next().await, Notice::Connected));

    replace(&path, keys(&["b", "c"]));

    let mut told = Vec::new();
    for _ in 0..2 {
        match next().await {
            Notice::Changed(id) => told.push(id),
            other => panic!("{other:?}"),
        }
    }
    told.sort();
    assert_eq!(told, [id("a"), id("c")], "one came, one went, one stayed");

    let many: Vec<_> = (0..1000).map(|n| format!("k{n}")).collect();
    replace(&path, keys(&many.iter().map(|name| &**name).collect::<Vec<_>>()));
    assert!(matches!(next().await, Notice::AllChanged), "many at once are told as one");
}
