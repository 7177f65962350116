//! Both ends of shipping over real sockets: cut, killed, restarted, at any moment.

use std::hash::{BuildHasher, RandomState};
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};

use api::wire::wire_server::{Wire, WireServer};
use api::wire::{self as messages};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tonic::transport::{Endpoint, Server};
use tonic::{Request, Response, Streaming};
use wire::ship::Shipper;

use super::*;

/// A control that takes logs and nothing else. Counts the bytes that came.
struct Takes(Arc<Intake>, Arc<AtomicU64>);

type Answer<T> = Result<Response<T>, Status>;

fn nothing<T>() -> Answer<T> {
    Err(Status::unimplemented("this control takes logs and nothing else"))
}

#[tonic::async_trait]
impl Wire for Takes {
    async fn join(&self, _: Request<messages::JoinRequest>) -> Answer<messages::JoinResponse> {
        nothing()
    }

    async fn challenge(&self, _: Request<messages::ChallengeRequest>) -> Answer<messages::ChallengeResponse> {
        nothing()
    }

    async fn rejoin(&self, _: Request<messages::RejoinRequest>) -> Answer<messages::JoinResponse> {
        nothing()
    }

    async fn renew(&self, _: Request<messages::RenewRequest>) -> Answer<messages::JoinResponse> {
        nothing()
    }

    type FollowStream = Pin<Box<dyn Stream<Item = Result<messages::Update, Status>> + Send>>;

    async fn follow(&self, _: Request<Streaming<messages::Report>>) -> Answer<Self::FollowStream> {
        nothing()
    }

    async fn mint_workload(&self, _: Request<messages::MintWorkloadRequest>) -> Answer<messages::MintResponse> {
        nothing()
    }

    async fn mint_jwt(&self, _: Request<messages::MintJwtRequest>) -> Answer<messages::MintJwtResponse> {
        nothing()
    }

    async fn mint_gateway(&self, _: Request<messages::MintGatewayRequest>) -> Answer<messages::MintResponse> {
        nothing()
    }

    type ShipStream = Answers;

    async fn ship(&self, request: Request<Streaming<Shipped>>) -> Answer<Self::ShipStream> {
        let came = Arc::clone(&self.1);
        let count = move |message: Result<Shipped, Status>| {
            if let Ok(Shipped { shipped: Some(shipped::Shipped::Piece(piece)) }) = &message {
                came.fetch_add(piece.data.len() as u64, Ordering::Relaxed);
            }
            message
        };
        Ok(Response::new(Box::pin(self.0.ship(&label("edge-1"), request.into_inner().map(count)))))
    }
}

/// A control that takes logs at an address; it is gone with all its connections when this is dropped.
struct Served(Option<Runtime>);

impl Drop for Served {
    fn drop(&mut self) {
        self.0.take().unwrap().shutdown_timeout(Duration::from_secs(5));
    }
}

