//! A store that changes its file.

use std::env;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tower_keep::{AdminError, FileStore, KeyAdmin, KeyFilter, KeyRecord, NewKey};

use super::{find, id, keys, place, replace, until};

/// Where the process that a test starts finds its file.
const FILE: &str = "TOWER_KEEP_TEST_FILE";

fn issue(store: &FileStore) -> Result<String, AdminError> {
    let issued = store.issue(NewKey::for_owner("o")).now().expect("there is no runtime")?;
    Ok(issued.id().to_string())
}

fn all(store: &FileStore) -> Vec<String> {
    let page = store.list(&KeyFilter::default(), None, usize::MAX).now().unwrap().unwrap();
    page.records.iter().map(|record| record.id().to_string()).collect()
}

/// Runs one of the tests below that do nothing by themselves in a process of its own.
fn process(test: &str, file: &std::path::Path) -> Child {
    let name = format!("file_store::writing::{test}");
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", &name, "--ignored", "--nocapture", "--test-threads=1"]).env(FILE, file);
    command.stdout(Stdio::piped()).spawn().unwrap()
}

#[test]
#[ignore = "another test starts it in a process of its own"]
fn issues_twenty_keys() {
    let store = FileStore::open(env::var(FILE).unwrap()).unwrap();
    for _ in 0..20 {
        issue(&store).unwrap();
    }
}

#[test]
fn writers_in_two_processes_and_two_handles_lose_nothing() {
    let (_folder, path) = place("keys.toml");
    fs::write(&path, keys(&[])).unwrap();
    let stores = [FileStore::open(&path).unwrap(), FileStore::open(&path).unwrap()];

    let mut process = process("issues_twenty_keys", &path);
    std::thread::scope(|scope| {
        for store in &stores {
            scope.spawn(move || (0..20).for_each(|_| drop(issue(store).unwrap())));
        }
    });
    assert!(process.wait().unwrap().success());

    for store in &stores {
        until("all keys are there", || all(store).len() == 60);
    }
    assert_eq!(all(&FileStore::open(&path).unwrap()).len(), 60);
}

#[test]
fn a_revocation_is_in_force_at_once_here_and_soon_elsewhere() {
    let (_folder, path) = place("keys.toml");
    fs::write(&path, keys(&[])).unwrap();
    let [here, elsewhere] = [FileStore::open(&path).unwrap(), FileStore::open(&path).unwrap()];
    let mut took = Vec::new();

    for _ in 0..11 {
        let name = issue(&here).unwrap();
        until("the key is known elsewhere", || find(&elsewhere, &name).is_some());

        here.revoke(&id(&name)).now().unwrap().unwrap();

        assert!(find(&here, &name).unwrap().revoked_at().is_some(), "it is revoked here");
        took.push(until("it is revoked elsewhere", || find(&elsewhere, &name).unwrap().revoked_at().is_some()));
    }

    took.sort();
    println!("a revocation was in force elsewhere after {:?} in the middle, {:?} at most", took[5], took[10]);
    assert!(took[5] < Duration::from_secs(2), "{took:?}");
}

#[test]
fn what_others_wrote_is_in_force_when_a_change_is_confirmed() {
    let (_folder, path) = place("keys.toml");
    fs::write(&path, keys(&["a"])).unwrap();
    let hour = Duration::from_secs(60 * 60);
    let [here, elsewhere] = [0, 1].map(|_| FileStore::builder().polling_only().poll_every(hour).open(&path).unwrap());
    let first = here.revoke(&id("a")).now().unwrap().unwrap();
    assert!(find(&elsewhere, "a").unwrap().revoked_at().is_none(), "nobody has looked yet");

    let again = elsewhere.revoke(&id("a")).now().unwrap().unwrap();

    assert_eq!(again.revoked_at(), first.revoked_at());
    assert!(find(&elsewhere, "a").unwrap().revoked_at().is_some(), "what it was told is so");
}

#[test]
fn a_file_keeps_its_permissions_its_order_and_the_comments_at_its_head() {
    let (folder, path) = place("keys.toml");
    let head = "# Keys of the billing service.\n#\n\n";
    fs::write(&path, head.to_owned() + &keys(&["z", "a"])).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let owner = (fs::metadata(&path).unwrap().uid(), fs::metadata(&path).unwrap().gid());
    let store = FileStore::open(&path).unwrap();

    let name = issue(&store).unwrap();

    let written = fs::metadata(&path).unwrap();
    assert_eq!(written.permissions().mode() & 0o7777, 0o640);
    assert_eq!((written.uid(), written.gid()), owner);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.starts_with(head), "{text}");
    let place_of = |name: &str| text.find(&format!("id = \"{name}\"")).unwrap();
    assert!(place_of("z") < place_of("a") && place_of("a") < place_of(&name), "{text}");
    let mut names: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, [".keys.toml.lock", "keys.toml"], "nothing else is left");
}

