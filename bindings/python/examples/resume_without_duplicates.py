"""A named producer: after a crash it knows where it stood, and what it sends again is refused."""

import tempfile

import oncelog

LINES = [b"one", b"two", b"three", b"four", b"five"]


def load(engine: oncelog.Engine, to: int) -> int:
    """Sends the lines up to one; the number of a line is its position. Answers how many the log already had."""
    producer = engine.producer(name="loader")
    print(f"the log has everything up to position {producer.position}")
    tickets = [producer.send("lines", line, position=position) for position, line in enumerate(LINES[:to], start=1)]
    return sum(ticket.result().duplicate for ticket in tickets)


with tempfile.TemporaryDirectory() as directory:
    with oncelog.open(directory) as engine:
        engine.create_topic("lines")
        load(engine, 3)

    # Another life, which does not trust the first one and sends everything.
    with oncelog.open(directory) as engine:
        duplicates = load(engine, len(LINES))
        end = engine.partition("lines", 0).bounds().end
        print(f"{duplicates} lines were refused as duplicates; {end} are in the log")
