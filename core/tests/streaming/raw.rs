//! Raw transactions: Kafka's state machine (spec 3.4, 3.5, 3.6 of Kafka's coordinator with KIP-890 part 2), cell by
//! cell, as far as it concerns one process.

use oncelog::sim::World;
use oncelog::{
    ConsumerOptions, Durability, Engine, ErrorKind, GroupMetadata, Identity, Isolation, Offsets, Outcome,
    ProducerOptions, TopicOptions, TopicPartition, TransactionStatus,
};

use crate::{
    MINUTE, SECOND, append, append_plainly, begin, committed, ends, kind, open, options, plain, streaming, uncommitted,
};

fn init(engine: &Engine) -> Identity {
    engine.init_producer(Some("id"), MINUTE, None).unwrap()
}

fn raised(identity: Identity, by: i16) -> Identity {
    Identity { epoch: identity.epoch + by, ..identity }
}

fn group(name: &str) -> GroupMetadata {
    GroupMetadata { group: name.into() }
}

fn offsets(offset: u64) -> Offsets {
    Offsets::from([(TopicPartition::new("t", 0), offset.into())])
}

#[test]
fn a_raw_transaction_commits_batches_and_offsets_together_and_raises_the_epoch() {
    let (_world, engine) = begin(1);
    let partition = engine.partition("t", 0).unwrap();
    let identity = init(&engine);
    assert_eq!(append(&engine, 0, identity, 0, "a").unwrap(), 0);
    assert_eq!(append(&engine, 0, identity, 1, "b").unwrap(), 1);
    assert_eq!(append(&engine, 0, identity, 1, "b").unwrap(), 1, "D3: a retry finds its original");
    assert_eq!(append(&engine, 1, identity, 0, "c").unwrap(), 0);
    engine.send_offsets(identity, &group("g"), &offsets(7)).unwrap();
    assert_eq!((committed(&partition).len(), uncommitted(&partition).len()), (0, 2));
    let reader =
        |isolation: Isolation| engine.consumer(ConsumerOptions::new().group("g").isolation(isolation)).unwrap();
    let place = TopicPartition::new("t", 0);
    // Spec 3.11, KIP-447.
    assert_eq!(kind(reader(Isolation::ReadCommitted).committed(&place)), ErrorKind::UnstableOffsets);
    assert_eq!(reader(Isolation::ReadUncommitted).committed(&place).unwrap(), None);
    let number = engine.describe_transactions().unwrap()[0].number;
    let next = engine.end_transaction(identity, Outcome::Commit).unwrap();
    assert_eq!(next, raised(identity, 1));
    assert_eq!(reader(Isolation::ReadCommitted).committed(&place).unwrap(), Some(7));
    assert_eq!(committed(&partition), ["a", "b"]);
    assert_eq!(engine.transaction_status(number).unwrap(), TransactionStatus::Committed);
    // Spec 3.12: sequences begin at 0 again, and what is late is stale everywhere.
    assert_eq!(kind(append(&engine, 0, identity, 2, "late")), ErrorKind::StaleEpoch);
    assert_eq!(kind(append(&engine, 0, next, 2, "gap")), ErrorKind::OutOfOrderSequence);
    assert_eq!(append(&engine, 0, next, 0, "d").unwrap(), 2);
    let last = engine.end_transaction(next, Outcome::Abort).unwrap();
    assert_eq!((last, committed(&partition).len(), ends(&partition)), (raised(identity, 2), 2, (3, 3)));
}

