//! The oracle is worth something only if it catches lies: each test plants one into a small history.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod model;

use model::oracle::{Loss, Observation, PartitionSeen, TopicSeen, i8_retry_finds_original, recovered};
use model::raw::{Holder, Last, Pending};
use model::{Answer, Cell, Fate, History, OpId, Part, TopicState, Verdict, sequence_after};
use oncelog::{Appended, Bounds, Durability, ErrorKind, Identity, Offset, TopicId, TransactionStatus};

/// A history of one topic `t` of two partitions, and the log that holds exactly what it says.
struct Fixture {
    history: History,
    log: Observation,
    topic: OpId,
}

const WHO: Identity = Identity { producer_id: 7, epoch: 0 };

impl Fixture {
    fn new() -> Fixture {
        let mut history = History::default();
        let state = TopicState { born: 0, partitions: 2, level: None };
        let topic = history.begin("create t".into(), vec![], vec![(Cell::Topic("t".into()), Some(state.text()))]);
        history.acked(topic, Durability::Disk, Some(1), &[]).unwrap();
        history.topic_ids.insert(TopicId([1; 16]), topic);
        let id = history.begin("init".into(), vec![], vec![(Cell::Registration(7), Some("0".into()))]);
        history.acked(id, Durability::Disk, Some(2), &[]).unwrap();
        let empty = PartitionSeen {
            bounds: Bounds { start: 0, stable: 0, end: 0 },
            committed: Vec::new(),
            uncommitted: Vec::new(),
        };
        let mut log = Observation::default();
        let partitions = vec![empty.clone(), empty];
        log.topics.insert("t".into(), TopicSeen { id: TopicId([1; 16]), level: None, partitions });
        Fixture { history, log, topic }
    }

    fn part(&self, number: u32) -> Part {
        Part { topic: "t".into(), born: self.topic, number }
    }

    fn show(&mut self, number: usize, bytes: &[u8]) {
        let p = &mut self.log.topics.get_mut("t").unwrap().partitions[number];
        p.uncommitted.push((p.bounds.end, bytes.to_vec()));
        p.committed = p.uncommitted.clone();
        p.bounds.end += 1;
        p.bounds.stable += 1;
    }

    fn hide_last(&mut self, number: usize) {
        let p = &mut self.log.topics.get_mut("t").unwrap().partitions[number];
        p.uncommitted.pop();
        p.committed.pop();
        p.bounds.end -= 1;
        p.bounds.stable -= 1;
    }

    /// Appends one record to a partition of the history and of the log.
    fn append(&mut self, number: u32, bytes: &str, level: Option<Durability>) -> OpId {
        let first = self.history.next_offset(&self.part(number)).1;
        let id = self.begin(number, bytes);
        if let Some(level) = level {
            let lsn = 10 + id as u64;
            self.history.acked(id, level, Some(lsn), &[first]).unwrap();
        }
        self.show(number as usize, bytes.as_bytes());
        id
    }

    fn begin(&mut self, number: u32, bytes: &str) -> OpId {
        let part = self.part(number);
        self.history.begin(format!("append {bytes}"), vec![(part, vec![bytes.as_bytes().to_vec()])], vec![])
    }

    /// A transaction with a record in both partitions, an offset of group g and a position of name n.
    fn transaction(&mut self, tag: &str) -> OpId {
        let writes = (0..2).map(|n| (self.part(n), vec![format!("{tag}-{n}").into_bytes()])).collect();
        let sets = vec![
            (Cell::Offset("g".into(), "t".into(), 0), Some("5".into())),
            (Cell::Position("n".into()), Some("41".into())),
            (Cell::Decision(9), Some("committed".into())),
        ];
        self.history.begin(format!("commit {tag}"), writes, sets)
    }

    fn show_transaction(&mut self, tag: &str) {
        (0..2).for_each(|n| self.show(n, format!("{tag}-{n}").as_bytes()));
        self.show_cells();
    }

    fn show_cells(&mut self) {
        self.log.offsets.insert(("g".into(), "t".into(), 0), Some(5));
        self.log.positions.insert("n".into(), Some(41));
        self.log.decisions.insert(9, true);
    }

    fn hide_cells(&mut self) {
        self.log.offsets.insert(("g".into(), "t".into(), 0), None);
        self.log.positions.insert("n".into(), None);
        self.log.decisions.insert(9, false);
    }

    fn good(&mut self, loss: Loss) {
        if let Err(faults) = recovered(&mut self.history, loss, &self.log) {
            panic!("false alarm: {faults:#?}");
        }
    }

