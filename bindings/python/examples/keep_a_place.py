"""A reader that keeps its place elsewhere: it reads on after a restart, and would hear of records that a crash took."""

import json
import tempfile
from pathlib import Path

import oncelog

HOUR = 3_600_000


def read_on(engine: oncelog.Engine, file: Path) -> None:
    """Reads what is new, and keeps the place behind it with what was made of the records."""
    place = oncelog.Place(*json.loads(file.read_text())) if file.exists() else None
    begin = 0 if place is None else place.offset
    # TruncatedError here: a crash took records that the reader has seen. It goes back to what it knows to be there.
    records = engine.partition("sky", 0).read(0 if place is None else place)
    print(f"read on from offset {begin}: {text(records)}")
    file.write_text(json.dumps(records.next_place("sky", 0)))


def text(records: oncelog.Records) -> str:
    return ", ".join((value or b"").decode() for value in records.values())


with tempfile.TemporaryDirectory() as directory:
    file = Path(directory, "place.json")
    with oncelog.open(Path(directory, "log"), durability="os") as engine:
        engine.create_topic("sky")
        engine.producer().send_many("sky", [b"sunrise", b"noon"], timestamps_ms=[6 * HOUR, 12 * HOUR]).result()
        read_on(engine, file)

    with oncelog.open(Path(directory, "log"), durability="os") as engine:
        engine.producer().send("sky", b"sunset", timestamp_ms=20 * HOUR).result()
        read_on(engine, file)

        sky = engine.partition("sky", 0)
        late, latest = sky.offset_at(11 * HOUR), sky.max_timestamp()
        assert late is not None and latest is not None
        at = f"{latest.offset} at {latest.timestamp // HOUR}:00"
        print(f"from 11:00 on: {text(sky.read(late))}; the latest is {at}")
