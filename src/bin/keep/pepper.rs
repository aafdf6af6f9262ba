//! `keep pepper`.

use serde_json::json;
use tower_keep::KeyHasher;

use crate::args::{Global, Pepper};
use crate::failure::Failure;
use crate::output::print;

pub(crate) fn run(command: &Pepper, global: &Global) -> Result<(), Failure> {
    let Pepper::New { id } = command;
    let line = KeyHasher::fresh_pepper(id)?;
    // The line goes into a file, also where nobody looks on: JSON is for those who ask for it.
    match global.json {
        true => print(&format!("{}\n", json!({ "id": id, "pepper": line.expose() }))),
        false => print(&format!("{}\n", line.expose())),
    }
}