#[test]
fn a_new_file_is_for_its_owner_alone() {
    let (_folder, path) = place("keys.json");

    let store = FileStore::builder().create_if_missing().open(&path).unwrap();

    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
    assert_eq!(all(&store), Vec::<String>::new());
    issue(&store).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
    assert_eq!(FileStore::builder().create_if_missing().open(&path).unwrap().status().keys(), 1, "it is made once");
}

#[test]
fn many_records_are_one_write() {
    let (_folder, path) = place("keys.toml");
    fs::write(&path, keys(&[])).unwrap();
    let store = FileStore::open(&path).unwrap();
    let digest = tower_keep::KeyHasher::sha256().digest("some key");
    let records = (0..1000).map(|n| KeyRecord::new(id(&format!("k{n}")), "o", digest)).collect();
    let start = Instant::now();

    store.insert_all(records).now().unwrap().unwrap();

    println!("1000 records were written in {:?}", start.elapsed());
    assert_eq!(FileStore::open(&path).unwrap().status().keys(), 1000);
}

#[test]
fn what_a_killed_writer_left_is_in_nobodys_way() {
    let (folder, path) = place("keys.toml");
    fs::write(&path, keys(&[])).unwrap();
    fs::write(folder.path().join(".keys.toml.new"), "[[keys]]\nid = ").unwrap();
    fs::write(folder.path().join(".keys.toml.lock"), "").unwrap();

    issue(&FileStore::open(&path).unwrap()).unwrap();

    assert_eq!(FileStore::open(&path).unwrap().status().keys(), 1);
}

#[test]
#[ignore = "another test starts it in a process of its own"]
fn counts_threads() {
    let path = env::var(FILE).unwrap();
    let threads = || fs::read_dir("/proc/self/task").unwrap().count();
    let descriptors = || fs::read_dir("/proc/self/fd").unwrap().count();
    let before = (threads(), descriptors());

    for _ in 0..20 {
        let store = FileStore::open(&path).unwrap();
        let clone = store.clone();
        drop(store);
        assert!(find(&clone, "a").is_some());
    }
    until("all threads end", || threads() <= before.0);
    until("all descriptors are closed", || descriptors() <= before.1);

    let ticks = || -> u64 {
        let stat = fs::read_to_string("/proc/self/stat").unwrap();
        stat.split_whitespace().skip(13).take(2).map(|part| part.parse::<u64>().unwrap()).sum()
    };
    let store = FileStore::open(&path).unwrap();
    let before = ticks();
    std::thread::sleep(Duration::from_secs(1));
    assert!(ticks() - before <= 10, "a store that waits costs nothing: {} hundredths of a second", ticks() - before);
    drop(store);
}

#[test]
fn nothing_is_left_of_a_store_that_is_dropped_and_one_that_waits_costs_nothing() {
    let (_folder, path) = place("keys.toml");
    fs::write(&path, keys(&["a"])).unwrap();

    let process = process("counts_threads", &path).wait_with_output().unwrap();

    assert!(process.status.success(), "{}", String::from_utf8_lossy(&process.stdout));
}

#[test]
#[ignore = "another test starts it in a process of its own"]
fn logs_what_becomes_of_a_file() {
    tracing_subscriber::fmt().with_ansi(false).init();
    let path = env::var(FILE).unwrap();
    let store = FileStore::builder().poll_every(Duration::from_millis(10)).open(&path).unwrap();

    replace(path.as_ref(), "keys = [1");
    until("that it is bad is said", || store.status().error().is_some());
    std::thread::sleep(Duration::from_millis(300));
    replace(path.as_ref(), keys(&["a", "b"]));
    until("that it is good is seen", || store.status().error().is_none());
    issue(&store).unwrap();
}

#[test]
fn what_becomes_of_a_file_is_logged_once() {
    let (_folder, path) = place("keys.toml");
    fs::write(&path, keys(&["a"])).unwrap();

    let output = process("logs_what_becomes_of_a_file", &path).wait_with_output().unwrap();

    let output = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<_> = output.lines().filter(|line| line.contains("tower_keep: key_file")).collect();
    let name = path.display();
    let expected = [
        format!("INFO tower_keep: key_file_read path={name} keys=1"),
        format!("WARN tower_keep: key_file_refused path={name} keys=1 error=line 1, column "),
        format!("INFO tower_keep: key_file_read path={name} keys=2"),
        format!("INFO tower_keep: key_file_read path={name} keys=3"),
    ];
    assert_eq!(lines.len(), expected.len(), "{output}");
    assert!(lines.iter().zip(&expected).all(|(line, expected)| line.contains(&**expected)), "{output}");
}