#[test]
fn a_batch_that_is_not_transactional_is_refused_where_the_transaction_has_records() {
    // D18, D19; testSkipEmptyTransactions.
    let (_world, engine) = begin(2);
    let identity = init(&engine);
    append(&engine, 0, identity, 0, "a").unwrap();
    assert_eq!(kind(append_plainly(&engine, 0, identity, 1)), ErrorKind::InvalidTransactionState);
    append_plainly(&engine, 1, identity, 0).unwrap();
    let next = engine.end_transaction(identity, Outcome::Commit).unwrap();
    append_plainly(&engine, 0, next, 0).unwrap();
    assert!(engine.describe_transactions().unwrap().is_empty(), "nothing of a transaction is open");
    let unnamed = engine.init_producer(None, MINUTE, None).unwrap();
    assert_eq!(kind(append(&engine, 0, unnamed, 0, "x")), ErrorKind::InvalidTransactionState);
}

#[test]
fn a_transactional_batch_with_an_older_epoch_is_stale_not_a_wrong_state() {
    // D4 (KAFKA-19690): also where the transaction was aborted by its timeout.
    let (world, engine) = begin(3);
    let identity = init(&engine);
    append(&engine, 0, identity, 0, "a").unwrap();
    world.advance(61 * SECOND);
    engine.drive().unwrap();
    assert_eq!(kind(append(&engine, 0, identity, 1, "b")), ErrorKind::StaleEpoch);
    assert_eq!(kind(engine.send_offsets(identity, &group("g"), &offsets(1))), ErrorKind::StaleEpoch);
    assert_eq!(kind(append(&engine, 0, raised(identity, 9), 0, "never issued")), ErrorKind::StaleEpoch);
}

#[test]
fn init_on_a_name_without_a_transaction() {
    // Spec 3.4, states Empty and Complete.
    let (_world, engine) = begin(4);
    let init_as = |current: Option<Identity>| engine.init_producer(Some("id"), MINUTE, current);
    assert_eq!(kind(engine.init_producer(Some(""), MINUTE, None)), ErrorKind::InvalidArgument);
    // An id that is not known accepts any identity.
    let first = init_as(Some(Identity { producer_id: 77, epoch: 3 })).unwrap();
    assert_eq!(first.epoch, 0);
    let second = init_as(None).unwrap();
    assert_eq!(second, raised(first, 1), "no identity: the next epoch");
    assert_eq!(kind(init_as(Some(first))), ErrorKind::ProducerFenced, "and who held it is fenced for good");
    let third = init_as(Some(second)).unwrap();
    assert_eq!(third, raised(second, 1), "the newest identity: the next epoch");
    assert_eq!(init_as(Some(second)).unwrap(), third, "its answer was lost: the same again");
    assert_eq!(init_as(Some(second)).unwrap(), third);
    assert_eq!(kind(init_as(Some(first))), ErrorKind::ProducerFenced);
    let stranger = Identity { producer_id: third.producer_id + 100, ..third };
    assert_eq!(kind(init_as(Some(stranger))), ErrorKind::ProducerFenced);
    for outcome in [Outcome::Commit, Outcome::Abort] {
        let now = init_as(None).unwrap();
        append(&engine, 0, now, 0, "x").unwrap();
        let next = engine.end_transaction(now, outcome).unwrap();
        assert_eq!(init_as(Some(now)).unwrap(), next, "the epoch before the decision is the one before");
        assert_eq!(init_as(Some(next)).unwrap(), raised(next, 1));
    }
}

#[test]
fn init_on_an_open_transaction_aborts_it() {
    // Spec 3.4, state Ongoing; the numbers are those of Kafka's answers in cases 252 and 253.
    let (_world, engine) = begin(5);
    let partition = engine.partition("t", 0).unwrap();
    let identity = init(&engine);
    append(&engine, 0, identity, 0, "a").unwrap();
    let taken = init(&engine);
    assert_eq!((taken, ends(&partition)), (raised(identity, 2), (1, 1)), "the abort raises it, and the opening");
    assert_eq!(kind(engine.end_transaction(identity, Outcome::Commit)), ErrorKind::ProducerFenced);
    append(&engine, 0, taken, 0, "b").unwrap();
    let renewed = engine.init_producer(Some("id"), MINUTE, Some(taken)).unwrap();
    assert_eq!((renewed, ends(&partition)), (raised(taken, 1), (2, 2)), "the abort alone");
    assert_eq!(engine.init_producer(Some("id"), MINUTE, Some(taken)).unwrap(), renewed);
    append(&engine, 0, renewed, 0, "c").unwrap();
    // Unlike Kafka's, a stale epoch aborts nobody's transaction.
    assert_eq!(kind(engine.init_producer(Some("id"), MINUTE, Some(taken))), ErrorKind::ProducerFenced);
    assert_eq!(kind(engine.init_producer(Some("id"), MINUTE, Some(identity))), ErrorKind::ProducerFenced);
    assert_eq!(engine.describe_transactions().unwrap().len(), 1);
    assert!(committed(&partition).is_empty());
}

