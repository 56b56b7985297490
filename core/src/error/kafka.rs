//! Kinds and the codes of Kafka's protocol, both ways. The codes are those of Apache Kafka 4.3.1.

use super::ErrorKind;

impl ErrorKind {
    /// The code by which a Kafka broker would say the same to its clients: what a broker that embeds the log answers.
    /// Kinds that no Kafka client knows are UNKNOWN_SERVER_ERROR (-1).
    pub fn kafka_code(self) -> i16 {
        use ErrorKind::*;
        match self {
            OffsetOutOfRange | Truncated => 1,
            Corrupt => 2,
            UnknownTopicOrPartition => 3,
            TimedOut | Indeterminate => 7,
            RecordTooLarge => 10,
            StaleGroupMember => 22,
            Rebalancing => 27,
            UnsupportedVersion => 35,
            TopicExists => 36,
            InvalidArgument | LimitExceeded => 42,
            ReadOnly => 44,
            OutOfOrderSequence => 45,
            StaleEpoch => 47,
            InvalidState | InvalidTransactionState => 48,
            Busy => 51,
            Io | Full | Poisoned | Closed | Forked | Locked => 56,
            UnknownProducer => 59,
            GroupNotEmpty => 68,
            UnknownGroup => 69,
            InvalidRecord => 87,
            UnstableOffsets => 88,
            ProducerFenced => 90,
            UnknownTransactionalId => 105,
            TransactionAborted | TransactionTimedOut => 120,
            Internal | Panic => -1,
        }
    }

    /// The kind that says what a code of Kafka's protocol says: for programs that were written against a broker's
    /// answers. `None` for 0, which is no error.
    ///
    /// Codes that speak of what only a cluster has, its security, controllers, quotas, sessions, are `Busy` where
    /// Kafka's clients try again, else `Internal`. So are codes that came after this version, which Kafka's own
    /// clients take for UNKNOWN_SERVER_ERROR (-1).
    ///
    /// ```
    /// use oncelog::ErrorKind;
    /// assert_eq!(ErrorKind::from_kafka_code(90), Some(ErrorKind::ProducerFenced));
    /// assert_eq!(ErrorKind::from_kafka_code(0), None);
    /// ```
    pub fn from_kafka_code(code: i16) -> Option<ErrorKind> {
        use ErrorKind::*;
        Some(match code {
            0 => return None,
            // Offsets and bytes.
            1 | 99 | 109 => OffsetOutOfRange,
            2 => Corrupt,
            10 | 18 => RecordTooLarge,
            32 | 87 => InvalidRecord,
            // Storage.
            56 | 57 => Io,
            // Topics, by name or id. Kafka's clients try these again: a broker may not have heard of them yet.
            3 | 100 | 103 | 106 => UnknownTopicOrPartition,
            36 => TopicExists,
            // Requests. 12: metadata too large, 81: group full, 118: telemetry too large.
            4 | 17 | 21 | 23 | 24 | 26 | 28 | 37 | 38 | 39 | 40 | 42 | 50 | 112 | 128 => InvalidArgument,
            12 | 81 | 118 => LimitExceeded,
            // 33: SASL mechanism, 43: message format, 73: topic deletion, 76: compression, 115: endpoint type.
            33 | 35 | 43 | 73 | 76 | 115 => UnsupportedVersion,
            44 => ReadOnly,
            48 => InvalidTransactionState,
            121 => InvalidState,
            // Producers. 46: older than the batches kept; a repeated batch that is kept is no error.
            45 | 46 => OutOfOrderSequence,
            47 => StaleEpoch,
            49 | 59 => UnknownProducer,
            52 | 90 => ProducerFenced,
            105 => UnknownTransactionalId,
            120 => TransactionAborted,
            // Groups. 110, 113: of the newer protocol, 82, 111: static members.
            22 | 25 | 79 | 82 | 110 | 111 | 113 => StaleGroupMember,
            27 => Rebalancing,
            68 | 86 => GroupNotEmpty,
            69 => UnknownGroup,
            88 => UnstableOffsets,
            // The outcome is not known: the connection went, the replicas were too few.
            7 | 13 | 19 | 20 => TimedOut,
            // What passes by itself in a cluster: no leader, no coordinator, throttled, a session to open again.
            5 | 6 | 9 | 14 | 15 | 16 | 41 | 51 | 70 | 71 | 72 | 74 | 75 => Busy,
            78 | 80 | 83 | 84 | 89 | 122 | 123 | 133 => Busy,
            _ => Internal,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kafka_client_hears_codes_it_knows() {
        assert_eq!(ErrorKind::OutOfOrderSequence.kafka_code(), 45);
        assert_eq!(ErrorKind::ProducerFenced.kafka_code(), 90);
        assert!(ErrorKind::ALL.iter().all(|kind| (-1..=120).contains(&kind.kafka_code())));
    }
}
