//! The tools that the checks need besides the Rust toolchain: named when missing, installed with `--install`.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::workspace::root;

/// A command that must be on the machine.
struct Need {
    command: &'static str,
    source: Source,
    why: &'static str,
}

/// Where a command comes from.
enum Source {
    Debian(&'static str),
    Cargo(&'static str),
    Toolchain(&'static str),
    /// What a folder's package-lock.json names, exactly.
    Npm(&'static str),
    /// Packages of PyPI, exactly, in a virtual environment: the folder that the command's path names first.
    PyPi(&'static [&'static str]),
}

const NEEDS: &[Need] = &[
    Need { command: "git", source: Source::Debian("git"), why: "tidy reads the files that git tracks" },
    Need {
        command: "cc",
        source: Source::Debian("build-essential"),
        why: "the linker, and the C parts of aws-lc and SQLite",
    },
    Need { command: "curl", source: Source::Debian("curl"), why: "the client of the end-to-end tests" },
    Need { command: "nginx", source: Source::Debian("nginx"), why: "the peer that bench/ measures beside" },
    Need { command: "cargo-fmt", source: Source::Toolchain("rustfmt"), why: "formatting" },
    Need { command: "cargo-clippy", source: Source::Toolchain("clippy"), why: "lints" },
    Need {
        command: "cargo-deny",
        source: Source::Cargo("cargo-deny@0.20.2"),
        why: "bans, licences and sources of packages",
    },
    Need { command: "node", source: Source::Debian("nodejs"), why: "runs the browser test of the console" },
    Need { command: "npm", source: Source::Debian("npm"), why: "fetches what the browser test uses" },
    Need { command: "chromium", source: Source::Debian("chromium"), why: "the browser that visits the console" },
    Need {
        command: "tests/browser",
        source: Source::Npm("tests/browser"),
        why: "playwright-core drives the browser, axe-core looks for what people cannot use",
    },
    Need {
        command: "faketime",
        source: Source::Debian("faketime"),
        why: "clocks that are an hour apart, in the tests of the roles",
    },
    Need {
        command: "ip",
        source: Source::Debian("iproute2"),
        why: "network namespaces, in the tests of the roles where root may make them",
    },
    Need {
        command: "openssl",
        source: Source::Debian("openssl"),
        why: "looks at what is minted, and signs beside it in bench/",
    },
    Need { command: "virtualenv", source: Source::Debian("virtualenv"), why: "keeps packages of Python apart" },
    Need {
        command: "taskset",
        source: Source::Debian("util-linux"),
        why: "keeps what bench/ measures on one core, and those who ask on another",
    },
    Need {
        command: SCHEMATHESIS,
        source: Source::PyPi(&["schemathesis==4.32.5"]),
        why: "asks the admin API everything that its document describes, and more",
    },
    Need {
        command: "tests/workload/.venv/bin/python",
        source: Source::PyPi(&["-r", "tests/workload/requirements.txt"]),
        why: "the SPIFFE client that others wrote for Python, as a workload of the end-to-end tests",
    },
];

/// Where the command of that name is.
pub const SCHEMATHESIS: &str = "tests/api/.venv/bin/schemathesis";

/// Debian's `nginx` stands in a folder that an ordinary user's PATH leaves out.
const ALSO_IN: &[&str] = &["/usr/sbin", "/sbin"];

/// What was found.
#[derive(PartialEq, Eq, Debug)]
pub enum Found {
    /// Everything is there.
    All,
    /// Something is missing and was named.
    Missing,
}

/// Which packages a folder is to have.
const LOCK: &str = "package-lock.json";

/// A copy of [`LOCK`] beside the packages that were fetched by it.
const STAMP: &str = "node_modules/.fetched-by.json";

/// The folder of a virtual environment, and the file in it that names the packages that were fetched.
const ENVIRONMENT: &str = ".venv";
const FETCHED: &str = "fetched.txt";

impl Need {
    /// Whether it is on the machine, and for packages whether they are those of the lock.
    fn is_there(&self) -> bool {
        let folder = match self.source {
            Source::Npm(folder) => folder,
            Source::PyPi(packages) => return root().is_ok_and(|root| self.is_fetched(&root, packages)),
            Source::Debian(_) | Source::Cargo(_) | Source::Toolchain(_) => return is_present(self.command),
        };
        let read = |name: &str| root().ok().and_then(|root| fs::read(root.join(folder).join(name)).ok());
        read(LOCK).is_some() && read(LOCK) == read(STAMP)
    }

    fn is_fetched(&self, root: &Path, packages: &[&str]) -> bool {
        let fetched = fs::read_to_string(root.join(self.environment()).join(FETCHED));
        root.join(self.command).is_file() && fetched.is_ok_and(|fetched| fetched == wanted(root, packages))
    }

    /// The virtual environment that its command stands in.
    fn environment(&self) -> PathBuf {
        let named = Path::new(self.command).ancestors().find(|folder| folder.ends_with(ENVIRONMENT));
        named.unwrap_or_else(|| Path::new(ENVIRONMENT)).to_path_buf()
    }

    /// What installs it.
    fn installation(&self) -> Vec<String> {
        let words: &[&str] = match self.source {
            Source::Debian(package) => &["apt-get", "install", "-y", "--no-install-recommends", package],
            Source::Cargo(package) => &["cargo", "install", "--locked", package],
            Source::Toolchain(component) => &["rustup", "component", "add", component],
            Source::Npm(folder) => &["npm", "ci", "--prefix", folder, "--ignore-scripts", "--no-audit", "--no-fund"],
            Source::PyPi(packages) => {
                let pip = self.environment().join("bin/pip").display().to_string();
                let pip = [pip.as_str(), "install", "--quiet"].map(str::to_owned);
                return pip.into_iter().chain(packages.iter().map(|package| (*package).to_owned())).collect();
            }
        };
        words.iter().map(|word| (*word).to_owned()).collect()
    }
}

/// The packages by name and version, those of lists included.
fn wanted(root: &Path, packages: &[&str]) -> String {
    let named = |word: &&str| fs::read_to_string(root.join(word)).unwrap_or_else(|_| (*word).to_owned());
    packages.iter().map(named).collect::<Vec<_>>().join("\n")
}

/// Looks for every tool; with `install`, lists what is missing and installs it.
pub fn ensure_all(install: bool) -> Result<Found> {
    let missing: Vec<&Need> = NEEDS.iter().filter(|need| !need.is_there()).collect();
    if missing.is_empty() {
        println!("every tool is there; nothing to install");
        return Ok(Found::All);
    }
    println!("{}", if install { "will install:" } else { "missing:" });
    for need in &missing {
        println!("  {:14} {:42} {}", need.command, need.installation().join(" "), need.why);
    }
    if !install {
        println!(
            "`cargo xtask needs --install` installs all of it, as `cargo xtask ci --install` does before it begins"
        );
        return Ok(Found::Missing);
    }
    install_all(&missing)?;
    Ok(Found::All)
}

/// Whether a command can be started.
pub fn is_present(command: &str) -> bool {
    find(command).is_some()
}

/// Where a command stands: in PATH, or where Debian puts servers.
fn find(command: &str) -> Option<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "the workshop looks for tools where the shell would")]
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain(ALSO_IN.iter().map(|folder| Path::new(folder).to_path_buf()));
    folders.map(|folder| folder.join(command)).find(|file| file.is_file())
}

