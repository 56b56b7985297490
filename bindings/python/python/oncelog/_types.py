"""What calls take and answer besides handles: plain tuples with names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


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
    """Free text, at most 4096 bytes."""
    leader_epoch: int = -1
    """The leader epoch of the last record read, if the caller keeps one."""


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
    id: bytes
    """16 bytes; a topic created again under the same name gets another."""
    partitions: int
    """Number of partitions."""
    durability: str | None
    """The topic's own level, if it has one."""


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


class Counters(NamedTuple):
    """What the journal has done since the log was opened."""

    groups_written: int
    """Groups of frames written, each by one call or few."""
    flushes: int
    """Flushes to the device."""
    late_rolls: int
    """Rolls to the next segment that had to wait."""
    checkpoints: int
    """Checkpoints completed."""
