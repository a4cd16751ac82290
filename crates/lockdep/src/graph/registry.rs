//! The classes: how a lock finds its own, and what is known of each.

use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::usage::Usage;
use super::{EdgeId, Graph, limits};
use crate::chain::Word;
use crate::class::{Class, ClassKey, Map, Wait};
use crate::order::LevelInfo;

/// Each class has this many consecutive ids, one a subclass. The kernel's `MAX_LOCKDEP_SUBCLASSES`.
pub(crate) const SUBCLASSES: u32 = 8;

/// What identifies a class that keeps no id of its own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum KeyId {
    Site {
        file: &'static str,
        line: u32,
        column: u32,
        checked: bool,
    },
    Name {
        name: String,
        checked: bool,
    },
}

/// One class, or one subclass of it.
#[derive(Debug)]
pub(crate) struct LockClass {
    pub(crate) name: Arc<str>,
    /// 1 for the first class of a name, 2 for the next: printed as `#2`.
    pub(crate) version: u32,
    pub(crate) subclass: u32,
    pub(crate) wait: Wait,
    pub(crate) level: Option<&'static LevelInfo>,
    pub(crate) checked: bool,
    pub(crate) usage: Usage,
    /// Dependencies that start here.
    pub(crate) after: Vec<EdgeId>,
    /// Dependencies that end here.
    pub(crate) before: Vec<EdgeId>,
    /// The last search that came here, and in which of its two states.
    pub(super) mark: (u32, u8),
}

impl LockClass {
    /// The name with what tells namesakes and subclasses apart (`kernel/locking/lockdep.c: __print_lock_name`).
    pub(crate) fn display_name(&self) -> String {
        let mut name = self.name.to_string();
        if self.version > 1 {
            name += &format!("#{}", self.version);
        }
        if self.subclass > 0 {
            name += &format!("/{}", self.subclass);
        }
        name
    }
}

impl Graph {
    /// The class of this id, unless it has ended or was never taken.
    pub(crate) fn class(&self, id: u32) -> Option<&LockClass> {
        self.classes.get(id as usize)?.as_deref()
    }

    pub(crate) fn class_mut(&mut self, id: u32) -> Option<&mut LockClass> {
        self.classes.get_mut(id as usize)?.as_deref_mut()
    }

    /// Every class with its id.
    pub(crate) fn classes(&self) -> impl Iterator<Item = (u32, &LockClass)> {
        (0_u32..)
            .zip(&self.classes)
            .filter_map(|(id, class)| Some((id, class.as_deref()?)))
    }

    fn resolve_static(&mut self, key: &'static ClassKey, map: &Map) -> u32 {
        match key.cached_id().load(Relaxed) {
            0 => {
                let id = self.register(key.name(), map);
                key.cached_id().store(id, Relaxed);
                id
            }
            id => id,
        }
    }

    /// The id of the lock's class; a new class on first use (`kernel/locking/lockdep.c: register_lock_class`). 0 if there is
    /// no room for it.
    pub(crate) fn resolve(&mut self, map: &Map) -> u32 {
        let checked = map.is_checked();
        match map.class() {
            Class::Key(key) => self.resolve_static(key, map),
            Class::Level(key) => self.resolve_static(key(), map),
            Class::Dynamic(key) => match key.cached_id().load(Relaxed) {
                0 => {
                    let id = self.register(key.name(), map);
                    key.cached_id().store(id, Relaxed);
                    id
                }
                id => id,
            },
            Class::Name(name) => {
                let key = KeyId::Name {
                    name: name.to_string(),
                    checked,
                };
                self.resolve_key(key, map, || name.to_string())
            }
            Class::Site(site) => {
                let key = KeyId::Site {
                    file: site.file(),
                    line: site.line(),
                    column: site.column(),
                    checked,
                };
                self.resolve_key(key, map, || site_name(site))
            }
        }
    }

    fn resolve_key(&mut self, key: KeyId, map: &Map, name: impl FnOnce() -> String) -> u32 {
        if let Some(&id) = self.by_key.get(&key) {
            return id;
        }
        let id = self.register(&name(), map);
        if id != 0 {
            self.by_key.insert(key, id);
        }
        id
    }

    fn register(&mut self, name: &str, map: &Map) -> u32 {
        if self.classes.is_empty() {
            crate::record::exit::arm();
            // Id 0 means "not known yet".
            self.classes.resize_with(SUBCLASSES as usize, || None);
        }
        let limit = self.limits.classes;
        // Ids are not used again.
        let id = u32::try_from(self.classes.len()).ok();
        let id = id.filter(|&id| id <= Word::MAX_CLASS - SUBCLASSES && self.class_count < limit);
        let Some(id) = id else {
            self.run_out(limits::CLASSES, limit);
            return 0;
        };
        self.class_count += 1;
        let namesakes = self.names.entry(name.to_owned()).or_default();
        // Ids and versions rise together, so the last namesake has the highest version.
        let last = namesakes
            .last()
            .and_then(|&id| self.classes[id as usize].as_ref());
        let version = last.map_or(1, |class| class.version + 1);
        namesakes.push(id);
        self.classes.push(Some(Box::new(LockClass {
            name: name.into(),
            version,
            subclass: 0,
            wait: map.wait(),
            level: map.level(),
            checked: map.is_checked(),
            usage: Usage::default(),
            after: Vec::new(),
            before: Vec::new(),
            mark: (0, 0),
        })));
        self.classes
            .resize_with(self.classes.len() + SUBCLASSES as usize - 1, || None);
        id
    }

    /// Makes sure that the subclass exists: it is like its class in all but its number.
    pub(crate) fn ensure_subclass(&mut self, id: u32) {
        let subclass = id % SUBCLASSES;
        if self.class(id).is_some() {
            return;
        }
        if let Some(class) = self.class(id - subclass) {
            let class = LockClass {
                name: Arc::clone(&class.name),
                usage: Usage::default(),
                after: Vec::new(),
                before: Vec::new(),
                mark: (0, 0),
                subclass,
                ..*class
            };
            self.classes[id as usize] = Some(Box::new(class));
            self.class_count += 1;
        }
    }

    /// Ends a class and all its subclasses. What was learnt through it stays: each predecessor is connected with each
    /// successor, wherever the two dependencies together can carry a deadlock.
    pub(super) fn unregister(&mut self, base: u32) {
        for id in base..base + SUBCLASSES {
            if self.class(id).is_some() {
                self.bridge(id);
            }
            self.writers.remove(&id);
            self.recursions.remove(&id);
            if let Some(class) = self.classes.get_mut(id as usize).and_then(Option::take) {
                self.class_count -= 1;
                for edge in class.after.into_iter().chain(class.before) {
                    self.remove_edge(edge);
                }
                if let Some(namesakes) = self.names.get_mut(&*class.name) {
                    if let Ok(at) = namesakes.binary_search(&id) {
                        namesakes.remove(at);
                    }
                    if namesakes.is_empty() {
                        self.names.remove(&*class.name);
                    }
                }
            }
        }
        self.chains.ended += 1;
    }
}

/// The name of a class that is known by its construction site.
fn site_name(site: &Location<'_>) -> String {
    format!("{}:{}:{}", site.file(), site.line(), site.column())
}
