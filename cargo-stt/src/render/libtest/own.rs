//! What a test said itself, out of what its binary printed.

/// The output of a test without what libtest puts around it. A result that is not in libtest's usual words is left
/// where it is.
pub(super) fn own_output<'a>(printed: &'a str, name: &str) -> &'a str {
    let inner = printed.strip_prefix("\nrunning 1 test\n");
    let Some(inner) = inner else {
        return printed;
    };
    let start = format!("test {name} ... ");
    // The last one: a test may print such a line itself.
    let end = inner.rfind(&start).filter(|&at| {
        let result = &inner[at + start.len()..];
        ["ok\n", "FAILED\n"]
            .iter()
            .any(|word| result.starts_with(word))
    });
    &inner[..end.unwrap_or(inner.len())]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_harness_says_is_taken_away() {
        let failed =
            "\nrunning 1 test\nmine\ntest a::b ... FAILED\n\nfailures:\n\nfailures:\n    a::b\n";
        for (printed, own) in [
            (failed, "mine\n"),
            ("\nrunning 1 test\ntest a::b ... ok\n\ntest result: ok.", ""),
            (
                "\nrunning 1 test\nno newlinetest a::b ... ok\n",
                "no newline",
            ),
            ("\nrunning 1 test\ndied", "died"),
            (
                "another harness\ntest a::b ... ok\n",
                "another harness\ntest a::b ... ok\n",
            ),
            (
                "\nrunning 1 test\ntest a::b - should panic ... FAILED\nx",
                "test a::b - should panic ... FAILED\nx",
            ),
            (
                "\nrunning 1 test\ntest a::b ... ok\ntest a::b ... ok\n\n",
                "test a::b ... ok\n",
            ),
        ] {
            assert_eq!(own_output(printed, "a::b"), own, "{printed:?}");
        }
    }
}
