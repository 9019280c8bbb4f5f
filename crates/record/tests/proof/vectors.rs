//! Where the published vectors are. They are not in the repository, because they are shared between several; a missing file
//! fails the test that needs it.

use std::path::PathBuf;

use serde_json::Value;

/// Reads one file of vectors.
pub(crate) fn load(name: &str) -> Value {
    let path = folder().join(name);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| {
        panic!(
            "{}: {error}. The published vectors belong in ../shared/data/vectors beside the repository: Wycheproof \
             (github.com/C2SP/wycheproof, testvectors_v1), CCTV (github.com/C2SP/CCTV, ed25519), the COSE working group's \
             examples (github.com/cose-wg/Examples, sign1-tests and eddsa-examples), HPKE (github.com/hpkewg/hpke-pq, \
             test-vectors.json)",
            path.display()
        )
    });
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The names of the files in a folder of vectors, in order.
pub(crate) fn files(name: &str) -> Vec<String> {
    let entries = std::fs::read_dir(folder().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    let mut names: Vec<_> = entries.map(|e| format!("{name}/{}", e.unwrap().file_name().to_str().unwrap())).collect();
    names.sort();
    names
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/vectors")
}

/// The tests of a Wycheproof file, each with its group; their number is compared with what the file says.
pub(crate) fn wycheproof(file: &Value) -> Vec<(&Value, &Value)> {
    let groups = file["testGroups"].as_array().unwrap();
    let tests: Vec<_> = groups
        .iter()
        .flat_map(|group| group["tests"].as_array().unwrap().iter().map(move |test| (group, test)))
        .collect();
    assert_eq!(Some(tests.len() as u64), file["numberOfTests"].as_u64());
    tests
}

/// The bytes of a field in hexadecimal.
pub(crate) fn bytes(object: &Value, field: &str) -> Vec<u8> {
    hex::decode(object[field].as_str().unwrap_or_else(|| panic!("no {field} in {object}"))).unwrap()
}
