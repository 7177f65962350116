use std::io;

use testkit::{Authority, LeafPlan, ManualClock};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use types::{Timestamp, TrustDomain};

use super::*;

const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);
const SYSTEM_DOMAIN: &str = "system.acme.internal";

fn is_control(peer: &VerifiedPeer) -> bool {
    peer.spiffe_id().path().starts_with("/control/")
}

fn clock(now: Timestamp) -> Arc<dyn Clock> {
    Arc::new(ManualClock::new(now))
}

/// A server of the system with an identity of `root`, and what it believes.
fn server(root: &Authority, shown: &Authority, id: &str) -> ServerConfig {
    let leaf = root.issue(&LeafPlan::svid(id, NOW));
    let name = TrustDomain::parse(SYSTEM_DOMAIN).unwrap();
    let bundle = Bundle::from_der(name, vec![root.der().to_vec()]).unwrap();
    let trust = Arc::new(Trust::new(BundleSet::from_iter([bundle]), clock(NOW)));
    let chain = leaf.chain.into_iter().map(CertificateDer::from).collect();
    let key = PrivateKeyDer::try_from(leaf.key.serialize_der()).unwrap();
    system_server(chain, key, CertificateDer::from(shown.der().to_vec()), trust).unwrap()
}

fn client(root: PinnedRoot, now: Timestamp) -> ClientConfig {
    system_client(None, root, is_control, clock(now)).unwrap()
}

/// What the client makes of the server: whether a byte comes back, and otherwise why not.
async fn meet(server: ServerConfig, client: ClientConfig) -> Result<(), io::Error> {
    let (near, far): (DuplexStream, DuplexStream) = duplex(65_536);
    let accepting = tokio::spawn(async move {
        let mut stream = TlsAcceptor::from(Arc::new(server)).accept(far).await?;
        let mut byte = [0];
        stream.read_exact(&mut byte).await?;
        stream.write_all(&byte).await?;
        stream.flush().await
    });
    let name = ServerName::try_from("control.elsewhere").unwrap();
    let mut stream = TlsConnector::from(Arc::new(client)).connect(name, near).await?;
    stream.write_all(b"x").await?;
    stream.flush().await?;
    let mut byte = [0];
    stream.read_exact(&mut byte).await?;
    accepting.await.unwrap()
}

async fn refused(server: ServerConfig, client: ClientConfig) -> ServerRefusal {
    let error = meet(server, client).await.unwrap_err();
    server_refusal(&error).unwrap_or_else(|| panic!("{error:?}")).clone()
}

fn root() -> Authority {
    Authority::of(SYSTEM_DOMAIN, NOW)
}

#[tokio::test]
async fn control_is_known_by_its_root_and_by_the_digest_of_it() {
    let root = root();
    let control = || server(&root, &root, "spiffe://system.acme.internal/control/c1");
    meet(control(), client(PinnedRoot::Root(root.der().to_vec()), NOW)).await.unwrap();
    meet(control(), client(PinnedRoot::Sha256(identity::sign::sha256(root.der())), NOW)).await.unwrap();
}

#[tokio::test]
async fn another_installation_of_the_same_name_is_not_control() {
    let (ours, theirs) = (root(), root());
    let control = || server(&theirs, &theirs, "spiffe://system.acme.internal/control/c1");
    let pinned = PinnedRoot::Sha256(identity::sign::sha256(ours.der()));
    assert_eq!(refused(control(), client(pinned, NOW)).await, ServerRefusal::NotPinned);
    let held = PinnedRoot::Root(ours.der().to_vec());
    assert!(matches!(refused(control(), client(held, NOW)).await, ServerRefusal::Certificate(_)));
}

#[tokio::test]
async fn a_stranger_who_shows_the_right_root_is_not_control() {
    let (ours, theirs) = (root(), root());
    let posing = server(&theirs, &ours, "spiffe://system.acme.internal/control/c1");
    let pinned = PinnedRoot::Sha256(identity::sign::sha256(ours.der()));
    assert!(matches!(refused(posing, client(pinned, NOW)).await, ServerRefusal::Certificate(_)));
}

