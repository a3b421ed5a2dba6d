//! How one documentation test is told from the others. Pure.
//!
//! `rustdoc --test-args` is cut at every space, and the names of documentation tests hold spaces
//! (`src/lib.rs - item (line 12)`), so libtest's `--exact` can't be had. What can be had are words of a name: one that
//! must be in it, and others that must not.

/// The words that choose `name` among `names`: a filter, and what is to be skipped. Names that can't be told apart,
/// which takes paths that are part of each other, are chosen together.
pub(super) fn singled_out<'a>(
    name: &'a str,
    names: &(impl Iterator<Item = &'a str> + Clone),
) -> Vec<&'a str> {
    let filters = words(name).map(|filter| {
        let mut skipped = Vec::new();
        let mut beside = 0;
        for other in names
            .clone()
            .filter(|other| *other != name && other.contains(filter))
        {
            if skipped.iter().any(|word| other.contains(word)) {
                continue;
            }
            match words(other).find(|word| !name.contains(word)) {
                Some(word) => skipped.push(word),
                None => beside += 1,
            }
        }
        (beside, skipped.len(), filter, skipped)
    });
    let best = filters.min_by_key(|&(beside, skipped, ..)| (beside, skipped));
    let Some((_, _, filter, skipped)) = best else {
        return Vec::new();
    };
    let skips = skipped.into_iter().flat_map(|word| ["--skip", word]);
    [filter].into_iter().chain(skips).collect()
}

/// The words of a name that are no options; the last, which is the line, first.
fn words(name: &str) -> impl Iterator<Item = &str> {
    name.split_whitespace()
        .rev()
        .filter(|word| !word.starts_with('-'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What libtest would run.
    fn chosen<'a>(words: &[&str], names: &[&'a str]) -> Vec<&'a str> {
        let filter = words[0];
        let skips: Vec<_> = words[1..]
            .iter()
            .filter(|word| **word != "--skip")
            .collect();
        let names = names.iter().copied();
        names
            .filter(|name| name.contains(filter) && !skips.iter().any(|skip| name.contains(**skip)))
            .collect()
    }

    #[test]
    fn a_line_is_enough_where_no_other_ends_so() {
        let names = ["src/lib.rs - a (line 5)", "src/lib.rs - a::b (line 12)"];
        let words = |name| singled_out(name, &names.into_iter());
        assert_eq!(words(names[1]), ["12)"]);
        let twins = [
            "src/a.rs - a (line 5)",
            "src/b.rs - a (line 5)",
            "src/b.rs - a (line 15)",
        ];
        for name in twins {
            let words = singled_out(name, &twins.into_iter());
            assert_eq!(chosen(&words, &twins), [name], "{words:?}");
        }
    }

    #[test]
    fn what_has_no_name_of_its_own_is_chosen_by_its_file_and_line() {
        let names = [
            "src/lib.rs - (line 1)",
            "src/lib.rs - (line 11)",
            "README.md - (line 1)",
        ];
        for name in names {
            let words = singled_out(name, &names.into_iter());
            assert_eq!(chosen(&words, &names), [name], "{words:?}");
        }
    }

    #[test]
    fn names_of_the_same_words_run_together() {
        let names = ["src/a b.rs - (line 1)", "b.rs src/a - (line 1)"];
        let words = singled_out(names[0], &names.into_iter());
        assert_eq!(chosen(&words, &names), names);
    }

    proptest! {
        #[test]
        fn tests_of_ordinary_files_are_told_apart(
            lines in proptest::collection::btree_map((0..4_usize, 1..2000_u32), "[a-c]{0,2}(::[a-c]{1,2})?", 1..40),
        ) {
            let files = ["src/lib.rs", "src/mod/a.rs", "README.md", "src/b.rs"];
            let names: Vec<_> = lines.iter().map(|((file, line), item)| {
                let item = if item.is_empty() { String::new() } else { format!("{item} ") };
                format!("{} - {item}(line {line})", files[*file])
            }).collect();
            let names: Vec<_> = names.iter().map(String::as_str).collect();
            for name in &names {
                let words = singled_out(name, &names.iter().copied());
                prop_assert_eq!(chosen(&words, &names), [*name], "{:?}", words);
            }
        }
    }
}
