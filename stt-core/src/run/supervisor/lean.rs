//! Keeps a waiting supervisor small.

/// Unmaps the pages of programs and libraries that were needed to get here. They are still in the page
/// cache, and come back one by one where they are needed again.
///
/// A fault maps what is cached around it as well (`fault_around_bytes`), so that most of what is mapped
/// was never used. What may not be written, and holds nothing of our own, comes back as it was.
#[cfg(target_os = "linux")]
pub(super) fn forget_files() {
    // Without it we are larger than we need be.
    let Ok(maps) = std::fs::read_to_string("/proc/self/smaps") else {
        return;
    };
    for (start, length) in unchanged(&maps) {
        #[expect(unsafe_code, reason = "madvise(2)")]
        // SAFETY: the range is a read-only private mapping of a file without a page that differs from the
        // file, so its pages come back unchanged.
        let _ = unsafe { libc::madvise(start as *mut libc::c_void, length, libc::MADV_DONTNEED) };
    }
}

/// Nothing is known of mappings here.
#[cfg(not(target_os = "linux"))]
pub(super) fn forget_files() {}

/// Start and length of each mapping in `/proc/self/smaps` (`proc_pid_smaps(5)`) that is private, of a file,
/// may not be written, and holds no page of our own: relocated data have such pages, although they may not
/// be written any more.
#[cfg(target_os = "linux")]
fn unchanged(smaps: &str) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut mapping = None;
    for line in smaps.lines() {
        if let Some(range) = file(line) {
            mapping = range;
        } else if line.starts_with("Anonymous:") {
            let own = line.split_ascii_whitespace().nth(1);
            found.extend(mapping.take().filter(|_| own == Some("0")));
        }
    }
    found
}

/// The first line of a mapping: start and length if it is of a file and may only be read or executed. `None`
/// for every other line.
#[cfg(target_os = "linux")]
#[expect(
    clippy::option_option,
    reason = "no mapping, none of ours, one of ours"
)]
fn file(line: &str) -> Option<Option<(usize, usize)>> {
    let mut words = line.split_ascii_whitespace();
    let (start, end) = words.next()?.split_once('-')?;
    let number = |text| usize::from_str_radix(text, 16).ok();
    let (start, end) = (number(start)?, number(end)?);
    let may = words.next()?;
    let of_file = words.nth(3).is_some_and(|path| path.starts_with('/'));
    let kept = matches!(may, "r-xp" | "r--p") && of_file && start < end;
    Some(kept.then(|| (start, end - start)))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_as_in_its_file_is_forgotten() {
        let file = "fe:00 5409264                    /usr/bin/x y";
        for (line, own, expected) in [
            (format!("1000-3000 r-xp 00098000 {file}"), 0, true),
            (format!("1000-3000 r--p 00098000 {file}"), 0, true),
            (format!("1000-3000 r--p 00098000 {file}"), 4, false),
            (format!("1000-3000 rwxp 00098000 {file}"), 0, false),
            (format!("1000-3000 r-xs 00098000 {file}"), 0, false),
            (
                "1000-3000 r-xp 00000000 00:00 0   [vdso]".to_owned(),
                0,
                false,
            ),
            ("1000-3000 r-xp 00000000 00:00 0".to_owned(), 0, false),
        ] {
            let smaps = format!("{line}\nRss: 8 kB\nAnonymous:  {own} kB\nVmFlags: rd ex\n");
            let expected = if expected {
                vec![(0x1000, 0x2000)]
            } else {
                Vec::new()
            };
            assert_eq!(unchanged(&smaps), expected, "{line} {own}");
        }
        assert_eq!(unchanged(""), []);
    }

    #[test]
    fn the_program_goes_on_afterwards() {
        forget_files();
        assert_eq!("still here".len(), 10);
    }
}
