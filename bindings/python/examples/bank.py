"""The bank's job as a child of the demo: loads lines, or works them through, killed and restarted by its parent.

    bank.py <log> <exactly-once | at-least-once | at-most-once> <loader | worker> <lines>

The loader sends every line of the file with its number as position: after a crash the producer says where it stood,
and what is sent again is refused. The worker turns lines into postings; it is the program to read first.
"""

import functools
import re
import sys
from collections.abc import Callable
from pathlib import Path

import oncelog

GROUP = 100
"""Lines that the loader sends between two flushes, and sends again after every restart."""
ROWS = 50
"""Rows in one transaction of the worker."""


def say(*words: object) -> None:
    """Tells the parent, at once and in one write: of a line in pieces a kill would leave some."""
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


def half(n: int) -> None:
    """Says that the first half of a group is done, and waits for leave to do the second."""
    say("half", n)
    if not sys.stdin.readline():
        raise SystemExit("the parent is gone")


# The loader.


def load(engine: oncelog.Engine, lines: list[bytes]) -> None:
    producer = engine.producer(name="loader")
    done = producer.position or 0
    say("ready", done)
    if done > 0:
        first = max(done - GROUP, 0)
        say("resent", send(producer, lines, first, done), done - first)
    while done < len(lines):
        end = min(done + GROUP, len(lines))
        say("begin", end)
        refused = send(producer, lines, done, end, functools.partial(half, end))
        if refused > 0:
            raise SystemExit(f"{refused} lines after position {done} were refused as duplicates")
        say("committed", end)
        done = end


def send(
    producer: oncelog.Producer, lines: list[bytes], first: int, end: int, halfway: Callable[[], None] = lambda: None
) -> int:
    """Sends some lines and waits until they are on the device. Answers how many the log already had."""
    tickets = [
        producer.send("transactions", lines[n], key=account(lines[n]), position=n + 1) for n in range(first, end)
    ]
    halfway()
    producer.flush()
    return sum(ticket.result().duplicate for ticket in tickets)


def account(line: bytes) -> bytes | None:
    """The account that a line names, if it gets that far: the key that keeps an account's lines in order."""
    columns = line.split(b";", 2)
    return columns[1] or None if len(columns) > 1 else None


# The worker: three times the same job, and the only difference is when the offsets are committed.


def work(engine: oncelog.Engine, delivery: str) -> None:
    consumer = engine.consumer("transactions", group="bank", max_records=ROWS)
    say("ready", read(consumer))
    {"exactly-once": exactly_once, "at-least-once": at_least_once, "at-most-once": at_most_once}[delivery](
        engine, consumer
    )


def exactly_once(engine: oncelog.Engine, consumer: oncelog.Consumer) -> None:
    """One transaction holds the results and the offsets: a crash leaves both or neither."""
    producer = engine.transactional_producer("bank-worker")
    while lag(consumer) > 0:
        with producer.begin_transaction_for(consumer) as transaction:
            records = consumer.poll(timeout=1)
            group = read(consumer)
            say("begin", group)
            for record in records:
                transform(record, transaction.send)
            half(group)
        say("committed", group)


def at_least_once(engine: oncelog.Engine, consumer: oncelog.Consumer) -> None:
    """Results first, offsets after: killed between the two, the next life does the same lines again."""
    producer = engine.producer()
    while lag(consumer) > 0:
        records = consumer.poll(timeout=1)
        group = read(consumer)
        say("begin", group)
        write(producer, records)
        half(group)
        consumer.commit()
        say("committed", group)


def at_most_once(engine: oncelog.Engine, consumer: oncelog.Consumer) -> None:
    """Offsets first, results after: killed between the two, the next life never sees these lines."""
    producer = engine.producer()
    while lag(consumer) > 0:
        records = consumer.poll(timeout=1)
        group = read(consumer)
        say("begin", group)
        consumer.commit()
        half(group)
        write(producer, records)
        say("committed", group)


