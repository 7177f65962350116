//! Commands to be pasted into a shell: quoted, and with the program named so that it is found from where the user is.

#[cfg(feature = "demo")]
use std::path::{Path, PathBuf};

#[cfg(feature = "demo")]
use crate::env::Env;

/// A word as a POSIX shell reads it back.
pub fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@,+%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(feature = "demo")]
/// How to call this program from the current directory: `countersign` where that finds it, else its path.
pub fn program(env: &Env) -> String {
    let Ok(own) = std::env::current_exe() else { return "countersign".to_owned() };
    let found = env.path.iter().map(|folder| folder.join("countersign")).find(|path| path.is_file());
    if found.and_then(|path| path.canonicalize().ok()) == own.canonicalize().ok() {
        return "countersign".to_owned();
    }
    let here = std::env::current_dir().unwrap_or_default();
    quote(&relative(&own, &here).display().to_string())
}

#[cfg(feature = "demo")]
/// The path below a directory, with what a shell needs to take it as a path; else as it is.
pub fn relative(path: &Path, here: &Path) -> PathBuf {
    match path.strip_prefix(here) {
        Ok(below) if below.components().count() > 1 => below.to_owned(),
        Ok(below) => Path::new(".").join(below),
        Err(_) => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_where_a_shell_would_break_them() {
        assert_eq!(quote("https://ledger.acme.internal/entries"), "https://ledger.acme.internal/entries");
        assert_eq!(quote(r#"{"text":"it's"}"#), r#"'{"text":"it'\''s"}'"#);
        assert_eq!(quote(""), "''");
        assert_eq!(quote("a b"), "'a b'");
    }

    #[test]
    #[cfg(feature = "demo")]
    fn a_program_below_the_current_directory_is_named_by_its_way_there() {
        assert_eq!(relative(Path::new("/a/target/x"), Path::new("/a")), Path::new("target/x"));
        assert_eq!(relative(Path::new("/a/x"), Path::new("/a")), Path::new("./x"));
        assert_eq!(relative(Path::new("/b/x"), Path::new("/a")), Path::new("/b/x"));
    }
}