/// What a call that ends a transaction answers: raised by so much, or refused.
type Cell = Result<i16, ErrorKind>;

const STATE: Cell = Err(ErrorKind::InvalidTransactionState);
const FENCED: Cell = Err(ErrorKind::ProducerFenced);

/// An identity in that state, and the identity that a retry would come with.
fn in_state(engine: &Engine, state: &str) -> (Identity, Identity) {
    let identity = init(engine);
    if state == "empty" {
        return (identity, raised(identity, -1));
    }
    append(engine, 0, identity, 0, "x").unwrap();
    if state == "ongoing" {
        return (identity, raised(identity, -1));
    }
    let outcome = if state == "committed" { Outcome::Commit } else { Outcome::Abort };
    (engine.end_transaction(identity, outcome).unwrap(), identity)
}

#[test]
fn end_transaction_answers_as_kafka_does_in_every_state() {
    // Spec 3.6, KIP-890 part 2: state; commit by the current identity, by a retry; abort by the current, by a retry.
    let table: [(&str, [Cell; 4]); 4] = [
        ("ongoing", [Ok(1), FENCED, Ok(1), FENCED]),
        ("committed", [STATE, Ok(0), Ok(1), STATE]),
        ("aborted", [STATE, STATE, Ok(1), Ok(0)]),
        ("empty", [STATE, FENCED, Ok(1), FENCED]),
    ];
    let (_world, engine) = begin(6);
    // Epochs start at 1, so that there is one before.
    init(&engine);
    for (state, cells) in table {
        for (n, cell) in cells.into_iter().enumerate() {
            let (current, retry) = in_state(&engine, state);
            let outcome = if n < 2 { Outcome::Commit } else { Outcome::Abort };
            let answer = engine.end_transaction(if n % 2 == 0 { current } else { retry }, outcome);
            let expected = cell.map(|by| raised(current, by));
            assert_eq!(answer.map_err(|error| error.kind()), expected, "state {state}, cell {n}");
        }
    }
    let stranger = Identity { producer_id: 999, epoch: 0 };
    assert_eq!(kind(engine.end_transaction(stranger, Outcome::Abort)), ErrorKind::UnknownTransactionalId);
    let unnamed = engine.init_producer(None, MINUTE, None).unwrap();
    assert_eq!(kind(engine.end_transaction(unnamed, Outcome::Abort)), ErrorKind::UnknownTransactionalId);
}

#[test]
fn what_a_timeout_aborted_answers_its_owner_as_kafka_does() {
    // Cases 450 to 456 of Kafka's answers; shouldNotAcceptSmallerEpochDuringTransactionExpiration.
    let (world, engine) = begin(7);
    let timed_out = || {
        let identity = init(&engine);
        append(&engine, 0, identity, 0, "x").unwrap();
        world.advance(61 * SECOND);
        engine.drive().unwrap();
        assert!(engine.describe_transactions().unwrap().is_empty());
        identity
    };
    let identity = timed_out();
    for _ in 0..2 {
        assert_eq!(kind(engine.end_transaction(identity, Outcome::Commit)), ErrorKind::InvalidTransactionState);
        assert_eq!(engine.end_transaction(identity, Outcome::Abort).unwrap(), raised(identity, 1));
    }
    append(&engine, 0, raised(identity, 1), 0, "goes on").unwrap();
    engine.end_transaction(raised(identity, 1), Outcome::Commit).unwrap();
    let identity = timed_out();
    assert_eq!(engine.init_producer(Some("id"), MINUTE, Some(identity)).unwrap(), raised(identity, 1));
    let identity = timed_out();
    assert_eq!(init(&engine), raised(identity, 2));
    assert_eq!(committed(&engine.partition("t", 0).unwrap()), ["goes on"]);
}