    fn caught(&mut self, loss: Loss, which: &str) {
        let faults = recovered(&mut self.history, loss, &self.log).expect_err("the lie was believed");
        assert!(faults.iter().any(|f| f.starts_with(which)), "no {which} in {faults:#?}");
    }
}

#[test]
fn a_right_history_passes_and_indeterminate_operations_may_be_in_or_out() {
    for stays in [true, false] {
        let mut f = Fixture::new();
        f.append(0, "a", Some(Durability::Disk));
        let t = f.transaction("tx");
        f.history.indeterminate(t);
        if stays {
            f.show_transaction("tx")
        } else {
            f.hide_cells()
        }
        f.good(Loss::Cut);
        assert_eq!(f.history.ops[t].fate, if stays { Fate::Kept } else { Fate::Lost });
        assert_eq!(f.history.position("n"), stays.then_some(41));
        f.good(Loss::Cut);
    }
}

#[test]
fn a_lost_acknowledgement_is_caught() {
    for (level, loss, lie) in [
        (Durability::Disk, Loss::Cut, true),
        (Durability::Os, Loss::Cut, false),
        (Durability::Os, Loss::Kill, true),
        (Durability::Disk, Loss::Close, true),
    ] {
        let mut f = Fixture::new();
        f.append(0, "a", Some(level));
        f.hide_last(0);
        if lie { f.caught(loss, "I1") } else { f.good(loss) }
    }
}

#[test]
fn a_clean_close_loses_nothing_not_even_what_nobody_waited_for() {
    let mut f = Fixture::new();
    f.append(0, "a", None);
    f.hide_last(0);
    f.caught(Loss::Close, "I1");
    f.good(Loss::Kill);
}

#[test]
fn half_a_transaction_is_caught() {
    let mut f = Fixture::new();
    f.transaction("tx");
    f.show_transaction("tx");
    f.good(Loss::Kill);

    let mut f = Fixture::new();
    f.transaction("tx");
    f.show_transaction("tx");
    f.hide_last(1);
    f.caught(Loss::Cut, "I4");
}

#[test]
fn an_offset_moved_without_its_records_is_caught() {
    let mut f = Fixture::new();
    f.transaction("tx");
    f.hide_cells();
    f.log.offsets.insert(("g".into(), "t".into(), 0), Some(5));
    f.caught(Loss::Cut, "I4, I10");
}

#[test]
fn records_without_their_position_are_caught() {
    let mut f = Fixture::new();
    f.transaction("tx");
    f.show_transaction("tx");
    f.log.positions.insert("n".into(), None);
    f.caught(Loss::Cut, "I4");
}

#[test]
fn an_offset_that_nobody_committed_is_caught() {
    let mut f = Fixture::new();
    f.transaction("tx");
    f.show_transaction("tx");
    f.log.offsets.insert(("g".into(), "t".into(), 0), Some(3));
    f.caught(Loss::Kill, "I10");
}

#[test]
fn a_duplicate_is_caught() {
    let mut f = Fixture::new();
    f.append(0, "a", Some(Durability::Disk));
    f.show(0, b"a");
    f.caught(Loss::Kill, "I3");
}

#[test]
fn records_in_another_order_are_caught() {
    let mut f = Fixture::new();
    f.begin(0, "a");
    f.begin(0, "b");
    f.show(0, b"b");
    f.show(0, b"a");
    f.caught(Loss::Kill, "I3");
}

#[test]
fn a_hole_in_the_offsets_is_caught() {
    let mut f = Fixture::new();
    f.append(0, "a", Some(Durability::Disk));
    f.log.topics.get_mut("t").unwrap().partitions[0].uncommitted[0].0 = 1;
    f.caught(Loss::Kill, "I3");
}

#[test]
fn changed_bytes_and_bytes_that_were_never_sent_are_caught() {
    let mut f = Fixture::new();
    f.append(0, "a", Some(Durability::Disk));
    f.hide_last(0);
    f.show(0, b"A");
    f.caught(Loss::Kill, "I2");
}

#[test]
fn an_early_loss_with_a_later_survivor_is_caught() {
    let mut f = Fixture::new();
    f.begin(0, "a");
    f.append(1, "b", Some(Durability::Os));
    f.caught(Loss::Cut, "no prefix");
}

