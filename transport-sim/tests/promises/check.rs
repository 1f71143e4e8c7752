//! Tries a property on random scenarios, and says how to see a failure again.

use std::env;
use std::time::Duration;

use dragnet_core::QueryId;
use dragnet_sim::experiment::Experiment;
use dragnet_sim::judge::{Promise, judge};
use dragnet_sim::scenario::Scenario;
use dragnet_sim::summary::Summary;
use dragnet_sim::{QueryRun, Sim};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

use super::scenarios::scenario;

/// What is wrong, if something is.
pub(crate) type Verdict = Result<(), String>;

/// A property of a scenario's run. The function prepares the simulation before it runs.
pub(crate) type Property = fn(&Scenario, &dyn Fn(&mut Sim)) -> Verdict;

/// What is checked when nothing else is wanted: the same each time, so that nobody is stopped by what his
/// change did not bring about. `.ci/run explore` draws other seeds.
pub(crate) const FIRST: u64 = 0;
pub(crate) const CASES: u64 = 64;

/// After the last query has ended, what is still under way comes for so long.
const AFTERWARDS: Duration = Duration::from_secs(60);

/// Checks a property on `PROPTEST_CASES` scenarios. The seed of the first is `PROPTEST_RNG_SEED`, or
/// [`FIRST`], and each one's is the last one's plus one: so a failing seed alone brings its case
/// back.
pub(crate) fn holds(test: &str, property: Property) {
    let first = from_env("PROPTEST_RNG_SEED").unwrap_or(FIRST);
    let cases = from_env("PROPTEST_CASES").unwrap_or(CASES);
    for seed in (0..cases).map(|case| first.wrapping_add(case)) {
        let checked = |scenario: Scenario| property(&scenario, &|_| ()).map_err(TestCaseError::fail);
        let Err(error) = runner(seed).run(&scenario(), checked) else { continue };
        let reason = match error {
            TestError::Abort(reason) => reason,
            TestError::Fail(reason, scenario) => {
                println!("{}", toml::to_string(&scenario).expect("a scenario has only plain values"));
                reason
            }
        };
        panic!(
            "{reason}\nThe smallest such scenario is printed above. Seed {seed}; again with\n    \
             PROPTEST_RNG_SEED={seed} PROPTEST_CASES=1 cargo test -p dragnet-sim --test promises -- --exact {test}"
        );
    }
}

/// The scenario of a seed.
pub(crate) fn scenario_of(seed: u64) -> Scenario {
    scenario().new_tree(&mut runner(seed)).expect("nothing is filtered").current()
}

fn runner(seed: u64) -> TestRunner {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config { cases: 1, failure_persistence: None, max_shrink_iters: 256, ..Config::default() };
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes))
}

fn from_env(name: &str) -> Option<u64> {
    let value = env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name} is {value:?}, and must be a number")))
}

/// A run, and what is known of it after its queries have ended.
pub(crate) struct Seen {
    pub(crate) experiment: Experiment,
    /// What had come of the queries when the last had ended; afterwards some time has passed.
    pub(crate) at_the_end: Vec<QueryRun>,
}

impl Seen {
    /// Runs a scenario to its end, and on until nothing is under way.
    pub(crate) fn new(scenario: &Scenario, prepare: &dyn Fn(&mut Sim)) -> Self {
        let mut experiment = Experiment::new(scenario.clone(), None, true).expect("a good scenario");
        prepare(&mut experiment.sim);
        experiment.run(|_| ());
        let at_the_end = experiment.sim.queries().to_vec();
        experiment.sim.run_until(experiment.sim.now() + AFTERWARDS);
        Self { experiment, at_the_end }
    }

    /// Asks the simulator's own judge about one promise.
    pub(crate) fn judge(&self, promise: Promise) -> Verdict {
        let broken = judge(&self.experiment, &self.summary());
        let broken = broken.into_iter().find(|broken| broken.promise == promise);
        broken.map_or(Ok(()), |broken| Err(broken.to_string()))
    }

    pub(crate) fn summary(&self) -> Summary {
        Summary::new(&self.experiment, Duration::from_secs(1), Duration::from_secs(1))
    }

    /// What came of the query that its engine calls so.
    pub(crate) fn of(&self, query: QueryId) -> Option<&QueryRun> {
        self.at_the_end.iter().find(|run| run.id == Some(query))
    }
}

/// Ok if it is so, else what is wrong.
pub(crate) fn ensure(is_so: bool, wrong: impl FnOnce() -> String) -> Verdict {
    if is_so { Ok(()) } else { Err(wrong()) }
}
