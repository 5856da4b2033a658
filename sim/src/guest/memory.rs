//! Guest memory: up to 64 pages that exist once they are written, and the log of those that were.
//!
//! The last eight bytes of a page count its writes, so that two states of a page never look alike by chance.

use crate::fingerprint::Fingerprint;
use colo_protocol::wire::PAGE_BYTES;

/// The content of a page.
pub(crate) type Page = [u8; PAGE_BYTES];

/// Where a page counts its writes.
const VERSION_AT: usize = PAGE_BYTES - 8;

/// The most pages: a bit of the dirty log each.
const MAX_PAGES: usize = 64;

/// Guest memory. A page that was never written is all zero.
#[derive(Clone, Debug)]
pub(crate) struct Memory {
    pages: Vec<Option<Box<Page>>>,
    dirty: u64,
    /// Pages as they were when keeping them began, of those that the guest has written since. None are kept where
    /// nothing is ever taken back.
    kept: Option<Vec<(usize, Option<Box<Page>>)>>,
}

impl Memory {
    pub(crate) fn new(pages: usize) -> Self {
        assert!(pages <= MAX_PAGES, "the dirty log has a bit for each of {MAX_PAGES} pages, not {pages}");
        Self { pages: vec![None; pages], dirty: 0, kept: None }
    }

    /// The number of pages.
    pub(crate) fn len(&self) -> usize {
        self.pages.len()
    }

    /// The number at this byte of this page.
    pub(crate) fn read(&self, page: usize, at: usize) -> u64 {
        self.pages[page].as_ref().map_or(0, |page| word(page, at))
    }

    /// Writes a number.
    pub(crate) fn write(&mut self, page: usize, at: usize, value: u64) {
        self.keep(page);
        self.dirty |= 1 << page;
        let page = self.pages[page].get_or_insert_with(|| Box::new([0; PAGE_BYTES]));
        let version = word(page, VERSION_AT).wrapping_add(1);
        page[at..at + 8].copy_from_slice(&value.to_le_bytes());
        page[VERSION_AT..].copy_from_slice(&version.to_le_bytes());
    }

    /// Fills a page, its last bytes too.
    pub(crate) fn fill(&mut self, page: usize, byte: u8) {
        self.keep(page);
        self.dirty |= 1 << page;
        self.pages[page].get_or_insert_with(|| Box::new([0; PAGE_BYTES])).fill(byte);
    }

    /// Puts a page that came from elsewhere.
    pub(crate) fn put(&mut self, index: usize, page: Box<Page>) {
        self.pages[index] = Some(page);
    }

    fn keep(&mut self, page: usize) {
        if let Some(kept) = &mut self.kept
            && kept.iter().all(|(index, _)| *index != page)
        {
            kept.push((page, self.pages[page].clone()));
        }
    }

    /// From here on, what the guest writes can be taken back: QEMU's RAM cache, by its other end.
    pub(crate) fn keep_pages(&mut self) {
        self.kept = Some(Vec::new());
    }

    /// What the guest writes is there to stay.
    pub(crate) fn keep_no_pages(&mut self) {
        self.kept = None;
    }

    /// What the guest has written since is taken back.
    pub(crate) fn take_back(&mut self) {
        for (index, page) in self.kept.iter_mut().flat_map(|kept| kept.drain(..)) {
            self.pages[index] = page;
        }
    }

    /// All pages there are count as written.
    pub(crate) fn mark_all_dirty(&mut self) {
        let exist = self.pages.iter().enumerate().filter(|(_, page)| page.is_some());
        self.dirty = exist.fold(0, |dirty, (index, _)| dirty | 1 << index);
    }

    /// The pages written since the last call, with their numbers; the log begins anew.
    pub(crate) fn take_dirty(&mut self) -> impl Iterator<Item = (usize, &Page)> {
        let dirty = std::mem::take(&mut self.dirty);
        let pages = self.pages.iter().enumerate().filter(move |(index, _)| dirty & (1 << index) != 0);
        pages.filter_map(|(index, page)| page.as_deref().map(|page| (index, page)))
    }

    /// A fingerprint of every byte.
    pub(crate) fn content(&self) -> u64 {
        let mut print = Fingerprint::new();
        for page in &self.pages {
            print.bytes(page.as_ref().map_or(&[], |page| page.as_slice()));
        }
        print.value()
    }

    /// A fingerprint of which pages are in which version.
    pub(crate) fn fingerprint(&self) -> u64 {
        let mut print = Fingerprint::new();
        for page in &self.pages {
            print.word(page.as_ref().map_or(0, |page| word(page, VERSION_AT)));
        }
        print.value()
    }
}

fn word(page: &Page, at: usize) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&page[at..at + 8]);
    u64::from_le_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_written_pages_are_dirty_and_only_once() {
        let mut memory = Memory::new(16);
        memory.write(3, 8, 77);
        memory.fill(5, 0xaa);
        assert_eq!(memory.read(3, 8), 77);
        assert_eq!(memory.take_dirty().map(|(index, _)| index).collect::<Vec<_>>(), [3, 5]);
        assert_eq!(memory.take_dirty().count(), 0);
    }

    #[test]
    fn what_was_written_since_is_taken_back() {
        let mut memory = Memory::new(16);
        memory.write(3, 8, 77);
        let before = memory.fingerprint();
        memory.keep_pages();
        memory.write(3, 8, 78);
        memory.write(3, 16, 79);
        memory.fill(4, 1);
        memory.take_back();
        assert_eq!((memory.fingerprint(), memory.read(3, 8), memory.read(4, 0)), (before, 77, 0));
    }

    #[test]
    fn writing_the_same_value_again_is_another_state() {
        let mut memory = Memory::new(16);
        memory.write(3, 8, 77);
        let before = memory.fingerprint();
        memory.write(3, 8, 77);
        assert_ne!(memory.fingerprint(), before);
    }
}