#[test]
fn journal_numbers_order_what_the_calls_alone_do_not() {
    let mut f = Fixture::new();
    let held = f.history.gather("send".into(), vec![(f.part(0), vec![b"a".to_vec()])], vec![]);
    let direct = f.begin(1, "b");
    f.history.acked(direct, Durability::Os, Some(20), &[0]).unwrap();
    f.history.acked(held, Durability::Os, Some(19), &[0]).unwrap();
    f.show(1, b"b");
    f.caught(Loss::Cut, "no prefix");

    // With the numbers the other way round the held record came later: losing it alone is right.
    f.history.ops[held].lsn = Some(21);
    f.good(Loss::Cut);
}

#[test]
fn what_a_reader_saw_must_stay_over_two_crashes() {
    let mut f = Fixture::new();
    f.append(0, "a", None);
    let part = f.part(0);
    f.history.saw(&part, 0, b"a", Durability::Disk).unwrap();
    f.good(Loss::Cut);
    f.hide_last(0);
    f.caught(Loss::Cut, "I");

    let mut f = Fixture::new();
    f.append(0, "a", None);
    f.history.saw(&f.part(0), 0, b"a", Durability::Disk).unwrap();
    f.hide_last(0);
    f.caught(Loss::Cut, "I7");
}

#[test]
fn what_one_recovery_lost_does_not_come_back_at_the_next() {
    let mut f = Fixture::new();
    f.append(0, "a", None);
    f.hide_last(0);
    f.good(Loss::Cut);
    f.show(0, b"a");
    f.caught(Loss::Cut, "I13");
}

#[test]
fn a_refused_operation_in_the_log_is_caught() {
    let mut f = Fixture::new();
    let id = f.append(0, "a", None);
    f.history.refused(id, ErrorKind::Full);
    f.caught(Loss::Kill, "I13");
}

#[test]
fn an_acknowledgement_after_a_failed_flush_is_caught() {
    let mut f = Fixture::new();
    let a = f.begin(0, "a");
    f.history.indeterminate(a);
    let b = f.begin(0, "b");
    assert!(f.history.acked(b, Durability::Disk, None, &[1]).unwrap_err().starts_with("I13"));
}

#[test]
fn a_fenced_handle_that_writes_is_caught() {
    let mut f = Fixture::new();
    let old = f.history.opened("n");
    f.history.opened("n");
    let id = f.append(0, "a", Some(Durability::Disk));
    f.history.ops[id].handle = Some(("n".into(), old));
    f.caught(Loss::Kill, "I9");
}

#[test]
fn a_stable_offset_that_lags_and_an_isolation_that_hides_are_caught() {
    let mut f = Fixture::new();
    f.append(0, "a", Some(Durability::Disk));
    f.log.topics.get_mut("t").unwrap().partitions[0].bounds.stable = 0;
    f.log.topics.get_mut("t").unwrap().partitions[0].committed.clear();
    f.caught(Loss::Kill, "I6");
    f.log.topics.get_mut("t").unwrap().partitions[0].bounds.stable = 1;
    f.caught(Loss::Kill, "I5");
}

/// Two records of transaction 5, and, if it has an answer, its commit.
fn streamed(commit: Option<Answer>) -> Fixture {
    let mut f = Fixture::new();
    for (number, bytes) in [(0, "a"), (1, "b")] {
        let id = f.append(number, bytes, None);
        let step = f.history.step;
        (f.history.ops[id].streamed, f.history.ops[id].to) = (Some(5), Some(step));
    }
    if let Some(answer) = commit {
        let id = f.history.begin("commit 5".into(), vec![], vec![]);
        f.history.ops[id].decides = Some((5, true));
        match answer {
            Answer::Acked => f.history.acked(id, Durability::Disk, Some(90), &[]).unwrap(),
            _ => f.history.indeterminate(id),
        }
    }
    f
}

#[test]
fn records_of_a_transaction_are_shown_by_its_commit_and_by_nothing_else() {
    let hide = |f: &mut Fixture, number: usize| {
        f.log.topics.get_mut("t").unwrap().partitions[number].committed.clear();
    };
    let with = |answer: Option<Answer>, hidden: &[usize]| {
        let mut f = streamed(answer);
        hidden.iter().for_each(|number| hide(&mut f, *number));
        f
    };
    with(None, &[]).caught(Loss::Kill, "I5");
    with(None, &[0, 1]).good(Loss::Kill);
    with(Some(Answer::Acked), &[]).good(Loss::Cut);
    with(Some(Answer::Acked), &[0]).caught(Loss::Cut, "I1");
    with(Some(Answer::Indeterminate), &[]).good(Loss::Cut);
    with(Some(Answer::Indeterminate), &[0]).caught(Loss::Cut, "I4");
    with(Some(Answer::Indeterminate), &[0, 1]).good(Loss::Cut);
    let mut f = Fixture::new();
    f.append(0, "plain", Some(Durability::Disk));
    hide(&mut f, 0);
    f.caught(Loss::Kill, "I5");
}

