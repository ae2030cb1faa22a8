//! Where a request comes from.
//!
//! That is the peer of its connection, unless the peer is a proxy that the settings trust: then it is whoever the last proxy that is
//! trusted heard it from. What stands before that in `X-Forwarded-For` anybody can have written.

use std::net::{IpAddr, SocketAddr};

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use shop_core::runtime::network::Network;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The address of a client.
pub fn address(peer: IpAddr, headers: &HeaderMap, trusted: &[Network]) -> IpAddr {
    let is_trusted = |address: &IpAddr| trusted.iter().any(|proxy| proxy.contains(*address));
    let mut nearest = peer;
    if !is_trusted(&nearest) {
        return nearest;
    }
    let lines: Vec<&[u8]> = headers
        .get_all(FORWARDED_FOR)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    let hops = lines.iter().rev();
    let hops = hops.flat_map(|line| line.rsplit(|byte| *byte == b','));
    for hop in hops {
        let hop = str::from_utf8(hop).ok();
        let Some(address) = hop.and_then(|hop| read(hop.trim())) else {
            break; // nobody knows what is before it
        };
        nearest = address;
        if !is_trusted(&nearest) {
            break;
        }
    }
    nearest
}

/// An address, with or without a port.
fn read(hop: &str) -> Option<IpAddr> {
    let bare = hop
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let address = bare.unwrap_or(hop).parse().ok();
    address.or_else(|| Some(hop.parse::<SocketAddr>().ok()?.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(peer: &str, lines: &[&str], trusted: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(FORWARDED_FOR, line.parse().expect("a header"));
        }
        let trusted: Vec<Network> = trusted
            .iter()
            .map(|network| network.parse().expect("a network"))
            .collect();
        address(peer.parse().expect("an address"), &headers, &trusted).to_string()
    }

    #[test]
    fn only_what_trusted_proxies_say_counts() {
        let proxies = &["10.0.0.0/8", "fd00::/8"][..];
        for (peer, lines, trusted, expected) in [
            ("1.2.3.4", &[][..], &[][..], "1.2.3.4"),
            ("1.2.3.4", &["5.6.7.8"], &[], "1.2.3.4"),
            ("1.2.3.4", &["5.6.7.8"], proxies, "1.2.3.4"),
            ("10.0.0.1", &[], proxies, "10.0.0.1"),
            ("10.0.0.1", &["5.6.7.8"], proxies, "5.6.7.8"),
            ("::ffff:10.0.0.1", &["5.6.7.8"], proxies, "5.6.7.8"),
            ("fd00::1", &["2001:db8::1"], proxies, "2001:db8::1"),
            // A client made the first one up.
            ("10.0.0.1", &["9.9.9.9, 5.6.7.8"], proxies, "5.6.7.8"),
            (
                "10.0.0.1",
                &["9.9.9.9", "5.6.7.8, 10.0.0.2"],
                proxies,
                "5.6.7.8",
            ),
            ("10.0.0.1", &["5.6.7.8:99, 10.0.0.2"], proxies, "5.6.7.8"),
            ("10.0.0.1", &["[2001:db8::1]:99"], proxies, "2001:db8::1"),
            ("10.0.0.1", &["[2001:db8::1]"], proxies, "2001:db8::1"),
            ("10.0.0.1", &["10.0.0.3, 10.0.0.2"], proxies, "10.0.0.3"),
            ("10.0.0.1", &["5.6.7.8, unknown"], proxies, "10.0.0.1"),
            (
                "10.0.0.1",
                &["5.6.7.8, unknown, 10.0.0.2"],
                proxies,
                "10.0.0.2",
            ),
            ("10.0.0.1", &[""], proxies, "10.0.0.1"),
        ] {
            assert_eq!(found(peer, lines, trusted), expected, "{peer} {lines:?}");
        }
    }
}
