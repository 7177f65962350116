//! `call --as D/W METHOD URL`: one real call as a workload, and what came of it.

use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use api::admin::{Explanation, Status};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response, Uri, header};
use http_body_util::Full;
use identity::{Bundle, BundleSet};
use serde::Serialize;
use types::{DecisionId, Fault, Host, Reason, TrustDomain};

use crate::admin_client::AdminClient;
use crate::args::Call;
use crate::env::Env;
use crate::exit::{Exit, Failed, Outcome};
use crate::https::{Server, Way};
use crate::key::Impersonation;
use crate::term::story::Teller;
use crate::term::time::Times;
use crate::term::{Palette, Tone, harmless_lines, json};

/// The header field that names the decision on every response.
const DECISION: &str = "countersign-decision";
/// How the `type` of our own problem details begins; the reason's code follows.
const PROBLEM_TYPE: &str = "urn:countersign:reason:";
/// How long the end of the call may take to reach the log.
const END_RECORDED: Duration = Duration::from_secs(1);

/// The call as it was asked for.
struct Asked {
    host: Host,
    request: Request<Full<Bytes>>,
}

/// Runs the command.
///
/// # Errors
/// Wrong usage, no running process, no permission to impersonate, or no answer.
pub fn run(args: Call, env: &Env) -> Outcome {
    let asked = asked(&args)?;
    let client = AdminClient::to(env, &args.target)?;
    crate::tasks::block_on(call(args, asked, client, env))?
}

async fn call(args: Call, asked: Asked, client: AdminClient, env: &Env) -> Outcome {
    let status = client.status().await?;
    let (domain, address) = find(&status, &asked.host, args.gateway.as_deref()).await?;
    let server = server(&client, &asked.host, &domain, address).await?;
    let credential = Impersonation::obtain(&client, &args.workload).await?.credential()?;
    let way = Way::new(Some(&credential), server).map_err(Failed::new)?;
    let mut connection = way.open().await.map_err(Failed::new)?;
    let response = connection.send(asked.request).await.map_err(Failed::new)?;
    let decision = decision_of(&response);
    let story = match &decision {
        Some(id) => story(&client, id).await,
        None => None,
    };
    let exit = exit_of(&response, story.as_ref());
    if args.json {
        show_json(&response, exit, decision.as_deref(), story.as_ref())?;
    } else {
        show(env, &response, decision.as_deref(), story.as_ref())?;
    }
    Ok(exit)
}

/// Builds the request out of the command line.
fn asked(args: &Call) -> Result<Asked, Failed> {
    let uri: Uri = args.url.parse().map_err(|error| Failed::usage(format!("`{}` is not a URL: {error}", args.url)))?;
    let example = "write it like https://ledger.acme.internal/entries";
    let wrong = |what: &str| Failed::usage(format!("`{}` {what}", args.url)).hint(example);
    if uri.scheme_str() != Some("https") {
        return Err(wrong("is not an https URL"));
    }
    let authority = uri.authority().map(http::uri::Authority::as_str).ok_or_else(|| wrong("names no host"))?;
    let (host, _) = Host::parse_with_port(authority).map_err(|reason| wrong(reason.title()))?;
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    let mut request = Request::builder().method(args.method.as_str()).uri(target).header(header::HOST, authority);
    let mut typed = false;
    for field in &args.headers {
        let (name, value) = header_field(field)?;
        typed |= name == header::CONTENT_TYPE;
        request = request.header(name, value);
    }
    let body = body(args.body.as_deref())?;
    if args.body.is_some() && !typed {
        request = request.header(header::CONTENT_TYPE, "application/json");
    }
    let request = request.body(Full::new(body)).map_err(|error| wrong(&error.to_string()))?;
    Ok(Asked { host, request })
}

fn header_field(field: &str) -> Result<(HeaderName, HeaderValue), Failed> {
    let wrong = || Failed::usage(format!("`{field}` is not a header field")).hint("write it like `accept: text/csv`");
    let (name, value) = field.split_once(':').ok_or_else(wrong)?;
    Ok((name.trim().parse().map_err(|_| wrong())?, value.trim().parse().map_err(|_| wrong())?))
}

fn body(text: Option<&str>) -> Result<Bytes, Failed> {
    match text.map(|text| (text, text.strip_prefix('@'))) {
        None => Ok(Bytes::new()),
        Some((_, Some(file))) => std::fs::read(file)
            .map(Bytes::from)
            .map_err(|error| Failed::new(format!("the body `{file}` cannot be read: {error}"))),
        Some((text, None)) => Ok(Bytes::from(text.to_owned())),
    }
}

/// The domain that claims a host, and where it is served: at the gateway that was named, or at the listener of the process
/// that was asked.
///
/// # Errors
/// When nobody claims the host, or nobody serves it.
pub async fn find(status: &Status, host: &Host, gateway: Option<&str>) -> Result<(String, SocketAddr), Failed> {
    let domain = domain_of(status, host)?;
    if let Some(gateway) = gateway {
        return Ok((domain, resolve(gateway).await?));
    }
    let listener = status.listeners.iter().find(|listener| listener.domains.contains(&domain)).ok_or_else(|| {
        let hint = if status.listeners.is_empty() {
            "proxies serve it elsewhere: name one with `--gateway HOST:PORT`"
        } else {
            "add it to a listener in node.yaml, or name a gateway elsewhere with `--gateway HOST:PORT`"
        };
        Failed::new(format!("no listener here serves {domain}, the domain of `{host}`")).hint(hint)
    })?;
    Ok((domain, reachable(listener.address)))
}

