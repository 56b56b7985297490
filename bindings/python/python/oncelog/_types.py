"""What calls take and answer besides handles: plain tuples with names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, get_type_hints
from uuid import UUID

from . import _oncelog
from ._errors import Error
from ._oncelog import Appended, Ticket


class TopicPartition(NamedTuple):
    """A partition by its name: topic and number. Any pair of the two is as good."""

    topic: str
    """The topic's name."""
    partition: int
    """The partition's number in the topic, from 0."""


class OffsetAndMetadata(NamedTuple):
    """A committed position: the offset to read next, and what the caller stores with it."""

    offset: int
    """The offset to read next."""
    metadata: str = ""
    """Free text, at most 4,096 characters, counted in UTF-16 as Kafka counts them."""
    leader_epoch: int = -1
    """The leader epoch of the last record read, if the caller keeps one."""


class OffsetAndTimestamp(NamedTuple):
    """A record's offset and its time."""

    offset: int
    """The record's offset."""
    timestamp: int
    """Its timestamp, milliseconds since 1970."""


class Place(NamedTuple):
    """Where a reader stands: behind the records below an offset, as one life of the log showed them. Good for as long
    as the frame that holds the last of them is kept; `Partition.read` raises TruncatedError if a crash took it.

    >>> engine = oncelog.open("places.log", durability="os")
    >>> engine.create_topic("events")
    >>> engine.producer().send("events", b"one").result().offset
    0
    >>> place = engine.partition("events", 0).read(0).next_place("events", 0)
    >>> kept = tuple(place)                 # kept somewhere by the reader: three whole numbers
    >>> engine.close()
    >>> engine = oncelog.open("places.log")
    >>> engine.partition("events", 0).read(oncelog.Place(*kept)).values()
    []
    >>> engine.close()
    """

    incarnation: int
    """The life of the log that showed them."""
    lsn: int
    """The frame that holds the last of them, or one that was no less safe; 0 for none."""
    offset: int
    """The offset to read next."""


class Identity(NamedTuple):
    """A raw producer's identity, as in Kafka; issued by `Engine.init_producer` and `Engine.end_transaction`."""

    producer_id: int
    """The producer id."""
    epoch: int
    """The producer epoch; an older one is fenced."""


class BatchHeader(NamedTuple):
    """The fields of a batch before its records, as Kafka's record batches of format 2 have them. `count` is a field
    here, not the method of tuples."""

    base_offset: int
    """Offset of the first record as the batch was first written: 0 in one that is not in a log."""
    last_offset: int
    """Offset of the last record, counted likewise."""
    count: int  # type: ignore[assignment]
    """Records in the batch."""
    producer: Identity | None
    """Whose batch it is; `None` for nobody's."""
    base_sequence: int | None
    """Sequence number of the first record; `None` for none."""
    last_sequence: int | None
    """Sequence number of the last record: behind 2^31 - 1 comes 0. `None` without sequence numbers."""
    base_timestamp: int
    """What the records' timestamps are kept relative to, milliseconds since 1970; -1 for none."""
    max_timestamp: int
    """The greatest timestamp of the records, or the time of the append; -1 for none."""
    timestamp_type: str
    """Whose time the records carry: "create", the sender's, or "append", the log's."""
    compression: str
    """How the records are packed: "none", "gzip", "snappy", "lz4" or "zstd"."""
    transactional: bool
    """True if the batch belongs to a transaction."""
    control: bool
    """True if the records are no data but markers."""
    delete_horizon: bool
    """True if the base timestamp says when records that delete their key may go."""
    leader_epoch: int
    """The partition's leader epoch at the append; -1 for unknown."""
    size: int
    """Bytes of the whole batch."""
    magic: int
    """The format's number, 2."""
    attributes: int
    """The bits that compression, timestamp type and the three words behind them are read from."""
    crc: int
    """Checksum of what lies behind it."""


