use dragnet_core::{QueryConfig, Reason};

use crate::bench::{Bench, ms, query};

#[test]
fn the_presets_are_what_they_say() {
    let values = |config: QueryConfig| (config.timeout, config.max_results, config.fan_out);
    assert_eq!(values(QueryConfig::balanced()), (ms(10_000), 20, 3));
    assert_eq!(values(QueryConfig::high_throughput()), (ms(5_000), 50, 5));
    assert_eq!(values(QueryConfig::low_latency()), (ms(2_000), 10, 1));
    assert_eq!(QueryConfig::default(), QueryConfig::balanced());
    let adapts = |config: QueryConfig| (config.adaptive_timeout, config.adaptive_fan_out);
    assert_eq!(adapts(QueryConfig::balanced()), (true, true));
    assert_eq!(adapts(QueryConfig::high_throughput()), (true, true));
    assert_eq!(adapts(QueryConfig::low_latency()), (true, false));
}

#[test]
fn a_preset_changes_how_many_are_asked_at_once_how_many_are_enough_and_when_time_is_up() {
    for (config, at_once, enough, deadline) in [
        (QueryConfig::balanced(), 3, 20, ms(10_000)),
        (QueryConfig::high_throughput(), 5, 50, ms(5_000)),
        (QueryConfig::low_latency(), 1, 10, ms(2_000)),
    ] {
        let mut bench = Bench::new();
        let slow = bench.start(query().fetch_from(1..=100).config(config.clone()));
        assert_eq!(bench.asked().len(), at_once);
        bench.pass(deadline - ms(1));
        assert!(bench.is_live(slow));
        bench.pass(ms(1));
        assert_eq!(bench.outcome(slow).reason, Reason::DeadlineReached);

        let mut bench = Bench::new();
        let fast = bench.start(query().fetch_from(1..=100).config(config));
        bench.items(1, &(0..100).collect::<Vec<_>>());
        assert_eq!(bench.outcome(fast).reason, Reason::EnoughResults);
        assert_eq!(bench.ids(fast).len(), enough);
    }
}