#[tokio::test]
async fn a_peer_is_not_control() {
    let root = root();
    let posing = server(&root, &root, "spiffe://system.acme.internal/proxy/edge-1");
    let refusal = refused(posing, client(PinnedRoot::Root(root.der().to_vec()), NOW)).await;
    assert!(refusal.to_string().contains("proxy/edge-1"), "{refusal}");
}

#[tokio::test]
async fn a_business_domain_has_no_control() {
    let finance = Authority::of("finance.acme.internal", NOW);
    let posing = server(&finance, &finance, "spiffe://finance.acme.internal/control/c1");
    let held = PinnedRoot::Root(finance.der().to_vec());
    assert_eq!(refused(posing, client(held, NOW)).await, ServerRefusal::NotSystem);
}

#[tokio::test]
async fn a_clock_that_is_wrong_is_told() {
    let root = root();
    let control = || server(&root, &root, "spiffe://system.acme.internal/control/c1");
    let away = [
        (Timestamp::from_seconds(NOW.seconds() - 7_200), "1 h 59 min away"),
        (NOW.plus_seconds(7_200), "1 h 0 min away"),
    ];
    for (now, by) in away {
        let refusal = refused(control(), client(PinnedRoot::Root(root.der().to_vec()), now)).await;
        assert!(matches!(refusal, ServerRefusal::Clock { .. }), "{refusal:?}");
        let words = refusal.to_string();
        let minute = format!("time, {}Z:", now.to_string().get(..16).unwrap());
        assert!(words.contains("compare both clocks") && words.contains(by) && words.contains(&minute), "{words}");
    }
}

#[tokio::test]
async fn a_client_certificate_may_be_left_out_and_must_be_good() {
    let (root, other) = (root(), root());
    let with = |authority: &Authority| {
        let leaf = authority.issue(&LeafPlan::svid("spiffe://system.acme.internal/proxy/edge-1", NOW));
        let chain = leaf.chain.into_iter().map(CertificateDer::from).collect();
        let key = PrivateKeyDer::try_from(leaf.key.serialize_der()).unwrap();
        let held = PinnedRoot::Root(root.der().to_vec());
        system_client(Some((chain, key)), held, is_control, clock(NOW)).unwrap()
    };
    let control = || server(&root, &root, "spiffe://system.acme.internal/control/c1");
    meet(control(), with(&root)).await.unwrap();
    assert!(meet(control(), with(&other)).await.is_err(), "a certificate of another root");
}

#[test]
fn nothing_is_resumed() {
    let root = root();
    let control = server(&root, &root, "spiffe://system.acme.internal/control/c1");
    assert_eq!((control.send_tls13_tickets, control.max_early_data_size), (0, 0));
}

/// A server on a real socket that tells each client how it was known: `nobody`, or its SPIFFE ID.
async fn listening(config: ServerConfig, trust: BundleSet) -> std::net::SocketAddr {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let chain = stream.get_ref().1.peer_certificates().map(<[_]>::to_vec);
            let peer = chain.map(|chain| identity::verify(&chain, &trust, NOW).unwrap().spiffe_id().to_string());
            let _ = stream.write_all(peer.unwrap_or_else(|| "nobody".to_owned()).as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    });
    address
}

fn trust_in(root: &Authority) -> BundleSet {
    let name = TrustDomain::parse(SYSTEM_DOMAIN).unwrap();
    BundleSet::from_iter([Bundle::from_der(name, vec![root.der().to_vec()]).unwrap()])
}

/// What the server said, and whether the handshake was a resumed one.
async fn greeted(address: std::net::SocketAddr, config: &Arc<ClientConfig>) -> io::Result<(String, bool)> {
    let tcp = tokio::net::TcpStream::connect(address).await?;
    let name = ServerName::try_from("control.elsewhere").unwrap();
    let mut stream = TlsConnector::from(Arc::clone(config)).connect(name, tcp).await?;
    let mut greeting = String::new();
    stream.read_to_string(&mut greeting).await?;
    let resumed = stream.get_ref().1.handshake_kind() == Some(rustls::HandshakeKind::Resumed);
    Ok((greeting, resumed))
}

