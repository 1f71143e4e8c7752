//! What a node of this program keeps in a directory, for the next time.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use dragnet_core::Validator;
use dragnet_libp2p::state::{Judges, Loaded, NodeStore, SetAside};
use dragnet_libp2p::{Client, Libp2p, Node, NodeBuilder};
use serde_json::json;

use crate::duration::show;
use crate::error::Error;
use crate::output::Output;
use crate::peer;

/// What answers are judged by, in the files too: a new number when [`judge`](crate::market::judge) refuses
/// more than before.
const JUDGE: &str = "marketplace package, 1";

/// A directory that a node keeps its state in.
pub struct Keeper {
    store: Arc<NodeStore>,
    output: Output,
}

/// A node that has still to be built, and whether it knows peers by which it can join.
pub struct Begun {
    /// The node.
    pub builder: NodeBuilder,
    /// Whether it knows any.
    pub knows_peers: bool,
}

impl Keeper {
    /// Opens a directory for a node whose searches are judged by this.
    ///
    /// # Errors
    ///
    /// When another program has it open, or it cannot be made.
    pub fn open(path: &Path, judge: &Arc<dyn Validator<Libp2p>>, output: Output) -> Result<Self, Error> {
        let judges = Judges::new().validator(JUDGE, Arc::clone(judge));
        Ok(Self { store: Arc::new(NodeStore::open(path)?.judges(judges)), output })
    }

    /// A node that is who it was, and knows what it knew. Says so, and what could not be used.
    ///
    /// # Errors
    ///
    /// When the directory cannot be read or written.
    pub fn begin(&self, protocol: &str) -> Result<Begun, Error> {
        let identity = self.store.identity()?;
        self.tell_aside(identity.set_aside.as_ref())?;
        let builder = peer::configured(Node::builder(identity.keypair), protocol);
        let remembered = self.store.load()?;
        self.tell_aside(remembered.set_aside.as_ref())?;
        let Some(state) = remembered.state else { return Ok(Begun { builder, knows_peers: false }) };
        self.tell_restored(&state)?;
        let knows_peers = state.state.peers.iter().any(|peer| peer.is_in_table);
        Ok(Begun { builder: builder.state(state), knows_peers })
    }

    /// Saves every so often, for ever. What goes wrong is told, and the node runs on.
    pub async fn keep<T>(&self, client: &Client, every: Duration) -> T {
        loop {
            smol::Timer::after(every).await;
            self.save(client).await;
        }
    }

    /// Saves what the node knows; what goes wrong is told.
    pub async fn save(&self, client: &Client) {
        let Ok(state) = client.export().await else { return };
        let (peers, addresses) = (state.engine.peers.len(), count_addresses(&state));
        let store = Arc::clone(&self.store);
        let told = match smol::unblock(move || store.save(state)).await {
            Ok(saved) => {
                let (bytes, answers) = (saved.bytes, saved.answers);
                let object = json!({
                    "kind": "saved", "peers": peers, "answers": answers, "addresses": addresses, "bytes": bytes,
                });
                self.output.object(&object)
            }
            Err(error) => self.warn(&format!("what this node knows could not be saved: {error}")),
        };
        // An output that is gone ends the program elsewhere.
        drop(told);
    }

    /// Tells of something that is wrong, and that the node runs on with.
    pub fn warn(&self, message: &str) -> std::io::Result<()> {
        eprintln!("{} {message}", console::style("warning:").for_stderr().yellow().bold());
        self.output.object(&json!({"kind": "warning", "message": message}))
    }

    fn tell_aside(&self, set_aside: Option<&SetAside>) -> Result<(), Error> {
        match set_aside {
            Some(set_aside) => Ok(self.warn(&set_aside.to_string())?),
            None => Ok(()),
        }
    }

    fn tell_restored(&self, loaded: &Loaded) -> Result<(), Error> {
        let Loaded { state, away, .. } = loaded;
        let (peers, answers) = (state.engine.peers.len(), state.engine.answers.len());
        let addresses = count_addresses(state);
        let ago = away.map_or_else(
            || "at a time that is still to come".to_string(),
            |away| format!("{} ago", show(away)),
        );
        let text =
            format!("Restored {peers} peers, {answers} answers and {addresses} addresses, saved {ago}");
        let object = json!({
            "kind": "restored", "peers": peers, "answers": answers, "addresses": addresses,
            "away_ms": away.map(|away| u64::try_from(away.as_millis()).unwrap_or(u64::MAX)),
        });
        Ok(self.output.line(text, &object)?)
    }
}

fn count_addresses(state: &dragnet_libp2p::state::NodeState) -> usize {
    state.peers.iter().map(|peer| peer.addresses.len()).sum()
}
