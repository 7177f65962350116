//! nginx as it is measured beside: a plain reverse proxy that asks for the same client certificates.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::process::{Process, pinned, said};
use crate::subject::HOST;

/// The running server.
pub struct Nginx {
    pub process: Process,
    pub address: SocketAddr,
    pub version: String,
    /// The root of its certificate.
    pub roots: PathBuf,
}

impl Nginx {
    /// Writes its configuration and starts it on one core. `client_roots` are Countersign's, so that the same client
    /// certificates are good for both.
    pub fn start(
        folder: &Path,
        core: usize,
        upstream: SocketAddr,
        address: SocketAddr,
        client_roots: &Path,
    ) -> Result<Self> {
        let binary = binary()?;
        let version = said(&binary, &["-v"])?;
        let roots = write_certificate(folder)?;
        let configuration = folder.join("nginx.conf");
        let text = configuration_text(folder, upstream, address, client_roots);
        fs::write(&configuration, text).context("cannot write nginx.conf")?;
        let printed = folder.join("nginx.out");
        let mut command = pinned(core, &binary);
        command.arg("-p").arg(folder).arg("-c").arg(&configuration).args(["-e", "stderr"]);
        let mut process = Process::start("nginx", &mut command, &printed)?;
        process.wait_for(address, &printed)?;
        Ok(Self { process, address, version, roots })
    }
}

/// Debian keeps servers in a folder that an ordinary user's PATH leaves out.
fn binary() -> Result<PathBuf> {
    let named = ["/usr/sbin/nginx", "/usr/bin/nginx", "/usr/local/sbin/nginx"].map(PathBuf::from);
    match named.into_iter().find(|path| path.is_file()) {
        Some(path) => Ok(path),
        None => bail!("nginx is not on this machine: install it with `apt-get install nginx`"),
    }
}

/// A certificate for the host, P-256 as Countersign's own.
fn write_certificate(folder: &Path) -> Result<PathBuf> {
    let key = rcgen::KeyPair::generate().context("cannot make a key")?;
    let certificate = rcgen::CertificateParams::new([HOST.to_owned()])?.self_signed(&key)?;
    let path = folder.join("nginx.pem");
    fs::write(&path, certificate.pem()).context("cannot write nginx.pem")?;
    fs::write(folder.join("nginx.key"), key.serialize_pem()).context("cannot write nginx.key")?;
    Ok(path)
}

/// What a careful operator would write, without a log: one worker, connections kept on both sides, TLS 1.3, client
/// certificates required, no session tickets.
fn configuration_text(folder: &Path, upstream: SocketAddr, address: SocketAddr, client_roots: &Path) -> String {
    let (folder, client_roots) = (folder.display(), client_roots.display());
    format!(
        "daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  upstream service {{ server {upstream}; keepalive 128; keepalive_requests 1000000000; }}
  server {{
    listen {address} ssl;
    server_name {HOST};
    ssl_certificate {folder}/nginx.pem;
    ssl_certificate_key {folder}/nginx.key;
    ssl_client_certificate {client_roots};
    ssl_verify_client on;
    ssl_verify_depth 3;
    ssl_protocols TLSv1.3;
    ssl_session_tickets off;
    keepalive_requests 1000000000;
    location / {{
      proxy_pass http://service;
      proxy_http_version 1.1;
      proxy_set_header Connection \"\";
      proxy_set_header Host $host;
    }}
  }}
}}
"
    )
}
