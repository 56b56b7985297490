"""What can go wrong: one root, and a class for each kind that a program may want to tell apart."""

from __future__ import annotations

import sys
from collections.abc import Callable
from inspect import get_annotations
from typing import ClassVar

from ._oncelog import kind_of_kafka_code


class Error(Exception):
    """The root of every error that the log answers.

    A kind that this version of the package has no class for is raised as the nearest parent, so catch parents.

    >>> import oncelog
    >>> try:
    ...     oncelog.open("missing.log", create=False)
    ... except oncelog.Error as error:
    ...     print(error.name, error.code, error.retriable, error.fatal, error.requires_abort)
    InvalidArgument 1 False False False
    """

    code: int = 0
    """The kind's number, the same in every language and never used again for another; 0 for a class by itself."""
    name: str = ""
    """The kind's name, the same in every language."""
    kafka_code: int = 0
    """The code by which a Kafka broker would tell its clients the same; 0 for a class by itself."""
    retriable: bool = False
    """True if the same call may succeed later without any change."""
    fatal: bool = False
    """True if this handle is finished: close it and open a new one."""
    requires_abort: bool = False
    """True if the transaction this came from can only be aborted and run again."""

    KIND: ClassVar[str | None] = None

    @staticmethod
    def from_kafka_code(code: int) -> type[Error] | None:
        """The class that says what a code of Kafka's protocol says; `None` for 0, which is no error.

        For programs that were written against a broker's answers. Codes that speak of what only a cluster has are
        `BusyError` where Kafka's clients try again, else `InternalError`; so are codes that came after this version.

        >>> import oncelog
        >>> oncelog.Error.from_kafka_code(90)
        <class 'oncelog.ProducerFencedError'>
        """
        name = kind_of_kafka_code(code)
        return None if name is None else _CLASSES.get(name, Error)

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), self.args, self.__dict__)


class ArgumentError(Error, ValueError):
    """An argument is out of range or malformed; nothing happened."""

    KIND = "InvalidArgument"


class InvalidRecordError(ArgumentError):
    """A record or batch is malformed."""

    KIND = "InvalidRecord"


class RecordTooLargeError(ArgumentError):
    """A record or batch is larger than the topic takes."""

    KIND = "RecordTooLarge"


class LimitExceededError(ArgumentError):
    """A bound of the log was reached."""

    KIND = "LimitExceeded"


class StateError(Error):
    """The call does not fit what the handle is doing."""

    KIND = "InvalidState"


class ClosedError(StateError):
    """The engine or the handle was closed."""

    KIND = "Closed"


class ForkedError(StateError):
    """The process forked after the open; the child must open the log itself."""

    KIND = "Forked"


class LockedError(StateError):
    """Another process, or this one, has the directory open for writing."""

    KIND = "Locked"


class ReadOnlyError(StateError):
    """The log was opened for reading."""

    KIND = "ReadOnly"


class BusyError(StateError):
    """Somebody else is using this handle right now."""

    KIND = "Busy"


class TimedOutError(Error, TimeoutError):
    """The time given ran out; the outcome is not known yet, ask again."""

    KIND = "TimedOut"


class StorageError(Error):
    """The operating system failed a read or an open; the call may be repeated."""

    KIND = "Io"


class FullError(StorageError):
    """The disk is full; nothing was written."""

    KIND = "Full"


class PoisonedError(StorageError):
    """A write or flush failed earlier: nothing more is written until the log is opened again."""

    KIND = "Poisoned"


class IndeterminateError(StorageError):
    """A write or flush failed under this call: it may be there or not; opening again decides."""

    KIND = "Indeterminate"


class CorruptError(StorageError):
    """Bytes on disk are not what was written."""

    KIND = "Corrupt"


class UnsupportedVersionError(StorageError):
    """The directory was written by a newer version, or a codec is asked for that this build leaves out."""

    KIND = "UnsupportedVersion"


class TopicExistsError(Error):
    """A topic of that name exists."""

    KIND = "TopicExists"


class UnknownTopicOrPartitionError(Error):
    """No such topic or partition."""

    KIND = "UnknownTopicOrPartition"


