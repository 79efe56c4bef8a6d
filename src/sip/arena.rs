//! A slab whose ids are never given twice: a serial number above, the slot below.

use slab::Slab;

/// Values by id. A stale id finds nothing.
pub(crate) struct Arena<T> {
    slots: Slab<(u32, T)>,
    serial: u32,
}

impl<T> Arena<T> {
    pub(crate) fn new() -> Arena<T> {
        Arena {
            slots: Slab::new(),
            serial: 0,
        }
    }

    /// An id returns only after 2³² insertions, and then only in the same slot.
    pub(crate) fn insert(&mut self, value: T) -> u64 {
        self.serial = self.serial.wrapping_add(1);
        let slot = self.slots.insert((self.serial, value));
        u64::from(self.serial) << 32 | slot as u64 & 0xffff_ffff
    }

    pub(crate) fn get(&self, id: u64) -> Option<&T> {
        self.slots
            .get(slot(id))
            .filter(|(serial, _)| *serial == serial_of(id))
            .map(|(_, value)| value)
    }

    pub(crate) fn get_mut(&mut self, id: u64) -> Option<&mut T> {
        self.slots
            .get_mut(slot(id))
            .filter(|(serial, _)| *serial == serial_of(id))
            .map(|(_, value)| value)
    }

    pub(crate) fn remove(&mut self, id: u64) -> Option<T> {
        self.get(id)?;
        self.slots.try_remove(slot(id)).map(|(_, value)| value)
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Every id and value, by slot.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, &T)> {
        self.slots
            .iter()
            .map(|(slot, (serial, value))| (u64::from(*serial) << 32 | slot as u64, value))
    }
}

fn slot(id: u64) -> usize {
    (id & 0xffff_ffff) as usize
}

fn serial_of(id: u64) -> u32 {
    (id >> 32) as u32
}
