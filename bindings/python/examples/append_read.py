"""The log itself: append a batch to a partition, read it back."""

import tempfile

import oncelog

with tempfile.TemporaryDirectory() as directory, oncelog.open(directory) as engine:
    engine.create_topic("greetings")
    partition = engine.partition("greetings", 0)

    batch = oncelog.Batch()
    batch.add(b"good morning", key=b"en")
    batch.add(b"guten Morgen", key=b"de")
    # The ticket is the promise: once waited for, the batch survives a power cut.
    appended = partition.append(batch).result()
    print(f"offsets {appended.first} to {appended.last}")

    for record in partition.read(appended.first):
        print(f"{record.offset}: {(record.value or b'').decode()}")
