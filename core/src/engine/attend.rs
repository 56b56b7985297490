//! Who wants to be looked after when something has moved. Whatever thread moves it only asks for a look and rings; the
//! look, and what it calls, come on the keeper or in `drive`.

use std::sync::{Arc, Weak};

use super::Inner;
use super::hub::Hub;
use crate::io::sync::Mutex;
use crate::journal::Journal;

/// Something that looks for itself whether its time has come: a consumer with somebody waiting for it.
pub trait Attentive: Send + Sync {
    /// Looks, outside of all locks but that of the round.
    fn attend(&self);
}

/// Who is to look in the next round, and the bell.
pub struct Attention {
    journal: Arc<Journal<Hub>>,
    asked: Mutex<Vec<Weak<dyn Attentive>>>,
}

impl Attention {
    pub(super) fn new(journal: Arc<Journal<Hub>>) -> Arc<Attention> {
        Arc::new(Attention { journal, asked: Mutex::default() })
    }

    /// Has somebody look in the next round. May be called with any lock held: it takes one that is never held while
    /// anything runs.
    pub fn ask(&self, who: Weak<dyn Attentive>) {
        self.asked.lock().push(who);
        self.journal.ring();
    }
}

impl Inner {
    /// Where looks are asked for.
    pub fn attention(&self) -> &Arc<Attention> {
        &self.attention
    }

    /// Has everybody look who was asked to, and tells what was noted. What comes meanwhile is for the next
    /// round.
    pub fn attend(&self) {
        self.teller.tell_noted();
        let asked = std::mem::take(&mut *self.attention.asked.lock());
        asked.iter().filter_map(Weak::upgrade).for_each(|who| who.attend());
    }
}
