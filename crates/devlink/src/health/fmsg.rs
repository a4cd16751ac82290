//! Formatted messages: what a driver writes down for its users, as a flat stream of names, values and nests.
//!
//! The driver puts the pieces, the core cuts the stream into messages wherever one is full. The first misuse is remembered
//! and fails the command in the end, so that a driver need not look at each step.

use netlink::genl::{Batch, DumpCursor, DumpState, Reply};
use netlink::message::{GENL_HDRLEN, NLA_HDRLEN, NLM_F_ACK, NLMSG_GOODSIZE, NLMSG_HDRLEN};
use netlink::wire::kind;
use netlink::{Attr, Error, Writer, attr};
use rustix::io::Errno;

/// Most bytes in one name, text or piece of binary data (`DEVLINK_FMSG_MAX_SIZE`). It is more than fits beside the headers
/// into a message of the usual size.
const MAX_SIZE: usize = NLMSG_GOODSIZE - NLMSG_HDRLEN - 2 * GENL_HDRLEN - NLA_HDRLEN;

/// A formatted message (`struct devlink_fmsg`).
#[derive(Debug, Default)]
pub struct Fmsg {
    items: Vec<Item>,
    err: Option<Errno>,
    putting_binary: bool,
}

#[derive(Debug)]
enum Item {
    Nest(Attr<kind::Flag>),
    Name(Vec<u8>),
    Value(Value),
}

#[derive(Debug)]
enum Value {
    Bool(bool),
    U8(u8),
    U32(u32),
    U64(u64),
    String(Vec<u8>),
    Binary(Vec<u8>),
}

impl Value {
    /// `enum devlink_var_attr_type`
    const fn var_type(&self) -> u8 {
        match self {
            Self::U8(_) => 1,
            Self::U32(_) => 3,
            Self::U64(_) => 4,
            Self::Bool(_) => 6,
            Self::String(_) => 10,
            Self::Binary(_) => 11,
        }
    }

    fn put(&self, w: &mut Writer<'_>) -> netlink::Result {
        let data = attr::FMSG_OBJ_VALUE_DATA;
        match self {
            Self::Bool(value) => w.put_u8(data.of(), u8::from(*value)),
            Self::U8(value) => w.put_u8(data.of(), *value),
            Self::U32(value) => w.put_u32(data.of(), *value),
            Self::U64(value) => w.put_u64(data.of(), *value),
            Self::String(value) => w.put_text(data.of(), value),
            Self::Binary(value) => w.put_binary(data.of(), value),
        }
    }
}

impl Item {
    /// Puts the item. A value whose data does not fit leaves its type behind, and comes with its type again in the next message.
    fn put(&self, w: &mut Writer<'_>) -> netlink::Result {
        match self {
            Self::Nest(attr) => w.put_flag(*attr),
            Self::Name(name) => w.put_text(attr::FMSG_OBJ_NAME, name),
            Self::Value(value) => {
                w.put_u8(attr::FMSG_OBJ_VALUE_TYPE, value.var_type())?;
                value.put(w)
            }
        }
    }
}

/// A text of C ends at its first NUL.
fn c_string(text: &[u8]) -> Vec<u8> {
    let len = text.iter().position(|&byte| byte == 0);
    text[..len.unwrap_or(text.len())].to_vec()
}

impl Fmsg {
    /// What `write` puts, as one object.
    ///
    /// # Errors
    ///
    /// Those of `write`; of a misuse, when `write` has none.
    pub(super) fn object(
        write: impl FnOnce(&mut Self) -> Result<(), Errno>,
    ) -> Result<Self, Errno> {
        let mut fmsg = Self::default();
        fmsg.obj_nest_start();
        write(&mut fmsg)?;
        fmsg.obj_nest_end();
        match fmsg.err {
            Some(errno) => Err(errno),
            None => Ok(fmsg),
        }
    }

    fn fail(&mut self, errno: Errno) {
        self.err.get_or_insert(errno);
    }

    fn push(&mut self, item: Item) {
        if self.putting_binary {
            self.fail(Errno::INVAL);
        }
        if self.err.is_none() {
            self.items.push(item);
        }
    }

    fn push_value(&mut self, value: Value) {
        self.push(Item::Value(value));
    }

