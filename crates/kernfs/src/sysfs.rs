//! Attributes: files of one page of text that is shown and stored whole (`fs/sysfs/file.c`).

use std::fmt;
use std::sync::Arc;

use rustix::io::Errno;

use crate::PAGE_SIZE;
use crate::context::Context;
use crate::node::{Dir, Node};
use crate::open::{File, State};

/// What a read of the attribute shows.
pub type Show = Box<dyn Fn(&mut Context<'_>) -> Result<String, Errno> + Send + Sync>;
/// What a write to the attribute does: it is given at most a page, and takes all of it unless it fails.
pub type Store = Box<dyn Fn(&mut Context<'_>, &[u8]) -> Result<(), Errno> + Send + Sync>;

/// An attribute (`struct attribute` with its `sysfs_ops`).
#[derive(Default)]
pub struct Attribute {
    show: Option<Show>,
    store: Option<Store>,
}

impl Attribute {
    /// An attribute that shows this (`__ATTR_RO`, mode 0444).
    pub fn ro<F>(show: F) -> Self
    where
        F: Fn(&mut Context<'_>) -> Result<String, Errno> + Send + Sync + 'static,
    {
        Attribute {
            show: Some(Box::new(show)),
            store: None,
        }
    }

    /// An attribute that can only be written (`__ATTR_WO`, mode 0200).
    pub fn wo<F>(store: F) -> Self
    where
        F: Fn(&mut Context<'_>, &[u8]) -> Result<(), Errno> + Send + Sync + 'static,
    {
        Attribute {
            show: None,
            store: Some(Box::new(store)),
        }
    }

    /// This attribute, which can also be written (`__ATTR_RW`, mode 0644).
    #[must_use]
    pub fn with_store<F>(mut self, store: F) -> Self
    where
        F: Fn(&mut Context<'_>, &[u8]) -> Result<(), Errno> + Send + Sync + 'static,
    {
        self.store = Some(Box::new(store));
        self
    }

    /// The mode that such an attribute usually has.
    fn usual_mode(&self) -> u16 {
        match (&self.show, &self.store) {
            (_, None) => 0o444,
            (None, Some(_)) => 0o200,
            (Some(_), Some(_)) => 0o644,
        }
    }
}

impl Dir {
    /// Makes an attribute with the mode that fits what it can do: 0444, 0200 or 0644 (`sysfs_create_file`).
    ///
    /// # Errors
    /// As [`create_file`](Dir::create_file).
    pub fn create_attribute(
        &self,
        name: &'static str,
        attribute: Attribute,
    ) -> Result<Arc<Node>, Errno> {
        self.create_file(name, attribute.usual_mode(), attribute)
    }
}

impl File for Attribute {
    fn has_show(&self) -> bool {
        self.show.is_some()
    }

    fn has_store(&self) -> bool {
        self.store.is_some()
    }

    /// The text is made anew for each read that does not go on where the last one ended (`fs/seq_file.c: seq_read_iter`).
    fn read(&self, cx: &mut Context<'_>, state: &mut State, size: usize) -> Result<Vec<u8>, Errno> {
        let offset = cx.offset();
        if offset == 0 || offset != state.next {
            let show = self.show.as_ref().ok_or(Errno::IO)?;
            state.text = show(cx)?.into_bytes();
            state.text.truncate(PAGE_SIZE - 1);
        }
        Ok(state.slice(offset, size))
    }

    /// What is longer than a page is cut; the writer then hears that only a page was taken.
    fn write(&self, cx: &mut Context<'_>, _state: &mut State, data: &[u8]) -> Result<usize, Errno> {
        let data = &data[..data.len().min(PAGE_SIZE)];
        if data.is_empty() {
            return Ok(0);
        }
        let store = self.store.as_ref().ok_or(Errno::IO)?;
        store(cx, data)?;
        Ok(data.len())
    }
}

impl fmt::Debug for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Attribute({:o})", self.usual_mode())
    }
}