class OffsetOutOfRangeError(Error):
    """The offset lies outside the partition."""

    KIND = "OffsetOutOfRange"


class TruncatedError(OffsetOutOfRangeError):
    """The position was cut away by a recovery."""

    KIND = "Truncated"


class GroupError(Error):
    """A consumer group cannot do this."""


class UnknownGroupError(GroupError):
    """No such group."""

    KIND = "UnknownGroup"


class GroupNotEmptyError(GroupError):
    """The group has members."""

    KIND = "GroupNotEmpty"


class RebalancingError(GroupError):
    """The group is rebalancing."""

    KIND = "Rebalancing"


class StaleGroupMemberError(GroupError):
    """The group member was replaced."""

    KIND = "StaleGroupMember"


class ProducerError(Error):
    """A producer's identity does not fit what the log knows of it."""


class OutOfOrderSequenceError(ProducerError):
    """A sequence number does not follow the last one."""

    KIND = "OutOfOrderSequence"


class UnknownProducerError(ProducerError):
    """The engine never issued this producer id, or has forgotten it."""

    KIND = "UnknownProducer"


class ProducerFencedError(ProducerError):
    """A newer holder of this name took over."""

    KIND = "ProducerFenced"


class StaleEpochError(ProducerError):
    """The producer epoch of a raw batch is older than the partition's."""

    KIND = "StaleEpoch"


class UnknownTransactionalIdError(ProducerError):
    """No such transactional id or named producer."""

    KIND = "UnknownTransactionalId"


class TransactionError(Error):
    """A transaction cannot do this."""


class InvalidTransactionStateError(TransactionError):
    """The transaction cannot do this in its state."""

    KIND = "InvalidTransactionState"


class TransactionAbortedError(TransactionError):
    """The transaction was aborted; run it again."""

    KIND = "TransactionAborted"


class TransactionTimedOutError(TransactionError):
    """The transaction was open too long and was aborted."""

    KIND = "TransactionTimedOut"


class UnstableOffsetsError(TransactionError):
    """Offsets of an open transaction are pending."""

    KIND = "UnstableOffsets"


class InternalError(Error):
    """A bug in oncelog."""

    KIND = "Internal"


class PanicError(InternalError):
    """A panic was caught: a bug in oncelog."""

    KIND = "Panic"


def _tree(root: type[Error]) -> dict[str, type[Error]]:
    found = {} if root.KIND is None else {root.KIND: root}
    for child in root.__subclasses__():
        found |= _tree(child)
    return found


# Taken once: classes that an application derives are never raised from here.
_CLASSES = _tree(Error)

for _public in [value for value in globals().values() if isinstance(value, type) and issubclass(value, Error)]:
    # Whoever looks for the names in them looks in that module, which has fewer.
    _public.__annotations__ = get_annotations(_public, eval_str=True)
    # Where it is looked for: a private path would be a promise to whoever keeps it pickled.
    _public.__module__ = "oncelog"


def _make(
    kind: tuple[int, str, int],
    message: str,
    questions: tuple[bool, bool, bool],
    errno: int | None,
    cause: str | None,
    # Kept here: at the interpreter's end the module's own names are gone before the last finalizers run.
    classes: dict[str, type[Error]] = _CLASSES,
    root: type[Error] = Error,
    windows: bool = sys.platform == "win32",
    handled: Callable[[], BaseException | None] = sys.exception,
) -> Error:
    """The exception for an error of the engine; called from it."""
    code, name, kafka_code = kind
    error = classes.get(name, root)(message)
    error.code, error.name, error.kafka_code = code, name, kafka_code
    error.retriable, error.fatal, error.requires_abort = questions
    # As `raise` would: what is on its way is told beside it, as what the body of a block raised.
    error.__context__ = handled()
    if cause is not None:
        if errno is None:
            error.__cause__ = OSError(cause)
        elif windows:
            # The number is the system's own there, from which Python finds its errno.
            error.__cause__ = OSError(0, cause, None, errno)
        else:
            error.__cause__ = OSError(errno, cause)
    return error
