//! Which addresses a bundle may be fetched from (DI-2): the operator names the host, but a name leads wherever its owner
//! lets it lead, and that owner is somebody else.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::net::lookup_host;
use trustdir::{FederationUrl, UpstreamHost};
use types::limits;

use super::fetch::FetchError;

/// What stands at an address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Network {
    /// The internet.
    Public,
    /// A network of ours: RFC 1918, RFC 6598, RFC 4193 and what is kept for tests and devices.
    Private,
    /// This machine, its link, or nothing that answers: loopback, link-local (where clouds keep credentials), multicast.
    Near,
}

/// What stands at an address, whichever way it is written.
pub(super) fn network(address: IpAddr) -> Network {
    match address.to_canonical() {
        IpAddr::V4(address) => network_v4(address),
        IpAddr::V6(address) => embedded(address).map_or_else(|| network_v6(address), network_v4),
    }
}

const fn network_v4(address: Ipv4Addr) -> Network {
    match address.octets() {
        [0 | 127 | 224..=255, ..] | [169, 254, ..] => Network::Near,
        [10, ..]
        | [172, 16..=31, ..]
        | [192, 168, ..]
        | [100, 64..=127, ..]
        | [198, 18 | 19, ..]
        | [192, 0, 0 | 2, _]
        | [198, 51, 100, _]
        | [203, 0, 113, _] => Network::Private,
        _ => Network::Public,
    }
}

const fn network_v6(address: Ipv6Addr) -> Network {
    match address.segments() {
        // unspecified, loopback and the rest of what embeds IPv4 by an old rule
        [0, 0, 0, 0, 0, 0, ..] => Network::Near,
        [0xfe80..=0xfebf | 0xff00..=0xffff, ..] => Network::Near,
        // a translator of somebody's own (RFC 8215): where it leads does not show
        [0x64, 0xff9b, 1, ..] => Network::Near,
        [0xfc00..=0xfdff | 0xfec0..=0xfeff, ..] | [0x2001, 0xdb8, ..] | [0x0100, 0, 0, 0, ..] => Network::Private,
        _ => Network::Public,
    }
}

/// The IPv4 address that a translator makes of an IPv6 one: NAT64 (RFC 6052) and 6to4 (RFC 3056).
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let pair = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match address.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Some(pair(high, low)),
        [0x2002, high, low, ..] => Some(pair(high, low)),
        _ => None,
    }
}

/// Where to connect, resolved once: what is checked here is what is connected to. An address that the URL itself names is
/// the operator's own word and is taken as it is.
pub(super) async fn addresses(url: &FederationUrl, private_network: bool) -> Result<Vec<SocketAddr>, FetchError> {
    let name = match url.host() {
        UpstreamHost::Address(address) => return Ok(vec![SocketAddr::new(*address, url.port())]),
        UpstreamHost::Name(name) => name.as_str(),
    };
    let found = lookup_host((name, url.port())).await.map_err(|error| FetchError::Name(name.to_owned(), error))?;
    allowed(name, found.collect(), private_network)
}

/// Those that may be connected to.
pub(super) fn allowed(
    name: &str,
    found: Vec<SocketAddr>,
    private_network: bool,
) -> Result<Vec<SocketAddr>, FetchError> {
    let may = |address: &SocketAddr| match network(address.ip()) {
        Network::Public => true,
        Network::Private => private_network,
        Network::Near => false,
    };
    let most = limits::FEDERATION_ADDRESSES.default_usize();
    let good: Vec<SocketAddr> = found.iter().copied().filter(may).take(most).collect();
    if !good.is_empty() {
        return Ok(good);
    }
    let Some(refused) = found.first().map(SocketAddr::ip) else {
        return Err(FetchError::NoAddress(name.to_owned()));
    };
    let hint = match network(refused) {
        Network::Private => "say `private_network: true` where the endpoint is in a network of yours",
        Network::Near | Network::Public => "write the address itself into the URL where it is meant",
    };
    Err(FetchError::Inside { name: name.to_owned(), address: refused, hint })
}
