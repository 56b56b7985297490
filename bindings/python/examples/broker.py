"""What a broker does for clients that keep their identity and sequences themselves."""

import tempfile

import oncelog

GROUP = oncelog.GroupMetadata("billing")


def batch(identity: oncelog.Identity, value: bytes) -> oncelog.Batch:
    """The first batch of a transaction: sequences begin at 0 in each."""
    batch = oncelog.Batch(producer=identity, base_sequence=0, transactional=True, compression="zstd")
    batch.add(value)
    return batch


# Clients outlive the broker, so their transactions stay open when the log is opened again.
with tempfile.TemporaryDirectory() as directory, oncelog.open(directory, keep_raw_transactions=True) as engine:
    engine.create_topic("invoices")
    engine.create_topic("orders")
    invoices = engine.partition("invoices", 0)

    # Records and the offsets of their input, in one transaction. What is sent again is known.
    identity = engine.init_producer("shop", timeout=30)
    invoices.append(batch(identity, b"invoice 7")).result()
    again = invoices.append(batch(identity, b"invoice 7")).result()
    print(f"sent again: {'a duplicate' if again.duplicate else 'another record'} of offset {again.first}")
    engine.send_offsets(identity, GROUP, {("orders", 0): 7})
    (transaction,) = engine.describe_transactions()
    bounds = invoices.bounds()
    stable = f"{bounds.stable} of {bounds.end} records stable"
    print(f"before the end: {stable}, {transaction.transactional_id} holds them back")
    (active,) = invoices.producers()
    print(f"its last batch: up to sequence {active.last_sequence}, from offset {active.transaction_start_offset} on")

    identity = engine.end_transaction(identity, "commit")
    bounds, offset = invoices.bounds(), engine.consumer(group=GROUP.group).committed(("orders", 0))
    stable = f"{bounds.stable} of {bounds.end} records stable"
    print(f"the end: {engine.transaction_status(transaction.number)}, {stable}, offset committed: {offset}")

    # A client that went away holds readers back, until somebody ends its transaction or it times out.
    invoices.append(batch(identity, b"invoice 8")).result()
    (transaction,) = engine.describe_transactions()
    engine.abort_transaction(transaction.number)
    try:
        invoices.append(batch(identity, b"invoice 8")).result()
    except oncelog.StaleEpochError as error:
        status = engine.transaction_status(transaction.number)
        print(f"left behind: {status}, its owner hears {error.name}")