fn install_all(missing: &[&Need]) -> Result<()> {
    if missing.iter().any(|need| matches!(need.source, Source::Debian(_))) {
        run(&as_root(&["apt-get".to_owned(), "update".to_owned()]))?;
    }
    for need in missing {
        if let Source::PyPi(_) = need.source {
            run(&["virtualenv".to_owned(), "--quiet".to_owned(), need.environment().display().to_string()])?;
        }
        let command = need.installation();
        run(&if matches!(need.source, Source::Debian(_)) { as_root(&command) } else { command })?;
        if let Source::Npm(folder) = need.source {
            let folder = root()?.join(folder);
            fs::copy(folder.join(LOCK), folder.join(STAMP)).context("cannot note which packages were fetched")?;
        }
        if let Source::PyPi(packages) = need.source {
            let note = root()?.join(need.environment()).join(FETCHED);
            fs::write(note, wanted(&root()?, packages)).context("cannot note which packages were fetched")?;
        }
        ensure!(need.is_there(), "`{}` is still missing after it was installed", need.command);
    }
    Ok(())
}

/// The command through `sudo` where the user is not root and has it.
fn as_root(command: &[String]) -> Vec<String> {
    let is_root = Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.starts_with(b"0\n"));
    let sudo = (!is_root && is_present("sudo")).then(|| ["sudo", "-n"].map(str::to_owned));
    // Debian starts a server as soon as it is installed; RUNLEVEL=1 tells it that this is no time for servers
    let settings = ["env", "DEBIAN_FRONTEND=noninteractive", "RUNLEVEL=1"].map(str::to_owned);
    sudo.into_iter().flatten().chain(settings).chain(command.iter().cloned()).collect()
}

fn run(command: &[String]) -> Result<()> {
    let words = command.join(" ");
    println!("$ {words}");
    let (program, arguments) = command.split_first().context("an empty command")?;
    let status = Command::new(program).args(arguments).current_dir(root()?).stdin(Stdio::null()).status();
    let status = status.with_context(|| format!("cannot run `{words}`"))?;
    ensure!(status.success(), "`{words}` failed");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{NEEDS, Source, find, is_present};

    #[test]
    fn commands_are_found_or_not() {
        assert!(is_present("sh"));
        assert!(!is_present("no-such-command-here"));
        assert!(find("sh").unwrap().is_absolute());
    }

    #[test]
    fn every_need_has_a_reason_and_a_command() {
        for need in NEEDS {
            assert!(!need.why.is_empty());
            assert!(need.installation().len() >= 4, "{}", need.command);
            if let Source::PyPi(_) = need.source {
                assert!(
                    need.environment().ends_with(".venv") && need.command.contains("/.venv/bin/"),
                    "{}",
                    need.command
                );
            }
        }
    }
}
