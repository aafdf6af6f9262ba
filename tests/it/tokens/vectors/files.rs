//! Reads the files of the test vectors.

use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// A vector of Wycheproof.
pub struct Test {
    pub id: u64,
    pub key: Value,
    pub token: String,
    pub is_valid: bool,
    pub comment: String,
}

/// Reads the vectors of a file whose token is of a form: `jws` or `jwe`.
pub fn wycheproof(file: &str, form: &str) -> Option<Vec<Test>> {
    let file = json_file(&folder()?.join("wycheproof").join(file));
    let mut tests = Vec::new();
    for group in many(&file["testGroups"]) {
        let key = if group["public"].is_null() { &group["private"] } else { &group["public"] };
        for test in many(&group["tests"]) {
            let token = match &test[form] {
                Value::Null => continue,
                Value::String(compact) => compact.clone(),
                json => json.to_string(),
            };
            let is_valid = match test["result"].as_str() {
                Some("valid") => true,
                Some("invalid") => false,
                other => panic!("a result of its own: {other:?}"),
            };
            let comment = format!("{} {}", group["comment"], test["comment"]);
            tests.push(Test { id: test["tcId"].as_u64().unwrap(), key: key.clone(), token, is_valid, comment });
        }
    }
    Some(tests)
}

/// Returns the folder of the vectors, if it is there.
pub fn folder() -> Option<PathBuf> {
    let named = std::env::var_os("TOWER_KEEP_VECTORS").unwrap_or_else(|| "../shared/vectors".into());
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(named);
    if folder.is_dir() {
        return Some(folder);
    }
    let missing = format!("no test vectors in {}: TOWER_KEEP_VECTORS names their folder", folder.display());
    assert!(std::env::var_os("CI").is_none(), "{missing}");
    // Not by a macro: what those print is only shown if the test fails.
    let mut stderr = std::io::stderr();
    writeln!(stderr, "not tested: {missing}").unwrap();
    None
}

pub fn json_files(folder: PathBuf) -> Vec<(String, Value)> {
    let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths.map(|path| (path.display().to_string(), json_file(&path))).collect()
}

pub fn json_file(path: &Path) -> Value {
    let text = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Returns the elements of an array, and of anything else the thing itself.
pub fn many(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_else(|| vec![value.clone()])
}
