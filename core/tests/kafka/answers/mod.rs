//! What a real Apache Kafka 4.3.1 answered in 325 edge cases, asked of this engine step by step, through raw batches
//! and raw transactions. Offsets are compared without Kafka's markers, which take one each and here take none. Where
//! an answer differs, `DIFFERENCES.md` beside this folder names the case, the step and one of a few reasons, or this
//! test fails.

mod broker;
mod case;
mod coordinator;
mod differences;
mod said;

use std::collections::BTreeMap;
use std::fmt::Write;

use broker::Broker;
use case::Case;
use differences::Difference;
use said::Said;

/// Every step at which the engine answers otherwise.
fn differing(case: &Case) -> Vec<Difference> {
    let mut said = Said::new(case);
    let mut broker = Broker::new(case);
    let mut found = Vec::new();
    for (number, step) in case.steps.iter().enumerate() {
        let kafka = said.by_kafka(step);
        let here = broker.step(step);
        if kafka.as_ref().is_some_and(|kafka| *kafka != here) {
            let (case, step) = (case.id, number + 1);
            found.push(Difference { case, step, kafka: kafka.unwrap(), here, reason: String::new() });
        }
    }
    found
}

#[test]
fn every_answer_is_kafkas_or_its_difference_has_one_of_the_reasons() {
    let cases = case::all();
    assert_eq!(cases.len(), 325);
    let listed = differences::listed();
    let mut listed_left: BTreeMap<(u64, usize), &Difference> = listed.iter().map(|d| ((d.case, d.step), d)).collect();
    let mut wrong = String::new();
    let mut table: BTreeMap<(String, String), u64> = BTreeMap::new();
    for case in &cases {
        let found = differing(case);
        let mut reason = "agree".to_owned();
        for difference in &found {
            match listed_left.remove(&(difference.case, difference.step)) {
                Some(known) if known.kafka == difference.kafka && known.here == difference.here => {
                    reason.clone_from(&known.reason);
                }
                _ => {
                    "NOT LISTED".clone_into(&mut reason);
                    writeln!(wrong, "{difference}   <- {}", case.name).unwrap();
                }
            }
        }
        *table.entry((case.group.clone(), reason)).or_default() += 1;
    }
    for left in listed_left.values() {
        writeln!(wrong, "no difference any more: {left}").unwrap();
    }
    println!("{:<32}{:<52}{:>6}", "group", "agree, or the reason of the last difference", "cases");
    for ((group, reason), count) in &table {
        println!("{group:<32}{reason:<52}{count:>6}");
    }
    let agree: u64 = table.iter().filter(|((_, reason), _)| reason == "agree").map(|(_, n)| n).sum();
    println!("{agree} of {} cases agree in every step", cases.len());
    assert!(wrong.is_empty(), "differences that DIFFERENCES.md does not list so:\n{wrong}");
}
