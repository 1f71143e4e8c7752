//! A recorded engine's state is written down as that of any other.

use std::sync::Arc;

use dragnet_core::record::RecordConfig;

use crate::kit::{Desk, recorder, validator};

#[test]
fn a_recorded_engine_gives_out_the_judges_that_it_was_given() {
    let (recorder, _writer, _) = recorder(RecordConfig::default());
    let mut desk = Desk::new();
    desk.engine.record(recorder);
    (0..5).for_each(|number| desk.search(number));
    let is_own = |judge: &Option<Arc<dyn dragnet_core::Validator<_>>>| {
        judge.as_ref().is_some_and(|judge| std::ptr::addr_eq(Arc::as_ptr(judge), Arc::as_ptr(&validator())))
    };
    let state = desk.engine.export(desk.now);
    assert!(
        !state.answers.is_empty() && state.answers.iter().all(|answer| is_own(&answer.question.validator))
    );
    let checkpoint = desk.engine.checkpoint(desk.now, |answer| is_own(&answer.question.validator));
    let answers = checkpoint.expect("it is idle").state.answers;
    assert_eq!(answers.len(), state.answers.len());
    // It goes on with those that are heard, and finds its answers again.
    let hits = desk.engine.metrics().cache_hits;
    (0..5).for_each(|number| desk.search(number));
    assert!(desk.engine.metrics().cache_hits > hits);
    desk.engine.stop_recording();
    assert!(desk.engine.export(desk.now).answers.iter().all(|answer| is_own(&answer.question.validator)));
}
