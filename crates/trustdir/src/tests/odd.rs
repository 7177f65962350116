//! Folders that misbehave, and more problems than are listed.

use super::directory::{good, listed};
use crate::*;

/// The good directory with an odd entry, or a failure.
enum Odd {
    Entry(FileEntry),
    NoList,
    NoRead(&'static str),
}

impl Files for Odd {
    fn list(&self) -> Result<Vec<FileEntry>, FilesError> {
        let mut entries = good().list()?;
        match self {
            Self::Entry(entry) => entries.push(entry.clone()),
            Self::NoList => return Err(FilesError("permission denied".to_owned())),
            Self::NoRead(_) => {}
        }
        Ok(entries)
    }

    fn read(&self, path: &str) -> Result<Vec<u8>, FilesError> {
        match self {
            Self::NoRead(refused) if *refused == path => Err(FilesError("permission denied".to_owned())),
            Self::Entry(entry) if entry.path == path => panic!("{path} must not be read"),
            _ => good().read(path),
        }
    }
}

fn entry(path: &str, kind: FileKind, size: u64) -> Odd {
    Odd::Entry(FileEntry { path: path.to_owned(), kind, size })
}

#[test]
fn what_is_no_regular_file_is_refused_unread() {
    for (odd, want) in [
        (entry("domains/hr/policies/x.cedar", FileKind::Symlink, 1), "error file.symlink domains/hr/policies/x.cedar"),
        (entry("domains/it", FileKind::Symlink, 1), "error file.symlink domains/it"),
        (entry("policies/x.cedar", FileKind::Other, 1), "error file.kind policies/x.cedar"),
        (entry("policies/x.cedar", FileKind::Regular, 1 << 40), "error file.too-large policies/x.cedar"),
        (Odd::NoList, "error file.unreadable "),
    ] {
        assert_eq!(listed(&odd).first().map(String::as_str), Some(want));
        assert!(load(&odd).revision.is_none());
    }
    assert!(load(&entry("node.yaml", FileKind::Symlink, 1)).revision.is_some());
    assert!(load(&entry(".git/link", FileKind::Symlink, 1)).revision.is_some());
}

#[test]
fn a_file_that_cannot_be_read_is_said_once() {
    for path in ["countersign.yaml", "domains/hr/domain.yaml", "domains/finance/apis/ledger.yaml"] {
        assert_eq!(listed(&Odd::NoRead(path)), [format!("error file.unreadable {path}")]);
    }
}

#[test]
fn files_that_are_not_text_are_refused() {
    let mut files = good();
    files.insert("domains/hr/domain.yaml", b"domain: \xff\n");
    assert_eq!(listed(&files), ["error file.not-text domains/hr/domain.yaml"]);
}

#[test]
fn the_number_of_files_and_their_size_together_are_bounded() {
    let mut many = good();
    (0..10_001).for_each(|n| many.insert(format!("policies/p{n}.cedar"), ""));
    assert_eq!(listed(&many).first().map(String::as_str), Some("error file.too-many "));
    let mut large = good();
    let chunk = vec![b'\n'; 4 * 1024 * 1024];
    (0..65).for_each(|n| large.insert(format!("domains/hr/apis/p{n:02}.json"), chunk.clone()));
    assert!(listed(&large).contains(&"error file.too-large domains/hr/apis/p63.json".to_owned()));
}

#[test]
fn at_most_two_hundred_problems_are_listed() {
    let keys = |count: usize| (0..count).map(|n| format!("key{n}: 1\n")).collect::<String>();
    for (count, want) in [(199, 199), (201, 201), (5_000, 201)] {
        let mut files = good();
        files.insert("domains/it/domain.yaml", format!("domain: it\n{}", keys(count)));
        let problems = load(&files).problems;
        assert_eq!(problems.len(), want, "{count}");
        let last = problems.last().expect("problems");
        assert_eq!(last.message == "… and more", count > 200, "{last:?}");
    }
}

#[test]
fn warnings_give_way_to_errors() {
    let mut files = good();
    let keys = (0..150).map(|n| format!("key{n}: 1\n")).collect::<String>();
    files.insert("domains/it/domain.yaml", format!("domain: it\n{keys}"));
    (0..100).for_each(|n| files.insert(format!("domains/finance/apis/unused{n}.json"), "{}"));
    let problems = load(&files).problems;
    let errors = problems.iter().filter(|problem| problem.severity == Severity::Error).count();
    assert_eq!((problems.len(), errors), (201, 151));
}

#[test]
fn lines_and_columns_count_characters() {
    for (text, offset, want) in [
        ("", 0, (1, 1)),
        ("ab\ncd", 1, (1, 2)),
        ("ab\ncd", 2, (1, 3)),
        ("ab\ncd", 3, (2, 1)),
        ("äb", 2, (1, 2)),
        ("äb", 1, (1, 1)),
        ("ab", 99, (1, 3)),
    ] {
        assert_eq!(line_column(text, offset), want, "{text:?} {offset}");
    }
}