fn serve(intake: &Arc<Intake>, address: SocketAddr, came: &Arc<AtomicU64>) -> Served {
    let runtime = runtime();
    let service = WireServer::new(Takes(Arc::clone(intake), Arc::clone(came)));
    runtime.spawn(async move { Server::builder().add_service(service).serve(address).await.unwrap() });
    Served(Some(runtime))
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn link(runtime: &Runtime, address: SocketAddr) -> watch::Sender<Option<tonic::transport::Channel>> {
    let _entered = runtime.enter();
    let channel = Endpoint::from_shared(format!("http://{address}")).unwrap().connect_lazy();
    watch::Sender::new(Some(channel))
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// Whether everything that stands for good in `log` is in `data`.
fn is_all_there(other: &mut Other, data: &Path) -> bool {
    let held = files(&data.join("enforcers/edge-1/log"));
    other.states().iter().all(|state| {
        // what was released was there
        let Ok(source) = fs::read(other.log.dir().join(&state.name)) else { return true };
        held.get(&state.name).is_some_and(|copy| {
            assert!(source.starts_with(copy), "a copy is never anything else than a beginning");
            copy.len() as u64 == state.bytes
        })
    })
}

#[test]
fn a_log_is_shipped_while_it_is_written_and_no_byte_twice() {
    let (runtime, (data, intake)) = (runtime(), open());
    let (address, came) = (free_address(), Arc::default());
    let server = serve(&intake, address, &came);
    let mut edge = Other::new("edge-1");
    let shipper = Shipper::new(Arc::clone(&edge.log));
    let link = link(&runtime, address);
    let following = runtime.spawn(Arc::clone(&shipper).follow(link.subscribe()));
    for round in 0..5 {
        (0..500).for_each(|_| edge.decide(DENIED, 1));
        let begun = Instant::now();
        waited("the tail", || is_all_there(&mut edge, data.path()));
        assert!(round == 0 || begun.elapsed() < Duration::from_millis(1_500), "{:?}", begun.elapsed());
    }
    let held: u64 = files(&data.path().join("enforcers/edge-1/log")).values().map(|copy| copy.len() as u64).sum();
    assert_eq!(came.load(Ordering::Relaxed), held);
    assert_eq!(shipper.trouble(), None);
    waited("the figure", || shipper.unshipped_bytes() == 0);

    // control goes, and comes back with what it had
    drop(server);
    drop(intake);
    (0..300).for_each(|_| edge.decide(DENIED, 1));
    waited("what is not shipped", || shipper.trouble().is_some());
    let intake = Intake::open(data.path(), MOST).unwrap();
    let _server = serve(&intake, address, &came);
    waited("the rest", || is_all_there(&mut edge, data.path()));
    drop(link);
    runtime.block_on(following).unwrap();
}

#[test]
fn a_log_that_control_takes_makes_room_and_one_that_it_does_not_take_fills_up() {
    let runtime = runtime();
    let data = tempfile::tempdir().unwrap();
    let small = Intake::open(data.path(), 500_000).unwrap();
    let (address, came) = (free_address(), Arc::default());
    let server = serve(&small, address, &came);
    let mut edge = Other::new("edge-1");
    let shipper = Shipper::new(Arc::clone(&edge.log));
    let link = link(&runtime, address);
    runtime.spawn(Arc::clone(&shipper).follow(link.subscribe()));
    (0..4_000).for_each(|_| edge.decide(DENIED, 1));
    waited("words", || shipper.trouble().is_some_and(|why| why.contains("the intake has reached its size")));
    assert!(shipper.unshipped_bytes() > 0 && small.state().full.is_some());
    drop(server);
    let large = Intake::open(data.path(), MOST).unwrap();
    let _server = serve(&large, address, &came);
    // three times what the log may take: it would refuse if nothing was released
    (0..40_000).for_each(|_| edge.decide(DENIED, 1));
    waited("the rest", || is_all_there(&mut edge, data.path()));
    assert!(large.state().used_bytes > 2 * 64 * 64 * 1024);
    let health = edge.log.health();
    assert!(health.used_bytes < health.max_bytes, "{health:?}");
    assert_eq!(large.kept(&label("edge-1")).1, Vec::<String>::new());
}

/// Passes bytes on, and cuts each connection after some.
async fn cutting(listener: tokio::net::TcpListener, to: SocketAddr, rounds: u64) {
    for round in 0.. {
        let Ok((mut here, _)) = listener.accept().await else { return };
        let mut left = if round < rounds { RandomState::new().hash_one(round) % 90_000 } else { u64::MAX };
        let Ok(mut there) = tokio::net::TcpStream::connect(to).await else { continue };
        tokio::spawn(async move {
            let (mut up, mut down) = ([0; 4_096], [0; 4_096]);
            loop {
                let (bytes, out) = tokio::select! {
                    read = here.read(&mut up) => (read.map(|n| up.get(..n).unwrap().to_vec()), &mut there),
                    read = there.read(&mut down) => (read.map(|n| down.get(..n).unwrap().to_vec()), &mut here),
                };
                let Ok(mut bytes) = bytes else { return };
                bytes.truncate(usize::try_from(left).unwrap_or(usize::MAX));
                left -= bytes.len() as u64;
                if bytes.is_empty() || out.write_all(&bytes).await.is_err() || left == 0 {
                    return;
                }
            }
        });
    }
}

#[test]
fn connections_that_are_cut_anywhere_lose_nothing() {
    let (runtime, (data, intake)) = (runtime(), open());
    let (address, came) = (free_address(), Arc::default());
    let _server = serve(&intake, address, &came);
    let middle = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let between = middle.local_addr().unwrap();
    runtime.spawn(cutting(middle, address, 12));
    let mut edge = Other::new("edge-1");
    (0..2_500).for_each(|_| edge.decide(DENIED, 1));
    let shipper = Shipper::new(Arc::clone(&edge.log));
    // each link is a new connection, as the wire makes them
    let link = link(&runtime, between);
    runtime.spawn(Arc::clone(&shipper).follow(link.subscribe()));
    let deadline = Instant::now() + Duration::from_secs(40);
    while !is_all_there(&mut edge, data.path()) {
        assert!(Instant::now() < deadline, "{:?}", shipper.trouble());
        std::thread::sleep(Duration::from_millis(100)); // tidy: the pause between two looks at a condition
        if shipper.trouble().is_some() {
            let _entered = runtime.enter();
            link.send_replace(Some(Endpoint::from_shared(format!("http://{between}")).unwrap().connect_lazy()));
        }
    }
    assert_eq!(intake.kept(&label("edge-1")).1, Vec::<String>::new());
}

const TOLD: &str = "COUNTERSIGN_TEST_SHIP";

#[expect(clippy::disallowed_methods, reason = "how a test that runs itself again tells its child so")]
fn told() -> Option<(PathBuf, SocketAddr)> {
    let told = std::env::var(TOLD).ok()?;
    let (dir, address) = told.split_once('|')?;
    Some((PathBuf::from(dir), address.parse().unwrap()))
}

/// Runs one of the tests below in a process of its own.
fn child(test: &str, dir: &Path, address: SocketAddr) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", &format!("intake::tests::ship::{test}"), "--nocapture", "--include-ignored"]);
    command.env(TOLD, format!("{}|{address}", dir.display())).stdout(Stdio::piped()).spawn().unwrap()
}

/// Waits for the child's word, then for so long, and kills it.
fn kill(mut child: Child, millis: u64) {
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let reader = std::thread::spawn(move || {
        let mut lines = lines;
        assert!(lines.any(|line| line == "ready"));
        lines.for_each(drop);
    });
    // tidy: the moment of the kill is what the test varies
    std::thread::sleep(Duration::from_millis(400 + millis));
    child.kill().unwrap();
    child.wait().unwrap();
    reader.join().unwrap();
}

fn ready() {
    io::stdout().lock().write_all(b"\nready\n").unwrap();
}

/// The child: writes its log and ships it.
#[test]
// tidy: it is one half of another test, which runs it
#[ignore = "runs as a child of a_shipper_that_is_killed_goes_on_where_control_has_it"]
fn ships_until_killed() {
    let Some((dir, address)) = told() else { return };
    let runtime = runtime();
    let config = LogConfig {
        max_bytes: 2_048 * 64 * 1024,
        segment_bytes: 64 * 1024,
        ..LogConfig::new(dir.join("log"), label("edge-1"))
    };
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(Timestamp::from_seconds(NOW)));
    let log = Arc::new(Log::open(config, Arc::clone(&clock)).unwrap());
    let link = link(&runtime, address);
    runtime.spawn(Shipper::new(Arc::clone(&log)).follow(link.subscribe()));
    let mut lane = log.lane("worker-0").unwrap();
    ready();
    loop {
        for _ in 0..20 {
            let _ = lane.append(made(DENIED, clock.now(), 1));
        }
        std::thread::sleep(Duration::from_millis(2)); // tidy: a pace, so that the log outlives the test
    }
}

