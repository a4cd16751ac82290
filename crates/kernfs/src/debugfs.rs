//! Files of debugfs: values, and files that are read and written freely (`fs/debugfs/file.c`, `fs/libfs.c`).
//!
//! A value ([`Bool`], [`U32`] …) is shared between the driver and its file: a clone is the same value.
//!
//! ```
//! use kernfs::{Tree, debugfs::U32};
//! let max_macs = U32::new(32);
//! let dir = Tree::debugfs().root();
//! dir.create_file("max_macs", 0o600, max_macs.clone())?;
//! max_macs.set(64); // and `cat max_macs` says 64
//! # Ok::<(), rustix::io::Errno>(())
//! ```

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering};

use rustix::io::Errno;

use crate::context::Context;
use crate::kstrto;
use crate::open::{File, State};

/// The longest text that is looked at when a number is written (`struct simple_attr: set_buf`).
const SET_BUF: usize = 23;

/// How a file treats one half of its traffic.
type Show<T> = Box<dyn Fn(&mut Context<'_>) -> Result<T, Errno> + Send + Sync>;
type Store<T> = Box<dyn Fn(&mut Context<'_>, T) -> Result<(), Errno> + Send + Sync>;

/// A value that shows `Y` or `N` (`debugfs_create_bool`).
#[derive(Debug, Clone, Default)]
pub struct Bool(Arc<AtomicBool>);

impl Bool {
    /// A value, not in any file yet.
    pub fn new(value: bool) -> Self {
        Bool(Arc::new(value.into()))
    }

    /// The value now.
    pub fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Changes the value.
    pub fn set(&self, value: bool) {
        self.0.store(value, Ordering::Relaxed);
    }
}

impl File for Bool {
    fn has_show(&self) -> bool {
        true
    }

    fn has_store(&self) -> bool {
        true
    }

    fn read(&self, cx: &mut Context<'_>, state: &mut State, size: usize) -> Result<Vec<u8>, Errno> {
        state.text = if self.get() { b"Y\n" } else { b"N\n" }.to_vec();
        Ok(state.slice(cx.offset(), size))
    }

    /// As in the kernel, what is neither yes nor no changes nothing and is no error (`debugfs_write_file_bool`).
    fn write(&self, _cx: &mut Context<'_>, _: &mut State, data: &[u8]) -> Result<usize, Errno> {
        if let Ok(value) = kstrto::bool(&data[..data.len().min(3)]) {
            self.set(value);
        }
        Ok(data.len())
    }
}

/// Reads a number as `simple_attr_read` does: made anew only by a read from the start.
fn read_number(
    cx: &mut Context<'_>,
    state: &mut State,
    size: usize,
    get: impl FnOnce(&mut Context<'_>) -> Result<u64, Errno>,
) -> Result<Vec<u8>, Errno> {
    if cx.offset() == 0 || state.text.is_empty() {
        state.text = format!("{}\n", get(cx)?).into_bytes();
    }
    Ok(state.slice(cx.offset(), size))
}

/// The number in a written text (`simple_attr_write`).
fn written_number(data: &[u8]) -> Result<u64, Errno> {
    kstrto::ull(&data[..data.len().min(SET_BUF)], 0)
}

macro_rules! numbers {
    ($($name:ident, $type:ty, $atomic:ty, $kernel:literal;)*) => {$(
        #[doc = concat!("A number in decimal (`", $kernel, "`). What is written is cut to its width, as in the kernel.")]
        #[derive(Debug, Clone, Default)]
        pub struct $name(Arc<$atomic>);

        impl $name {
            /// A value, not in any file yet.
            pub fn new(value: $type) -> Self {
                $name(Arc::new(value.into()))
            }

            /// The value now.
            pub fn get(&self) -> $type {
                self.0.load(Ordering::Relaxed)
            }

            /// Changes the value.
            pub fn set(&self, value: $type) {
                self.0.store(value, Ordering::Relaxed);
            }
        }

        impl File for $name {
            fn has_show(&self) -> bool {
                true
            }

            fn has_store(&self) -> bool {
                true
            }

            fn read(
                &self,
                cx: &mut Context<'_>,
                state: &mut State,
                size: usize,
            ) -> Result<Vec<u8>, Errno> {
                #[allow(clippy::cast_lossless, reason = "the widest one is not cast at all")]
                read_number(cx, state, size, |_| Ok(self.get() as u64))
            }

            fn write(
                &self,
                _cx: &mut Context<'_>,
                _state: &mut State,
                data: &[u8],
            ) -> Result<usize, Errno> {
                self.set(written_number(data)? as $type);
                Ok(data.len())
            }
        }
    )*};
}

numbers! {
    U8, u8, AtomicU8, "debugfs_create_u8";
    U16, u16, AtomicU16, "debugfs_create_u16";
    U32, u32, AtomicU32, "debugfs_create_u32";
    U64, u64, AtomicU64, "debugfs_create_u64";
}

/// A value of which the file only shows what it is: a write is refused (`debugfs_create_u32` with mode 0400).
#[derive(Debug, Clone)]
pub struct ReadOnly<T>(pub T);

/// How a kind of value answers a write that it does not take.
pub trait RefusesWrites: File {
    /// The error: `EINVAL` of the VFS, unless the kind looks first.
    const REFUSAL: Errno;
}

impl RefusesWrites for Bool {
    const REFUSAL: Errno = Errno::INVAL;
}

macro_rules! simple_attributes {
    ($($name:ident)*) => {$(
        impl RefusesWrites for $name {
            const REFUSAL: Errno = Errno::ACCESS;
        }
    )*};
}

simple_attributes!(U8 U16 U32 U64);

impl<T: RefusesWrites> File for ReadOnly<T> {
    fn has_show(&self) -> bool {
        true
    }

    fn has_store(&self) -> bool {
        false
    }

    fn read(&self, cx: &mut Context<'_>, state: &mut State, size: usize) -> Result<Vec<u8>, Errno> {
        self.0.read(cx, state, size)
    }

    fn write(&self, _: &mut Context<'_>, _: &mut State, _: &[u8]) -> Result<usize, Errno> {
        Err(T::REFUSAL)
    }
}

/// Some numbers in a row, fixed at opening (`debugfs_create_u32_array`).
#[derive(Debug, Clone)]
pub struct U32Array(pub Arc<[AtomicU32]>);

impl File for U32Array {
    fn has_show(&self) -> bool {
        true
    }

    fn has_store(&self) -> bool {
        false
    }

    fn read(&self, cx: &mut Context<'_>, state: &mut State, size: usize) -> Result<Vec<u8>, Errno> {
        if state.text.is_empty() {
            let numbers: Vec<String> = self
                .0
                .iter()
                .map(|number| number.load(Ordering::Relaxed).to_string())
                .collect();
            state.text = (numbers.join(" ") + "\n").into_bytes();
        }
        Ok(state.slice(cx.offset(), size))
    }

    fn write(&self, _: &mut Context<'_>, _: &mut State, _: &[u8]) -> Result<usize, Errno> {
        Err(Errno::INVAL)
    }
}

/// A number with handlers (`DEFINE_DEBUGFS_ATTRIBUTE`).
#[derive(Default)]
pub struct SimpleAttribute {
    get: Option<Show<u64>>,
    set: Option<Store<u64>>,
}

impl SimpleAttribute {
    /// A number of which nothing can be done yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The number that a read shows.
    #[must_use]
    pub fn get<F>(mut self, get: F) -> Self
    where
        F: Fn(&mut Context<'_>) -> Result<u64, Errno> + Send + Sync + 'static,
    {
        self.get = Some(Box::new(get));
        self
    }

    /// What a write of a number does.
    #[must_use]
    pub fn set<F>(mut self, set: F) -> Self
    where
        F: Fn(&mut Context<'_>, u64) -> Result<(), Errno> + Send + Sync + 'static,
    {
        self.set = Some(Box::new(set));
        self
    }
}

impl File for SimpleAttribute {
    fn has_show(&self) -> bool {
        self.get.is_some()
    }

    fn has_store(&self) -> bool {
        self.set.is_some()
    }

    fn read(&self, cx: &mut Context<'_>, state: &mut State, size: usize) -> Result<Vec<u8>, Errno> {
        let get = self.get.as_ref().ok_or(Errno::ACCESS)?;
        read_number(cx, state, size, get)
    }

    fn write(&self, cx: &mut Context<'_>, _: &mut State, data: &[u8]) -> Result<usize, Errno> {
        let set = self.set.as_ref().ok_or(Errno::ACCESS)?;
        set(cx, written_number(data)?)?;
        Ok(data.len())
    }
}

impl fmt::Debug for SimpleAttribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (get, set) = (self.get.is_some(), self.set.is_some());
        write!(f, "SimpleAttribute {{ get: {get}, set: {set} }}")
    }
}

/// A file with a driver's own operations (`debugfs_create_file`): what is shown is made anew by each read, and a write is
/// given as it comes, with its place in [`Context::offset`].
#[derive(Default)]
pub struct Plain {
    show: Option<Show<Vec<u8>>>,
    store: Option<Box<StoreBytes>>,
}

type StoreBytes = dyn Fn(&mut Context<'_>, &[u8]) -> Result<usize, Errno> + Send + Sync;

impl Plain {
    /// A file that can neither be read nor written yet: both are `EINVAL`.
    pub fn new() -> Self {
        Self::default()
    }

    /// What a read shows.
    #[must_use]
    pub fn show<T, F>(mut self, show: F) -> Self
    where
        T: Into<Vec<u8>>,
        F: Fn(&mut Context<'_>) -> Result<T, Errno> + Send + Sync + 'static,
    {
        self.show = Some(Box::new(move |cx| show(cx).map(Into::into)));
        self
    }

    /// What a write does; it takes all that is written unless it fails.
    #[must_use]
    pub fn store<F>(self, store: F) -> Self
    where
        F: Fn(&mut Context<'_>, &[u8]) -> Result<(), Errno> + Send + Sync + 'static,
    {
        self.store_some(move |cx, data| store(cx, data).map(|()| data.len()))
    }

    /// What a write does, and how many bytes of it are taken.
    #[must_use]
    pub fn store_some<F>(mut self, store: F) -> Self
    where
        F: Fn(&mut Context<'_>, &[u8]) -> Result<usize, Errno> + Send + Sync + 'static,
    {
        self.store = Some(Box::new(store));
        self
    }
}

impl File for Plain {
    fn has_show(&self) -> bool {
        self.show.is_some()
    }

    fn has_store(&self) -> bool {
        self.store.is_some()
    }

    fn read(&self, cx: &mut Context<'_>, state: &mut State, size: usize) -> Result<Vec<u8>, Errno> {
        let show = self.show.as_ref().ok_or(Errno::INVAL)?;
        state.text = show(cx)?;
        Ok(state.slice(cx.offset(), size))
    }

    fn write(&self, cx: &mut Context<'_>, _: &mut State, data: &[u8]) -> Result<usize, Errno> {
        let store = self.store.as_ref().ok_or(Errno::INVAL)?;
        store(cx, data)
    }
}

impl fmt::Debug for Plain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (show, store) = (self.show.is_some(), self.store.is_some());
        write!(f, "Plain {{ show: {show}, store: {store} }}")
    }
}