def write(producer: oncelog.Producer, records: oncelog.Records) -> None:
    """Writes what the lines mean, outside any transaction, and waits until all of it is on the device."""
    tickets: list[oncelog.Ticket[oncelog.Appended]] = []
    for record in records:
        transform(record, lambda *args, **options: tickets.append(producer.send(*args, **options)))
    producer.flush()
    for ticket in tickets:
        ticket.result()


def transform(record: oncelog.Record, send: Callable[..., object]) -> None:
    """A line becomes a posting, and a message if it is a transfer to another bank; or a dead letter that says why."""
    line = record.value or b""
    try:
        trans_id, account_id, amount, transfer = parse(line)
    except Malformed as reason:
        send("transactions.dlt", line, headers={"reason": str(reason).encode()})
        return
    key = b"%d" % account_id
    send("ledger", b"%d;%d;%d" % (trans_id, account_id, amount), key=key)
    if transfer is not None:
        bank, other = transfer
        send("transfers", f"{trans_id};{account_id};{-amount};{bank};{other}".encode(), key=key)


def read(consumer: oncelog.Consumer) -> int:
    """Lines read so far: offsets have no holes, so the positions count them."""
    return sum(consumer.position(("transactions", partition)) for partition in range(4))


def lag(consumer: oncelog.Consumer) -> int:
    """Lines still to read."""
    return sum(consumer.lag(("transactions", partition)) for partition in range(4))


# What a line means.


class Malformed(Exception):
    """The line is no transaction."""


def parse(line: bytes) -> tuple[int, int, int, tuple[str, str] | None]:
    """Number, account and amount in hundredths of a crown, and bank and account of the other side of a transfer."""
    if not line:
        raise Malformed("empty line")
    try:
        columns = line.decode().split(";")
    except UnicodeDecodeError:
        raise Malformed("not UTF-8 text") from None
    if len(columns) != 10:
        raise Malformed(f"{len(columns)} columns instead of 10")
    number, account_id, date, kind, operation, crowns, _balance, _purpose, bank, other = columns
    trans_id = whole(number, "trans_id is not a number")
    of_account = whole(account_id, "account_id is not a number")
    if not re.fullmatch("[0-9]{6}", date) or not 1 <= int(date[2:4]) <= 12 or not 1 <= int(date[4:]) <= 31:
        raise Malformed("date is not a day as YYMMDD")
    sign = {"PRIJEM": 1, "VYDAJ": -1, "VYBER": -1}.get(unquote(kind))
    if sign is None:
        raise Malformed("unknown type")
    transfer = None
    match unquote(operation):
        case "PREVOD NA UCET":
            transfer = (unquote(bank), unquote(other))
        case "" | "VKLAD" | "VYBER" | "VYBER KARTOU" | "PREVOD Z UCTU":
            pass
        case _:
            raise Malformed("unknown operation")
    return trans_id, of_account, sign * hellers(crowns), transfer


def whole(digits: str, reason: str) -> int:
    if not re.fullmatch(r"\+?[0-9]+", digits) or int(digits) >= 2**64:
        raise Malformed(reason)
    return int(digits)


def unquote(column: str) -> str:
    """Text in quotes, or a column that is empty altogether."""
    if not column:
        return column
    if not column.startswith('"'):
        raise Malformed("text is not in quotes")
    if len(column) < 2 or not column.endswith('"'):
        raise Malformed("quotes do not close")
    return column[1:-1]


def hellers(amount: str) -> int:
    if not re.fullmatch(r"[0-9]+\.[0-9]{2}", amount) or int(amount.replace(".", "")) >= 2**63:
        raise Malformed("amount is not crowns with two decimals")
    return int(amount.replace(".", ""))


def main() -> None:
    directory, delivery, role, path = sys.argv[1:]
    say("opening")
    with oncelog.open(directory) as engine:
        if role == "loader":
            load(engine, Path(path).read_bytes().split(b"\n")[:-1])
        else:
            work(engine, delivery)
    say("done")


if __name__ == "__main__":
    main()
