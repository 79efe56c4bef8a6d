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

    /// Gives back what a flood made large, as far as no value lives above. Ids stay good.
    pub(crate) fn give_back(&mut self) {
        if is_oversized(self.slots.len(), self.slots.capacity()) {
            self.slots.shrink_to_fit();
        }
    }

    /// Every id and value, by slot.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, &T)> {
        self.slots
            .iter()
            .map(|(slot, (serial, value))| (u64::from(*serial) << 32 | slot as u64, value))
    }
}

/// Whether a table is so much too large that moving what is in it pays.
pub(crate) fn is_oversized(len: usize, capacity: usize) -> bool {
    capacity > 2_048 && len < capacity / 8
}

fn slot(id: u64) -> usize {
    (id & 0xffff_ffff) as usize
}

fn serial_of(id: u64) -> u32 {
    (id >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_table_shrinks_and_forgets_nobody() {
        let mut arena = Arena::new();
        let ids: Vec<u64> = (0..20_000).map(|n| arena.insert(n)).collect();
        for id in ids.iter().skip(100) {
            arena.remove(*id);
        }
        arena.give_back();
        assert!(arena.slots.capacity() < 200, "{}", arena.slots.capacity());
        for (id, n) in ids.iter().zip(0..20_000) {
            assert_eq!(arena.get(*id), (n < 100).then_some(&n));
        }
        // A slot that is given anew has another id.
        let fresh = arena.insert(7);
        assert!(!ids.contains(&fresh));
    }

    #[test]
    fn a_table_in_use_stays_as_it_is() {
        let mut arena = Arena::new();
        let ids: Vec<u64> = (0..10_000).map(|n| arena.insert(n)).collect();
        for id in ids.iter().skip(2_500) {
            arena.remove(*id);
        }
        let before = arena.slots.capacity();
        arena.give_back();
        assert_eq!(arena.slots.capacity(), before);
    }
}
