//! What a topic was created with beside its partitions and its level: options as pairs of texts, named as Kafka names
//! them. Only what is not at its default is written.

use super::bytes::{Put, Reader};
use crate::types::TimestampType;

const TIMESTAMP_TYPE: &str = "message.timestamp.type";
const CREATE_TIME: &str = "CreateTime";
const LOG_APPEND_TIME: &str = "LogAppendTime";

/// A topic's options.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct TopicConfig {
    pub timestamp_type: TimestampType,
}

impl TopicConfig {
    /// Reads pairs up to the end of the bytes. Names that are not known are stepped over; `None` for a value that is
    /// not known, because what it asks for cannot be done.
    pub fn read(from: &mut Reader<'_>) -> Option<Self> {
        let mut config = Self::default();
        while !from.rest().is_empty() {
            match (from.text()?, from.text()?) {
                (TIMESTAMP_TYPE, CREATE_TIME) => config.timestamp_type = TimestampType::CreateTime,
                (TIMESTAMP_TYPE, LOG_APPEND_TIME) => config.timestamp_type = TimestampType::LogAppendTime,
                (TIMESTAMP_TYPE, _) => return None,
                _ => {}
            }
        }
        Some(config)
    }

    /// Appends the pairs.
    pub fn write(&self, to: &mut Vec<u8>) {
        if self.timestamp_type == TimestampType::LogAppendTime {
            to.text(TIMESTAMP_TYPE).text(LOG_APPEND_TIME);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Option<TopicConfig> {
        let mut bytes = Vec::new();
        pairs.iter().for_each(|(name, value)| _ = bytes.text(name).text(value));
        TopicConfig::read(&mut Reader::new(&bytes))
    }

    #[test]
    fn options_come_back_and_defaults_take_no_byte() {
        for timestamp_type in [TimestampType::CreateTime, TimestampType::LogAppendTime] {
            let config = TopicConfig { timestamp_type };
            let mut bytes = Vec::new();
            config.write(&mut bytes);
            assert_eq!(bytes.is_empty(), config == TopicConfig::default());
            assert_eq!(TopicConfig::read(&mut Reader::new(&bytes)), Some(config));
            for end in 1..bytes.len() {
                assert_eq!(TopicConfig::read(&mut Reader::new(&bytes[..end])), None, "cut at {end}");
            }
        }
    }

    #[test]
    fn an_unknown_name_is_stepped_over_and_an_unknown_value_is_not() {
        let append_time = TopicConfig { timestamp_type: TimestampType::LogAppendTime };
        let pairs = [("colour", "red"), ("message.timestamp.type", "LogAppendTime"), ("", "")];
        assert_eq!(read(&pairs), Some(append_time));
        assert_eq!(read(&[("message.timestamp.type", "CreateTime")]), Some(TopicConfig::default()));
        assert_eq!(read(&[("message.timestamp.type", "Yesterday")]), None);
    }
}
