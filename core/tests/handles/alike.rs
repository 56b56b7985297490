//! Many records of one call go where each would go alone.

use std::panic::{AssertUnwindSafe, catch_unwind};

use oncelog::sim::{Rng, World};
use oncelog::{Appended, Durability, Engine, ErrorKind, Producer, ProducerOptions, Record, TopicOptions};

/// What is drawn of a record.
struct Drawn {
    partition: Option<u32>,
    key: Option<Vec<u8>>,
    value: Vec<u8>,
    timestamp: Option<i64>,
    position: Option<u64>,
}

impl Drawn {
    /// Mostly records that go together, as they do in earnest; now and then one that does not.
    fn draw(rng: &mut Rng, calm: u64) -> Self {
        let odd = |rng: &mut Rng| rng.chance(1, calm);
        Self {
            partition: [None, Some(rng.below(3) as u32)][usize::from(odd(rng))].or_else(|| odd(rng).then_some(7)),
            key: odd(rng).then(|| vec![rng.below(4) as u8]),
            value: vec![b'v'; if odd(rng) { 600 } else { rng.index(60) }],
            timestamp: odd(rng).then(|| rng.below(4) as i64 - 2).or(Some(5).filter(|_| odd(rng))),
            position: rng.chance(1, 40 * calm).then_some(1),
        }
    }

    fn record(&self) -> Record<'_> {
        let mut record = Record::new(&self.value);
        (record.key, record.partition) = (self.key.as_deref(), self.partition);
        (record.timestamp, record.position) = (self.timestamp, self.position);
        record
    }
}

fn begin(seed: u64, batch_bytes: usize) -> (Engine, Producer) {
    begin_on(&World::new(seed), batch_bytes)
}

fn begin_on(world: &World, batch_bytes: usize) -> (Engine, Producer) {
    let engine = Engine::options().threads(false).open_on(world.machine()).unwrap();
    engine.create_topic("t", TopicOptions::new().partitions(3).durability(Durability::Os)).unwrap();
    let producer = engine.producer(ProducerOptions::new().batch_bytes(batch_bytes)).unwrap();
    (engine, producer)
}

/// What became of records sent one by one, as far as they go.
fn alone(producer: &Producer, drawn: &[Drawn]) -> (Vec<Appended>, Option<ErrorKind>) {
    let mut tickets = Vec::new();
    let mut refused = None;
    for record in drawn {
        match producer.send("t", record.record()) {
            Ok(ticket) => tickets.push(ticket),
            Err(error) => {
                refused = Some(error.kind());
                break;
            }
        }
    }
    (tickets.into_iter().map(|ticket| ticket.wait().unwrap()).collect(), refused)
}

#[test]
fn records_of_one_call_go_where_each_would_go_alone_with_the_same_answers() {
    let (mut sent, mut refusals) = (0, 0);
    for seed in 0..400 {
        let mut rng = Rng::new(seed);
        let batch_bytes = [1, 200, 400, 1_500, 16_384][rng.index(5)];
        let (one, many) = (begin(seed, batch_bytes), begin(seed, batch_bytes));
        let calm = [3, 10, 200][rng.index(3)];
        for call in 0..4 {
            let drawn: Vec<Drawn> = (0..rng.index(60)).map(|_| Drawn::draw(&mut rng, calm)).collect();
            let expected = alone(&one.1, &drawn);
            let come = many.1.try_send_many("t", drawn.iter().map(Drawn::record)).unwrap();
            assert_eq!(come.sent, expected.0.len(), "seed {seed}, call {call}");
            let answered = (come.ticket.wait().unwrap(), come.refused.map(|error| error.kind()));
            assert_eq!(answered, expected, "seed {seed}, call {call}");
            sent += come.sent;
            refusals += usize::from(answered.1.is_some());
        }
        assert_eq!(one.0.metrics().bytes, many.0.metrics().bytes, "seed {seed}: in batches of the same size");
    }
    assert!(sent > 10_000 && refusals > 100, "{sent} sent, {refusals} refused");
}

#[test]
fn records_that_cannot_be_walked_to_their_end_leave_the_producer_as_far_as_they_came() {
    let world = World::new(1);
    let (engine, producer) = begin_on(&world, 16_384);
    let broken = (0..).map(|n| if n < 9 { Record::new(b"x").partition(0) } else { panic!("the caller's own") });
    let sent = catch_unwind(AssertUnwindSafe(|| producer.send_many("t", broken).map(drop)));
    assert!(sent.is_err());
    engine.drive().unwrap();
    world.advance(10_000_000);
    engine.drive().unwrap();
    assert_eq!(engine.partition("t", 0).unwrap().bounds().end, 9, "they lingered as long as others");
    let last = producer.send("t", Record::new(&[b'y'; 16_384]).partition(0)).unwrap().wait().unwrap();
    assert_eq!(last.first, 9);
    producer.flush().unwrap();
    engine.close().unwrap();
}

#[test]
fn records_behind_the_first_end_of_an_iterator_are_not_asked_for() {
    let (_engine, producer) = begin(2, 16_384);
    let given = [Some("a"), Some("b"), None, Some("c")];
    let lines = || given.iter().map_while(|line| *line).map(|line| Record::new(line.as_bytes()).partition(0));
    assert_eq!(producer.send_many("t", lines()).unwrap().wait().unwrap().len(), 2);
    assert_eq!(producer.try_send_many("t", lines()).unwrap().sent, 2);
}