/// A raw transaction that sent offsets, acknowledged at `level`, and the deletion of its id, whose answer was lost. In
/// the log its number tells nothing any more.
fn raw(level: Durability, deleted: bool) -> (Fixture, OpId) {
    let mut f = Fixture::new();
    let cell = || Cell::Holder("gateway".into());
    let holder = Holder::new(8);
    let id = f.history.begin("init".into(), vec![], vec![(cell(), Some(holder.text()))]);
    f.history.acked(id, Durability::Disk, None, &[]).unwrap();
    let open = Holder { open: 3, ..holder };
    let begun = f.history.begin("send offsets".into(), vec![], vec![(cell(), Some(open.text()))]);
    f.history.ops[begun].begins = Some(3);
    f.history.acked(begun, level, None, &[]).unwrap();
    for (what, value) in [("abort", Some(holder.text())), ("delete", None)] {
        let id = f.history.begin(what.into(), vec![], vec![(cell(), value)]);
        f.history.indeterminate(id);
    }
    f.log.statuses.insert(3, TransactionStatus::Forgotten);
    f.log.holders.insert("gateway".into(), (!deleted).then(|| holder.text()));
    (f, begun)
}

#[test]
fn a_raw_transaction_is_forgotten_with_its_id_and_else_it_is_lost() {
    let (mut f, begun) = raw(Durability::Os, false);
    f.good(Loss::Cut);
    assert_eq!(f.history.ops[begun].fate, Fate::Lost, "a deletion that did not survive explains nothing");
    f.good(Loss::Kill);
    raw(Durability::Disk, false).0.caught(Loss::Cut, "I1");
    let (mut f, begun) = raw(Durability::Disk, true);
    f.good(Loss::Cut);
    assert_eq!(f.history.ops[begun].fate, Fate::Kept);
    f.good(Loss::Kill);
}

/// A raw transaction that is kept, with a record and two offsets for one partition, and the log that shows all of it.
fn kept() -> (Fixture, Holder, [OpId; 2]) {
    let mut f = Fixture::new();
    let cell = || Cell::Holder("gateway".into());
    let open = Holder { open: 3, ..Holder::new(8) };
    let id = f.history.begin("begin".into(), vec![], vec![(cell(), Some(open.text()))]);
    f.history.ops[id].begins = Some(3);
    f.history.acked(id, Durability::Disk, None, &[]).unwrap();
    f.history.kept.insert(3);
    let id = f.append(0, "a", Some(Durability::Disk));
    f.history.ops[id].streamed = Some(3);
    let offset = Cell::Offset("g".into(), "t".into(), 0);
    let sent = ["5", "6"].map(|value| {
        let op = f.history.begin(format!("send offset {value}"), vec![], vec![]);
        f.history.acked(op, Durability::Os, None, &[]).unwrap();
        let (cell, born, value) = (offset.clone(), f.topic, value.to_owned());
        f.history.pending.push(Pending { op, number: 3, cell, born, value });
        op
    });
    let p = &mut f.log.topics.get_mut("t").unwrap().partitions[0];
    p.bounds.stable = 0;
    p.committed.clear();
    f.log.statuses.insert(3, TransactionStatus::Open);
    f.log.holders.insert("gateway".into(), Some(open.text()));
    f.log.offsets.insert(("g".into(), "t".into(), 0), None);
    f.log.unstable.insert(("g".into(), "t".into(), 0));
    f.log.pending.insert(3, [(offset, Some("6".to_owned()))].into());
    (f, open, sent)
}

#[test]
fn what_is_kept_is_open_after_an_opening_and_nothing_else_is() {
    let (mut f, open, _) = kept();
    f.good(Loss::Cut);
    assert_eq!(f.history.holder("gateway"), Some(open));
    f.good(Loss::Close);
    f.log.topics.get_mut("t").unwrap().partitions[0].bounds.stable = 1;
    f.caught(Loss::Close, "I6");
    let (mut f, ..) = kept();
    f.history.kept.clear();
    f.caught(Loss::Cut, "I6");
    let (mut f, open, _) = kept();
    f.log.topics.get_mut("t").unwrap().partitions[0].bounds.stable = 1;
    f.log.statuses.insert(3, TransactionStatus::Aborted);
    f.log.holders.insert("gateway".into(), Some(open.decided(Last::Abort).text()));
    f.caught(Loss::Cut, "I4");
}

