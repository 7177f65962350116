//! What files under `/proc/PID` say, read from their text alone.
//!
//! A text that is not what the kernel writes says nothing: a fact that is missing matches no rule, one that was guessed
//! might.

mod cgroup;

pub use cgroup::{Place, cgroup};

/// Who a process runs as, by `/proc/PID/status`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Status {
    /// The effective user id.
    pub uid: u32,
    /// The effective group id.
    pub gid: u32,
    /// The supplementary groups, sorted, each once.
    pub groups: Vec<u32>,
}

/// Reads `/proc/PID/status`. `None` unless each of the three lines is there once and is what the kernel writes.
///
/// The name of the process, which it chooses itself, stands in there too; the kernel escapes its line breaks.
pub fn status(text: &str) -> Option<Status> {
    let mut groups: Vec<u32> = numbers(line(text, "Groups:")?)?;
    groups.sort_unstable();
    groups.dedup();
    Some(Status { uid: effective(line(text, "Uid:")?)?, gid: effective(line(text, "Gid:")?)?, groups })
}

/// What follows a name at the start of exactly one line.
fn line<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let mut found = text.lines().filter_map(|line| line.strip_prefix(name));
    let first = found.next()?;
    found.next().is_none().then_some(first)
}

fn numbers(text: &str) -> Option<Vec<u32>> {
    text.split_ascii_whitespace().map(|number| number.parse().ok()).collect()
}

/// Real, effective, saved, file system.
fn effective(text: &str) -> Option<u32> {
    match numbers(text)?.as_slice() {
        [_, effective, _, _] => Some(*effective),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "Name:\tsh\\nUid:\t0\t0\t0\t0\nUmask:\t0022\nPid:\t7\n\
        Uid:\t1000\t1001\t1001\t1001\nGid:\t100\t101\t101\t101\nFDSize:\t64\nGroups:\t200 27 27 \nNStgid:\t7\n";

    #[test]
    fn the_effective_ids_and_all_groups_are_read() {
        assert_eq!(status(TEXT), Some(Status { uid: 1001, gid: 101, groups: vec![27, 200] }));
        let without = TEXT.replace("200 27 27 ", " ");
        assert_eq!(status(&without).unwrap().groups, Vec::<u32>::new());
    }

    #[test]
    fn what_the_kernel_does_not_write_says_nothing() {
        let doubled = format!("{TEXT}Uid:\t0\t0\t0\t0\n");
        let bad =
            [&TEXT.replace("200", "x"), &TEXT.replace("\t101\t101\t101", ""), &TEXT.replace("Groups", "G"), &doubled];
        for text in bad {
            assert_eq!(status(text), None, "{text}");
        }
        assert_eq!(status(""), None);
        assert_eq!(status(&TEXT.replace("1001", "4294967296")), None);
    }
}
