//! `identity fetch`: certificate, key and roots as files for other tools, and a curl line that works with them.

use std::fs::DirBuilder;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use agent::{FetchError, FetchedSvid};
use api::admin::Status;
use control::pem;
use identity::{Bundle, BundleSet};
use runtime::clock::SystemClock;
use rustls::pki_types::CertificateDer;
use serde::Serialize;
use types::{Clock, Host, Timestamp};

use crate::admin_client::AdminClient;
use crate::args::Fetch;
use crate::env::Env;
use crate::exit::{Exit, Failed, Outcome};
use crate::key::Impersonation;
use crate::term::json;
use crate::term::time::Times;
use crate::{call, credentials, shell};

/// What is to be written.
struct Fetched {
    spiffe_id: String,
    domain: String,
    not_after: Timestamp,
    /// PEM, leaf first.
    chain: String,
    /// PEM, PKCS #8.
    key: String,
    /// PEM: the roots of its domain, where the Workload API gave them.
    roots: String,
}

/// Runs the command.
///
/// # Errors
/// When nothing runs, nothing is issued, or the files cannot be written.
pub fn run(args: &Fetch, env: &Env) -> Outcome {
    if let Some(socket) = &args.socket {
        return crate::tasks::block_on(from_socket(args, socket))?;
    }
    let client = AdminClient::to(env, &args.target)?;
    crate::tasks::block_on(fetch(args, client))?
}

/// Where only an agent runs, nobody knows which services there are: the files, and no curl line.
async fn from_socket(args: &Fetch, socket: &Path) -> Outcome {
    let fetched = own(socket).await?;
    let files = Files::new(&args.out, &fetched.domain, &fetched.domain);
    files.make(&args.out)?;
    write(&files.chain, 0o644, &fetched.chain)?;
    write(&files.key, 0o600, &fetched.key)?;
    write(&files.bundle, 0o644, &fetched.roots)?;
    let line = format!("{} --connect-to HOST:443:GATEWAY https://HOST/", curl_with(&files));
    if args.json { show_json(&fetched, &files, &line) } else { show(&fetched, &files, &line) }
}

async fn fetch(args: &Fetch, client: AdminClient) -> Outcome {
    let status = client.status().await?;
    let fetched = match &args.workload {
        Some(workload) => impersonated(&client, workload).await?,
        None if client.is_elsewhere() => {
            let hint =
                "name the agent's socket with `--socket PATH`, or impersonate a workload with `--as DOMAIN/WORKLOAD`";
            return Err(no_agent_there(hint));
        }
        None => domain_within(own(Path::new(&status.workload_socket)).await?, &status.organisation),
    };
    let target = target(&status, &fetched.domain, args.gateway.as_deref()).await?;
    let files = Files::new(&args.out, &fetched.domain, &target.domain);
    files.make(&args.out)?;
    write(&files.chain, 0o644, &fetched.chain)?;
    write(&files.key, 0o600, &fetched.key)?;
    write(&files.bundle, 0o644, &client.bundle(&fetched.domain).await?.roots)?;
    if files.roots != files.bundle {
        write(&files.roots, 0o644, &client.bundle(&target.domain).await?.roots)?;
    }
    let line = curl(&files, &target);
    if args.json { show_json(&fetched, &files, &line) } else { show(&fetched, &files, &line) }
}

async fn impersonated(client: &AdminClient, workload: &types::WorkloadId) -> Result<Fetched, Failed> {
    let held = Impersonation::obtain(client, workload).await?;
    Ok(Fetched {
        spiffe_id: held.issued.spiffe_id.clone(),
        domain: workload.domain().to_string(),
        not_after: held.issued.not_after,
        chain: held.issued.chain.clone(),
        key: held.key_pem(),
        roots: String::new(),
    })
}

/// Who asks over the network is attested by nobody.
pub(super) fn no_agent_there(hint: &str) -> Failed {
    Failed::usage(
        "this process's own identity comes from the agent of its own machine, and not from a control elsewhere",
    )
    .hint(hint)
}

/// Why the Workload API gave nothing, and what to do.
pub(super) fn refused(error: &FetchError) -> Failed {
    let hint = match error {
        FetchError::Denied => "this process is no registered workload; `--as DOMAIN/WORKLOAD` impersonates one",
        _ => "",
    };
    Failed::new(format!("the Workload API gave no identity: {error}")).hint(hint)
}

/// The trust domain without the organisation: the domain as policies name it.
fn domain_within(fetched: Fetched, organisation: &str) -> Fetched {
    let domain = fetched.domain.strip_suffix(organisation).and_then(|domain| domain.strip_suffix('.'));
    let domain = domain.unwrap_or(&fetched.domain).to_owned();
    Fetched { domain, ..fetched }
}

/// This process's own identity, attested by the agent. Its domain is the whole trust domain.
async fn own(socket: &Path) -> Result<Fetched, Failed> {
    let fetched = agent::fetch(socket).await.map_err(|error| refused(&error))?;
    let svid = fetched.into_iter().next().ok_or_else(|| Failed::new("the Workload API gave no identity"))?;
    Ok(Fetched {
        spiffe_id: svid.spiffe_id.to_string(),
        domain: svid.spiffe_id.trust_domain().to_string(),
        not_after: checked(&svid)?,
        chain: pem::certificates(&svid.chain_der),
        key: pem::encode("PRIVATE KEY", svid.key_der.reveal()),
        roots: pem::certificates(&svid.bundle_der),
    })
}