fn with_identity(authority: &Authority, root: &Authority, plan: &LeafPlan) -> Arc<ClientConfig> {
    let leaf = authority.issue(plan);
    let chain = leaf.chain.into_iter().map(CertificateDer::from).collect();
    let key = PrivateKeyDer::try_from(leaf.key.serialize_der()).unwrap();
    let held = PinnedRoot::Root(root.der().to_vec());
    Arc::new(system_client(Some((chain, key)), held, is_control, clock(NOW)).unwrap())
}

#[tokio::test]
async fn over_a_socket_a_peer_is_who_its_certificate_says_or_nobody() {
    let root = root();
    let config = server(&root, &root, "spiffe://system.acme.internal/control/c1");
    let address = listening(config, trust_in(&root)).await;
    let edge = "spiffe://system.acme.internal/proxy/edge-1";
    let mine = with_identity(&root, &root, &LeafPlan::svid(edge, NOW));
    // twice with one configuration: nothing is left over from the first time
    for _ in 0..2 {
        assert_eq!(greeted(address, &mine).await.unwrap(), (edge.to_owned(), false));
    }
    let pinned = PinnedRoot::Sha256(identity::sign::sha256(root.der()));
    assert_eq!(greeted(address, &Arc::new(client(pinned, NOW))).await.unwrap().0, "nobody");
    let wrong = client(PinnedRoot::Sha256([7; 32]), NOW);
    let error = greeted(address, &Arc::new(wrong)).await.unwrap_err();
    assert_eq!(server_refusal(&error), Some(&ServerRefusal::NotPinned));
}

#[tokio::test]
async fn over_a_socket_bad_certificates_end_the_handshake() {
    let (root, finance) = (root(), Authority::of("finance.acme.internal", NOW));
    let config = server(&root, &root, "spiffe://system.acme.internal/control/c1");
    let address = listening(config, trust_in(&root)).await;
    let svid = |id: &str| LeafPlan::svid(id, NOW);
    let edge = svid("spiffe://system.acme.internal/proxy/edge-1");
    let expired = LeafPlan { not_after: Timestamp::from_seconds(NOW.seconds() - 30), ..edge.clone() };
    let early = LeafPlan { not_before: NOW.plus_seconds(30), ..edge.clone() };
    let cases = [
        ("expired", with_identity(&root, &root, &expired)),
        ("not yet valid", with_identity(&root, &root, &early)),
        ("a workload", with_identity(&finance, &root, &svid("spiffe://finance.acme.internal/payments"))),
        ("system's name by a domain's key", with_identity(&finance, &root, &edge)),
    ];
    for (what, config) in cases {
        assert!(greeted(address, &config).await.is_err(), "{what}");
    }
    assert!(greeted(address, &with_identity(&root, &root, &edge)).await.is_ok());
}

#[tokio::test]
async fn who_speaks_only_tls_1_2_gets_an_alert() {
    let root = root();
    let address = listening(server(&root, &root, "spiffe://system.acme.internal/control/c1"), trust_in(&root)).await;
    // a ClientHello that offers TLS 1.2 and nothing newer
    let mut hello = vec![0x03, 0x03];
    hello.extend([0x5a; 32]);
    hello.extend([0, 0, 2, 0xc0, 0x2b, 1, 0]);
    // supported groups, signature algorithms
    let extensions = [&[0, 10, 0, 4, 0, 2, 0, 0x17][..], &[0, 13, 0, 4, 0, 2, 4, 3]].concat();
    hello.extend(u16::try_from(extensions.len()).unwrap().to_be_bytes());
    hello.extend(extensions);
    let length = u32::try_from(hello.len()).unwrap().to_be_bytes();
    let handshake = [&[1][..], &length[1..], &hello].concat();
    let record = [&[22, 3, 1][..], &u16::try_from(handshake.len()).unwrap().to_be_bytes(), &handshake].concat();
    let mut tcp = tokio::net::TcpStream::connect(address).await.unwrap();
    tcp.write_all(&record).await.unwrap();
    let mut answer = Vec::new();
    let _ = tcp.read_to_end(&mut answer).await;
    // a fatal alert: protocol_version
    assert_eq!(answer, [21, 3, 3, 0, 2, 2, 70]);
}
