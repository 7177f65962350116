//! A set of things in numbered slots that are used again: constant time, and it can be walked over in slices while things
//! come and go.

/// The slots.
#[derive(Debug)]
pub struct Slots<T> {
    items: Vec<Option<T>>,
    free: Vec<usize>,
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Self { items: Vec::new(), free: Vec::new() }
    }
}

impl<T: Clone> Slots<T> {
    /// Puts an item into a slot; gives its number.
    pub fn insert(&mut self, item: T) -> usize {
        if let Some(slot) = self.free.pop()
            && let Some(place) = self.items.get_mut(slot)
        {
            *place = Some(item);
            return slot;
        }
        self.items.push(Some(item));
        self.items.len() - 1
    }

    /// Frees a slot.
    pub fn remove(&mut self, slot: usize) {
        if self.items.get_mut(slot).and_then(Option::take).is_some() {
            self.free.push(slot);
        }
    }

    /// Clones at most `count` items from slot `from` on; with the slot to go on from, `None` after the last.
    pub fn slice(&self, from: usize, count: usize) -> (Vec<T>, Option<usize>) {
        let rest = self.items.iter().enumerate().skip(from);
        let mut items = Vec::new();
        for (slot, item) in rest {
            if items.len() == count {
                return (items, Some(slot));
            }
            items.extend(item.clone());
        }
        (items, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_in_slices_meets_everything_that_stays() {
        let mut slots = Slots::default();
        let numbers: Vec<usize> = (0..10).map(|item| slots.insert(item)).collect();
        let (first, next) = slots.slice(0, 4);
        assert_eq!((first, next), (vec![0, 1, 2, 3], Some(4)));
        slots.remove(numbers[1]);
        slots.remove(numbers[5]);
        slots.remove(numbers[5]);
        assert_eq!(slots.slice(4, 3), (vec![4, 6, 7], Some(8)));
        assert_eq!(slots.slice(8, 3), (vec![8, 9], None));
        assert_eq!((slots.insert(50), slots.insert(10), slots.insert(11)), (5, 1, 10));
        assert_eq!(slots.slice(0, 100), (vec![0, 10, 2, 3, 4, 50, 6, 7, 8, 9, 11], None));
        assert_eq!(slots.slice(100, 1), (vec![], None));
    }
}
