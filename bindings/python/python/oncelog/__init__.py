"""oncelog: an embedded log with Kafka's delivery semantics.

One directory, one library, no server: topics and partitions of records, producers that never write a record twice,
transactions over many topics together with the offsets of their input, consumers that see committed data only.

>>> import oncelog
>>> engine = oncelog.open("words.log")          # a directory, made if it is missing
>>> engine.create_topic("words")
>>> engine.create_topic("shouts")
>>> producer = engine.producer()
>>> producer.send("words", b"hello").result().offset
0

Read, transform, write: the output and the position in the input are committed as one, or not at all.

>>> consumer = engine.consumer("words", group="shouter")
>>> shouter = engine.transactional_producer("shouter")
>>> with shouter.begin_transaction_for(consumer) as transaction:
...     for record in consumer.poll(timeout=1):
...         transaction.send("shouts", record.value.upper())
>>> engine.partition("shouts", 0).bounds().end
1
>>> engine.close()

Caveats first:

- What a `Ticket` has not answered may be lost in a power cut. `result()`, `await`, `flush()` and `commit()` wait.
- One process writes a directory at a time. A child made by fork must open the log itself; every handle that it
  inherited answers `ForkedError`.
- Records keep the memory of the whole read they came from. Keep `record.value`, which is a copy, not the record.
- Calls that wait give the interpreter lock up and hear Ctrl-C, but for the one that writes, flushes or makes a file
  itself, and for `close`. An interrupted wait takes nothing back.
- The main interpreter alone loads this package: a subinterpreter, as mod_wsgi makes them, gets ImportError.
"""

import logging

from . import limits
from ._errors import (
    ArgumentError,
    BusyError,
    ClosedError,
    CorruptError,
    Error,
    ForkedError,
    FullError,
    GroupError,
    GroupNotEmptyError,
    IndeterminateError,
    InternalError,
    InvalidRecordError,
    InvalidTransactionStateError,
    LimitExceededError,
    LockedError,
    OffsetOutOfRangeError,
    OutOfOrderSequenceError,
    PanicError,
    PoisonedError,
    ProducerError,
    ProducerFencedError,
    ReadOnlyError,
    RebalancingError,
    RecordTooLargeError,
    StaleEpochError,
    StaleGroupMemberError,
    StateError,
    StorageError,
    TimedOutError,
    TopicExistsError,
    TransactionAbortedError,
    TransactionError,
    TransactionTimedOutError,
    TruncatedError,
    UnknownGroupError,
    UnknownProducerError,
    UnknownTopicOrPartitionError,
    UnknownTransactionalIdError,
    UnstableOffsetsError,
    UnsupportedVersionError,
)
from ._oncelog import (
    Appended,
    Batch,
    Columns,
    Consumer,
    Engine,
    Partition,
    Producer,
    Record,
    Records,
    RecordsIterator,
    Ticket,
    Transaction,
    TransactionalProducer,
    compression_is_available,
    open,
)
from ._oncelog import VERSION as __version__
from ._types import (
    ActiveProducer,
    BatchHeader,
    BatchRecord,
    Bounds,
    Committed,
    ConsumerLag,
    Damage,
    GroupMetadata,
    Histogram,
    Identity,
    Lost,
    Metrics,
    OffsetAndMetadata,
    OffsetAndTimestamp,
    OpenTransaction,
    Opening,
    Place,
    SentMany,
    TopicInfo,
    TopicPartition,
    Verification,
)

# Silent unless the application sets logging up.
logging.getLogger("oncelog").addHandler(logging.NullHandler())

__all__ = [
    "ActiveProducer",
    "Appended",
    "ArgumentError",
    "Batch",
    "BatchHeader",
    "BatchRecord",
    "Bounds",
    "BusyError",
    "ClosedError",
    "Columns",
    "Committed",
    "Consumer",
    "ConsumerLag",
    "CorruptError",
    "Damage",
    "Engine",
    "Error",
    "ForkedError",
    "FullError",
    "GroupError",
    "GroupMetadata",
    "GroupNotEmptyError",
    "Histogram",
    "Identity",
    "IndeterminateError",
    "InternalError",
    "InvalidRecordError",
    "InvalidTransactionStateError",
    "LimitExceededError",
    "LockedError",
    "Lost",
    "Metrics",
    "OffsetAndMetadata",
    "OffsetAndTimestamp",
    "OffsetOutOfRangeError",
    "OpenTransaction",
    "Opening",
    "OutOfOrderSequenceError",
    "PanicError",
    "Partition",
    "Place",
    "PoisonedError",
    "Producer",
    "ProducerError",
    "ProducerFencedError",
    "ReadOnlyError",
    "RebalancingError",
    "Record",
    "RecordTooLargeError",
    "Records",
    "RecordsIterator",
    "SentMany",
    "StaleEpochError",
    "StaleGroupMemberError",
    "StateError",
    "StorageError",
    "Ticket",
    "TimedOutError",
    "TopicExistsError",
    "TopicInfo",
    "TopicPartition",
    "Transaction",
    "TransactionAbortedError",
    "TransactionError",
    "TransactionTimedOutError",
    "TransactionalProducer",
    "TruncatedError",
    "UnknownGroupError",
    "UnknownProducerError",
    "UnknownTopicOrPartitionError",
    "UnknownTransactionalIdError",
    "UnstableOffsetsError",
    "UnsupportedVersionError",
    "Verification",
    "__version__",
    "compression_is_available",
    "limits",
    "open",
]
