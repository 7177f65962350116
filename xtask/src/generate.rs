//! `cargo xtask gen`: the code of crates/api/src from the protocol files of crates/api/proto, without protoc and without a
//! build script in the product.

#[cfg(feature = "gen")]
pub use with_compiler::run;

/// Where this build lacks the compiler, the command that has it is named.
#[cfg(not(feature = "gen"))]
pub fn run(check: bool) -> anyhow::Result<crate::Outcome> {
    let flag = if check { " --check" } else { "" };
    eprintln!("error: this build of xtask has no protobuf compiler");
    eprintln!("  do:  cargo run --package xtask --features gen -- gen{flag}");
    Ok(crate::Outcome::Missing)
}

#[cfg(feature = "gen")]
mod with_compiler {
    use std::fs;
    use std::path::Path;

    use anyhow::{Context, Result, ensure};

    use crate::Outcome;
    use crate::workspace::root;

    /// Each protocol file and the code that it gives.
    const FILES: &[(&str, &str)] = &[
        ("crates/api/proto/workload.proto", "crates/api/src/workload.rs"),
        ("crates/api/proto/wire.proto", "crates/api/src/wire.rs"),
    ];

    /// Messages that hold keys or tokens. `redact.rs` writes what they show of themselves.
    const SECRET: &[&str] = &["X509SVID", "JWTSVID", "ValidateJWTSVIDRequest", "JoinRequest", "MintJwtResponse"];

    /// Generates, or compares what stands with what would be generated.
    pub fn run(check: bool) -> Result<Outcome> {
        let root = root()?;
        let mut outcome = Outcome::Passed;
        for (proto, output) in FILES {
            if one(&root, proto, output, check)? != Outcome::Passed {
                outcome = Outcome::Failed;
            }
        }
        Ok(outcome)
    }

    fn one(root: &Path, proto: &str, output: &str, check: bool) -> Result<Outcome> {
        let code = generate(root, proto)?;
        let path = root.join(output);
        let standing = fs::read_to_string(&path).unwrap_or_default();
        if standing == code {
            println!("{output} is as {proto} says");
            return Ok(Outcome::Passed);
        }
        if check {
            eprintln!("error: {output} is not what {proto} generates");
            eprintln!("  do:  cargo run --package xtask --features gen -- gen");
            return Ok(Outcome::Failed);
        }
        fs::write(&path, code).with_context(|| format!("cannot write `{}`", path.display()))?;
        println!("{output} written");
        Ok(Outcome::Passed)
    }

    fn generate(root: &Path, proto: &str) -> Result<String> {
        let folder = root.join(proto).parent().map(Path::to_path_buf).context("the protocol file has no folder")?;
        let descriptors =
            protox::compile([root.join(proto)], [folder]).map_err(|error| anyhow::anyhow!("{error:?}"))?;
        let into = scratch(root)?;
        tonic_prost_build::configure()
            .build_client(true)
            .build_server(true)
            .skip_debug(SECRET)
            .out_dir(&into)
            .compile_fds(descriptors)
            .context("cannot generate code")?;
        let mut files: Vec<_> = fs::read_dir(&into)?.collect::<Result<_, _>>()?;
        let generated = files.pop().context("nothing was generated")?;
        ensure!(files.is_empty(), "more than one file was generated");
        let code = fs::read_to_string(generated.path())?;
        fs::remove_dir_all(&into)?;
        Ok(code)
    }

    /// A folder of our own below the target directory.
    fn scratch(root: &Path) -> Result<std::path::PathBuf> {
        let folder = root.join(format!("target/gen-{}", std::process::id()));
        fs::create_dir_all(&folder).with_context(|| format!("cannot create `{}`", folder.display()))?;
        Ok(folder)
    }
}
