//! From where an address can be reached.

use std::net::{Ipv4Addr, Ipv6Addr};

use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;

/// From where an address can be reached: the nearer, the greater.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Reach {
    /// From everywhere, as far as can be told.
    Global,
    /// From its own network.
    Network,
    /// From the same machine.
    Machine,
}

/// From where an address can be reached, by what it begins with. What a name resolves to is not looked at.
pub(crate) fn reach(address: &Multiaddr) -> Reach {
    match address.iter().next() {
        Some(Protocol::Ip4(ip)) => of_ip4(ip),
        Some(Protocol::Ip6(ip)) => of_ip6(ip),
        Some(Protocol::Dns(name) | Protocol::Dns4(name) | Protocol::Dns6(name) | Protocol::Dnsaddr(name)) => {
            of_name(&name)
        }
        Some(Protocol::Memory(_) | Protocol::Unix(_)) => Reach::Machine,
        _ => Reach::Global,
    }
}

/// By the [registry of special addresses](https://www.iana.org/assignments/iana-ipv4-special-registry).
fn of_ip4(ip: Ipv4Addr) -> Reach {
    let [a, b, ..] = ip.octets();
    if ip.is_loopback() {
        Reach::Machine
    } else if ip.is_private()
        || ip.is_link_local()
        || ip.is_documentation()
        || ip.is_multicast()
        // This network; shared by carriers (RFC 6598); benchmarks (RFC 2544); reserved, and broadcast.
        || a == 0
        || (a == 100 && (64..128).contains(&b))
        || (a == 198 && (18..20).contains(&b))
        || a >= 240
    {
        Reach::Network
    } else {
        Reach::Global
    }
}

/// By the [registry of special addresses](https://www.iana.org/assignments/iana-ipv6-special-registry).
fn of_ip6(ip: Ipv6Addr) -> Reach {
    if ip.is_loopback() {
        return Reach::Machine;
    }
    match ip.segments() {
        // An IPv4 address: mapped, or by way of a translator (RFC 6052).
        [0, 0, 0, 0, 0, 0xffff, ..] | [0x64, 0xff9b, 0, 0, 0, 0, ..] => {
            let [.., a, b, c, d] = ip.octets();
            of_ip4(Ipv4Addr::new(a, b, c, d))
        }
        [0x2001, 0xdb8, ..] => Reach::Network,
        // Of what is not one host somewhere: unspecified, unique local, link local, multicast.
        [first, ..] if (0x2000..0x4000).contains(&first) => Reach::Global,
        _ => Reach::Network,
    }
}

/// By the [names that are special](https://www.iana.org/assignments/special-use-domain-names).
fn of_name(name: &str) -> Reach {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    let last = name.rsplit('.').next().unwrap_or_default();
    match last {
        "localhost" => Reach::Machine,
        "local" | "internal" | "lan" | "home" => Reach::Network,
        // A name without a dot is one of the own network.
        _ if last == name => Reach::Network,
        _ if name.ends_with("home.arpa") => Reach::Network,
        _ => Reach::Global,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Reach {
        reach(&text.parse().unwrap())
    }

    #[test]
    fn addresses_are_of_the_machine_of_its_network_or_global() {
        for machine in [
            "/ip4/127.0.0.1/tcp/1",
            "/ip4/127.8.8.8/tcp/1",
            "/ip6/::1/tcp/1",
            "/ip6/::ffff:127.0.0.1/tcp/1",
            "/memory/7",
            "/dns4/localhost/tcp/1",
            "/dns/a.LocalHost./tcp/1",
        ] {
            assert_eq!(of(machine), Reach::Machine, "{machine}");
        }
        for network in [
            "/ip4/10.1.2.3/tcp/1",
            "/ip4/172.16.0.1/tcp/1",
            "/ip4/192.168.1.1/tcp/1",
            "/ip4/169.254.169.254/tcp/80",
            "/ip4/100.64.0.1/tcp/1",
            "/ip4/0.0.0.0/tcp/1",
            "/ip4/255.255.255.255/udp/1",
            "/ip4/224.0.0.251/udp/5353",
            "/ip4/198.18.0.1/tcp/1",
            "/ip4/192.0.2.1/tcp/1",
            "/ip6/::/tcp/1",
            "/ip6/fe80::1/tcp/1",
            "/ip6/fd00::1/tcp/1",
            "/ip6/ff02::1/udp/1",
            "/ip6/2001:db8::1/tcp/1",
            "/ip6/::ffff:10.0.0.1/tcp/1",
            "/ip6/64:ff9b::a00:1/tcp/1",
            "/dns/printer.local/tcp/1",
            "/dns/router/tcp/1",
            "/dns6/nas.home.arpa/tcp/1",
        ] {
            assert_eq!(of(network), Reach::Network, "{network}");
        }
        for global in [
            "/ip4/1.1.1.1/tcp/1",
            "/ip4/172.32.0.1/tcp/1",
            "/ip4/100.128.0.1/udp/1/quic-v1",
            "/ip6/2606:4700::1111/tcp/1",
            "/ip6/::ffff:1.1.1.1/tcp/1",
            "/ip6/64:ff9b::101:101/tcp/1",
            "/dns4/peer.example.org/tcp/1",
            "/dnsaddr/bootstrap.libp2p.io",
        ] {
            assert_eq!(of(global), Reach::Global, "{global}");
        }
    }
}
