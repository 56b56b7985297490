//! How far a consumer is behind, for the metrics.

use super::Reader;
use crate::engine::Lagging;
use crate::types::{Offset, TopicPartition};

impl Lagging for Reader {
    fn lags(&self, add: &mut dyn FnMut(&TopicPartition, Offset, u64)) {
        for assigned in &self.state.lock().assigned {
            if let Some(position) = assigned.position {
                let end = assigned.partition.visible(self.options.isolation);
                add(&assigned.name, position, end.saturating_sub(position));
            }
        }
    }

    fn group_name(&self) -> &str {
        self.options.group.as_deref().unwrap_or_default()
    }
}