/// The end of an SVID's validity, which verifying it tells.
fn checked(svid: &FetchedSvid) -> Result<Timestamp, Failed> {
    let wrong =
        |error: &dyn std::fmt::Display| Failed::new(format!("the Workload API's identity is not valid: {error}"));
    let bundle = Bundle::from_der(svid.spiffe_id.trust_domain().clone(), svid.bundle_der.clone());
    let bundles = BundleSet::from_iter([bundle.map_err(|error| wrong(&error))?]);
    let chain: Vec<CertificateDer<'_>> =
        svid.chain_der.iter().map(|der| CertificateDer::from(der.as_slice())).collect();
    let peer = identity::verify(&chain, &bundles, SystemClock.now()).map_err(|error| wrong(&error))?;
    Ok(peer.not_after())
}

/// A host to try it on: one of the own domain where there is one.
struct Target {
    host: Host,
    domain: String,
    address: SocketAddr,
    /// A path that the host lists, where it lists one without parameters.
    path: String,
}

async fn target(status: &Status, own: &str, gateway: Option<&str>) -> Result<Target, Failed> {
    let near = status.hosts.iter().find(|(_, domain)| *domain == own).or_else(|| status.hosts.iter().next());
    let host = near.and_then(|(host, _)| Host::parse(host).ok());
    let host = host.ok_or_else(|| Failed::new("there is no service to call yet").hint("add one to a domain.yaml"))?;
    let (domain, address) = call::find(status, &host, gateway).await?;
    let path = status.paths.get(host.as_str()).cloned().unwrap_or_else(|| "/".to_owned());
    Ok(Target { host, domain, address, path })
}

/// Where everything goes.
struct Files {
    chain: PathBuf,
    key: PathBuf,
    bundle: PathBuf,
    /// The roots of the host to try it on; the bundle itself where that is of the own domain.
    roots: PathBuf,
}

impl Files {
    fn new(out: &Path, own: &str, target: &str) -> Self {
        let bundle = out.join("bundle.pem");
        let roots = if own == target { bundle.clone() } else { out.join(format!("bundle-{target}.pem")) };
        Self { chain: out.join("svid.pem"), key: out.join("svid.key"), bundle, roots }
    }

    fn make(&self, out: &Path) -> Result<(), Failed> {
        DirBuilder::new().recursive(true).mode(0o700).create(out).map_err(|error| unwritable(out, &error))
    }
}

fn write(path: &Path, mode: u32, content: &str) -> Result<(), Failed> {
    credentials::write(path, mode, content).map_err(|error| unwritable(path, &error))
}

fn unwritable(path: &Path, error: &io::Error) -> Failed {
    Failed::new(format!("`{}` cannot be written: {error}", path.display()))
        .hint("name another directory with `--out DIR`")
}

/// Who calls, and whom it takes for the gateway.
fn curl_with(files: &Files) -> String {
    let path = |path: &Path| shell::quote(&path.display().to_string());
    format!("curl --cacert {} --cert {} --key {}", path(&files.roots), path(&files.chain), path(&files.key))
}

fn curl(files: &Files, target: &Target) -> String {
    format!(
        "{} --connect-to {host}:443:{} https://{host}{}",
        curl_with(files),
        target.address,
        target.path,
        host = target.host,
    )
}

fn show(fetched: &Fetched, files: &Files, curl: &str) -> Outcome {
    let mut out = io::stdout().lock();
    writeln!(out, "{}, valid until {}\n", fetched.spiffe_id, Times::local().second(fetched.not_after))?;
    writeln!(out, "  {:<24}  certificate, leaf first", files.chain.display())?;
    writeln!(out, "  {:<24}  its key, for you alone", files.key.display())?;
    writeln!(out, "  {:<24}  roots of {}", files.bundle.display(), fetched.domain)?;
    writeln!(out, "\n{curl}")?;
    Ok(Exit::Yes)
}

#[derive(Serialize)]
struct Json<'a> {
    kind: &'static str,
    spiffe_id: &'a str,
    not_after: String,
    certificate: &'a Path,
    key: &'a Path,
    bundle: &'a Path,
    curl: &'a str,
}

fn show_json(fetched: &Fetched, files: &Files, curl: &str) -> Outcome {
    let line = Json {
        kind: "identity",
        spiffe_id: &fetched.spiffe_id,
        not_after: fetched.not_after.to_string(),
        certificate: &files.chain,
        key: &files.key,
        bundle: &files.bundle,
        curl,
    };
    json::line(&mut io::stdout().lock(), &line)?;
    Ok(Exit::Yes)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_key_is_never_readable_by_others_also_where_a_file_was_before() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("svid.key");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        write(&path, 0o600, "new").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert!(write(&dir.path().join("no/such/dir"), 0o600, "x").is_err());
    }

    #[test]
    fn the_curl_line_names_the_roots_of_the_host() {
        let target = Target {
            host: Host::parse("ledger.acme.internal").unwrap(),
            domain: "finance".into(),
            address: "127.0.0.1:8444".parse().unwrap(),
            path: "/entries".to_owned(),
        };
        assert_eq!(
            curl(&Files::new(Path::new("my dir"), "platform", "finance"), &target),
            "curl --cacert 'my dir/bundle-finance.pem' --cert 'my dir/svid.pem' --key 'my dir/svid.key' \
             --connect-to ledger.acme.internal:443:127.0.0.1:8444 https://ledger.acme.internal/entries"
        );
    }
}
