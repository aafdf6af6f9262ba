//! Runs `keep` with a store and a pepper in a folder of its own.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

pub(crate) const PEPPER: &str = "2026:a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7";

/// A folder with a store.
pub(crate) struct Place {
    pub(crate) folder: TempDir,
    pub(crate) store: String,
}

impl Place {
    pub(crate) fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = format!("sqlite:{}", folder.path().join("keys.db").display());
        Self { folder, store }
    }

    pub(crate) fn file() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = format!("file:{}", folder.path().join("keys.toml").display());
        Self { folder, store }
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> String {
        std::fs::write(self.path(name), text).unwrap();
        self.path(name)
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = keep(args);
        command.env("KEEP_STORE", &self.store).env("KEEP_PEPPER", PEPPER).env("USER", "alice");
        command
    }

    pub(crate) fn keep(&self, args: &[&str]) -> Done {
        run(&mut self.command(args), "")
    }

    pub(crate) fn keep_with(&self, input: &str, args: &[&str]) -> Done {
        run(&mut self.command(args), input)
    }

    /// Makes a key, and returns it with its id.
    pub(crate) fn created(&self, args: &[&str]) -> (String, String) {
        let json = self.keep(&[&["keys", "create", "--owner", "billing"], args].concat()).ok().json();
        (text(&json["key"]), text(&json["id"]))
    }
}

pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

pub(crate) fn keep(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_keep"));
    command.args(args).env_remove("KEEP_STORE").env_remove("KEEP_PEPPER").env_remove("KEEP_LOG");
    command
}

pub(crate) fn run(command: &mut Command, input: &str) -> Done {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A command that reads nothing may have ended by now.
    let _unread = child.stdin.take().unwrap().write_all(input.as_bytes());
    Done::of(child.wait_with_output().unwrap())
}

/// What came of a command.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Done {
    pub(crate) fn of(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        self.is(0)
    }

    #[track_caller]
    pub(crate) fn is(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:?}");
        self
    }

    #[track_caller]
    pub(crate) fn says(self, text: &str) -> Self {
        assert!(self.err.contains(text), "{text:?} is not in {self:?}");
        self
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap()
    }

    pub(crate) fn lines(&self) -> Vec<Value> {
        self.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}