    /// Begins an object, a sequence of pairs.
    pub fn obj_nest_start(&mut self) {
        self.push(Item::Nest(attr::FMSG_OBJ_NEST_START));
    }

    /// Ends the object.
    pub fn obj_nest_end(&mut self) {
        self.nest_end();
    }

    fn nest_end(&mut self) {
        self.push(Item::Nest(attr::FMSG_NEST_END));
    }

    /// Begins a pair of a name and what comes next: a value, an object or an array.
    pub fn pair_nest_start(&mut self, name: &str) {
        self.push(Item::Nest(attr::FMSG_PAIR_NEST_START));
        if name.len() + 1 > MAX_SIZE {
            self.fail(Errno::MSGSIZE);
        }
        self.push(Item::Name(c_string(name.as_bytes())));
    }

    /// Ends the pair.
    pub fn pair_nest_end(&mut self) {
        self.nest_end();
    }

    /// Begins a pair of a name and an array of what comes next.
    pub fn arr_pair_nest_start(&mut self, name: &str) {
        self.pair_nest_start(name);
        self.push(Item::Nest(attr::FMSG_ARR_NEST_START));
    }

    /// Ends the array and its pair.
    pub fn arr_pair_nest_end(&mut self) {
        self.nest_end();
        self.nest_end();
    }

    /// Begins a pair of a name and binary data. Until its end only [`binary_put`](Self::binary_put) may come.
    pub fn binary_pair_nest_start(&mut self, name: &str) {
        self.arr_pair_nest_start(name);
        self.putting_binary = true;
    }

    /// Ends the binary data and its pair.
    pub fn binary_pair_nest_end(&mut self) {
        if !self.putting_binary {
            self.fail(Errno::INVAL);
        }
        self.putting_binary = false;
        self.arr_pair_nest_end();
    }

    /// Puts a truth value.
    pub fn bool_put(&mut self, value: bool) {
        self.push_value(Value::Bool(value));
    }

    /// Puts a number.
    pub fn u8_put(&mut self, value: u8) {
        self.push_value(Value::U8(value));
    }

    /// Puts a number.
    pub fn u32_put(&mut self, value: u32) {
        self.push_value(Value::U32(value));
    }

    /// Puts a number.
    pub fn u64_put(&mut self, value: u64) {
        self.push_value(Value::U64(value));
    }

    /// Puts a text, of at most 3747 bytes up to its first NUL.
    pub fn string_put(&mut self, value: impl AsRef<[u8]>) {
        let value = c_string(value.as_ref());
        if value.len() + 1 > MAX_SIZE {
            self.fail(Errno::MSGSIZE);
        }
        self.push_value(Value::String(value));
    }

    /// Puts a piece of binary data, at most 3748 bytes.
    pub fn binary_put(&mut self, value: &[u8]) {
        if !self.putting_binary {
            self.fail(Errno::INVAL);
        }
        if value.len() > MAX_SIZE {
            self.fail(Errno::MSGSIZE);
        }
        if self.err.is_none() {
            self.items.push(Item::Value(Value::Binary(value.to_vec())));
        }
    }

    /// Puts a pair.
    pub fn bool_pair_put(&mut self, name: &str, value: bool) {
        self.pair_put(name, |fmsg| fmsg.bool_put(value));
    }

    /// Puts a pair.
    pub fn u8_pair_put(&mut self, name: &str, value: u8) {
        self.pair_put(name, |fmsg| fmsg.u8_put(value));
    }

    /// Puts a pair.
    pub fn u32_pair_put(&mut self, name: &str, value: u32) {
        self.pair_put(name, |fmsg| fmsg.u32_put(value));
    }

    /// Puts a pair.
    pub fn u64_pair_put(&mut self, name: &str, value: u64) {
        self.pair_put(name, |fmsg| fmsg.u64_put(value));
    }

    /// Puts a pair.
    pub fn string_pair_put(&mut self, name: &str, value: impl AsRef<[u8]>) {
        self.pair_put(name, |fmsg| fmsg.string_put(value));
    }

    fn pair_put(&mut self, name: &str, put: impl FnOnce(&mut Self)) {
        self.pair_nest_start(name);
        put(self);
        self.pair_nest_end();
    }

