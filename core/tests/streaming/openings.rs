//! Openings of a transactional id at the edges of what may be asked: timeouts out of range, and epochs that run out
//! while a transaction is open.

use std::time::Duration;

use oncelog::{Engine, ErrorKind, Identity, Outcome, TransactionStatus};

use crate::{MINUTE, SECOND, append, begin, committed, ends, kind, options, uncommitted};

const FIRST: Identity = Identity { producer_id: 0, epoch: 0 };
/// The last epoch that is handed out; 32,767 is nobody's, as in Kafka.
const LAST_EPOCH: i16 = 32_766;

fn init(engine: &Engine, current: Option<Identity>) -> Identity {
    engine.init_producer(Some("id"), MINUTE, current).unwrap()
}

fn at(identity: Identity, epoch: i16) -> Identity {
    Identity { epoch, ..identity }
}

/// What an id gets first: nobody had its producer id before.
fn fresh(producer_id: i64) -> Identity {
    Identity { producer_id, epoch: 0 }
}

/// The id at that epoch, with a transaction that is open: its one record lies in partition 0.
fn ongoing_at(engine: &Engine, epoch: i16) -> Identity {
    let mut identity = init(engine, None);
    while identity.epoch < epoch {
        identity = engine.end_transaction(identity, Outcome::Abort).unwrap();
    }
    assert_eq!(identity, at(FIRST, epoch));
    append(engine, 0, identity, 0, "undecided").unwrap();
    identity
}

/// The transaction is aborted: its record is there, and nobody is told of it who reads what is committed.
#[track_caller]
fn aborted(engine: &Engine) {
    let partition = engine.partition("t", 0).unwrap();
    assert!(engine.describe_transactions().unwrap().is_empty());
    assert_eq!((ends(&partition), uncommitted(&partition).len()), ((1, 1), 1));
    assert!(committed(&partition).is_empty());
}

#[test]
fn a_timeout_out_of_range_is_refused_in_every_state_of_an_id_and_changes_nothing() {
    // Spec 3.4: Kafka looks at the timeout before it looks for the id. Its code 50 is InvalidArgument here.
    assert_eq!(ErrorKind::from_kafka_code(50), Some(ErrorKind::InvalidArgument));
    let (world, engine) = begin(1);
    engine.close().unwrap();
    let engine = options().transaction_timeout_max(Duration::from_secs(10)).open_on(world.machine()).unwrap();
    let ask = |timeout, current| engine.init_producer(Some("id"), timeout, current);
    let bad = [
        (Duration::ZERO, "given=0"),
        // Kafka counts milliseconds too: what is less than one is none.
        (Duration::from_micros(999), "given=0"),
        (Duration::from_millis(10_001), "given=10001"),
        (Duration::MAX, "given=18446744073709551615999"),
    ];
    let refused = |current: Option<Identity>| {
        for (timeout, given) in bad {
            let error = ask(timeout, current).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{timeout:?}");
            assert!(error.message().ends_with(&format!("least=1 most=10000 {given}")), "{error}");
        }
    };
    refused(None);
    refused(Some(FIRST));
    assert_eq!(kind(engine.delete_producer("id")), ErrorKind::UnknownTransactionalId, "no id was made");

    let first = ask(Duration::from_millis(1), None).unwrap();
    assert_eq!(first, FIRST, "the least there is");
    refused(None);
    refused(Some(first));
    append(&engine, 0, first, 0, "undecided").unwrap();
    refused(None);
    refused(Some(first));
    // A stranger hears of his timeout first, as in Kafka.
    refused(Some(at(first, 7)));
    let open = engine.describe_transactions().unwrap();
    assert_eq!((open.len(), open[0].identity), (1, first), "nobody was fenced, and nothing aborted");
    assert_eq!(open[0].timeout, Some(Duration::from_millis(1)));
    engine.end_transaction(first, Outcome::Commit).unwrap();
    assert_eq!(ask(Duration::from_secs(10), None).unwrap(), at(first, 2), "the most there is");
    append(&engine, 0, at(first, 2), 0, "undecided").unwrap();
    assert_eq!(engine.describe_transactions().unwrap()[0].timeout, Some(Duration::from_secs(10)));
    // Without an id there is no transaction that could be open for too long.
    assert_eq!(engine.init_producer(None, Duration::ZERO, None).unwrap(), fresh(1));
    assert_eq!(engine.init_producer(None, Duration::from_secs(11), None).unwrap(), fresh(2));
    world.advance(10 * SECOND);
    engine.drive().unwrap();
    assert!(engine.describe_transactions().unwrap().is_empty(), "what was asked for is what counts");
}

