//! What an engine knows where a recording begins in the middle of its life, as bytes and back.
//!
//! Every part is named in both directions, so that a new one does not compile before it is recorded.

use alloc::vec::Vec;
use core::time::Duration;

use super::judges::Judges;
use super::known::Known;
use super::query::{Context, put_query, take_query};
use super::recorded::{Recorded, RecordedItem};
use super::wire::{Malformed, Take, Taken, put, put_duration, put_len, put_word};
use super::{Digests, Recordable};
use crate::network::{Item, Source};
use crate::query::Reason;
use crate::state::{
    AnswerState, Checkpoint, ConditionsState, Distribution, EngineState, ItemState, PeerState, Position,
};
use crate::time::Time;

pub(super) fn put_checkpoint<N: Recordable>(
    out: &mut Vec<u8>,
    checkpoint: &Checkpoint<N>,
    judges: &mut Judges<N>,
    context: &mut Context<'_, N>,
) {
    let Checkpoint { at, state, position } = checkpoint;
    put(out, at.as_nanos());
    let Position { generation, words_drawn, draw } = *position;
    put(out, generation.into());
    put_word(out, words_drawn as u64);
    put_word(out, (words_drawn >> 64) as u64);
    put_word(out, draw);
    let EngineState { peers, conditions, answers, hand } = state;
    put_len(out, peers.len());
    for PeerState { peer, successes, failures, invalid, smoothed_us, variation_us, barred_for } in peers {
        context.put_peer(out, peer);
        let numbers = [*successes, *failures, *invalid, *smoothed_us, *variation_us];
        numbers.into_iter().for_each(|number| put(out, number.into()));
        put_duration(out, *barred_for);
    }
    let ConditionsState { response_times, waits, overdue_share } = conditions;
    for Distribution { buckets, max } in [response_times, waits] {
        put_len(out, buckets.len());
        buckets.iter().for_each(|count| put(out, u64::from(*count)));
        put(out, *max);
    }
    put(out, (*overdue_share).into());
    put_len(out, answers.len());
    for answer in answers {
        put_answer(out, answer, judges, context);
    }
    put_len(out, *hand);
}

fn put_answer<N: Recordable>(
    out: &mut Vec<u8>,
    answer: &AnswerState<N>,
    judges: &mut Judges<N>,
    context: &mut Context<'_, N>,
) {
    let AnswerState { question, items, accepted, reason, is_whole, results_max, age, took, is_used } = answer;
    let numbers = judges.wrap(&mut question.clone());
    put_query(out, question, numbers, context);
    put_len(out, items.len());
    for ItemState { item, from, response_time, source, votes, age } in items {
        put_item(out, item, context.digester);
        out.push(from.is_some().into());
        if let Some(from) = from {
            context.put_peer(out, from);
        }
        out.push(response_time.is_some().into());
        put_duration(out, response_time.unwrap_or_default());
        put(out, source.0.into());
        put(out, (*votes).into());
        put_duration(out, *age);
    }
    out.push(match reason {
        Reason::EnoughResults => 0,
        Reason::QuorumReached => 1,
        Reason::Converged => 2,
        Reason::Exhausted => 3,
        Reason::DeadlineReached => 4,
        Reason::Cancelled => 5,
    });
    // Most answers hold nothing that was held back.
    let are_all_accepted = *accepted as usize == items.len();
    out.push(u8::from(*is_whole) | u8::from(*is_used) << 1 | u8::from(!are_all_accepted) << 2);
    if !are_all_accepted {
        put(out, (*accepted).into());
    }
    put(out, (*results_max).into());
    put_duration(out, *age);
    put_duration(out, *took);
}

/// Writes an item: what it counts as where items are compared, and its size.
pub(super) fn put_item<N: Recordable>(out: &mut Vec<u8>, item: &N::Item, digests: &impl Digests<N>) {
    digests.item(item).into_iter().for_each(|digest| put_word(out, digest));
    let size = item.size().max(size_of::<N::Item>());
    put(out, u32::try_from(size).unwrap_or(u32::MAX).into());
}

pub(super) fn take_item(from: &mut Take<'_>) -> Taken<RecordedItem> {
    Ok(RecordedItem { id: from.word()?, body: from.word()?, size: from.narrow::<u32>()? as usize })
}

pub(super) fn take_checkpoint(from: &mut Take<'_>, known: &mut Known) -> Taken<Checkpoint<Recorded>> {
    let (at, generation) = (Time::from_nanos(from.number()?), from.narrow()?);
    let words_drawn = u128::from(from.word()?) | u128::from(from.word()?) << 64;
    let position = Position { generation, words_drawn, draw: from.word()? };
    let mut peers = Vec::new();
    for _ in 0..from.len()? {
        peers.push(PeerState {
            peer: known.take_peer(from)?,
            successes: from.narrow()?,
            failures: from.narrow()?,
            invalid: from.narrow()?,
            smoothed_us: from.narrow()?,
            variation_us: from.narrow()?,
            barred_for: from.duration()?,
        });
    }
    let (response_times, waits) = (take_distribution(from)?, take_distribution(from)?);
    let conditions = ConditionsState { response_times, waits, overdue_share: from.narrow()? };
    let mut answers = Vec::new();
    for _ in 0..from.len()? {
        answers.push(take_answer(from, known)?);
    }
    let hand = from.narrow()?;
    Ok(Checkpoint { at, state: EngineState { peers, conditions, answers, hand }, position })
}

fn take_distribution(from: &mut Take<'_>) -> Taken<Distribution> {
    let buckets = (0..from.len()?).map(|_| from.narrow()).collect::<Taken<_>>()?;
    Ok(Distribution { buckets, max: from.number()? })
}

fn take_answer(from: &mut Take<'_>, known: &mut Known) -> Taken<AnswerState<Recorded>> {
    let question = take_query(from, known)?;
    let mut items = Vec::new();
    for _ in 0..from.len()? {
        let (item, by) = (take_item(from)?, known.take_peer_if_any(from)?);
        let (is_timed, time) = (from.flag()?, from.duration()?);
        let response_time: Option<Duration> = is_timed.then_some(time);
        let (source, votes) = (Source(from.narrow()?), from.narrow()?);
        items.push(ItemState { item, from: by, response_time, source, votes, age: from.duration()? });
    }
    let reason = match from.byte()? {
        0 => Reason::EnoughResults,
        1 => Reason::QuorumReached,
        2 => Reason::Converged,
        3 => Reason::Exhausted,
        4 => Reason::DeadlineReached,
        5 => Reason::Cancelled,
        _ => return Err(Malformed("an unknown reason")),
    };
    let flags = from.byte()?;
    let (is_whole, is_used) = (flags & 1 != 0, flags & 2 != 0);
    let accepted = if flags & 4 == 0 { items.len() as u32 } else { from.narrow()? };
    let (results_max, age, took) = (from.narrow()?, from.duration()?, from.duration()?);
    Ok(AnswerState { question, items, accepted, reason, is_whole, results_max, age, took, is_used })
}
