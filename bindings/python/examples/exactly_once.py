"""Read, transform, write: results and offsets are committed together, or not at all."""

import tempfile

import oncelog


class GivenUp(Exception):
    """Something went wrong half way."""


with tempfile.TemporaryDirectory() as directory, oncelog.open(directory) as engine:
    engine.create_topic("orders")
    engine.create_topic("invoices")
    engine.producer().send("orders", b"3 apples").result()

    consumer = engine.consumer("orders", group="billing")
    producer = engine.transactional_producer("billing-1")

    # The first attempt is given up: the exception aborts the transaction and puts the consumer back.
    for attempt in ["given up", "committed"]:
        try:
            with producer.begin_transaction_for(consumer) as transaction:
                for record in consumer.poll(timeout=1):
                    transaction.send("invoices", b"invoice for " + (record.value or b""))
                if attempt == "given up":
                    raise GivenUp
        except GivenUp:
            pass
        invoices = engine.partition("invoices", 0).bounds().end
        print(f"{attempt}: {invoices} invoices, offset committed: {consumer.committed(('orders', 0))}")
