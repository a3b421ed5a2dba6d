//! The house rules that no compiler and no lint knows, held over `stt-core` and `cargo-stt`.
//!
//! Rules are data (`tidy/rules.rs`): a name, what to do about a finding, the check, and examples. Each
//! rule must find something in each of its wrong examples and nothing in its right ones, so that a rule
//! which cannot fail is found.

mod tidy {
    pub(crate) mod layers;
    pub(crate) mod purity;
    pub(crate) mod rules;
    pub(crate) mod shape;
    pub(crate) mod source;
}

use std::path::Path;
use std::path::PathBuf;

use fs_err as fs;
use tidy::purity;
use tidy::rules::RULES;
use tidy::source::Crate;
use tidy::source::Source;

#[test]
fn the_house_rules_hold() {
    let mut complaints = Vec::new();
    for source in sources() {
        for rule in RULES {
            for finding in (rule.check)(&source) {
                complaints.push(format!(
                    "{}:{}: {}\n    rule `{}`: {}",
                    source.shown(),
                    finding.line,
                    finding.what,
                    rule.name,
                    rule.what_to_do
                ));
            }
        }
    }
    assert!(
        complaints.is_empty(),
        "{} findings\n{}",
        complaints.len(),
        complaints.join("\n")
    );
}

#[test]
fn every_rule_finds_its_wrong_examples() {
    for rule in RULES {
        assert!(
            !rule.wrong.is_empty(),
            "`{}` has no wrong example",
            rule.name
        );
        for (path, text) in rule.wrong {
            let source = Source::example(path, text);
            assert!(
                !(rule.check)(&source).is_empty(),
                "`{}` finds nothing in {path}:\n{text}",
                rule.name
            );
        }
        for (path, text) in rule.right {
            let source = Source::example(path, text);
            let findings = (rule.check)(&source);
            assert!(
                findings.is_empty(),
                "`{}` finds {findings:?} in {path}:\n{text}",
                rule.name
            );
        }
    }
}

/// A pure name that fits no file protects nothing.
#[test]
fn every_pure_name_is_used() {
    let files: Vec<Source> = sources();
    let exists = |name: &str| {
        files
            .iter()
            .any(|file| file.krate == Crate::Core && purity::fits(&file.path, name))
    };
    let missing: Vec<&str> = purity::PURE
        .into_iter()
        .filter(|name| !exists(name))
        .collect();
    assert!(
        missing.is_empty(),
        "`stt-core/tests/tidy/purity.rs` names files that don't exist: {missing:?}"
    );
}

/// Every Rust file of both crates.
fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the crate lies in the workspace");
    let mut sources = Vec::new();
    for krate in [Crate::Core, Crate::Command] {
        let base = root.join(krate.dir()).join("src");
        let mut paths = Vec::new();
        collect(&base, &mut paths);
        assert!(!paths.is_empty(), "no source in {}", base.display());
        for path in paths {
            let text = fs::read_to_string(&path).expect("sources are readable text");
            let inner = path.strip_prefix(&base).expect("it was found there");
            let inner = inner.to_str().expect("names are ASCII").replace('\\', "/");
            sources.push(Source::new(krate, inner, &text));
        }
    }
    mark_tests(&mut sources);
    sources
}

/// A module that another file declares for tests only is all test, with everything below it.
fn mark_tests(sources: &mut [Source]) {
    let tests: Vec<(Crate, String)> = sources
        .iter()
        .flat_map(|source| {
            source
                .test_modules()
                .into_iter()
                .map(|name| (source.krate, name))
        })
        .collect();
    for source in sources {
        if tests
            .iter()
            .any(|(krate, name)| *krate == source.krate && purity::fits(&source.path, name))
        {
            source.set_test();
        }
    }
}

fn collect(dir: &Path, into: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> = fs::read_dir(dir)
        .expect("a source directory")
        .map(|entry| entry.expect("it can be listed").path())
        .collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            collect(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}
