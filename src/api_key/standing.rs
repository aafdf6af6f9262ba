//! Whether a key that was let in is still good.

use std::time::SystemTime;

use super::{Core, KeyRecord, Lookup};
use crate::standing::standing_until;
use crate::{Answer, Ending, Principal, Standing};

impl Core {
    /// Looks at the record as it is now; nothing for a principal that came without a key.
    pub(super) fn standing(&self, principal: &Principal) -> Option<Answer<Standing>> {
        let id = *principal.details::<KeyRecord>()?.id();
        let (superseded, now) = (principal.superseded(), self.rules.now());
        Some(self.store.find(&Lookup::Id(id)).map(move |found| match found {
            Ok(Some(record)) => standing_of(&record, superseded, now),
            Ok(None) => Standing::Ended(Ending::Denied),
            Err(_) => Standing::Unknown,
        }))
    }
}

fn standing_of(record: &KeyRecord, superseded: Option<SystemTime>, now: SystemTime) -> Standing {
    match record.fault(now) {
        Some("key_expired") => return Standing::Ended(Ending::Expired),
        Some(_) => return Standing::Ended(Ending::Denied),
        None => {}
    }
    match [record.expires_at(), superseded].into_iter().flatten().min() {
        Some(end) => standing_until(end, now),
        None => Standing::Good { left: None },
    }
}