#[test]
fn a_late_commit_never_touches_the_next_transaction() {
    // KAFKA-17754.
    let (_world, engine) = begin(8);
    let first = init(&engine);
    append(&engine, 0, first, 0, "first").unwrap();
    let second = engine.end_transaction(first, Outcome::Commit).unwrap();
    append(&engine, 0, second, 0, "second").unwrap();
    for outcome in [Outcome::Commit, Outcome::Abort] {
        assert_eq!(kind(engine.end_transaction(first, outcome)), ErrorKind::ProducerFenced);
    }
    assert_eq!(ends(&engine.partition("t", 0).unwrap()), (1, 2));
    assert_eq!(engine.describe_transactions().unwrap().len(), 1);
}

#[test]
fn epochs_that_are_used_up_give_a_new_id_and_the_repeated_call_the_same_one() {
    // Spec 3.4 and 3.6, overflow; shouldReturnOkOnEndTxnV2IfEndTxnV2RetryEpochOverflow.
    let (_world, engine) = begin(9);
    let mut identity = init(&engine);
    while identity.epoch < 32_766 {
        identity = engine.end_transaction(identity, Outcome::Abort).unwrap();
    }
    append(&engine, 0, identity, 0, "last epoch").unwrap();
    let next = engine.end_transaction(identity, Outcome::Commit).unwrap();
    assert_eq!(next.epoch, 0);
    assert_ne!(next.producer_id, identity.producer_id);
    assert_eq!(engine.end_transaction(identity, Outcome::Commit).unwrap(), next, "repeated");
    assert_eq!(engine.init_producer(Some("id"), MINUTE, Some(identity)).unwrap(), next, "repeated");
    assert_eq!(kind(append(&engine, 0, identity, 1, "late")), ErrorKind::StaleEpoch);
    append(&engine, 0, next, 0, "new id").unwrap();
    engine.end_transaction(next, Outcome::Commit).unwrap();
    assert_eq!(committed(&engine.partition("t", 0).unwrap()), ["last epoch", "new id"]);
}

#[test]
fn an_id_that_the_end_of_a_transaction_gave_is_not_given_again_after_a_power_cut() {
    let (world, engine) = begin(13);
    engine.close().unwrap();
    let open = || options().durability(Durability::Memory).open_on(world.machine()).unwrap();
    let engine = open();
    let mut identity = init(&engine);
    while identity.epoch < 32_766 {
        identity = engine.end_transaction(identity, Outcome::Abort).unwrap();
    }
    engine.flush().unwrap();
    let next = engine.end_transaction(identity, Outcome::Abort).unwrap();
    assert_ne!(next.producer_id, identity.producer_id);
    world.crash();
    let other = open().init_producer(None, MINUTE, None).unwrap();
    assert_ne!(other.producer_id, next.producer_id);
}

