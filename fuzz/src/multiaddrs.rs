//! Any bytes as a multiaddress, written or encoded: what passes for a socket address is one.

use dragnet_libp2p::tcp::{multiaddr, socket_address};
use libp2p::Multiaddr;

/// Converts the address in the text, and the one in the bytes, if there is one. Returns each with what it
/// came to.
///
/// # Panics
///
/// When a socket address comes from an address that does not begin with it, or differs when converted back.
pub fn run(data: &[u8]) -> Vec<String> {
    let written = str::from_utf8(data).ok().and_then(|text| text.parse().ok());
    let encoded = Multiaddr::try_from(data.to_vec()).ok();
    written.into_iter().chain(encoded).map(|address| convert(&address)).collect()
}

fn convert(address: &Multiaddr) -> String {
    let socket = socket_address(address);
    if let Some(socket) = socket {
        let back = multiaddr(socket);
        assert_eq!(socket_address(&back), Some(socket), "{address} converts to {back}");
        assert!(address.iter().zip(back.iter()).all(|(was, is)| was == is), "{address} converts to {back}");
        assert!(address.iter().count() - back.iter().count() <= 1, "more than a peer is behind {address}");
    }
    format!("{address} is {socket:?}")
}
