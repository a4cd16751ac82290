//! Why a request failed: an errno, and what extended acknowledgement says about it.
//!
//! The kernel hands one `struct netlink_ext_ack` through a whole request; handlers and drivers put
//! a text or an offending attribute into it, with an error or (a warning) without one.

use std::borrow::Cow;
use std::fmt;

use rustix::io::Errno;

use crate::policy::AttrPolicy;
use crate::wire::{Attr, RawAttr};

/// A text longer than this (bytes) is cut when it was formatted (`NETLINK_MAX_FMTMSG_LEN` less NUL).
const FMTMSG_MAX: usize = 79;

/// What most of this crate returns.
pub type Result<T = ()> = std::result::Result<T, Error>;

/// What goes into the attributes of an acknowledgement (`struct netlink_ext_ack`).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ExtAck {
    msg: Option<Cow<'static, str>>,
    offs: Option<u32>,
    policy: Option<AttrPolicy>,
    miss_type: Option<u32>,
    miss_nest: Option<u32>,
}

impl ExtAck {
    /// Sets the text (`NL_SET_ERR_MSG`). It is an error's reason, or a warning if the request succeeds.
    pub fn set_msg(&mut self, text: &'static str) {
        self.msg = Some(Cow::Borrowed(text));
    }

    /// Sets a text with values in it (`NL_SET_ERR_MSG_FMT`); cut after 79 bytes, as the kernel does.
    pub fn set_msg_fmt(&mut self, text: fmt::Arguments<'_>) {
        let mut text = text.to_string();
        if text.len() > FMTMSG_MAX {
            let mut end = FMTMSG_MAX;
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            text.truncate(end);
        }
        self.msg = Some(Cow::Owned(text));
    }

    /// Names the attribute that is wrong (`NL_SET_BAD_ATTR`).
    pub fn set_bad_attr(&mut self, attr: RawAttr<'_>) {
        self.offs = Some(attr.offset);
    }

    /// Names the attribute that is wrong and the policy it breaks (`NL_SET_BAD_ATTR_POLICY`).
    pub(crate) fn set_bad_attr_policy(&mut self, attr: RawAttr<'_>, policy: &AttrPolicy) {
        self.offs = Some(attr.offset);
        self.policy = Some(*policy);
    }

    /// Names an attribute that is missing (`NL_SET_ERR_ATTR_MISS`), in the nest `parent` or,
    /// with `None`, at top level.
    pub fn set_missing<K>(&mut self, attr: Attr<K>, parent: Option<RawAttr<'_>>) {
        self.miss_type = Some(u32::from(attr.number()));
        self.miss_nest = parent.map(|parent| parent.offset);
    }

    /// Replaces what `newer` says anything about.
    pub(crate) fn overlay(&mut self, newer: Self) {
        self.msg = newer.msg.or(self.msg.take());
        self.offs = newer.offs.or(self.offs);
        self.policy = newer.policy.or(self.policy);
        self.miss_type = newer.miss_type.or(self.miss_type);
        self.miss_nest = newer.miss_nest.or(self.miss_nest);
    }

    /// The text.
    pub fn msg(&self) -> Option<&str> {
        self.msg.as_deref()
    }

    /// Offset in bytes, from the start of the request, of the attribute that is wrong.
    pub fn offs(&self) -> Option<u32> {
        self.offs
    }

    /// The policy that the wrong attribute breaks.
    pub fn policy(&self) -> Option<&AttrPolicy> {
        self.policy.as_ref()
    }

    /// The number of a missing attribute.
    pub fn miss_type(&self) -> Option<u32> {
        self.miss_type
    }

    /// Offset in bytes of the nest in which an attribute is missing.
    pub fn miss_nest(&self) -> Option<u32> {
        self.miss_nest
    }
}

/// A request's failure.
///
/// Small, because results of this type are passed everywhere; an [`Errno`] converts into it.
#[derive(Clone, Debug, PartialEq)]
pub struct Error {
    errno: Errno,
    ext_ack: Option<Box<ExtAck>>,
}

impl Error {
    /// A bare errno. What the request's own [`ExtAck`] holds is still reported with it.
    pub const fn new(errno: Errno) -> Self {
        Self {
            errno,
            ext_ack: None,
        }
    }

    /// An errno with its text.
    pub fn with_msg(errno: Errno, text: &'static str) -> Self {
        Self::new(errno).msg(text)
    }

    /// Adds the text.
    #[must_use]
    pub fn msg(mut self, text: &'static str) -> Self {
        self.ext_ack_mut().set_msg(text);
        self
    }

    /// Adds a text with values in it; cut after 79 bytes.
    #[must_use]
    pub fn msg_fmt(mut self, text: fmt::Arguments<'_>) -> Self {
        self.ext_ack_mut().set_msg_fmt(text);
        self
    }

    /// Adds the attribute that is wrong.
    #[must_use]
    pub fn bad_attr(mut self, attr: RawAttr<'_>) -> Self {
        self.ext_ack_mut().set_bad_attr(attr);
        self
    }

    /// `EINVAL` because a mandatory attribute is missing at top level (`GENL_REQ_ATTR_CHECK`).
    pub fn missing<K>(attr: Attr<K>) -> Self {
        let mut error = Self::new(Errno::INVAL);
        error.ext_ack_mut().set_missing(attr, None);
        error
    }

    /// The errno.
    pub fn errno(&self) -> Errno {
        self.errno
    }

    /// What is reported besides the errno.
    pub fn ext_ack(&self) -> Option<&ExtAck> {
        self.ext_ack.as_deref()
    }

    /// The same, to add to.
    pub fn ext_ack_mut(&mut self) -> &mut ExtAck {
        self.ext_ack.get_or_insert_default()
    }

    /// Puts what this error says into the request's acknowledgement and leaves the errno.
    pub(crate) fn merge_into(self, request: &mut ExtAck) -> Errno {
        if let Some(own) = self.ext_ack {
            request.overlay(*own);
        }
        self.errno
    }
}

impl From<Errno> for Error {
    fn from(errno: Errno) -> Self {
        Self::new(errno)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.ext_ack().and_then(ExtAck::msg) {
            Some(msg) => write!(f, "{msg} ({})", self.errno),
            None => self.errno.fmt(f),
        }
    }
}

impl std::error::Error for Error {}