class BatchRecord(NamedTuple):
    """A record of a `Batch`."""

    offset: int
    """Its offset, counted from 0 in a batch that is not in a log."""
    timestamp: int
    """Milliseconds since 1970, -1 for none."""
    value: bytes | None
    """The value; `None` marks the key as deleted."""
    key: bytes | None
    """The key; `None` and empty are different things."""
    headers: tuple[tuple[str, bytes | None], ...]
    """Pairs of name and value in order, as `Record.headers`."""


class Bounds(NamedTuple):
    """The ends of a partition, as readers see them now."""

    start: int
    """The first offset that can be read."""
    stable: int
    """The last stable offset: read_committed sees what lies below."""
    end: int
    """The offset that the next visible record will have."""


class TopicInfo(NamedTuple):
    """A topic as it stands."""

    name: str
    """The name."""
    id: UUID
    """A topic created again under the same name gets another."""
    partitions: int
    """Number of partitions."""
    durability: str | None
    """The topic's own level, if it has one."""
    timestamp_type: str
    """Whose time its records carry: "create", the sender's, or "append", the log's."""


class GroupMetadata(NamedTuple):
    """Names the group whose offsets a transaction commits."""

    group: str
    """The group's name."""


class Committed(NamedTuple):
    """What a committed transaction left."""

    number: int
    """The transaction's number."""
    lsn: int
    """The frame that holds the transaction; 0 for one that was empty and wrote nothing."""
    incarnation: int
    """The life of the log that answered."""


class SentMany(NamedTuple):
    """How far `Producer.try_send_many` came."""

    sent: int
    """How many of the records were sent: the first ones. What a named producer is refused counts among them as long as
    that may not be told yet: the ticket tells it."""
    ticket: Ticket[list[Appended]]
    """The answers of those."""
    refused: Error | None
    """Why the next one was refused; `None` if all are sent, or it would have had to wait."""


class OpenTransaction(NamedTuple):
    """A transaction that is open and has something in the log: it holds the last stable offset of its partitions back.
    """

    number: int
    """Its number."""
    transactional_id: str
    """Whose it is."""
    identity: Identity
    """The producer id and epoch of its batches."""
    since: int
    """When its first batch or offset came to the log, wall clock, milliseconds since 1970."""
    timeout: float | None
    """Seconds that it may stay open, counted anew from each opening; `None` for ever."""
    raw: bool
    """True if its owner sends raw batches; False if it belongs to a `TransactionalProducer`."""
    partitions: dict[TopicPartition, int]
    """The partitions that hold records of it, with the offset of the first: the stable offset there is no greater."""


class ActiveProducer(NamedTuple):
    """A producer that is active in a partition: what Kafka's DescribeProducers (KIP-664) tells of one. There are no
    markers here, so a coordinator epoch has no meaning and is left out, and the end of a transaction changes nothing of
    what its last batch left."""

    identity: Identity
    """The producer id, and the epoch of its last batch in this partition."""
    last_sequence: int | None
    """Sequence of the last record of that batch; `None` for a `TransactionalProducer`, whose batches have no sequence.
    """
    last_timestamp: int | None
    """The greatest timestamp of that batch, milliseconds since 1970, as its sender gave it, or the time of the append
    where the topic has that; `None` if it has none, and for a `TransactionalProducer`."""
    transaction_start_offset: int | None
    """Offset of the first record here of the transaction that it has open; `None` if it has none open here."""


class Lost(NamedTuple):
    """A torn tail that was cut. Nothing in it had been acknowledged at level "disk"."""

    last_kept: int
    """The last frame that was kept."""
    last_seen: int
    """The last frame that could still be made out behind it; equal if none could."""
    bytes: int
    """Bytes cut."""


class Damage(NamedTuple):
    """Durable frames that are damaged on disk."""

    first_lsn: int
    """First frame lost."""
    last_lsn: int
    """Last frame lost."""
    file: str
    """The file."""
    position: int
    """The byte where the damage was met."""
    records_only: bool
    """Only records are lost, no decision: appends go on."""


class Verification(NamedTuple):
    """What reading a log through found."""

    segments: int
    """Segments read."""
    frames: int
    """Frames in them that are whole."""
    bytes: int
    """Their bytes."""
    damage: Sequence[Damage]
    """Durable frames that are damaged."""