#[test]
fn what_is_pending_survives_as_far_as_its_level_promises() {
    let lost = |f: &mut Fixture| {
        f.log.pending.get_mut(&3).unwrap().values_mut().for_each(|value| *value = Some("5".into()));
    };
    let (mut f, _, [first, last]) = kept();
    lost(&mut f);
    f.good(Loss::Cut);
    assert_eq!((f.history.ops[first].fate, f.history.ops[last].fate), (Fate::Kept, Fate::Lost));
    let (mut f, ..) = kept();
    lost(&mut f);
    f.caught(Loss::Kill, "I1");
    let (mut f, ..) = kept();
    f.history.pending.clear();
    f.caught(Loss::Cut, "I10");
}

#[test]
fn a_topic_that_is_gone_or_that_nobody_made_is_caught() {
    let mut f = Fixture::new();
    f.log.topics.clear();
    f.caught(Loss::Cut, "I1");
    let mut f = Fixture::new();
    f.log.topics.insert("u".into(), TopicSeen { id: TopicId([2; 16]), level: None, partitions: vec![] });
    f.caught(Loss::Cut, "I2");
}

#[test]
fn a_deleted_topic_takes_its_records_and_offsets_with_it() {
    let mut f = Fixture::new();
    f.transaction("tx");
    let sets = f.history.deletion("t");
    let id = f.history.begin("delete t".into(), vec![], sets);
    f.history.acked(id, Durability::Disk, None, &[]).unwrap();
    f.show_cells();
    f.log.topics.clear();
    f.caught(Loss::Cut, "I1");
    f.log.offsets.insert(("g".into(), "t".into(), 0), None);
    f.good(Loss::Cut);
    assert_eq!(f.history.topic("t"), None);
}

#[test]
fn the_decision_table_is_kafkas_but_for_unknown_ids() {
    use Verdict::*;
    let mut f = Fixture::new();
    let part = f.part(0);
    let out = Refuse(ErrorKind::OutOfOrderSequence);
    let who = |epoch| Identity { epoch, ..WHO };
    assert_eq!(
        f.history.verdict(&part, Identity { producer_id: 8, epoch: 0 }, 0, 1, false),
        Refuse(ErrorKind::UnknownProducer)
    );
    assert_eq!(f.history.verdict(&part, WHO, 1, 1, false), out);
    let ids: Vec<OpId> = (0..7)
        .map(|n| {
            let id = f.append(0, &format!("r{n}"), Some(Durability::Disk));
            f.history.ops[id].raw = Some((WHO, n));
            id
        })
        .collect();
    assert_eq!(f.history.verdict(&part, WHO, 7, 3, false), Accept);
    assert_eq!(f.history.verdict(&part, WHO, 2, 1, false), Duplicate(ids[2]));
    assert_eq!(f.history.verdict(&part, WHO, 6, 1, false), Duplicate(ids[6]));
    for (first, count) in [(1, 1), (2, 2), (6, 2), (8, 1), (0, 1)] {
        assert_eq!(f.history.verdict(&part, WHO, first, count, false), out, "{first} {count}");
    }
    assert_eq!(f.history.verdict(&part, who(1), 1, 1, false), out);
    assert_eq!(f.history.verdict(&part, who(1), 0, 1, false), Accept);
    assert_eq!(f.history.verdict(&part, WHO, -1, 1, false), Refuse(ErrorKind::InvalidRecord));
    let id = f.append(0, "next epoch", Some(Durability::Disk));
    f.history.ops[id].raw = Some((who(1), 0));
    assert_eq!(f.history.verdict(&part, WHO, 6, 1, false), Refuse(ErrorKind::StaleEpoch));
    assert_eq!(f.history.retriable(), vec![id]);
    assert_eq!(sequence_after(i32::MAX, 1), 0);
    assert_eq!(sequence_after(i32::MAX - 10, 20), 9);
}

#[test]
fn a_retry_that_gets_another_offset_is_caught() {
    let mut f = Fixture::new();
    let id = f.append(0, "a", Some(Durability::Disk));
    let mut answer =
        Appended { partition: 0, first: 0, last: 0, timestamp: -1, duplicate: true, lsn: 11, incarnation: 1 };
    i8_retry_finds_original(&f.history, id, &answer).unwrap();
    (answer.first, answer.last) = (1 as Offset, 1);
    assert!(i8_retry_finds_original(&f.history, id, &answer).unwrap_err().starts_with("I8"));
    (answer.first, answer.last, answer.duplicate) = (0, 0, false);
    assert!(i8_retry_finds_original(&f.history, id, &answer).is_err());
    assert_eq!(f.history.ops[id].answer, Answer::Acked);
}