#[test]
fn an_abort_that_used_the_last_epoch_up_is_repeated_until_its_new_id_is_used() {
    // Spec 3.6: a retry is one too that comes with the id before, the last epoch, while the new one's epoch is 0.
    for with_records in [true, false] {
        let (_world, engine) = begin(2);
        let mut identity = ongoing_at(&engine, LAST_EPOCH - 1);
        identity = engine.end_transaction(identity, Outcome::Abort).unwrap();
        if with_records {
            append(&engine, 0, identity, 0, "never").unwrap();
        }
        let next = engine.end_transaction(identity, Outcome::Abort).unwrap();
        assert_eq!((identity.epoch, next), (LAST_EPOCH, fresh(1)));
        for _ in 0..2 {
            assert_eq!(engine.end_transaction(identity, Outcome::Abort).unwrap(), next, "repeated");
        }
        assert_eq!(kind(engine.end_transaction(identity, Outcome::Commit)), ErrorKind::InvalidTransactionState);
        assert_eq!(kind(engine.end_transaction(at(identity, 32_765), Outcome::Abort)), ErrorKind::ProducerFenced);
        assert_eq!(init(&engine, Some(identity)), next, "the call that opens it gets the same");
        append(&engine, 0, next, 0, "of the new id").unwrap();
        for outcome in [Outcome::Abort, Outcome::Commit] {
            assert_eq!(kind(engine.end_transaction(identity, outcome)), ErrorKind::ProducerFenced, "the next is open");
        }
        let last = engine.end_transaction(next, Outcome::Commit).unwrap();
        assert_eq!(last, at(next, 1));
        assert_eq!(kind(engine.end_transaction(identity, Outcome::Abort)), ErrorKind::ProducerFenced, "too late");
        assert_eq!(committed(&engine.partition("t", 0).unwrap()), ["of the new id"]);
        assert_eq!(engine.init_producer(None, MINUTE, None).unwrap(), fresh(2), "one id was taken, not one a call");
    }
}

#[test]
fn an_opening_without_an_identity_beside_an_open_transaction_takes_two_epochs_or_a_new_id() {
    // Spec 3.4, Ongoing: the abort raises the epoch, and the opening does once more. Where the epochs end the second
    // step, or the first one already, leads to a new id; none leads to 32,767.
    let cases = [(32_764, at(FIRST, LAST_EPOCH)), (32_765, fresh(1)), (LAST_EPOCH, fresh(1))];
    for (epoch, given) in cases {
        let (world, engine) = begin(3);
        let holder = ongoing_at(&engine, epoch);
        assert_eq!(init(&engine, None), given, "from epoch {epoch}");
        aborted(&engine);
        // Nobody repeats what named no identity: neither the holder nor who guesses what the abort made of his.
        for stale in (epoch..=LAST_EPOCH).map(|epoch| at(holder, epoch)).filter(|stale| *stale != given) {
            assert_eq!(kind(engine.init_producer(Some("id"), MINUTE, Some(stale))), ErrorKind::ProducerFenced);
            assert_eq!(kind(engine.end_transaction(stale, Outcome::Abort)), ErrorKind::ProducerFenced);
            assert_eq!(kind(engine.end_transaction(stale, Outcome::Commit)), ErrorKind::ProducerFenced);
            assert_eq!(kind(append(&engine, 0, stale, 0, "late")), ErrorKind::StaleEpoch);
        }
        append(&engine, 0, given, 0, "by the holder").unwrap();
        let next = engine.end_transaction(given, Outcome::Commit).unwrap();
        assert_eq!(next, if given.epoch == LAST_EPOCH { fresh(1) } else { at(given, 1) });
        assert_eq!(committed(&engine.partition("t", 0).unwrap()), ["by the holder"]);
        // The next life knows all of it.
        world.crash();
        let engine = crate::open(&world);
        assert_eq!(engine.init_producer(None, MINUTE, None).unwrap(), fresh(2));
        assert_eq!(init(&engine, None), at(next, next.epoch + 1));
    }
}

