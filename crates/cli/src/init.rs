//! `init DIR`: a small trust directory to start from.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use trustdir::MemoryFiles;
use types::TrustDomain;

use crate::args::Init;
use crate::env::Env;
use crate::exit::{Exit, Failed, Outcome};
use crate::term::{Palette, Tone, count};

/// Runs the command.
///
/// # Errors
/// When DIR holds something already, or cannot be written.
pub fn run(args: &Init, env: &Env) -> Outcome {
    let organisation = TrustDomain::parse(&args.organisation).map_err(|error| {
        Failed::usage(format!("--organisation: {error}")).hint("use a name of your own such as `acme.internal`")
    })?;
    refuse_what_is_there(&args.dir)?;
    let files = trustdir::starter(&organisation);
    let written = write(&args.dir, &files).map_err(|(path, error)| {
        Failed::new(format!("`{path}` cannot be written: {error}")).hint("name a directory that you may write to")
    })?;
    let (mut out, dir) = (io::stdout().lock(), args.dir.display());
    let name = Palette::stdout(env).paint(Tone::Strong, &dir.to_string());
    writeln!(out, "{name} is ready: {} for {organisation}", count(written, "file", "files"))?;
    writeln!(out, "\n  countersign check {dir}\n  countersign test {dir}\n  countersign up {dir}")?;
    Ok(Exit::Yes)
}

/// Nothing is overwritten, ever.
fn refuse_what_is_there(dir: &Path) -> Result<(), Failed> {
    let shown = dir.display();
    match fs::read_dir(dir) {
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => {
                Err(Failed::new(format!("`{shown}` is not empty")).hint("name a directory that does not exist yet"))
            }
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            Err(Failed::new(format!("`{shown}` is a file")).hint("name a directory that does not exist yet"))
        }
        Err(error) => Err(Failed::new(format!("`{shown}` cannot be read: {error}"))),
    }
}

fn write(dir: &Path, files: &MemoryFiles) -> Result<usize, (String, io::Error)> {
    let mut written = 0_usize;
    for (path, content) in files.iter() {
        let path = dir.join(path);
        let made = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(&path, content));
        made.map_err(|error| (path.display().to_string(), error))?;
        written = written.saturating_add(1);
    }
    Ok(written)
}
