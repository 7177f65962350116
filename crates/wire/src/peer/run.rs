//! The life of a peer: who it is, a connection, what to do when that ends.

use std::{sync::Arc, time::Duration};

use api::wire::{ChallengeRequest, JoinRequest, JoinResponse, RejoinRequest};
use runtime::{
    shutdown::Shutdown,
    tls::{self, PinnedRoot},
};
use rustls::{
    ClientConfig,
    pki_types::{CertificateDer, PrivateKeyDer},
};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};
use tonic::transport::Channel;
use types::limits;

use super::{
    Config,
    connect::{self, Remote, Target},
    follow::follow,
    life::Life,
    node::{self, Node},
    opening::{Again, Ended},
    outlets::Outlets,
    shelf::digest_of,
};
use crate::{system, words::told};

/// The shortest pause before coming again.
const FIRST_PAUSE: Duration = Duration::from_millis(100); // tidy: this end's own; the longest is in the registry

/// Runs until asked to stop.
pub(super) async fn run(
    config: Config,
    node: Node,
    outlets: Arc<Outlets>,
    mut target: watch::Receiver<Target>,
    mut shutdown: Shutdown,
) {
    let mut life = Life::new(config, node, Arc::clone(&outlets), shutdown.clone());
    tokio::select! {
        () = shutdown.asked() => {}
        () = live(&mut life, &mut target) => {}
    }
    outlets.finished(life.now());
}

async fn live(life: &mut Life, target: &mut watch::Receiver<Target>) {
    life.restore().await;
    let mut pause = FIRST_PAUSE;
    loop {
        let connected = connect(life, target).await;
        let ended = match connected {
            Ok(channel) => {
                let ended = follow(life, channel, target).await;
                let was_connected = life.outlets.is_connected();
                pause = if was_connected { FIRST_PAUSE } else { pause };
                ended
            }
            Err(ended) => ended,
        };
        tell(life, &ended);
        life.is_refused = ended.again == Again::Later;
        pause = wait(&ended, pause, target).await;
    }
}

/// Says it once, until it changes.
fn tell(life: &Life, ended: &Ended) {
    if ended.again != Again::AtOnce && life.outlets.is_news(&ended.why) {
        tracing::warn!(why = %ended.why, "no connection to control; what is in force stays, and the next attempt comes by itself");
    }
    life.outlets.waiting(ended.why.clone(), life.now());
}

/// Pauses as long as makes sense, or until the address of control is changed; the next pause.
async fn wait(ended: &Ended, pause: Duration, target: &mut watch::Receiver<Target>) -> Duration {
    let most = Duration::from_millis(limits::WIRE_RETRY_TIME.default);
    let now = match ended.again {
        Again::AtOnce => jittered(FIRST_PAUSE),
        Again::Soon => jittered(pause),
        Again::Later => Duration::from_millis(limits::WIRE_REFUSED_TIME.default),
    };
    tokio::select! {
        () = sleep(now) => if ended.again == Again::AtOnce { FIRST_PAUSE } else { (pause * 2).min(most) },
        Ok(()) = target.changed() => FIRST_PAUSE,
    }
}

/// Between half of a pause and all of it, so that a fleet does not come back in one moment.
fn jittered(pause: Duration) -> Duration {
    let mut random = [0; 2];
    // without randomness the whole pause is as good
    let drawn = aws_lc_rs::rand::fill(&mut random).map(|()| u16::from_be_bytes(random)).unwrap_or(u16::MAX);
    pause / 2 + (pause / 2) * u32::from(drawn) / u32::from(u16::MAX)
}

async fn connect(life: &mut Life, target: &mut watch::Receiver<Target>) -> Result<Channel, Ended> {
    let place = target.borrow_and_update().clone();
    match place {
        Target::Memory(connector) => {
            let opened = connect::over_memory(&connector, life.config.role, &life.config.name).await;
            opened.map_err(Ended::soon)
        }
        Target::Remote(remote) => {
            be_somebody(life, &remote).await?;
            let own = life.node.own().ok_or_else(|| Ended::soon("this node has not joined"))?;
            let config = tls(life, Some(own.for_tls()), PinnedRoot::Root(own.root().to_vec()))?;
            connect::over_tls(&remote, config).await.map_err(Ended::soon)
        }
    }
}

