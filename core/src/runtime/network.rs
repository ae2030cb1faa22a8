//! Networks of addresses, and what counts as one client among addresses.

use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

/// A network such as `10.0.0.0/8`, or one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    first: IpAddr,
    bits: u8,
}

/// Text that is no network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("neither an address nor a network")]
pub struct NoNetwork;

impl Network {
    /// Whether an address belongs to it. An IPv4 address that is written as IPv6 is one of IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.first, address.to_canonical()) {
            (IpAddr::V4(first), IpAddr::V4(address)) => {
                let mask = leading(u128::from(self.bits) + 96);
                (u128::from(first.to_bits()) ^ u128::from(address.to_bits())) & mask == 0
            }
            (IpAddr::V6(first), IpAddr::V6(address)) => {
                (first.to_bits() ^ address.to_bits()) & leading(self.bits.into()) == 0
            }
            _ => false,
        }
    }
}

impl FromStr for Network {
    type Err = NoNetwork;

    fn from_str(text: &str) -> Result<Self, NoNetwork> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let first: IpAddr = address.parse().map_err(|_| NoNetwork)?;
        let most = if first.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            Some(bits) => bits.parse().map_err(|_| NoNetwork)?,
            None => most,
        };
        // Everybody is no network.
        if bits == 0 || bits > most {
            return Err(NoNetwork);
        }
        Ok(Self { first, bits })
    }
}

/// The address that stands for a client: an IPv4 address itself, of an IPv6 address its network of 64 bits, since a client has all
/// of those.
pub fn client_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & leading(64)).into(),
        address @ IpAddr::V4(_) => address,
    }
}

/// So many leading ones of 128.
fn leading(bits: u128) -> u128 {
    match 128 - bits {
        128 => 0,
        rest => u128::MAX << rest,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn a_network_has_the_addresses_that_begin_as_it_does() {
        for (network, inside, outside) in [
            (
                "10.0.0.0/8",
                &["10.0.0.0", "10.255.1.2", "::ffff:10.1.2.3"][..],
                &["11.0.0.0", "::1"][..],
            ),
            ("10.1.2.3", &["10.1.2.3"], &["10.1.2.4", "10.1.2.2"]),
            ("128.0.0.0/1", &["128.0.0.0", "255.1.2.3"], &["127.0.0.1"]),
            ("2001:db8::/32", &["2001:db8:ffff::1"], &["2001:db9::1"]),
            ("::1", &["::1"], &["::2", "127.0.0.1"]),
        ] {
            let parsed: Network = network.parse().expect("a network");
            for address in inside {
                assert!(parsed.contains(ip(address)), "{address} in {network}");
            }
            for address in outside {
                assert!(!parsed.contains(ip(address)), "{address} in {network}");
            }
        }
        for bad in [
            "",
            "10.0.0.0/33",
            "::/129",
            "0.0.0.0/0",
            "::/0",
            "10.0.0.0/",
            "10.0.0/8",
            "shop",
            "10.0.0.1:80",
        ] {
            assert_eq!(bad.parse::<Network>(), Err(NoNetwork), "{bad}");
        }
    }

    #[test]
    fn a_client_has_one_address_of_ipv4_and_a_network_of_ipv6() {
        for (address, client) in [
            ("10.1.2.3", "10.1.2.3"),
            ("::ffff:10.1.2.3", "10.1.2.3"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ] {
            assert_eq!(client_of(ip(address)), ip(client));
        }
    }
}
