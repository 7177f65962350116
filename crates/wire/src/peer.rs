//! The end of a proxy or an agent: follows control, keeps the last good state, and gives out what is in force.

mod assembly;
mod beat;
mod bundles;
mod coming;
mod connect;
mod follow;
mod gateway;
mod held;
mod issuance;
mod life;
mod node;
mod opening;
mod outlets;
mod pins;
mod restore;
mod run;
mod shelf;
mod update;

use std::{collections::BTreeSet, path::PathBuf, sync::Arc};

use api::{admin::Role, issuance::Issuance, wire::Load};
use arc_swap::ArcSwap;
use runtime::{
    freshness::Freshness,
    shutdown::{self, Trigger},
};
use thiserror::Error;
use tokio::sync::watch;
use tonic::transport::Channel;
use trustdir::Revision;
use types::{Clock, Label, Timestamp, TrustDomain};

use crate::{memory::Connector, ship::Shipper};
use connect::Target;
use outlets::{Outlets, Ready};

/// What a peer is and where its control is.
pub struct Config {
    /// Enforces, or hands out identities.
    pub role: Role,
    /// Its name among those of its role.
    pub name: Label,
    /// Its own folder. The state is kept in `state` below it; a peer in memory keeps none.
    pub data: PathBuf,
    /// Where control is.
    pub control: ControlAt,
    /// The domains that the listeners name; `None` for all that this proxy may serve. What it may serve is control's to
    /// say; a difference is told in the log.
    pub served: Option<BTreeSet<Label>>,
    /// The program's version.
    pub version: String,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The figures of the moment, told to control once a second. Must be quick.
    pub load: Arc<dyn Fn() -> Load + Send + Sync>,
    /// What ships the decision log, for a proxy on another machine than control.
    pub shipper: Option<Arc<Shipper>>,
}

/// Where control is.
#[derive(Clone, Debug)]
pub enum ControlAt {
    /// In this process. It is believed like any other: by the root that signs its publisher.
    Memory {
        /// The way there.
        connector: Connector,
        /// Whose system it is.
        organisation: TrustDomain,
        /// DER of the root of `system.<organisation>`.
        root: Vec<u8>,
    },
    /// On another machine.
    Remote {
        /// Such as `https://control.acme.internal:8440`.
        url: String,
        /// SHA-256 of the DER of the system root, which control is held to.
        root_sha256: [u8; 32],
        /// Where the join token lies, for first contact.
        token_file: Option<PathBuf>,
    },
}

/// Why a peer cannot start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The URL of control.
    #[error("`{0}` is not the address of a control; it looks like `https://control.acme.internal:8440`")]
    Url(String),
    /// The folder of the state.
    #[error("the folder `{}` cannot hold the state: {source}", path.display())]
    Folder {
        /// Which one.
        path: PathBuf,
        /// The operating system's word.
        source: std::io::Error,
    },
    /// Another process uses it.
    #[error("another process uses `{}`; one folder belongs to one process", .0.display())]
    InUse(PathBuf),
    /// The root of the system.
    #[error("the root of the system cannot be used: {0}")]
    Root(String),
    /// It joined another system before.
    #[error(
        "this node joined a system whose root has the SHA-256 {kept}; correct `control.root_sha256`, or remove `{}` to \
         join anew",
        state.display()
    )]
    OtherRoot {
        /// The root that it joined.
        kept: String,
        /// The folder of its state.
        state: PathBuf,
    },
    /// It joined as somebody else before.
    #[error("this node joined as `{kept}`; correct `name`, or remove `{}` to join anew", state.display())]
    OtherName {
        /// Its identity.
        kept: String,
        /// The folder of its state.
        state: PathBuf,
    },
    /// Nothing to show control.
    #[error(
        "this node has not joined, and `control.token_file` names no file with a token; ask an operator for one \
         (`countersign join-token`)"
    )]
    NoToken,
}