fn tls(
    life: &Life,
    identity: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
    root: PinnedRoot,
) -> Result<ClientConfig, Ended> {
    let is_control = |peer: &identity::VerifiedPeer| peer.spiffe_id().segments().next() == Some("control");
    let config = tls::system_client(identity, root, is_control, Arc::clone(&life.config.clock));
    let mut config = config.map_err(|error| Ended::soon(told(&error)))?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

/// Joins where this node has no certificate, or has another token since control turned it away; comes back where its
/// certificate has expired.
async fn be_somebody(life: &mut Life, remote: &Remote) -> Result<(), Ended> {
    let now = life.now();
    let refused = core::mem::take(&mut life.is_refused);
    match life.node.own() {
        None => join(life, remote).await,
        Some(own) if own.has_expired(now) => match rejoin(life, remote).await {
            Ok(()) => Ok(()),
            Err(_) if has_another_token(life, remote) => join(life, remote).await,
            Err(ended) => Err(ended),
        },
        Some(_) if refused && has_another_token(life, remote) => join(life, remote).await,
        Some(_) => Ok(()),
    }
}

fn has_another_token(life: &Life, remote: &Remote) -> bool {
    let token = remote.token_file.as_deref().and_then(|path| node::read_token(path).ok());
    let own = life.node.own();
    token.is_some_and(|token| own.is_some_and(|own| !own.came_by(&digest_of(token.as_bytes()))))
}

async fn stranger(life: &Life, remote: &Remote) -> Result<Channel, Ended> {
    let config = tls(life, None, PinnedRoot::Sha256(remote.root_sha256))?;
    connect::over_tls(remote, config).await.map_err(Ended::soon)
}

async fn join(life: &mut Life, remote: &Remote) -> Result<(), Ended> {
    let Some(path) = &remote.token_file else {
        return Err(Ended::soon("this node has not joined and `control.token_file` names no token"));
    };
    let token = node::read_token(path).map_err(Ended::soon)?;
    let key = life.node.key().map_err(Ended::soon)?;
    let request = JoinRequest {
        token: token.to_string(),
        csr: node::request(&key).map_err(Ended::soon)?,
        version: life.config.version.clone(),
        name: life.config.name.as_str().to_owned(),
    };
    let mut client = crate::client(stranger(life, remote).await?);
    let answer = within(client.join(request)).await?;
    let token = digest_of(token.as_bytes());
    take(life, answer, &key, remote, Some(token)).await?;
    tracing::info!(name = %life.config.name, "this node joined; the token is used up and its file can go");
    Ok(())
}

async fn rejoin(life: &mut Life, remote: &Remote) -> Result<(), Ended> {
    let own = life.node.own().ok_or_else(|| Ended::soon("this node has not joined"))?;
    let (key, certificate) = (own.key().map_err(Ended::soon)?, own.leaf());
    let csr = node::request(&key).map_err(Ended::soon)?;
    let mut client = crate::client(stranger(life, remote).await?);
    let nonce = within(client.challenge(ChallengeRequest {})).await?.nonce;
    let signature = node::sign(&key, &system::rejoin_message(&nonce, &csr)).map_err(Ended::soon)?;
    let answer = within(client.rejoin(RejoinRequest { certificate, csr, nonce, signature })).await?;
    take(life, answer, &key, remote, None).await?;
    tracing::info!(name = %life.config.name, "this node came back after its certificate had expired");
    Ok(())
}

/// Takes the answer, and what an earlier run kept, which could not be believed before there was a root.
async fn take(
    life: &mut Life,
    answer: JoinResponse,
    key: &rcgen::KeyPair,
    remote: &Remote,
    token_sha256: Option<[u8; 32]>,
) -> Result<(), Ended> {
    let now = life.now();
    let is_first = life.node.belief().is_none();
    life.node.take(answer, key, &remote.root_sha256, token_sha256, now).map_err(Ended::soon)?;
    if is_first {
        life.restore().await;
    }
    Ok(())
}

async fn within<T>(call: impl Future<Output = Result<tonic::Response<T>, tonic::Status>>) -> Result<T, Ended> {
    let patience = Duration::from_millis(limits::WIRE_CALL_TIME.default);
    let answer = timeout(patience, call).await.map_err(|_| Ended::soon("control did not answer in time"))?;
    answer.map(tonic::Response::into_inner).map_err(|status| Ended::by(&status))
}
