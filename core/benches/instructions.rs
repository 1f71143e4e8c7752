//! Fixed work of each kind, for counting instructions: see `scripts/instructions`, which runs this under
//! callgrind.
//!
//! Callgrind counts only inside [`measured`], and writes what it has counted each time that [`count`] returns;
//! what was counted is named on the standard output, in that order.

use std::env;
use std::hint::black_box;

use common::{Bulky, Input, Lane, Loaded, Operation, Timeouts};

#[expect(dead_code, reason = "the other benches use the rest")]
mod common;

/// Operations before any is counted: the tables and queues of an engine that has run for a while.
const WARM_UP: usize = 5_000;
/// Operations counted.
const COUNTED: usize = 2_000;

fn main() {
    let mut arguments = env::args().skip(1).filter(|argument| argument != "--bench");
    let live: usize = arguments.next().map_or(1_000, |live| live.parse().expect("a number of live queries"));
    for timeouts in [Timeouts::Adaptive, Timeouts::Fixed] {
        for lane in [Lane::Fetch, Lane::Walk] {
            let mut loaded = Loaded::<Bulky>::new(live, lane, timeouts);
            for &operation in Operation::of(lane) {
                let count = count(&mut loaded, operation);
                println!("{}\t{}\t{live}\t{count}", operation.name(lane), timeouts.name());
            }
        }
    }
}

/// Does the operation until the engine is warm, and then as often as is counted.
#[inline(never)]
fn count(loaded: &mut Loaded<Bulky>, operation: Operation) -> usize {
    loaded.begin(operation);
    let mut warm_up = 0;
    while warm_up < WARM_UP {
        let inputs = loaded.prepare(operation, WARM_UP - warm_up);
        warm_up += inputs.len();
        loaded.run(inputs);
    }
    let inputs = loaded.prepare(operation, COUNTED);
    let count = inputs.len();
    measured(loaded, inputs);
    count
}

#[inline(never)]
fn measured(loaded: &mut Loaded<Bulky>, inputs: Vec<Input<Bulky>>) {
    black_box(&mut *loaded).run(inputs);
}
