//! Where a bundle may be fetched from (DI-2).

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use trustdir::FederationUrl;

use super::super::fetch::connect;
use super::super::reach::{Network, addresses, allowed, network};

fn at(address: &str) -> SocketAddr {
    SocketAddr::new(address.parse().unwrap(), 443)
}

#[test]
fn di_2_every_way_to_write_an_inner_address_is_seen() {
    for (address, want) in [
        ("93.184.216.34", Network::Public),
        ("2606:2800:220:1::1", Network::Public),
        ("172.32.0.1", Network::Public),
        ("100.128.0.1", Network::Public),
        ("10.0.0.7", Network::Private),
        ("172.16.0.1", Network::Private),
        ("172.31.255.255", Network::Private),
        ("192.168.1.1", Network::Private),
        ("100.64.0.1", Network::Private),
        ("198.18.0.1", Network::Private),
        ("192.0.2.1", Network::Private),
        ("fd00::1", Network::Private),
        ("2001:db8::1", Network::Private),
        ("127.0.0.1", Network::Near),
        ("127.9.9.9", Network::Near),
        ("0.0.0.0", Network::Near),
        ("169.254.169.254", Network::Near),
        ("224.0.0.1", Network::Near),
        ("255.255.255.255", Network::Near),
        ("::", Network::Near),
        ("::1", Network::Near),
        ("fe80::1", Network::Near),
        ("ff02::1", Network::Near),
        ("::ffff:127.0.0.1", Network::Near),
        ("::ffff:10.0.0.1", Network::Private),
        ("::127.0.0.1", Network::Near),
        ("64:ff9b::a9fe:a9fe", Network::Near),
        ("64:ff9b::a00:1", Network::Private),
        ("64:ff9b:1::a9fe:a9fe", Network::Near),
        ("64:ff9b:1:ffff::1", Network::Near),
        ("2002:7f00:1::", Network::Near),
        ("2002:c0a8:101::", Network::Private),
    ] {
        assert_eq!(network(address.parse::<IpAddr>().unwrap()), want, "{address}");
    }
}

#[test]
fn di_2_a_name_leads_to_checked_addresses_only() {
    let (public, private, near) = (at("93.184.216.34"), at("10.0.0.7"), at("127.0.0.1"));
    assert_eq!(allowed("p", vec![near, private, public], false).unwrap(), [public]);
    assert_eq!(allowed("p", vec![near, private, public], true).unwrap(), [private, public]);
    let words = |found, private_network| allowed("p.example", found, private_network).unwrap_err().to_string();
    assert_eq!(
        words(vec![private], false),
        "the name `p.example` leads to 10.0.0.7, inside; say `private_network: true` where the endpoint is in a network of \
         yours"
    );
    let near_words =
        "the name `p.example` leads to 127.0.0.1, inside; write the address itself into the URL where it is meant";
    assert_eq!(words(vec![near], false), near_words);
    assert_eq!(words(vec![near], true), near_words, "a private network is not this machine");
    assert_eq!(words(Vec::new(), true), "the name `p.example` has no address");
    assert_eq!(allowed("p", vec![public; 100], false).unwrap().len(), 8);
}

#[tokio::test]
async fn an_address_that_swallows_everything_hides_no_other() {
    let (full, good) = (std::net::TcpListener::bind("127.0.0.1:0"), std::net::TcpListener::bind("127.0.0.1:0"));
    let (full, good) = (full.unwrap(), good.unwrap());
    let at = |listener: &std::net::TcpListener| listener.local_addr().unwrap();
    // nobody accepts: once its queue is full, the kernel answers nothing more
    let queued: Vec<_> =
        std::iter::from_fn(|| std::net::TcpStream::connect_timeout(&at(&full), Duration::from_millis(100)).ok())
            .collect();
    assert!(!queued.is_empty());
    let connected = connect(&[at(&full), at(&good)], Duration::from_millis(400)).await.unwrap();
    assert_eq!(connected.peer_addr().unwrap(), at(&good));
    let refused = connect(&[at(&full)], Duration::from_millis(100)).await.unwrap_err().to_string();
    assert!(refused.starts_with(&format!("no connection to {}: ", at(&full))), "{refused}");
}

#[tokio::test]
async fn di_2_an_address_in_the_url_is_the_operators_own_word() {
    let of = |text: &str| FederationUrl::parse(text).unwrap();
    assert_eq!(addresses(&of("https://127.0.0.1:9/x"), false).await.unwrap(), ["127.0.0.1:9".parse().unwrap()]);
    assert_eq!(addresses(&of("https://[::1]/x"), false).await.unwrap(), ["[::1]:443".parse().unwrap()]);
    let refused = addresses(&of("https://localhost:9/x"), true).await.unwrap_err().to_string();
    assert!(refused.starts_with("the name `localhost` leads to "), "{refused}");
}
