//! The engine without driver, channel and handle.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use dragnet_core::{EngineConfig, Output, Query, QueryConfig, QueryEngine, Reply, RequestId, Time};
use libp2p::PeerId;

use super::{Done, Items, Load, Peers};
use crate::work::Compared;

/// How long is waited for anything: not even under an instruction counter, which takes fifty times as long, may a
/// deadline come, or the work would not be the same.
pub(super) const PATIENCE: Duration = Duration::from_secs(3600);

pub(super) fn run(load: Load, peers: &Peers) -> Done {
    let started = Instant::now();
    let now = || Time::ZERO + started.elapsed();
    let mut engine = QueryEngine::<Compared>::new(EngineConfig::default(), PeerId::random(), [1; 32]);
    let (mut waiting, mut items, mut done) = (VecDeque::new(), Items::default(), Done::default());
    let mut begun = 0;
    let mut ended = 0;
    let mut drain = |engine: &mut QueryEngine<Compared>, waiting: &mut VecDeque<RequestId>| {
        let mut over = 0;
        while let Some(output) = engine.poll_output() {
            match output {
                Output::Contact { request, .. } => waiting.push_back(request),
                Output::Found { found, .. } => {
                    std::hint::black_box(found);
                    done.results += 1;
                }
                Output::Finished { .. } => over += 1,
                _ => {}
            }
        }
        over
    };
    while ended < load.queries() {
        while begun < load.queries() && begun - ended < u64::from(load.handles) {
            let asked = peers.some(begun, load.work.peers());
            engine.start(now(), query(load, begun, asked)).expect("there is room");
            begun += 1;
            ended += drain(&mut engine, &mut waiting);
        }
        let Some(request) = waiting.pop_front() else { break };
        engine.handle_reply(now(), request, Reply::with_items(items.next(load.work.items())));
        ended += drain(&mut engine, &mut waiting);
    }
    done.spent = started.elapsed();
    done
}

/// As large as what there is to find. An answer that comes late is waited for: on a machine that is busy with other
/// things this program may stand still for longer than its peers have ever taken, and the work is to be the same.
pub(super) fn query(load: Load, number: u64, peers: Vec<PeerId>) -> Query<Compared> {
    let config = QueryConfig::default()
        .with_max_results(load.work.results())
        .with_adaptive_timeout(false)
        .with_soft_timeout(PATIENCE)
        .with_request_timeout(PATIENCE)
        .with_timeout(PATIENCE);
    Query::new(number).fetch_from(peers).config(config)
}