#[test]
fn an_opening_by_its_holder_beside_an_open_transaction_gives_the_identity_that_the_abort_made() {
    for (epoch, given) in [(32_765, at(FIRST, LAST_EPOCH)), (LAST_EPOCH, fresh(1))] {
        let (_world, engine) = begin(4);
        let holder = ongoing_at(&engine, epoch);
        assert_eq!(init(&engine, Some(holder)), given, "from epoch {epoch}");
        aborted(&engine);
        for _ in 0..2 {
            assert_eq!(init(&engine, Some(holder)), given, "repeated");
        }
        assert_eq!(kind(engine.end_transaction(holder, Outcome::Abort)), ErrorKind::ProducerFenced);
        assert_eq!(kind(append(&engine, 0, holder, 1, "late")), ErrorKind::StaleEpoch);
        append(&engine, 0, given, 0, "by the holder").unwrap();
        engine.end_transaction(given, Outcome::Commit).unwrap();
        assert_eq!(committed(&engine.partition("t", 0).unwrap()), ["by the holder"]);
    }
}

#[test]
fn an_opening_beside_an_open_transaction_sets_the_timeout_of_the_next_one_and_is_no_end_to_repeat() {
    // Kafka's holder calls again until he is answered, and the last call stores what it was given (spec 3.4).
    let (_world, engine) = begin(6);
    let first = init(&engine, None);
    append(&engine, 0, first, 0, "x").unwrap();
    let second = Duration::from_secs(1);
    let next = engine.init_producer(Some("id"), second, Some(first)).unwrap();
    assert_eq!(next, at(first, first.epoch + 1));
    assert_eq!(kind(engine.end_transaction(first, Outcome::Abort)), ErrorKind::ProducerFenced, "too late");
    append(&engine, 0, next, 0, "y").unwrap();
    assert_eq!(engine.describe_transactions().unwrap()[0].timeout, Some(second));
}

#[test]
fn an_abort_by_number_or_by_timeout_in_the_last_epoch_gives_the_id_a_new_producer_id() {
    for by_number in [true, false] {
        let (world, engine) = begin(5);
        let holder = ongoing_at(&engine, LAST_EPOCH);
        let number = engine.describe_transactions().unwrap()[0].number;
        if by_number {
            engine.abort_transaction(number).unwrap();
            engine.abort_transaction(number).unwrap();
        } else {
            world.advance(61 * SECOND);
            engine.drive().unwrap();
        }
        aborted(&engine);
        assert_eq!(engine.transaction_status(number).unwrap(), TransactionStatus::Aborted);
        assert_eq!(kind(append(&engine, 0, holder, 1, "late")), ErrorKind::StaleEpoch);
        // Its holder hears of it with the next call, and of the new id with the abort or the opening.
        assert_eq!(kind(engine.end_transaction(holder, Outcome::Commit)), ErrorKind::InvalidTransactionState);
        for _ in 0..2 {
            assert_eq!(engine.end_transaction(holder, Outcome::Abort).unwrap(), fresh(1));
        }
        for _ in 0..2 {
            assert_eq!(init(&engine, Some(holder)), fresh(1));
        }
        append(&engine, 0, fresh(1), 0, "by the holder").unwrap();
        assert_eq!(engine.end_transaction(fresh(1), Outcome::Commit).unwrap(), at(fresh(1), 1));
        assert_eq!(committed(&engine.partition("t", 0).unwrap()), ["by the holder"]);
        assert_eq!(engine.init_producer(None, MINUTE, None).unwrap(), fresh(2), "one id was taken, not one a call");
    }
}
