//! `shrink`: the few faults that still break a promise.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use dragnet_sim::Fault;
use dragnet_sim::experiment::Experiment;
use dragnet_sim::judge::{Promise, judge};
use dragnet_sim::record::Record;
use dragnet_sim::scenario::Scenario;
use dragnet_sim::summary::Summary;
use std::time::Duration;

use crate::args::Shrink;
use crate::watch::bar;

pub(crate) fn shrink(args: &Shrink) -> Result<ExitCode> {
    let record = Record::read(&args.file)?;
    let whole = Trial::run(&record.scenario, &record.faults)?;
    let promise = match (args.promise, whole.broken.first()) {
        (Some(promise), _) if !whole.broken.contains(&promise) => {
            bail!("{}: the run keeps the promise {promise}: nothing to shrink", args.file.display())
        }
        (Some(promise), _) => promise,
        (None, Some(promise)) => *promise,
        (None, None) => bail!("{}: the run keeps every promise: nothing to shrink", args.file.display()),
    };
    // Those that never struck go first, all at once.
    let struck = whole.struck(&record.faults);
    let bar = bar(struck.len() as u64, "faults left to try");
    let mut runs = 1;
    let left = minimal(struck, &mut |faults| {
        runs += 1;
        bar.set_message(format!("{}", faults.len()));
        bar.inc(1);
        Ok(Trial::run(&record.scenario, faults)?.broken.contains(&promise))
    })?;
    bar.finish_and_clear();
    let last = Trial::run(&record.scenario, &left)?;
    let out = args.out.clone().unwrap_or_else(|| beside(&args.file));
    Record::of(&last.experiment).write(&out)?;
    if args.json {
        println!("{:#}", serde_json::to_value(&left)?);
    } else {
        println!(
            "{} of {} faults still break {promise}, after {runs} runs:",
            left.len(),
            record.faults.len()
        );
        left.iter().for_each(|fault| println!("  {fault:?}"));
    }
    eprintln!("recorded in {}", out.display());
    Ok(ExitCode::SUCCESS)
}

struct Trial {
    experiment: Experiment,
    broken: Vec<Promise>,
}

impl Trial {
    fn run(scenario: &Scenario, faults: &[Fault]) -> Result<Self> {
        let mut experiment = Experiment::new(scenario.clone(), Some(faults), true)?;
        experiment.run(|_| ());
        let summary = Summary::new(&experiment, Duration::ZERO, Duration::ZERO);
        let broken = judge(&experiment, &summary).into_iter().map(|broken| broken.promise).collect();
        Ok(Self { experiment, broken })
    }

    fn struck(&self, faults: &[Fault]) -> Vec<Fault> {
        let struck = self.experiment.sim.struck();
        faults.iter().zip(struck).filter(|(_, strikes)| *strikes > 0).map(|(fault, _)| *fault).collect()
    }
}

/// The delta debugging of Zeller and Hildebrandt (2002): a list that still fails, of which no single
/// fault can be left out. `fails` of the whole list is taken as given.
fn minimal(mut faults: Vec<Fault>, fails: &mut impl FnMut(&[Fault]) -> Result<bool>) -> Result<Vec<Fault>> {
    if fails(&[])? {
        return Ok(Vec::new());
    }
    let mut parts = 2;
    while faults.len() > 1 {
        let size = faults.len().div_ceil(parts);
        let mut reduced = None;
        for start in (0..faults.len()).step_by(size) {
            let end = (start + size).min(faults.len());
            let (part, rest) = (faults[start..end].to_vec(), [&faults[..start], &faults[end..]].concat());
            if part.len() < faults.len() && fails(&part)? {
                reduced = Some((part, 2));
                break;
            }
            if parts > 2 && fails(&rest)? {
                reduced = Some((rest, parts - 1));
                break;
            }
        }
        match reduced {
            Some((fewer, next)) => (faults, parts) = (fewer, next),
            None if parts >= faults.len() => break,
            None => parts = (parts * 2).min(faults.len()),
        }
    }
    Ok(faults)
}

fn beside(file: &std::path::Path) -> PathBuf {
    let ending = file.extension().map(|ending| format!(".{}", ending.to_string_lossy())).unwrap_or_default();
    file.with_extension(format!("min{ending}"))
}

#[cfg(test)]
mod tests {
    use dragnet_sim::{FaultKind, PeerId, Whom};

    use super::*;

    #[test]
    fn what_is_left_fails_and_nothing_of_it_can_go() {
        let fault = |n| Fault::new(FaultKind::Silent, Whom::Peer(PeerId::new(n)));
        let all: Vec<Fault> = (0..97).map(fault).collect();
        for needed in [vec![5], vec![0, 96], vec![3, 50, 51, 90]] {
            let needed: Vec<Fault> = needed.into_iter().map(fault).collect();
            let mut runs = 0;
            let left = minimal(all.clone(), &mut |faults| {
                runs += 1;
                Ok(needed.iter().all(|fault| faults.contains(fault)))
            });
            assert_eq!(left.unwrap(), needed);
            assert!(runs < 200, "{runs} runs");
        }
        assert_eq!(minimal(all, &mut |_| Ok(true)).unwrap(), []);
    }
}