    /// Puts a pair of a name and binary data of any length, cut into pieces.
    pub fn binary_pair_put(&mut self, name: &str, value: &[u8]) {
        self.binary_pair_nest_start(name);
        for piece in value.chunks(MAX_SIZE) {
            self.binary_put(piece);
        }
        self.binary_pair_nest_end();
    }
}

/// How a message was filled: up to which item, and whether there was room for all that is left.
struct Filled {
    next: usize,
    result: netlink::Result,
}

impl Fmsg {
    /// Writes as many items as fit, from number `from` on (`devlink_fmsg_prepare_skb`).
    fn fill(&self, w: &mut Writer<'_>, from: usize) -> Result<Filled, Error> {
        let nest = w.nest_start(attr::FMSG)?;
        let mut filled = Filled {
            next: from,
            result: Ok(()),
        };
        for item in self.items.iter().skip(from) {
            filled.result = item.put(w);
            if filled.result.is_err() {
                break;
            }
            filled.next += 1;
        }
        w.nest_end(nest)?;
        Ok(filled)
    }

    /// Sends the stream as the answer to a *do*: a datagram a message, and one for the end (`devlink_fmsg_snd`).
    pub(super) fn send(&self, cmd: u8, reply: &mut Reply<'_>) -> netlink::Result {
        let mut reply = reply.multi();
        let mut next = 0;
        loop {
            let from = next;
            let mut full = None;
            reply.message(cmd, |w| {
                let filled = self.fill(w, from)?;
                next = filled.next;
                match filled.result {
                    Err(error) if error.errno() != Errno::MSGSIZE || next == from => Err(error),
                    result => {
                        full = result.err();
                        Ok(())
                    }
                }
            })?;
            reply.flush()?;
            if full.is_none() {
                return reply.done();
            }
        }
    }

    /// Writes the next message of a dump (`devlink_fmsg_dumpit`); the cursor's index counts the items.
    pub(super) fn dump(
        &self,
        cmd: u8,
        cursor: &mut DumpCursor,
        batch: &mut Batch<'_>,
    ) -> Result<DumpState, Error> {
        let from = usize::try_from(cursor.index).unwrap_or(usize::MAX);
        if from >= self.items.len() {
            return Ok(DumpState::Done);
        }
        let mut next = from;
        batch.put_with_flags(cmd, NLM_F_ACK, |w| {
            let filled = self.fill(w, from)?;
            next = filled.next;
            match filled.result {
                Err(error) if next == from => Err(error),
                _ => Ok(()),
            }
        })?;
        cursor.index = next as u64;
        Ok(DumpState::More)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_the_kernels() {
        assert_eq!(MAX_SIZE, 3748);
        let put = |len: usize| {
            Fmsg::object(|fmsg| {
                fmsg.string_put("x".repeat(len));
                Ok(())
            })
        };
        put(3747).unwrap();
        assert_eq!(put(3748).unwrap_err(), Errno::MSGSIZE);
    }

    #[test]
    fn binary_data_stands_alone_in_its_pair() {
        let misuses: [fn(&mut Fmsg); 4] = [
            |fmsg| fmsg.binary_put(b"loose"),
            |fmsg| fmsg.binary_pair_nest_end(),
            |fmsg| {
                fmsg.binary_pair_nest_start("b");
                fmsg.u8_put(1);
                fmsg.binary_pair_nest_end();
            },
            // Not ended, so that even the object's end is inside.
            |fmsg| fmsg.binary_pair_nest_start("b"),
        ];
        for misuse in misuses {
            let misused = Fmsg::object(|fmsg| {
                misuse(fmsg);
                Ok(())
            });
            assert_eq!(misused.unwrap_err(), Errno::INVAL);
        }
        let proper = Fmsg::object(|fmsg| {
            fmsg.binary_pair_put("b", &[0; 8000]);
            Ok(())
        });
        let proper = proper.unwrap();
        // Object, pair, name, array, three pieces, three ends.
        assert_eq!(proper.items.len(), 10);
    }

    #[test]
    fn the_driver_s_own_error_counts_more_than_a_misuse() {
        let failed = Fmsg::object(|fmsg| {
            fmsg.binary_put(b"loose");
            Err(Errno::IO)
        });
        assert_eq!(failed.unwrap_err(), Errno::IO);
    }
}
