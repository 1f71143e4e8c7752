//! What a recorder has taken down of a run is that run again.

use std::hash::{Hash, Hasher};
use std::time::Duration;

use dragnet_core::record::{RecordConfig, Recordable, Recorded, Recorder, Replay, Replayed};
use dragnet_core::{Found, Metrics, Network, Output};

use super::check::{Verdict, ensure};
use super::network::{Note, Toy};
use super::scenario::Scenario;
use super::world::{Event, Input, World};

impl Recordable for Toy {
    fn hash_item<H: Hasher>(note: &Note, state: &mut H) {
        (note.id, note.version).hash(state);
    }
}

pub(crate) fn a_recorded_run_replays_with_the_same_outputs(scenario: &Scenario) -> Verdict {
    // Small blocks, and many of them: what is kept from one to the next is seen.
    let config = RecordConfig::default().with_block_bytes(200).with_blocks_waiting_max(100_000);
    let (recorder, writer) = Recorder::new(config, [scenario.setup.seed; 16]);
    let mut world = World::new(&scenario.setup);
    world.engine_mut().record(recorder);
    let trace = world.run(&scenario.steps);
    let mut file = Vec::new();
    writer.run(&mut file).expect("memory takes all that is written");

    let mut replay = Replay::open(&file[..]).expect("a whole recording");
    for event in &trace.events {
        let Some(again) = replay.next() else {
            return Err(format!("the replay ends with {:?} before {event}", replay.ending()));
        };
        same_input(event, &again)?;
        ensure(again.is_as_recorded, || format!("the checksums differ, {event}:\n{:?}", again.outputs))?;
        if matches!(event.input, Input::Checkpoint) {
            // The recorded engine has forgotten strangers, and the other does so before its next input.
            continue;
        }
        let metrics: &Metrics = &replay.engine().metrics();
        ensure(event.view.metrics == *metrics, || {
            format!("{event}:\n{:?}\n{metrics:?}", event.view.metrics)
        })?;
        let live = replay.engine().live_state();
        ensure(event.view.live == live, || format!("{event}:\n{:?}\n{live:?}", event.view.live))?;
    }
    ensure(replay.next().is_none(), || "the replay goes on".into())?;
    let ending = replay.ending().map(ToString::to_string);
    ensure(ending.as_deref() == Some("whole: finished"), || format!("the recording is {ending:?}"))
}

fn same_input(event: &Event, again: &Replayed) -> Verdict {
    ensure(event.at == again.at, || format!("{event}: replayed at {:?}", again.at))?;
    ensure(event.started == again.started, || format!("{event}: started {:?}", again.started))?;
    let (were, are) = (&event.outputs, &again.outputs);
    let same = were.len() == are.len() && were.iter().zip(are).all(|(was, is)| same_output(was, is));
    ensure(same, || format!("the outputs differ, {event}:\n{were:?}\n{are:?}"))
}

fn same_output(was: &Output<Toy>, is: &Output<Recorded>) -> bool {
    match (was, is) {
        (
            Output::Contact { request, query, peer, step, .. },
            Output::Contact { request: other, query: its, peer: whom, step: lane, .. },
        ) => request == other && query == its && peer.to_string() == whom.to_string() && step == lane,
        (
            Output::Lookup { request, query, route, source, .. },
            Output::Lookup { request: other, query: its, route: way, source: network, .. },
        ) => request == other && query == its && route == way && source == network,
        (Output::Release { request }, Output::Release { request: other }) => request == other,
        (Output::Found { query, found }, Output::Found { query: its, found: other }) => {
            let from = found.from.map(|peer| peer.to_string());
            query == its
                && times(found) == times(other)
                && from == other.from.as_ref().map(ToString::to_string)
        }
        (Output::Finished { query, outcome }, Output::Finished { query: its, outcome: other }) => {
            query == its && outcome == other
        }
        _ => false,
    }
}

const fn times<N: Network>(found: &Found<N>) -> (Duration, Option<Duration>, u32, Duration) {
    (found.elapsed, found.response_time, found.votes, found.age)
}
