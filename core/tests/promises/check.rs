//! Tries a property on random scenarios, and says how to see a failure again.

use std::env;
use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::str::FromStr;

use dragnet_core::Output;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

use super::ledger::Ledger;
use super::network::Toy;
use super::scenario::{Scenario, Setup, scenario};
use super::world::{Event, Trace, run_loud};

/// What is wrong, if something is.
pub(crate) type Verdict = Result<(), String>;

/// What is checked when nothing else is wanted: the same each time, so that nobody is stopped by what his
/// change did not bring about. `.ci/run explore` draws other seeds.
pub(crate) const FIRST: u64 = 0;
pub(crate) const CASES: u64 = 256;

/// Checks a property on `PROPTEST_CASES` scenarios. The seed of the first is `PROPTEST_RNG_SEED`, or
/// [`FIRST`], and each one's is the last one's plus one: so a failing seed alone brings its case
/// back. `prepare` sets what the property needs.
pub(crate) fn holds(test: &str, prepare: fn(&mut Setup), property: fn(&Scenario) -> Verdict) {
    let first = from_env("PROPTEST_RNG_SEED").unwrap_or(FIRST);
    let cases = from_env("PROPTEST_CASES").unwrap_or(CASES);
    for seed in (0..cases).map(|case| first.wrapping_add(case)) {
        let prepared = scenario().prop_map(move |mut scenario| {
            prepare(&mut scenario.setup);
            scenario
        });
        let checked = |scenario: Scenario| property(&scenario).map_err(TestCaseError::fail);
        let Err(error) = runner(seed).run(&prepared, checked) else { continue };
        if let TestError::Fail(_, scenario) = &error {
            println!("{:#?}", scenario.setup);
            // It may panic: then that is the failure, and all up to it has been printed.
            let _ = catch_unwind(AssertUnwindSafe(|| run_loud(scenario)));
        }
        let reason = match error {
            TestError::Fail(reason, _) | TestError::Abort(reason) => reason,
        };
        panic!(
            "{reason}\nThe shortest such run is printed above. Seed {seed}; again with\n    \
             PROPTEST_RNG_SEED={seed} PROPTEST_CASES=1 cargo test -p dragnet-core --test promises -- --exact {test}"
        );
    }
}

/// The scenario of a seed.
pub(crate) fn scenario_of(seed: u64) -> Scenario {
    scenario().new_tree(&mut runner(seed)).expect("nothing is filtered").current()
}

fn runner(seed: u64) -> TestRunner {
    // Neighbouring seeds far apart, for XorShift does not mix them by itself. ChaCha would, and takes two
    // thirds of an unoptimised test's time.
    let mixed = u128::from(seed).wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
    let bytes = (mixed ^ (mixed >> 67)).wrapping_mul(0xDA94_2042_E4DD_58B5_2545_F491_4F6C_DD1D).to_be_bytes();
    let config = Config { cases: 1, failure_persistence: None, max_shrink_iters: 4096, ..Config::default() };
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::XorShift, &bytes))
}

fn from_env<T: FromStr<Err: Debug>>(name: &str) -> Option<T> {
    let value = env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name} is {value:?}, and must be a number")))
}

/// A place in a trace.
pub(crate) enum Place<'a> {
    /// Before this output takes effect.
    Output(&'a Output<Toy>),
    /// After the last output of an input.
    End,
}

/// Reads a trace from its start with a ledger in hand, and stops at the first thing that is wrong.
pub(crate) fn read(trace: &Trace, mut judge: impl FnMut(&Ledger, &Event, Place<'_>) -> Verdict) -> Verdict {
    let mut ledger = Ledger::new(&trace.setup);
    for (index, event) in trace.events.iter().enumerate() {
        ledger.begin(event);
        let mut verdict = Ok(());
        for output in &event.outputs {
            verdict = verdict.and_then(|()| judge(&ledger, event, Place::Output(output)));
            ledger.output(event, output);
        }
        verdict
            .and_then(|()| judge(&ledger, event, Place::End))
            .map_err(|wrong| format!("{wrong}, by input {index}, {event}"))?;
    }
    Ok(())
}

/// Ok if it is so, else what is wrong.
pub(crate) fn ensure(is_so: bool, wrong: impl FnOnce() -> String) -> Verdict {
    if is_so { Ok(()) } else { Err(wrong()) }
}