/// The first address of a name, or the address itself.
async fn resolve(gateway: &str) -> Result<SocketAddr, Failed> {
    let unknown = |why: &dyn std::fmt::Display| {
        Failed::new(format!("the gateway `{gateway}` is not found: {why}")).hint("write it like `10.0.0.7:8443`")
    };
    let mut found = tokio::net::lookup_host(gateway).await.map_err(|error| unknown(&error))?;
    found.next().ok_or_else(|| unknown(&"the name has no address"))
}

/// The domain that claims a host.
fn domain_of(status: &Status, host: &Host) -> Result<String, Failed> {
    status.hosts.get(host.as_str()).cloned().ok_or_else(|| {
        let known: Vec<&str> = status.hosts.keys().map(String::as_str).collect();
        Failed::new(format!("no service claims the host `{host}`")).hint(format!("served are {}", known.join(", ")))
    })
}

/// A listener on every address is reached over loopback.
fn reachable(address: SocketAddr) -> SocketAddr {
    let loopback = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(loopback, address.port())
}

async fn server(client: &AdminClient, host: &Host, domain: &str, address: SocketAddr) -> Result<Server, Failed> {
    let bundle = client.bundle(domain).await?;
    let unusable =
        |error: &dyn std::fmt::Display| Failed::new(format!("the roots of {domain} are not usable: {error}"));
    let trust_domain = TrustDomain::parse(&bundle.trust_domain).map_err(|error| unusable(&error))?;
    let roots = Bundle::from_pem(trust_domain.clone(), &bundle.roots).map_err(|error| unusable(&error))?;
    Ok(Server { address, host: host.clone(), trust_domain, bundles: BundleSet::from_iter([roots]) })
}

/// Our refusals are a no; a service that fails, or is not reached, could not be done. What the record says counts; the
/// response's own words, which a service could imitate, only where there is no record to ask.
fn exit_of(response: &Response<Bytes>, story: Option<&Explanation>) -> Exit {
    let completion = story.and_then(|story| story.decision.completion.as_ref());
    let answered = completion.is_some_and(|completion| completion.status.is_some());
    let reason = own_reason(response).filter(|_| !answered);
    match (reason, response.status().is_server_error()) {
        (Some(reason), _) if reason.fault() == Fault::Upstream => Exit::CouldNot,
        (Some(_), _) => Exit::No,
        (None, true) => Exit::CouldNot,
        (None, false) => Exit::Yes,
    }
}

/// The reason, where the response is our own refusal.
fn own_reason(response: &Response<Bytes>) -> Option<Reason> {
    let kind = response.headers().get(header::CONTENT_TYPE)?.as_bytes();
    if !kind.starts_with(b"application/problem+json") {
        return None;
    }
    let problem: serde_json::Value = serde_json::from_slice(response.body()).ok()?;
    Reason::from_code(problem.get("type")?.as_str()?.strip_prefix(PROBLEM_TYPE)?)
}

fn decision_of(response: &Response<Bytes>) -> Option<String> {
    let id: DecisionId = response.headers().get(DECISION)?.to_str().ok()?.parse().ok()?;
    Some(id.to_string())
}

/// The story, with the end of the call where it is recorded in time.
async fn story(client: &AdminClient, id: &str) -> Option<Explanation> {
    let deadline = tokio::time::Instant::now() + END_RECORDED;
    loop {
        let story = client.explain(id).await.ok();
        let ended = story.as_ref().is_some_and(|story| !story.forwarded || story.decision.completion.is_some());
        if ended || tokio::time::Instant::now() >= deadline {
            return story;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn show(env: &Env, response: &Response<Bytes>, decision: Option<&str>, story: Option<&Explanation>) -> io::Result<()> {
    let (palette, mut out) = (Palette::stdout(env), io::stdout().lock());
    writeln!(out, "{}", palette.paint(Tone::Strong, &response.status().to_string()))?;
    let text = String::from_utf8_lossy(response.body());
    if !text.trim().is_empty() {
        writeln!(out, "{}", harmless_lines(text.trim_end()))?;
    }
    writeln!(out)?;
    match (story, decision) {
        (Some(story), _) => Teller { palette, times: Times::local() }.tell_shortly(&mut out, story),
        (None, Some(id)) => writeln!(out, "decision {id}: it is not in the log (yet); try `countersign explain {id}`"),
        (None, None) => writeln!(out, "the response names no decision"),
    }
}

/// The object of `--json`.
#[derive(Serialize)]
struct Json<'a> {
    kind: &'static str,
    allowed: bool,
    status: u16,
    headers: Vec<(&'a str, String)>,
    body: String,
    decision: Option<&'a str>,
    explanation: Option<&'a Explanation>,
}

fn show_json(
    response: &Response<Bytes>,
    exit: Exit,
    decision: Option<&str>,
    story: Option<&Explanation>,
) -> io::Result<()> {
    let headers = response.headers().iter();
    let headers = headers.map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value.as_bytes()).into_owned()));
    let line = Json {
        kind: "call",
        allowed: exit != Exit::No,
        status: response.status().as_u16(),
        headers: headers.collect(),
        body: String::from_utf8_lossy(response.body()).into_owned(),
        decision,
        explanation: story,
    };
    json::line(&mut io::stdout().lock(), &line)
}

#[cfg(test)]
mod tests;
