"""The bounds that a caller meets, as the engine has them. What lies past one raises LimitExceededError,
RecordTooLargeError or ArgumentError. Bytes, numbers of things, and, where it says so, seconds.

>>> from oncelog import limits
>>> engine = oncelog.open("long.log")
>>> engine.create_topic("t" * limits.TOPIC_NAME_MAX)
>>> engine.create_topic("t" * (limits.TOPIC_NAME_MAX + 1))
Traceback (most recent call last):
    ...
oncelog.ArgumentError: ...
>>> engine.close()
"""

from typing import Final

from ._oncelog import LIMITS as _LIMITS

TOPIC_NAME_MAX: Final[int] = _LIMITS["TOPIC_NAME_MAX"]
"""Longest topic name, bytes."""
NAME_MAX: Final[int] = _LIMITS["NAME_MAX"]
"""Longest group name, producer name or transactional id, bytes."""
OFFSET_METADATA_MAX: Final[int] = _LIMITS["OFFSET_METADATA_MAX"]
"""Longest metadata stored with an offset, characters as UTF-16 counts them."""
TOPIC_PARTITIONS_MAX: Final[int] = _LIMITS["TOPIC_PARTITIONS_MAX"]
"""Most partitions one topic may have."""
PARTITIONS_MAX: Final[int] = _LIMITS["PARTITIONS_MAX"]
"""Most partitions a log may have, deleted ones not counted."""
OFFSET_MAX: Final[int] = _LIMITS["OFFSET_MAX"]
"""Greatest offset."""
BATCH_MAX: Final[int] = _LIMITS["BATCH_MAX"]
"""Largest batch, bytes, header included: a record fits in one of its own."""
UNPACKED_MAX: Final[int] = _LIMITS["UNPACKED_MAX"]
"""Most bytes that the records of one compressed batch may unpack to."""
FRAME_MAX: Final[int] = _LIMITS["FRAME_MAX"]
"""Largest frame, bytes."""
SEGMENT_MIN: Final[int] = _LIMITS["SEGMENT_MIN"]
"""Smallest `segment_bytes` of `oncelog.open`."""
SEGMENT_DEFAULT: Final[int] = _LIMITS["SEGMENT_DEFAULT"]
"""What `segment_bytes` is without the option."""
SEGMENT_OPTION_MAX: Final[int] = _LIMITS["SEGMENT_OPTION_MAX"]
"""Largest `segment_bytes`."""
PRODUCER_MEMORY: Final[int] = _LIMITS["PRODUCER_MEMORY"]
"""Bytes that a producer without a name gathers before it closes its oldest batches."""
TRANSACTION_BUFFER: Final[int] = _LIMITS["TRANSACTION_BUFFER"]
"""What `transaction_buffer` is without the option, bytes; also what a named producer gathers."""
TRANSACTION_BUFFER_MAX: Final[int] = _LIMITS["TRANSACTION_BUFFER_MAX"]
"""Largest `transaction_buffer`."""
TRANSACTION_MEMORY: Final[int] = _LIMITS["TRANSACTION_MEMORY"]
"""What `transaction_memory` of `oncelog.open` is without the option: bytes of all open transactions' buffers."""
TRANSACTION_PARTITIONS: Final[int] = _LIMITS["TRANSACTION_PARTITIONS"]
"""Partitions that a transaction may reach with batches that lie in the log before its decision."""
TRANSACTION_OFFSETS: Final[int] = _LIMITS["TRANSACTION_OFFSETS"]
"""Offsets that a raw transaction may have pending."""
OPEN_TRANSACTIONS: Final[int] = _LIMITS["OPEN_TRANSACTIONS"]
"""Transactions that may be open with something in the log."""
TRANSACTION_TIMEOUT: Final[float] = _LIMITS["TRANSACTION_TIMEOUT"]
"""What `transaction_timeout` is without the option, seconds."""
TRANSACTION_TIMEOUT_MAX: Final[float] = _LIMITS["TRANSACTION_TIMEOUT_MAX"]
"""What `transaction_timeout_max` of `oncelog.open` is without the option, seconds."""