class Opening(NamedTuple):
    """What opening a log found and did. Nothing is cut or lost without a word here."""

    created: bool
    """The log was made by this open."""
    incarnation: int
    """The life that this open began; 0 if it was opened for reading."""
    frames_copied: int
    """Frames that were not known durable and were copied, so that they are now."""
    cut: Lost | None
    """What was cut off the end because it was never finished, or never known durable and damaged."""
    damage: Sequence[Damage]
    """Durable frames that are damaged."""
    loading: float
    """Time it took to read the newest checkpoint and build the state from it, seconds."""
    folding: float
    """Time it took to read and fold the frames behind that checkpoint, seconds."""
    frames_folded: int
    """Those frames; a handful of its own after a clean close."""
    bytes_folded: int
    """Their bytes."""


class Histogram(NamedTuple):
    """How often values fell into each of a few ranges. `count` is a field here, not the method of tuples.

    >>> histogram = oncelog.Histogram(count=10, sum=77, bounds=(1, 2, 4, 8), counts=(5, 0, 0, 4, 1))
    >>> histogram.quantile(0.5), histogram.quantile(0.9), histogram.quantile(1)
    (1, 8, None)
    """

    count: int  # type: ignore[assignment]
    """How many values there were."""
    sum: int
    """Their sum."""
    bounds: tuple[int, ...]
    """The greatest value of each bucket, growing."""
    counts: tuple[int, ...]
    """How many values fell into each bucket; one more than there are bounds, for what lies above all of them."""

    def quantile(self, q: float) -> int | None:
        """The bound of the bucket in which the share `q` of the values, from 0 to 1, is reached: no more than this
        share of them was greater. `None` if there were none, or if it lies above all bounds. A share beyond 0 or 1 is
        taken as that one, and what is no number as 0."""
        return _oncelog.quantile(self.bounds, self.counts, q)


class ConsumerLag(NamedTuple):
    """How far a group is behind in a partition, by the position of its open consumer."""

    group: str
    """The group."""
    topic: str
    """The topic."""
    partition: int
    """The partition's number in the topic."""
    position: int
    """The offset to read next. Of several consumers in one group, the least."""
    lag: int
    """Records between the position and the end that the consumer sees."""


class Metrics(NamedTuple):
    """How an open log stands and what it has done. Counts begin with 0 at each open and only grow."""

    appends: int
    """Batches written, those of transactions included."""
    records: int
    """Records written."""
    bytes: int
    """Bytes of all frames written: batches and what the log keeps about them."""
    duplicates: int
    """Appends and sends that were there already, so that nothing was written."""
    fenced: int
    """Calls refused because a newer holder of their name or producer id had taken over."""
    transactions_committed: int
    """Transactions committed."""
    transactions_aborted: int
    """Transactions aborted, by their owner or by what befell them."""
    transactions_open: int
    """Transactions open now."""
    group_frames: Histogram
    """Frames of each group that was written: how many appends share a write."""
    flush_nanos: Histogram
    """How long each flush to the device took, nanoseconds."""
    late_rolls: int
    """Rolls to the next segment that had to wait for it."""
    checkpoints: int
    """Checkpoints completed."""
    segments: int
    """Segment files now."""
    disk_used: int
    """Bytes that the segment files hold on the disk, with the room ahead of the frames."""
    disk_live: int
    """Bytes of it that are frames. Frames of deleted topics count too: nothing is cleaned away in this version."""
    poisoned: bool
    """A write or flush has failed: nothing is written until the log is opened again."""
    lags: tuple[ConsumerLag, ...]
    """How far the groups of open consumers are behind, where they have a position."""


for _public in [value for value in globals().values() if isinstance(value, type) and value.__module__ == __name__]:
    # Whoever looks for the names in them looks in that module, which has fewer.
    _public.__annotations__ = get_type_hints(_public)
    # Where it is looked for: a private path would be a promise to whoever keeps it pickled.
    _public.__module__ = "oncelog"