#[test]
fn a_shipper_that_is_killed_goes_on_where_control_has_it() {
    let (runtime, (data, intake)) = (runtime(), open());
    let (address, came) = (free_address(), Arc::default());
    let _server = serve(&intake, address, &came);
    let dir = tempfile::tempdir().unwrap();
    for round in 0..5_u64 {
        kill(child("ships_until_killed", dir.path(), address), RandomState::new().hash_one(round) % 900);
    }
    let mut edge = Other::on(dir, "edge-1", 2_048);
    let link = link(&runtime, address);
    let shipper = Shipper::new(Arc::clone(&edge.log));
    runtime.spawn(Arc::clone(&shipper).follow(link.subscribe()));
    waited("everything", || is_all_there(&mut edge, data.path()));
    let starts: std::collections::BTreeSet<String> =
        edge.states().iter().map(|state| state.name.split('-').next().unwrap().to_owned()).collect();
    assert_eq!(starts.len(), 5, "each of them wrote something");
    assert_eq!(intake.kept(&label("edge-1")).1, Vec::<String>::new());
    let records = crate::fixture::records(&data.path().join("enforcers/edge-1/log"));
    assert_eq!(records, crate::fixture::records(edge.log.dir()));
}

/// The child: a control that takes logs.
#[test]
// tidy: it is one half of another test, which runs it
#[ignore = "runs as a child of a_control_that_is_killed_has_what_it_acknowledged"]
fn takes_until_killed() {
    let Some((dir, address)) = told() else { return };
    let intake = Intake::open(&dir, MOST).unwrap();
    let _server = serve(&intake, address, &Arc::default());
    ready();
    std::thread::park();
}

#[test]
fn a_control_that_is_killed_has_what_it_acknowledged() {
    let runtime = runtime();
    let data = tempfile::tempdir().unwrap();
    let address = free_address();
    let mut edge = Other::new("edge-1");
    let shipper = Shipper::new(Arc::clone(&edge.log));
    let link = link(&runtime, address);
    runtime.spawn(Arc::clone(&shipper).follow(link.subscribe()));
    let held = data.path().join("enforcers/edge-1/log");
    for round in 0..5_u64 {
        let control = child("takes_until_killed", data.path(), address);
        let killer = std::thread::spawn(move || kill(control, RandomState::new().hash_one(round) % 900));
        // all the while it is written, so that something is released on account of what was acknowledged
        while !killer.is_finished() {
            (0..100).for_each(|_| edge.decide(DENIED, 1));
            std::thread::sleep(Duration::from_millis(3)); // tidy: a pace, so that the log outlives the test
            if edge.log.health().used_bytes > 60 * 64 * 1024 {
                break;
            }
        }
        killer.join().unwrap();
    }
    let intake = Intake::open(data.path(), MOST).unwrap();
    let _server = serve(&intake, address, &Arc::default());
    waited("everything", || is_all_there(&mut edge, data.path()));
    let mut sequence = 0;
    for record in crate::fixture::records(&held) {
        assert_eq!(record.view().sequence, sequence, "nothing that was released is missing");
        sequence += 1;
    }
    assert!(sequence > 100);
    assert_eq!(intake.kept(&label("edge-1")).1, Vec::<String>::new());
}
