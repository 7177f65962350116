//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

pub const USAGE: &str = "\
usage: countersign-bench first-figure [--short] [--rounds N] [--seconds N] [--connections N] [--countersign FILE]

  CPU time per request of `countersign up` beside nginx as a plain mTLS reverse proxy, on this machine, over loopback.

       countersign-bench fleet [--short] [--rounds N] [--proxies N] [--countersign FILE]

  How soon a publication and a revocation are in force at many proxies, what control holds in memory, and how soon a proxy
  decides after its start without control. The proxies are simulated by this process; control is real.

  --proxies N          simulated proxies (default 1000, at most 2000)

       countersign-bench identity [--short] [--rounds N] [--workloads N] [--countersign FILE]

  What the issuer signs in a second beside `openssl speed` of the same run, what control holds in memory with many
  registered workloads and an agent with a hundred, and how soon a new registration reaches a workload.

  --workloads N        registered workloads (default 10000, at most 20000)

  --short              one round of one second: shows that it works, its figures mean nothing
  --rounds N           measurements of each (default 7, at most 50)
  --seconds N          length of one measurement (default 6, at most 60)
  --connections N      kept-alive connections with one request in flight each (default 32, at most 1000)
  --countersign FILE   the binary to measure (default: beside this one)

exit codes: 0 measured, 2 could not be done, 64 wrong usage";

/// What to do. `Load`, `Upstream` and `Hold` are started by the others, as processes of their own.
#[derive(PartialEq, Eq, Debug)]
pub enum Command {
    FirstFigure(Plan),
    Fleet(Fleet),
    Identity(Identity),
    Hold(PathBuf),
    Load(Load),
    Upstream(SocketAddr),
}

/// A comparison.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Plan {
    pub short: bool,
    pub rounds: usize,
    pub warm_up: Duration,
    pub measure: Duration,
    pub connections: usize,
    pub countersign: Option<PathBuf>,
}

/// A measurement of a fleet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fleet {
    pub short: bool,
    pub rounds: usize,
    pub proxies: usize,
    /// Between two changes.
    pub pause: Duration,
    /// Before memory is looked at.
    pub settle: Duration,
    pub countersign: Option<PathBuf>,
}

/// A measurement of the issuer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Identity {
    pub short: bool,
    pub rounds: usize,
    /// Registered.
    pub workloads: usize,
    /// Simulated agents: one alone is held to `issuance_node`.
    pub agents: usize,
    /// SVIDs of one round, in-process and over gRPC.
    pub issued: usize,
    pub asked: usize,
    /// Workloads of the real agent.
    pub held: usize,
    /// Before memory is looked at.
    pub settle: Duration,
    pub countersign: Option<PathBuf>,
}

/// One load on one proxy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Load {
    pub address: SocketAddr,
    /// The folder with svid.pem and svid.key.
    pub identity: PathBuf,
    /// The roots of the proxy's certificate.
    pub roots: PathBuf,
    pub connections: usize,
    pub warm_up: Duration,
    pub measure: Duration,
}

/// Reads the command line; `None` is wrong usage.
pub fn parse(words: &[String]) -> Option<Command> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["first-figure", options @ ..] => parse_plan(options).map(Command::FirstFigure),
        ["fleet", options @ ..] => parse_fleet(options).map(Command::Fleet),
        ["identity", options @ ..] => parse_identity(options).map(Command::Identity),
        ["hold", socket] => Some(Command::Hold(socket.into())),
        ["upstream", address] => Some(Command::Upstream(loopback(address)?)),
        ["load", address, identity, roots, connections, warm_up, measure] => Some(Command::Load(Load {
            address: loopback(address)?,
            identity: identity.into(),
            roots: roots.into(),
            connections: number(connections, 1000)?,
            warm_up: millis(warm_up)?,
            measure: millis(measure)?,
        })),
        _ => None,
    }
}

impl Load {
    /// The words that [`parse`] turns into this load.
    pub fn to_words(&self) -> Vec<String> {
        vec![
            "load".into(),
            self.address.to_string(),
            self.identity.display().to_string(),
            self.roots.display().to_string(),
            self.connections.to_string(),
            self.warm_up.as_millis().to_string(),
            self.measure.as_millis().to_string(),
        ]
    }
}

fn parse_plan(options: &[&str]) -> Option<Plan> {
    let short = options.contains(&"--short");
    let (rounds, seconds) = if short { (1, 1) } else { (7, 6) };
    let mut plan = Plan {
        short,
        rounds,
        warm_up: Duration::from_millis(if short { 200 } else { 1000 }),
        measure: Duration::from_secs(seconds),
        connections: 32,
        countersign: None,
    };
    let mut options = options.iter().filter(|option| **option != "--short");
    while let Some(option) = options.next() {
        let value = options.next()?;
        match *option {
            "--rounds" => plan.rounds = number(value, 50)?,
            "--seconds" => plan.measure = Duration::from_secs(number(value, 60)?.try_into().ok()?),
            "--connections" => plan.connections = number(value, 1000)?,
            "--countersign" => plan.countersign = Some(PathBuf::from(value)),
            _ => return None,
        }
    }
    Some(plan)
}

