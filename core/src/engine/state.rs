//! What outlives the queries: exported, restored, and gone on from.

use core::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng;

use super::QueryEngine;
use crate::arena::Arena;
use crate::cache::Sizes;
use crate::config::EngineConfig;
use crate::network::Network;
use crate::pacing::Conditions;
use crate::state::{AnswerState, Checkpoint, EngineState, Position, RestoreError, Restored};
use crate::time::Time;

/// State that outlives the engine.
impl<N: Network> QueryEngine<N> {
    /// What is known that outlives the queries, as of now; changes nothing, and may be asked for at any
    /// time. Takes as long as the tables are large: a few milliseconds for 65 536 peers.
    pub fn export(&self, now: Time) -> EngineState<N> {
        self.export_those(now, |_| true)
    }

    /// Takes in what another engine knew `away` before now: as if it had been known here, and so long
    /// gone by. Deeds decay, bars end and answers expire meanwhile, and what is out of its range is brought
    /// into it. What this engine's caps have no room for is dropped; all is counted.
    ///
    /// The state may come from anywhere: it cannot make the engine break a promise. But it can say what it
    /// likes of peers and answers, as whoever wrote it could.
    ///
    /// # Errors
    ///
    /// [`RestoreError::NotFresh`] if the engine has started a query, or knows anything.
    pub fn restore(
        &mut self,
        now: Time,
        state: EngineState<N>,
        away: Duration,
    ) -> Result<Restored, RestoreError> {
        let (queries, peers) = (self.metrics.queries_started, self.peers.len());
        let answers = self.cache.len();
        if queries > 0 || peers > 0 || answers > 0 {
            return Err(RestoreError::NotFresh { queries, peers, answers });
        }
        self.advance(now);
        let restored = self.take_in(state, away);
        self.want_segment();
        Ok(restored)
    }

    /// If nothing is live, and all outputs have been drained, brings the engine into a state that can be
    /// written down whole, and gives it: an engine that [resumes](Self::resume) from it goes on exactly as
    /// this one does. Of the kept answers only those that `keep` wants are there from now on, in this
    /// engine too: for who cannot write down a validator, say. Peers of which nothing is known are
    /// forgotten; counters and histograms go on as they were.
    ///
    /// `None` while a query or a refresh behind lives; then it is a [tick](Self::handle_tick).
    pub fn checkpoint(
        &mut self,
        now: Time,
        keep: impl FnMut(&AnswerState<N>) -> bool,
    ) -> Option<Checkpoint<N>> {
        self.handle_tick(now);
        self.is_idle().then(|| self.become_checkpoint(keep))
    }

    /// Whether the engine is only what a checkpoint says of it.
    pub(super) fn is_idle(&self) -> bool {
        self.queries.len() == 0 && self.outputs.is_empty()
    }

    pub(super) fn become_checkpoint(&mut self, keep: impl FnMut(&AnswerState<N>) -> bool) -> Checkpoint<N> {
        let position = Position {
            generation: self.contacts.unused_generation(),
            words_drawn: self.ids.get_word_pos(),
            draw: self.peers.draw(),
        };
        let checkpoint = Checkpoint { at: self.now, state: self.export_those(self.now, keep), position };
        let (config, local) = (self.config.clone(), self.peers.local().clone());
        #[cfg(feature = "sabotage")]
        if self.is_sabotaged(super::Sabotage::KeepHidden) {
            return checkpoint;
        }
        // The simplest way to be like the one that resumes is to become it.
        let (seed, sizes) = (self.ids.get_seed(), self.cache.sizes());
        #[cfg_attr(not(feature = "record"), expect(unused_mut, reason = "nobody changes it"))]
        let mut own = checkpoint.clone();
        #[cfg(feature = "record")]
        self.wrap_judges(&mut own);
        self.go_on_as(Self::resumed(config, local, seed, own, sizes));
        #[cfg(feature = "record")]
        self.open_segment(&checkpoint);
        checkpoint
    }

    /// Becomes another engine, but for what is no state of it.
    pub(crate) fn go_on_as(&mut self, other: Self) {
        let earlier = core::mem::replace(self, other);
        self.cache.set_evicted(earlier.cache.evicted());
        self.metrics = earlier.metrics;
        #[cfg(feature = "record")]
        {
            self.recorder = earlier.recorder;
        }
        #[cfg(feature = "sabotage")]
        {
            self.sabotage = earlier.sabotage;
        }
    }

    /// An engine that goes on exactly as the one does that gave the checkpoint, if it was made with the
    /// same configuration, local peer and seed. Its counters begin anew.
    ///
    /// With others it is an engine that has [restored](Self::restore) the same state.
    pub fn resume(config: EngineConfig, local: N::Peer, seed: [u8; 32], checkpoint: Checkpoint<N>) -> Self {
        Self::resumed(config, local, seed, checkpoint, Sizes::of::<N>())
    }

    /// One that counts the bytes of kept answers by these sizes.
    pub(crate) fn resumed(
        config: EngineConfig,
        local: N::Peer,
        seed: [u8; 32],
        checkpoint: Checkpoint<N>,
        sizes: Sizes,
    ) -> Self {
        let Checkpoint { at, state, position } = checkpoint;
        let mut engine = Self::new(config, local, seed);
        engine.cache.count_as(sizes);
        engine.now = at;
        engine.contacts = Arena::from_generation(position.generation);
        engine.ids = ChaCha8Rng::from_seed(seed);
        engine.ids.set_word_pos(position.words_drawn);
        engine.peers.set_draw(position.draw);
        engine.take_in(state, Duration::ZERO);
        engine
    }

    fn export_those(&self, now: Time, mut keep: impl FnMut(&AnswerState<N>) -> bool) -> EngineState<N> {
        let now = now.max(self.now);
        let (answers, hand) = self.cache.export(now, |answer| {
            #[cfg(feature = "record")]
            self.unwrap_judges(&mut answer.question);
            keep(answer)
        });
        EngineState { peers: self.peers.export(now), conditions: self.conditions.export(), answers, hand }
    }

    fn take_in(&mut self, state: EngineState<N>, away: Duration) -> Restored {
        let EngineState { peers, conditions, answers, hand } = state;
        let mut restored = Restored::default();
        let is_old = !away.is_zero() && away >= self.config.reputation.half_life;
        self.conditions = Conditions::restored(&conditions, is_old);
        self.peers.restore(self.now, peers, away, &mut restored);
        let Self { cache, config, hasher, now, .. } = self;
        let is_askable = |answer: &AnswerState<N>| {
            Self::check(config, &answer.question).is_ok()
                && answer.results_max as usize <= config.caps.results_max
        };
        cache.restore(*now, (answers, hand), away, *hasher, is_askable, &mut restored);
        restored
    }
}
