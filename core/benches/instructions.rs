//! Fixed work of each kind, for counting instructions: see `scripts/instructions`, which runs this under
//! callgrind.
//!
//! `instructions LIVE fetch|walk adaptive|fixed`. When the engine is full it says what the live queries have been
//! through, and then waits for a line on the standard input: callgrind is told meanwhile to begin. It counts
//! only inside [`measured`], and writes what it has counted each time that [`count`] returns; what was counted is
//! named on the standard output, in that order.

use std::env;
use std::hint::black_box;
use std::io;

use common::{Bulky, Input, Lane, Loaded, Mix, Operation, Timeouts};

#[expect(dead_code, reason = "the other benches use the rest")]
mod common;

/// Operations before any is counted. Callgrind's cache is empty when it begins: so many fill it with what of the
/// engine fits in.
const WARM_UP_MAX: usize = 20_000;
const WARM_UP: usize = 1_000;
/// Operations counted.
const COUNTED: usize = 2_000;
/// The same where contacts begin or not by how many of others are late just then, which goes up and down.
const COUNTED_UNSTEADY: usize = 10_000;

fn main() -> io::Result<()> {
    let arguments: Vec<_> = env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let [live, lane, timeouts] = arguments.as_slice() else {
        println!("instructions LIVE fetch|walk adaptive|fixed: run by scripts/instructions");
        return Ok(());
    };
    let live = live.parse().expect("a number of live queries");
    let lane = match lane.as_str() {
        "fetch" => Lane::Fetch,
        "walk" => Lane::Walk,
        other => panic!("there are the lanes fetch and walk, and not {other:?}"),
    };
    let timeouts = [Timeouts::Adaptive, Timeouts::Fixed].into_iter().find(|known| known.name() == timeouts);
    let timeouts = timeouts.expect("timeouts are adaptive or fixed");
    let mut loaded = Loaded::<Bulky>::new(live, lane, timeouts);
    let Mix { replied, overdue, contacts } = loaded.mix();
    println!("# each has had {replied:.2} replies, {overdue:.2} were overdue, {contacts:.2} are in flight");
    io::stdin().read_line(&mut String::new())?;
    run(&mut loaded, Operation::of(lane)[0], (10 * live).min(WARM_UP_MAX));
    for &operation in Operation::of(lane) {
        let counted = match (operation, timeouts) {
            (Operation::FetchReply | Operation::WalkReplyKnown, Timeouts::Adaptive) => COUNTED_UNSTEADY,
            (Operation::TickOverdue, Timeouts::Adaptive) => COUNTED_UNSTEADY,
            _ => COUNTED,
        };
        count(&mut loaded, operation, counted);
        println!("{}\t{}\t{live}\t{counted}", operation.name(lane), timeouts.name());
    }
    Ok(())
}

/// Does the operation often enough that the engine is used to it, and then as often as is counted.
#[inline(never)]
fn count(loaded: &mut Loaded<Bulky>, operation: Operation, counted: usize) {
    run(loaded, operation, WARM_UP);
    let mut left = counted;
    while left > 0 {
        let inputs = loaded.prepare(operation, left);
        left -= inputs.len();
        measured(loaded, inputs);
    }
}

fn run(loaded: &mut Loaded<Bulky>, operation: Operation, count: usize) {
    let mut left = count;
    while left > 0 {
        let inputs = loaded.prepare(operation, left);
        left -= inputs.len();
        loaded.run(inputs);
    }
}

#[inline(never)]
fn measured(loaded: &mut Loaded<Bulky>, inputs: Vec<Input<Bulky>>) {
    black_box(&mut *loaded).run(inputs);
}
