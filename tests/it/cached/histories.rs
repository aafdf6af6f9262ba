//! Histories of changes, notices and look-ups, drawn at random.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::*;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::advance;
use tower_keep::{Answer, Cached, Found, KeyDigest, KeyId, KeyRecord, KeyStore, Lookup, Notice, NoticeSender, Notices};

use super::{outage, settle};

/// What happens in a history of changes, notices and questions.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// A record gets another version, which is not told yet.
    Change(u8),
    /// The first change that was not told is told, or all of them by one word.
    Tell,
    TellAll,
    Disconnect,
    Connect,
    /// Somebody asks.
    Ask(u8),
    /// The store reads what it was asked for first, and the answer is on its way.
    Read,
    /// The first answer arrives.
    Arrive,
    Wait(u16),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..3_u8).prop_map(Step::Change),
        3 => Just(Step::Tell),
        1 => Just(Step::TellAll),
        1 => Just(Step::Disconnect),
        1 => Just(Step::Connect),
        6 => (0..3_u8).prop_map(Step::Ask),
        5 => Just(Step::Read),
        5 => Just(Step::Arrive),
        2 => (1..200_u16).prop_map(Step::Wait),
    ]
}

/// A store whose every answer is read and sent when the test says so. The version of a record is its label.
#[derive(Clone, Default)]
struct Scripted(Arc<Mutex<Script>>);

#[derive(Default)]
struct Script {
    versions: HashMap<KeyId, u64>,
    asked: Vec<(KeyId, oneshot::Sender<Found>)>,
    read: Vec<(Found, oneshot::Sender<Found>)>,
    told: Vec<KeyId>,
    listener: Option<NoticeSender>,
}

impl KeyStore for Scripted {
    fn find(&self, by: &Lookup) -> Answer<Found> {
        let Lookup::Id(id) = *by else { return Answer::Now(Ok(None)) };
        let script = Arc::clone(&self.0);
        Answer::later(async move {
            let (sender, answer) = oneshot::channel();
            script.lock().unwrap().asked.push((id, sender));
            answer.await.unwrap_or_else(|_| Err(outage()))
        })
    }

    fn notices(&self) -> Option<Notices> {
        let (sender, notices) = Notices::channel();
        sender.send(Notice::Connected);
        self.0.lock().unwrap().listener = Some(sender);
        Some(notices)
    }
}

fn version_of(found: &Found) -> Option<u64> {
    let record = found.as_ref().ok()?.as_ref()?;
    record.labels().next().map(|(_, version)| version.parse().unwrap())
}

/// A question, and the version that whoever asked had been told of by then.
type Question = (u64, JoinHandle<Found>);

async fn no_question_is_answered_by_what_is_older_than_what_was_told(steps: Vec<Step>) {
    let scripted = Scripted::default();
    let cached = Cached::new(scripted.clone());
    let ids: Vec<_> = (0..3).map(|n| KeyId::new(&format!("k{n}")).unwrap()).collect();
    let mut told: HashMap<KeyId, u64> = HashMap::new();
    let mut questions: Vec<Question> = Vec::new();
    let digest = KeyDigest::new("sha256".parse().unwrap(), [0; 32]);

    for step in steps {
        match step {
            Step::Change(n) => {
                let mut script = scripted.0.lock().unwrap();
                *script.versions.entry(ids[usize::from(n)]).or_default() += 1;
                script.told.push(ids[usize::from(n)]);
            }
            Step::Tell | Step::TellAll => {
                let mut script = scripted.0.lock().unwrap();
                let Some(listener) = script.listener.clone() else { continue };
                let changed = match step {
                    Step::Tell if script.told.is_empty() => continue,
                    Step::Tell => vec![script.told.remove(0)],
                    _ => std::mem::take(&mut script.told),
                };
                match step {
                    Step::Tell => listener.send(Notice::Changed(changed[0])),
                    _ => listener.send(Notice::AllChanged),
                };
                for id in changed {
                    let later = script.told.iter().filter(|other| **other == id).count() as u64;
                    told.insert(id, script.versions[&id] - later);
                }
            }
            Step::Disconnect | Step::Connect => {
                let listener = scripted.0.lock().unwrap().listener.clone();
                let notice =
                    if matches!(step, Step::Connect) { Notice::Connected } else { Notice::Disconnected(outage()) };
                listener.inspect(|listener| {
                    listener.send(notice);
                });
            }
            Step::Ask(n) => {
                let id = ids[usize::from(n)];
                let known = told.get(&id).copied().unwrap_or_default();
                questions.push((known, tokio::spawn(cached.find(&Lookup::Id(id)).into_future())));
            }
            Step::Read => {
                let mut script = scripted.0.lock().unwrap();
                if script.asked.is_empty() {
                    continue;
                }
                let (id, sender) = script.asked.remove(0);
                let version = script.versions.get(&id).copied().unwrap_or_default();
                let record = KeyRecord::new(id, "o", digest).with_label("version", version.to_string());
                script.read.push((Ok(Some(Arc::new(record))), sender));
            }
            Step::Arrive => {
                let mut script = scripted.0.lock().unwrap();
                if script.read.is_empty() {
                    continue;
                }
                let (found, sender) = script.read.remove(0);
                let _gone = sender.send(found);
            }
            Step::Wait(milliseconds) => advance(Duration::from_millis(milliseconds.into())).await,
        }
        settle().await;
    }

    for (known, question) in questions {
        if !question.is_finished() {
            question.abort();
            continue;
        }
        if let Some(version) = version_of(&question.await.unwrap()) {
            assert!(version >= known, "version {version} was served, and {known} had been told");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn nobody_is_served_what_was_told_to_have_changed(steps in prop::collection::vec(step(), 1..80)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(no_question_is_answered_by_what_is_older_than_what_was_told(steps));
    }
}
