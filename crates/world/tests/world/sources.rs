//! What `make mutants` is told of the sources.

use std::collections::BTreeSet;
use std::path::Path;

#[test]
fn each_source_is_in_or_out_of_the_scope_of_mutants() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let sources: BTreeSet<String> = std::fs::read_dir(here.join("src"))
        .expect("sources")
        .map(|entry| entry.expect("entry").file_name().into_string().expect("text"))
        .filter(|name| name.ends_with(".rs"))
        .collect();
    let scope = std::fs::read_to_string(here.join("../../tests/mutants/scope.tsv")).expect("scope.tsv");
    let mut rows = scope.lines().filter(|line| !line.starts_with('#'));
    assert_eq!(rows.next(), Some("file\tscope\twhy"));
    let mut listed = BTreeSet::new();
    for row in rows {
        let [file, scope, why] = row.split('\t').collect::<Vec<_>>()[..] else {
            panic!("no row of three: {row}");
        };
        assert!(matches!(scope, "in" | "out") && !why.is_empty(), "{row}");
        assert!(listed.insert(file.to_owned()), "twice: {file}");
    }
    assert_eq!(listed, sources);
}