#[test]
fn an_offset_committed_after_it_was_sent_stays_when_the_transaction_commits() {
    // testReplayTransactionEndMarkerKeepsTheMostRecentCommittedOffset.
    let (world, engine) = begin(10);
    let place = TopicPartition::new("t", 0);
    let identity = init(&engine);
    engine.send_offsets(identity, &group("g"), &offsets(5)).unwrap();
    engine.send_offsets(identity, &group("h"), &offsets(5)).unwrap();
    let consumer = |engine: &Engine, name: &str| engine.consumer(ConsumerOptions::new().group(name)).unwrap();
    consumer(&engine, "g").commit_offsets(&offsets(9)).unwrap();
    let other = engine.init_producer(Some("other"), MINUTE, None).unwrap();
    engine.send_offsets(other, &group("h"), &offsets(6)).unwrap();
    engine.end_transaction(other, Outcome::Commit).unwrap();
    engine.end_transaction(identity, Outcome::Commit).unwrap();
    let told = |engine: &Engine| ["g", "h"].map(|name| consumer(engine, name).committed(&place).unwrap());
    assert_eq!(told(&engine), [Some(9), Some(6)], "what was sent last counts, whatever commits last");
    let identity = init(&engine);
    engine.send_offsets(identity, &group("g"), &offsets(1)).unwrap();
    engine.end_transaction(identity, Outcome::Abort).unwrap();
    assert_eq!(told(&engine), [Some(9), Some(6)]);
    world.crash();
    assert_eq!(told(&open(&world)), [Some(9), Some(6)]);
}

#[test]
fn a_commit_of_offsets_is_as_safe_as_their_topics_ask() {
    for seed in 0..20 {
        let world = World::new(seed);
        let open = || options().durability(Durability::Memory).open_on(world.machine()).unwrap();
        let engine = open();
        engine.create_topic("t", TopicOptions::new().durability(Durability::Disk)).unwrap();
        let identity = init(&engine);
        engine.send_offsets(identity, &group("g"), &offsets(5)).unwrap();
        engine.end_transaction(identity, Outcome::Commit).unwrap();
        world.crash();
        let consumer = open().consumer(ConsumerOptions::new().group("g")).unwrap();
        assert_eq!(consumer.committed(&TopicPartition::new("t", 0)).unwrap(), Some(5), "seed {seed}");
    }
}

#[test]
fn a_name_has_one_transaction_at_a_time_raw_or_not() {
    let (_world, engine) = begin(11);
    let producer = engine.transactional_producer("id", streaming()).unwrap();
    let mut transaction = producer.begin_transaction().unwrap();
    transaction.send("t", oncelog::Record::new(b"native").partition(0)).unwrap();
    let open = engine.describe_transactions().unwrap()[0].clone();
    assert_eq!(kind(append(&engine, 0, open.identity, 0, "raw")), ErrorKind::InvalidTransactionState);
    assert_eq!(kind(engine.end_transaction(open.identity, Outcome::Commit)), ErrorKind::InvalidTransactionState);
    let sent = engine.send_offsets(open.identity, &group("g"), &offsets(1));
    assert_eq!(kind(sent), ErrorKind::InvalidTransactionState);
    transaction.commit().unwrap();
    // Raw calls raise the epoch, so the handle is fenced.
    let next = engine.end_transaction(open.identity, Outcome::Abort).unwrap();
    append(&engine, 0, next, 0, "raw").unwrap();
    assert_eq!(kind(producer.begin_transaction()), ErrorKind::ProducerFenced);
    engine.transactional_producer("id", ProducerOptions::new()).unwrap();
    assert!(engine.describe_transactions().unwrap().is_empty(), "opening the name aborts it");
    assert_eq!(committed(&engine.partition("t", 0).unwrap()), ["native"]);
}

#[test]
fn deleting_a_name_aborts_what_it_has_open() {
    let (_world, engine) = begin(12);
    let identity = init(&engine);
    append(&engine, 0, identity, 0, "a").unwrap();
    plain(&engine, 0, "b");
    engine.delete_producer("id").unwrap();
    let partition = engine.partition("t", 0).unwrap();
    assert_eq!((ends(&partition), committed(&partition)), ((2, 2), vec!["b".to_owned()]));
    assert_eq!(kind(engine.end_transaction(identity, Outcome::Commit)), ErrorKind::UnknownTransactionalId);
    assert_eq!(kind(append(&engine, 0, identity, 1, "c")), ErrorKind::UnknownProducer);
}