fn parse_fleet(options: &[&str]) -> Option<Fleet> {
    let short = options.contains(&"--short");
    let mut plan = Fleet {
        short,
        rounds: if short { 1 } else { 7 },
        proxies: if short { 20 } else { 1000 },
        pause: Duration::from_millis(if short { 100 } else { 1500 }),
        settle: Duration::from_secs(if short { 1 } else { 15 }),
        countersign: None,
    };
    let mut options = options.iter().filter(|option| **option != "--short");
    while let Some(option) = options.next() {
        let value = options.next()?;
        match *option {
            "--rounds" => plan.rounds = number(value, 50)?,
            "--proxies" => plan.proxies = number(value, 2000)?,
            "--countersign" => plan.countersign = Some(PathBuf::from(value)),
            _ => return None,
        }
    }
    Some(plan)
}

fn parse_identity(options: &[&str]) -> Option<Identity> {
    let short = options.contains(&"--short");
    let mut plan = Identity {
        short,
        rounds: if short { 1 } else { 7 },
        workloads: if short { 200 } else { 10_000 },
        agents: if short { 4 } else { 32 },
        issued: if short { 1_000 } else { 30_000 },
        asked: if short { 400 } else { 10_000 },
        held: if short { 5 } else { 100 },
        settle: Duration::from_secs(if short { 1 } else { 15 }),
        countersign: None,
    };
    let mut options = options.iter().filter(|option| **option != "--short");
    while let Some(option) = options.next() {
        let value = options.next()?;
        match *option {
            "--rounds" => plan.rounds = number(value, 50)?,
            "--workloads" => plan.workloads = number(value, 20_000)?,
            "--countersign" => plan.countersign = Some(PathBuf::from(value)),
            _ => return None,
        }
    }
    Some(plan)
}

/// A number from 1 to `most`: every load here ends by itself.
fn number(text: &str, most: usize) -> Option<usize> {
    text.parse().ok().filter(|number| (1..=most).contains(number))
}

fn millis(text: &str) -> Option<Duration> {
    number(text, 60_000).and_then(|number| number.try_into().ok()).map(Duration::from_millis)
}

/// Load goes to this machine only.
fn loopback(text: &str) -> Option<SocketAddr> {
    text.parse().ok().filter(|address: &SocketAddr| address.ip().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::{Command, parse};

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn a_plan_is_read_with_its_bounds() {
        let Some(Command::FirstFigure(plan)) = parse(&words("first-figure --rounds 5 --seconds 2")) else { panic!() };
        assert_eq!((plan.rounds, plan.measure.as_secs(), plan.short), (5, 2, false));
        let Some(Command::FirstFigure(plan)) = parse(&words("first-figure --short")) else { panic!() };
        assert_eq!((plan.rounds, plan.measure.as_secs(), plan.short), (1, 1, true));
        let Some(Command::Fleet(fleet)) = parse(&words("fleet --proxies 300")) else { panic!() };
        assert_eq!((fleet.proxies, fleet.rounds, fleet.short), (300, 7, false));
        let Some(Command::Fleet(fleet)) = parse(&words("fleet --short")) else { panic!() };
        assert_eq!((fleet.proxies, fleet.rounds, fleet.short), (20, 1, true));
        let Some(Command::Identity(identity)) = parse(&words("identity --workloads 300")) else { panic!() };
        assert_eq!((identity.workloads, identity.rounds, identity.held), (300, 7, 100));
        for bad in [
            "identity --workloads 0",
            "identity --proxies 3",
            "hold",
            "fleet --proxies 2001",
            "fleet --seconds 1",
            "",
            "first",
            "first-figure --rounds",
            "first-figure --rounds 0",
            "first-figure --seconds 61",
        ] {
            assert_eq!(parse(&words(bad)), None, "{bad}");
        }
    }

    #[test]
    fn load_goes_to_loopback_only_and_comes_back_as_it_was_said() {
        let said = "load 127.0.0.1:1 id roots.pem 4 200 1000";
        let Some(Command::Load(load)) = parse(&words(said)) else { panic!() };
        assert_eq!(load.to_words(), words(said));
        assert_eq!(parse(&words("load 10.0.0.1:1 id roots.pem 4 200 1000")), None);
        assert_eq!(parse(&words("upstream 0.0.0.0:1")), None);
    }
}
