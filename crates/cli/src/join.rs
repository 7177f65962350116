//! `join-token`: a token with which one proxy or agent joins, once, and the node.yaml that it joins with.

use std::io::{self, Write};

use api::admin::{JoinToken, MakeJoinToken, Role};
use types::Label;

use crate::admin_client::AdminClient;
use crate::args;
use crate::env::Env;
use crate::exit::{Exit, Failed, Outcome};
use crate::tasks;
use crate::term::time::Times;
use crate::term::{Palette, Tone, duration, harmless, harmless_lines, json};

/// The folder of what is to be written.
const FOLDER: &str = "/etc/countersign";
/// Where control is, where it does not know it itself.
const PLACEHOLDER: &str = "https://CONTROL:8440";

/// Runs the command.
///
/// # Errors
/// When nothing runs, the name is taken, or a group or domain is unknown.
pub fn run(args: &args::JoinToken, env: &Env) -> Outcome {
    let asked = asked(args)?;
    let client = AdminClient::to(env, &args.target)?;
    let made = tasks::block_on(client.join_token(&asked))??;
    let mut out = io::stdout().lock();
    if args.json {
        json::line(&mut out, &made)?;
    } else {
        show(&mut out, Palette::stdout(env), &Times::local(), &asked, &made)?;
    }
    Ok(Exit::Yes)
}

fn asked(args: &args::JoinToken) -> Result<MakeJoinToken, Failed> {
    let (role, name) = match (&args.proxy, &args.agent) {
        (Some(name), None) => (Role::Proxy, name),
        (None, Some(name)) => (Role::Agent, name),
        _ => return Err(Failed::usage("a token is for `--proxy NAME` or for `--agent NAME --group GROUP`")),
    };
    let texts = |labels: &[Label]| labels.iter().map(Label::to_string).collect();
    Ok(MakeJoinToken {
        role,
        name: name.to_string(),
        group: args.group.as_ref().map(Label::to_string),
        domains: args.domains.as_deref().map(texts),
        seconds: args.time.map(duration::whole_seconds).transpose()?,
    })
}

fn show(
    out: &mut impl Write,
    palette: Palette,
    times: &Times,
    asked: &MakeJoinToken,
    made: &JoinToken,
) -> io::Result<()> {
    let role = asked.role.as_str();
    let who = palette.paint(Tone::Strong, &format!("{role}/{}", asked.name));
    writeln!(out, "{who} may join once, until {}\n", times.second(made.until))?;
    writeln!(out, "  token  {}\n", harmless(&made.token))?;
    let step = |words: &str| palette.paint(Tone::Quiet, words);
    writeln!(out, "{}", step(&format!("on its machine, write the token to {FOLDER}/{role}.token (mode 0600),")))?;
    writeln!(out, "{}\n", step(&format!("and this to {FOLDER}/{role}.yaml:")))?;
    writeln!(out, "{}", harmless_lines(&node_yaml(asked, made)))?;
    writeln!(out, "{}", step("then start it:"))?;
    writeln!(out, "  countersign {role} -c {FOLDER}/{role}.yaml")?;
    if made.address.is_empty() {
        let missing = "this control takes no peers yet: give it a listener `{ name: wire, kind: wire, address: … }` in its node.yaml";
        writeln!(out, "\n{}", palette.paint(Tone::Caution, missing))?;
    }
    Ok(())
}

/// The node.yaml of the one who joins.
fn node_yaml(asked: &MakeJoinToken, made: &JoinToken) -> String {
    let url = if made.address.is_empty() { PLACEHOLDER } else { &made.address };
    let (role, name, root) = (asked.role.as_str(), &asked.name, &made.root_sha256);
    let common = format!(
        "name: {name}\ndata: /var/lib/countersign-{role}\ncontrol:\n  url: {url}\n  root_sha256: {root}\n  token_file: \
         {FOLDER}/{role}.token\n"
    );
    match asked.role {
        Role::Agent => common,
        Role::Proxy => {
            let domains = asked.domains.as_ref().map(|domains| format!(", domains: [{}]", domains.join(", ")));
            let domains = domains.unwrap_or_default();
            format!("{common}listeners:\n  - {{ name: gateway, kind: gateway, address: \"0.0.0.0:8443\"{domains} }}\n")
        }
    }
}

#[cfg(test)]
mod tests {
    use trustdir::node::{self, Kind};
    use types::Timestamp;

    use super::*;

    fn made(address: &str) -> JoinToken {
        JoinToken {
            token: "cst-0a1b2c".into(),
            root_sha256: "9f".repeat(32),
            address: address.into(),
            until: Timestamp::from_seconds(1_795_425_242),
        }
    }

    fn proxy(domains: Option<&[&str]>) -> MakeJoinToken {
        let domains = domains.map(|some| some.iter().map(ToString::to_string).collect());
        MakeJoinToken { role: Role::Proxy, name: "edge-1".into(), group: None, domains, seconds: None }
    }

    fn shown(asked: &MakeJoinToken, made: &JoinToken) -> String {
        let mut out = Vec::new();
        show(&mut out, Palette::plain(), &Times::utc(), asked, made).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_proxy_gets_a_token_and_what_to_write_where() {
        let told = shown(&proxy(Some(&["finance", "hr"])), &made("https://control.acme.internal:8440"));
        insta::assert_snapshot!(told, @r#"
        proxy/edge-1 may join once, until 2026-11-23 09:14:02 UTC

          token  cst-0a1b2c

        on its machine, write the token to /etc/countersign/proxy.token (mode 0600),
        and this to /etc/countersign/proxy.yaml:

        name: edge-1
        data: /var/lib/countersign-proxy
        control:
          url: https://control.acme.internal:8440
          root_sha256: 9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f
          token_file: /etc/countersign/proxy.token
        listeners:
          - { name: gateway, kind: gateway, address: "0.0.0.0:8443", domains: [finance, hr] }

        then start it:
          countersign proxy -c /etc/countersign/proxy.yaml
        "#);
        let nowhere = shown(&proxy(None), &made(""));
        assert!(nowhere.contains("this control takes no peers yet") && nowhere.contains(PLACEHOLDER), "{nowhere}");
    }

    #[test]
    fn what_is_printed_is_a_good_node_yaml() {
        let agent = MakeJoinToken { role: Role::Agent, group: Some("vm-pay".into()), ..proxy(None) };
        let (one, other) = (proxy(Some(&["finance"])), proxy(None));
        for (asked, kind) in [(&one, Kind::Proxy), (&other, Kind::Proxy), (&agent, Kind::Agent)] {
            for address in ["https://10.0.0.1:8440", "https://[::1]:8440", ""] {
                let text = node_yaml(asked, &made(address));
                if let Err(problems) = node::parse("node.yaml", &text, kind, None) {
                    panic!("{text}{problems:?}");
                }
            }
        }
    }
}
