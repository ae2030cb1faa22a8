//! The result as people read it.

use std::fmt::Write as _;

use super::aftermath::Aftermath;
use super::mix::Kind;
use super::report::Measured;
use super::storm::{Compared, Step, Storm};
use super::tally::{Tally, percentile};
use crate::goal::{Goal, figure};

/// All of it.
pub(super) fn text(measured: &Measured, storms: &[Compared], goals: &[Goal]) -> String {
    let mut text = String::new();
    let _ = writeln!(
        text,
        "{:<16} {:>10} {:>10} {:>8} {:>9} {:>9}",
        "closed loop", "served/s", "refused/s", "failed", "p50 ms", "p99 ms"
    );
    for step in &measured.steps {
        step_row(&mut text, &format!("{} clients", step.clients), step);
    }
    for (number, storm) in (1..).zip(storms) {
        for (when, peak) in ["before", "after"].iter().zip(&storm.peaks) {
            step_row(&mut text, &format!("peak, {when} {number}"), peak);
        }
    }
    let of_all = |of: fn(&Storm) -> &Tally| Tally::of_all(measured.storms.iter().map(of));
    for (name, tally) in [
        ("before the storms", of_all(|it| &it.before)),
        ("the storms", of_all(|it| &it.load)),
        ("a second after them", of_all(|it| &it.after)),
    ] {
        load_table(&mut text, name, &tally);
    }
    storms_table(&mut text, storms);
    let _ = writeln!(
        text,
        "the share that the API's session has of the processors: {}",
        measured.session.as_deref().unwrap_or("-")
    );
    let Aftermath {
        orders,
        unknown,
        violations,
    } = &measured.aftermath;
    let _ = writeln!(
        text,
        "{orders} orders acknowledged, {unknown} of unknown fate asked for again\n"
    );
    for violation in violations.iter().take(20) {
        let _ = writeln!(text, "VIOLATION {violation}");
    }
    for goal in goals {
        let _ = writeln!(text, "{goal}");
    }
    text
}

fn step_row(text: &mut String, name: &str, step: &Step) {
    let _ = writeln!(
        text,
        "{name:<16} {:>10.0} {:>10.0} {:>8} {:>9} {:>9}",
        step.served_per_second,
        step.refused_per_second,
        step.failed,
        or_dash(step.p50_ms),
        or_dash(step.p99_ms)
    );
}

fn storms_table(text: &mut String, storms: &[Compared]) {
    let _ = writeln!(
        text,
        "\n{:<8} {:>9} {:>9} {:>12} {:>12} {:>12} {:>12} {:>12} {:>12} {:>10} {:>10}",
        "storm",
        "offered/s",
        "served/s",
        "beside peaks",
        "orders so",
        "peak after",
        "refused p99",
        "calm before",
        "calm after",
        "API cores",
        "generator"
    );
    for (number, it) in (1..).zip(storms) {
        let times = |figure: Option<f64>| {
            figure.map_or_else(|| "-".to_owned(), |figure| format!("{figure:.2}"))
        };
        let _ = writeln!(
            text,
            "{number:<8} {:>9.0} {:>9.0} {:>12} {:>12} {:>12} {:>12} {:>12} {:>12} {:>10.2} {:>10.2}",
            it.offered,
            it.served,
            times(it.beside_the_peaks),
            times(it.orders_beside_the_peaks),
            times(it.peak_after),
            or_dash(it.refused_p99_ms),
            or_dash(it.p99_before_ms),
            or_dash(it.p99_after_ms),
            it.cores.api,
            it.cores.generator,
        );
    }
}

fn load_table(text: &mut String, name: &str, tally: &Tally) {
    let seconds = tally.lasting.as_secs_f64();
    let _ = writeln!(
        text,
        "\n{name}: {:.0} requests a second for {seconds:.0} s in all, open loop; {:.0} served a second",
        figure(tally.due()) / seconds.max(f64::MIN_POSITIVE),
        tally.rate()
    );
    let _ = writeln!(
        text,
        "{:<16} {:>10} {:>10} {:>8} {:>9} {:>9} {:>12} {:>12}",
        "request", "served", "refused", "failed", "p50 ms", "p99 ms", "refused p50", "refused p99"
    );
    for kind in Kind::ALL {
        let Some(figures) = tally.kinds.get(&kind) else {
            continue;
        };
        row(
            text,
            kind.as_str(),
            figures.failed,
            &figures.served,
            &figures.refused,
        );
    }
    row(
        text,
        "all",
        tally.failed(),
        &tally.times(|figures| &figures.served),
        &tally.times(|figures| &figures.refused),
    );
    for (what, times) in &tally.failures {
        let _ = writeln!(text, "  failed {times} times: {what}");
    }
    let (late, unsent) = (or_dash(percentile(&tally.late, 99)), tally.unsent);
    let _ = writeln!(
        text,
        "  99 of 100 were sent within {late} ms of when they were due; {unsent} were not sent for want of a connection"
    );
}

fn row(text: &mut String, name: &str, failed: usize, served: &[u32], refused: &[u32]) {
    let at = |times: &[u32], percent| or_dash(percentile(times, percent));
    let _ = writeln!(
        text,
        "{name:<16} {:>10} {:>10} {failed:>8} {:>9} {:>9} {:>12} {:>12}",
        served.len(),
        refused.len(),
        at(served, 50),
        at(served, 99),
        at(refused, 50),
        at(refused, 99),
    );
}

/// To a tenth, or a dash.
fn or_dash(figure: Option<f64>) -> String {
    figure.map_or_else(|| "-".to_owned(), |figure| format!("{figure:.1}"))
}