/// What an enforcer reads. Each part is swapped whole, and `changes` is bumped after that.
#[derive(Clone)]
pub struct State {
    /// The revision in force.
    pub revision: Arc<ArcSwap<Revision>>,
    /// The signals in force.
    pub signals: Arc<ArcSwap<signal::State>>,
    /// Bumped after either was swapped.
    pub changes: watch::Receiver<u64>,
    /// Identities and bundles.
    pub issuance: Arc<dyn Issuance>,
    /// How old the rest may be.
    pub freshness: Arc<Freshness>,
}

/// Why there is no state.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum NoState {
    /// The peer was told to finish.
    #[error("the peer has finished")]
    Finished,
    /// An agent enforces nothing.
    #[error("an agent has no revision and no signals")]
    Agent,
}

/// How it stands with control.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Link {
    /// The stream of state is open.
    Connected {
        /// The name of the control that answered.
        control: String,
        /// Since when.
        since: Timestamp,
    },
    /// It is not, and the next attempt comes by itself.
    Waiting {
        /// Why, in words for an operator; `""` before the first attempt.
        why: String,
        /// Since when.
        since: Timestamp,
    },
}

/// A running peer. Dropping it stops it.
#[derive(Debug)]
pub struct Peer {
    role: Role,
    outlets: Arc<Outlets>,
    target: watch::Sender<Target>,
    trigger: Trigger,
}

/// Starts a peer: opens its folder and begins to follow control in the background.
///
/// # Errors
/// What an operator has to put right first. A control that does not answer is no error: [`Peer::link`] says so.
///
/// # Panics
/// Outside of a tokio runtime.
pub fn start(config: Config) -> Result<Peer, StartError> {
    let target = Target::of(&config.control)?;
    let node = node::Node::open(&config)?;
    let (target, pointed) = watch::channel(target);
    let (trigger, shutdown) = shutdown::channel();
    let outlets = Arc::new(Outlets::new(&config, node.shelf()));
    if let Some(shipper) = config.shipper.clone() {
        let (links, mut shutdown) = (outlets.channel(), shutdown.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = shutdown.asked() => {}
                () = shipper.follow(links) => {}
            }
        });
    }
    let role = config.role;
    tokio::spawn(run::run(config, node, Arc::clone(&outlets), pointed, shutdown));
    Ok(Peer { role, outlets, target, trigger })
}

impl Peer {
    /// The state of an enforcer, as soon as there is one: from the disk at once, otherwise from control.
    ///
    /// # Errors
    /// For an agent, or when the peer was told to finish before.
    pub async fn state(&self) -> Result<State, NoState> {
        if self.role == Role::Agent {
            return Err(NoState::Agent);
        }
        self.outlets.wait(Ready::Enforces).await?;
        self.outlets.state().ok_or(NoState::Finished)
    }

    /// The issuer as this peer sees it, as soon as bundles are there.
    ///
    /// # Errors
    /// When the peer was told to finish before.
    pub async fn issuance(&self) -> Result<Arc<dyn Issuance>, NoState> {
        self.outlets.wait(Ready::Issues).await?;
        Ok(self.outlets.issuance())
    }

    /// How it stands with control, from now on.
    pub fn link(&self) -> watch::Receiver<Link> {
        self.outlets.link()
    }

    /// The connection to control while there is one, for calls beside the stream of state (see [`crate::client`]).
    pub fn channel(&self) -> watch::Receiver<Option<Channel>> {
        self.outlets.channel()
    }

    /// Another address or token from here on. A connection to another address is closed; one to the same stays.
    ///
    /// # Errors
    /// [`StartError::Url`]; then nothing changes. A peer in memory has no address: nothing changes either.
    pub fn point_at(&self, url: &str, token_file: Option<PathBuf>) -> Result<(), StartError> {
        let pointed = self.target.borrow().pointed_at(url, token_file)?;
        self.target.send_replace(pointed);
        Ok(())
    }

    /// Ends the link and waits until nothing is being written any more. What is in force stays in force.
    pub async fn finish(&self) {
        self.trigger.ask();
        self.trigger.finished().await;
    }
}
