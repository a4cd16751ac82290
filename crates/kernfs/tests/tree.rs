//! The tree, its files' manners, and removal while files are in use.

#![allow(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use kernfs::debugfs::{Bool, Plain, ReadOnly, SimpleAttribute, U8, U16, U32, U32Array, U64};
use kernfs::sysfs::Attribute;
use kernfs::{
    Access, Dir, Directory, DynamicEntry, Kind, Nobody, Node, OpenFile, PAGE_SIZE, Tree, View,
};
use rustix::io::Errno;

const READ: Access = Access {
    read: true,
    write: false,
};
const WRITE: Access = Access {
    read: false,
    write: true,
};
const BOTH: Access = Access {
    read: true,
    write: true,
};

fn open(node: &Arc<Node>) -> OpenFile {
    node.open(BOTH).unwrap()
}

fn cat(node: &Arc<Node>) -> Result<String, Errno> {
    let bytes = node.open(READ)?.read(&Nobody, 0, 1 << 20)?;
    Ok(String::from_utf8(bytes).unwrap())
}

fn echo(node: &Arc<Node>, text: impl AsRef<[u8]>) -> Result<usize, Errno> {
    node.open(WRITE)?.write(&Nobody, 0, text.as_ref())
}

fn names(dir: &Dir) -> Vec<String> {
    let entries = dir.node().entries(View(0));
    entries.iter().map(|node| node.name().to_owned()).collect()
}

#[test]
fn entries_are_made_found_and_removed() {
    let root = Tree::sysfs().root();
    let bus = root.create_dir("bus").unwrap();
    let netdevsim = bus.create_dir("netdevsim").unwrap();
    netdevsim
        .create_attribute("uevent", Attribute::wo(|_, _| Ok(())))
        .unwrap();
    netdevsim.create_link("subsystem", "../../bus").unwrap();
    assert_eq!(names(&netdevsim), ["subsystem", "uevent"]);
    let uevent = netdevsim.node().lookup(View(0), "uevent").unwrap();
    assert_eq!(
        (uevent.path().as_str(), uevent.mode()),
        ("bus/netdevsim/uevent", 0o200)
    );
    assert_eq!(netdevsim.create_dir("uevent").err(), Some(Errno::EXIST));
    for name in ["", ".", "..", "a/b", "a\0"] {
        assert_eq!(
            netdevsim.create_dir(name).err(),
            Some(Errno::INVAL),
            "{name:?}"
        );
    }
    bus.remove();
    assert!(names(&root).is_empty() && names(&netdevsim).is_empty());
    assert_eq!(netdevsim.create_dir("late").err(), Some(Errno::NOENT));
    assert!(uevent.is_removed());
    bus.remove();
    root.create_dir("bus").unwrap();
}

#[test]
fn a_lazy_directory_is_filled_by_who_looks_first() {
    let root = Tree::debugfs().root();
    let filled = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&filled);
    let lazy = root
        .create_lazy_dir("0", move |dir| {
            count.fetch_add(1, Ordering::Relaxed);
            dir.create_dir("ethtool").unwrap();
            dir.create_link("dev", "../../../netdevsim1").unwrap();
        })
        .unwrap();
    assert_eq!(filled.load(Ordering::Relaxed), 0);
    assert!(lazy.dir("ethtool").is_some());
    lazy.create_dir("later").unwrap();
    assert_eq!(names(&lazy), ["dev", "ethtool", "later"]);
    assert_eq!(filled.load(Ordering::Relaxed), 1);

    let kept = Arc::new(());
    let never = Arc::clone(&kept);
    let unseen = root
        .create_lazy_dir("1", move |dir| {
            drop(dir.create_dir("x"));
            drop(never);
        })
        .unwrap();
    unseen.remove();
    assert_eq!(Arc::strong_count(&kept), 1);
    assert!(names(&unseen).is_empty());
}

struct Net;

impl Directory for Net {
    fn lookup(&self, view: View, name: &str) -> Option<DynamicEntry> {
        let id = self.list(view).iter().position(|other| other == name)? as u64;
        let kind = Kind::Link(format!("{}/{name}", view.0));
        Some(DynamicEntry {
            id,
            mode: 0o777,
            kind,
        })
    }

    fn list(&self, view: View) -> Vec<String> {
        (0..view.0).map(|number| format!("eth{number}")).collect()
    }
}

#[test]
fn a_dynamic_directory_shows_each_namespace_its_own() {
    let root = Tree::sysfs().root();
    let net = root.create_dynamic_dir("net", Net).unwrap();
    assert!(net.entries(View(0)).is_empty());
    assert_eq!(net.entries(View(2)).len(), 2);
    let first = net.lookup(View(2), "eth0").unwrap();
    assert_eq!(first.ino(), net.lookup(View(2), "eth0").unwrap().ino());
    assert_ne!(first.ino(), net.lookup(View(1), "eth0").unwrap().ino());
    assert!(net.lookup(View(1), "eth1").is_none());
    assert_eq!(first.path(), "net/eth0");
}

#[test]
fn attributes_are_a_page_of_text() {
    let root = Tree::sysfs().root();
    let got = Arc::new(AtomicU32::new(0));
    let (stored, shown) = (Arc::clone(&got), Arc::clone(&got));
    let attribute = Attribute::ro(move |_| Ok(format!("{}\n", shown.load(Ordering::Relaxed))))
        .with_store(move |_, text| {
            let value = kernfs::kstrto::uint(text, 0)?;
            stored.store(value, Ordering::Relaxed);
            Ok(())
        });
    let node = root.create_attribute("sriov_numvfs", attribute).unwrap();
    assert_eq!(node.mode(), 0o644);
    assert_eq!(echo(&node, "12\n"), Ok(3));
    assert_eq!(cat(&node).as_deref(), Ok("12\n"));
    assert_eq!(echo(&node, ""), Ok(0));
    assert_eq!(echo(&node, "x"), Err(Errno::INVAL));
    assert_eq!(echo(&node, "4294967296"), Err(Errno::RANGE));
    assert_eq!(cat(&node).as_deref(), Ok("12\n"));

    // Made anew unless the read goes on where the last one ended.
    let file = open(&node);
    assert_eq!(file.read(&Nobody, 0, 1).unwrap(), b"1");
    got.store(34, Ordering::Relaxed);
    assert_eq!(file.read(&Nobody, 1, 9).unwrap(), b"2\n");
    assert_eq!(file.read(&Nobody, 3, 9).unwrap(), b"");
    assert_eq!(file.read(&Nobody, 1, 9).unwrap(), b"4\n");
    assert_eq!(file.read(&Nobody, u64::MAX, 9).unwrap(), b"");

    let lengths = Arc::new(AtomicU32::new(0));
    let seen = Arc::clone(&lengths);
    let node = root
        .create_attribute(
            "new_device",
            Attribute::wo(move |_, text| {
                seen.store(text.len() as u32, Ordering::Relaxed);
                Ok(())
            }),
        )
        .unwrap();
    assert_eq!(echo(&node, vec![b'x'; PAGE_SIZE + 1]), Ok(PAGE_SIZE));
    assert_eq!(lengths.load(Ordering::Relaxed) as usize, PAGE_SIZE);
    assert_eq!(node.open(READ).err(), Some(Errno::ACCESS));
    assert_eq!(node.open(BOTH).err(), Some(Errno::ACCESS));
    let long = root
        .create_attribute("long", Attribute::ro(|_| Ok("y".repeat(9999))))
        .unwrap();
    assert_eq!(cat(&long).unwrap().len(), PAGE_SIZE - 1);
    assert_eq!(long.open(WRITE).err(), Some(Errno::ACCESS));
    assert_eq!(root.node().open(READ).err(), Some(Errno::ISDIR));
}

#[test]
fn switches_take_what_the_kernel_takes() {
    let root = Tree::debugfs().root();
    let value = Bool::new(true);
    let node = root
        .create_file("fail_reload", 0o600, value.clone())
        .unwrap();
    assert_eq!(cat(&node).as_deref(), Ok("Y\n"));
    for (text, is) in [
        ("n", false),
        ("Yes\n", true),
        ("0", false),
        ("1\n", true),
        ("off", false),
        ("oN", true),
        ("f", false),
        ("t", true),
        ("Nonsense", false),
        ("maybe", false), // taken, but changes nothing
        ("on and on and on", true),
        ("", true),
        ("o", true),
        ("\0n", true),
    ] {
        assert_eq!(echo(&node, text), Ok(text.len()), "{text:?}");
        assert_eq!(value.get(), is, "{text:?}");
    }
    assert_eq!(open(&node).read(&Nobody, 1, 5).unwrap(), b"\n");
    assert_eq!(open(&node).read(&Nobody, 2, 5).unwrap(), b"");
    let node = root
        .create_file("loaded", 0o400, ReadOnly(value.clone()))
        .unwrap();
    assert_eq!(echo(&node, "n"), Err(Errno::INVAL));
    assert!(value.get());
}

#[test]
fn numbers_take_what_the_kernel_takes() {
    let root = Tree::debugfs().root();
    let value = U32::new(32);
    let node = root.create_file("max_macs", 0o600, value.clone()).unwrap();
    assert_eq!(cat(&node).as_deref(), Ok("32\n"));
    for (text, is) in [
        ("7", Ok(7)),
        ("8\n", Ok(8)),
        ("0x1F", Ok(31)),
        ("017", Ok(15)),
        ("+5", Ok(5)),
        ("4294967297", Ok(1)), // cut
        ("18446744073709551615", Ok(u32::MAX)),
        ("18446744073709551616", Err(Errno::RANGE)),
        ("00000000000000000000001", Ok(1)),
        ("000000000000000000000019", Ok(1)), // only 23 characters are looked at
        ("", Err(Errno::INVAL)),
        ("\n", Err(Errno::INVAL)),
        ("-1", Err(Errno::INVAL)),
        ("08", Err(Errno::INVAL)),
        ("0x", Err(Errno::INVAL)),
        ("1 2", Err(Errno::INVAL)),
        ("1\n\n", Err(Errno::INVAL)),
        (" 1", Err(Errno::INVAL)),
        ("9\0garbage", Ok(9)),
        ("\u{fffd}", Err(Errno::INVAL)),
    ] {
        let before = value.get();
        assert_eq!(echo(&node, text), is.map(|_| text.len()), "{text:?}");
        assert_eq!(value.get(), is.unwrap_or(before), "{text:?}");
    }
    let file = open(&node);
    value.set(123);
    assert_eq!(file.read(&Nobody, 0, 2).unwrap(), b"12");
    value.set(456);
    assert_eq!(file.read(&Nobody, 2, 9).unwrap(), b"3\n");
    assert_eq!(file.read(&Nobody, 4, 9).unwrap(), b"");
    assert_eq!(file.read(&Nobody, 0, 9).unwrap(), b"456\n");

    let ro = root
        .create_file("ro", 0o400, ReadOnly(U16::new(65535)))
        .unwrap();
    assert_eq!(echo(&ro, "1"), Err(Errno::ACCESS));
    assert_eq!(cat(&ro).as_deref(), Ok("65535\n"));
    let byte = U8::new(0);
    let node = root.create_file("byte", 0o600, byte.clone()).unwrap();
    assert_eq!(echo(&node, "257"), Ok(3));
    assert_eq!(byte.get(), 1);
    let wide = root.create_file("wide", 0o600, U64::new(u64::MAX)).unwrap();
    assert_eq!(cat(&wide).as_deref(), Ok("18446744073709551615\n"));
    let array = [1, 2, 3, 4].map(AtomicU32::new);
    let table = root
        .create_file("table0", 0o400, U32Array(Arc::new(array)))
        .unwrap();
    assert_eq!(cat(&table).as_deref(), Ok("1 2 3 4\n"));
}

#[test]
fn handlers_of_their_own() {
    let root = Tree::debugfs().root();
    let wo = root
        .create_file("take_snapshot", 0o200, Plain::new().store(|_, _| Ok(())))
        .unwrap();
    assert_eq!(echo(&wo, "anything"), Ok(8));
    assert_eq!(cat(&wo), Err(Errno::INVAL));
    let ro = root
        .create_file("ipsec", 0o400, Plain::new().show(|_| Ok("text")))
        .unwrap();
    assert_eq!(echo(&ro, "x"), Err(Errno::INVAL));
    assert_eq!(open(&ro).read(&Nobody, 2, 9).unwrap(), b"xt");
    let first = Plain::new().store(|cx, _| match cx.offset() {
        0 => Ok(()),
        _ => Err(Errno::INVAL),
    });
    let first = root.create_file("max_vfs", 0o600, first).unwrap();
    assert_eq!(open(&first).write(&Nobody, 3, b"x"), Err(Errno::INVAL));
    let set = SimpleAttribute::new().set(|_, value| match value {
        7 => Ok(()),
        _ => Err(Errno::NOENT),
    });
    let set = root.create_file("enable_ifindex", 0o200, set).unwrap();
    assert_eq!(echo(&set, "7"), Ok(1));
    assert_eq!(echo(&set, "8"), Err(Errno::NOENT));
    assert_eq!(cat(&set), Err(Errno::ACCESS));
}

#[test]
fn what_is_removed_answers_so() {
    for (tree, gone, opened) in [
        (Tree::sysfs(), Errno::NODEV, Errno::NODEV),
        (Tree::debugfs(), Errno::IO, Errno::NOENT),
    ] {
        let dir = tree.root().create_dir("d").unwrap();
        let node = dir.create_file("f", 0o600, U32::new(1)).unwrap();
        let file = open(&node);
        dir.remove();
        assert_eq!(file.read(&Nobody, 0, 9), Err(gone));
        assert_eq!(file.write(&Nobody, 0, b"1"), Err(gone));
        assert_eq!(node.open(READ).err(), Some(opened));
    }
}

#[test]
fn removal_waits_for_who_is_inside() {
    let root = Tree::sysfs().root();
    let (entered, is_in) = mpsc::channel();
    let (leave, may_leave) = mpsc::channel::<()>();
    let may_leave = std::sync::Mutex::new(may_leave);
    let node = root
        .create_attribute(
            "slow",
            Attribute::wo(move |_, _| {
                entered.send(()).unwrap();
                may_leave.lock().unwrap().recv().unwrap();
                Ok(())
            }),
        )
        .unwrap();
    let removed = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| echo(&node, "x"));
        is_in.recv().unwrap();
        scope.spawn(|| {
            node.remove();
            removed.store(true, Ordering::SeqCst);
        });
        while !node.is_removed() {
            std::thread::yield_now();
        }
        std::thread::sleep(Duration::from_millis(50));
        assert!(!removed.load(Ordering::SeqCst));
        leave.send(()).unwrap();
        assert_eq!(writer.join().unwrap(), Ok(1));
    });
    assert!(removed.load(Ordering::SeqCst));
}

#[test]
fn a_handler_may_remove_its_own_file_or_give_up_its_protection() {
    let root = Tree::sysfs().root();
    let dir = root.create_dir("self").unwrap();
    let own = dir.clone();
    let node = dir
        .create_attribute(
            "delete",
            Attribute::wo(move |_, _| {
                own.remove();
                Ok(())
            }),
        )
        .unwrap();
    assert_eq!(echo(&node, "1"), Ok(1));
    assert!(node.is_removed());

    let (entered, is_in) = mpsc::channel();
    let (leave, may_leave) = mpsc::channel::<()>();
    let may_leave = std::sync::Mutex::new(may_leave);
    let node = root
        .create_attribute(
            "patient",
            Attribute::wo(move |cx, _| {
                cx.break_active_protection();
                entered.send(()).unwrap();
                may_leave.lock().unwrap().recv().unwrap();
                Ok(())
            }),
        )
        .unwrap();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| echo(&node, "x"));
        is_in.recv().unwrap();
        node.remove(); // does not wait
        leave.send(()).unwrap();
        assert_eq!(writer.join().unwrap(), Ok(1));
    });
}

/// A lock that is held while a file is removed, and taken by the file's handler: nobody was in the way this time.
#[test]
fn lockdep_sees_the_wait_of_removal() {
    static LOCK: lockdep::ClassKey = lockdep::ClassKey::new("kernfs_test_lock");
    let lock = Arc::new(lockdep::Mutex::with_class(&LOCK, ()));
    let root = Tree::sysfs().root();
    let taken = Arc::clone(&lock);
    let node = root
        .create_attribute(
            "inverted",
            Attribute::wo(move |_, _| {
                drop(taken.lock());
                Ok(())
            }),
        )
        .unwrap();
    echo(&node, "x").unwrap();
    let guard = lock.lock().unwrap();
    node.remove();
    drop(guard);
    let reported = lockdep::reports()
        .iter()
        .any(|report| format!("{report:?}").contains("kn->active(inverted)"));
    assert!(reported);
}

#[test]
fn numbers_of_sscanf() {
    let mut scan = kernfs::kstrto::Scan::new(b" 10 4\n");
    assert_eq!(
        (scan.uint(), scan.uint(), scan.uint()),
        (Some(10), Some(4), None)
    );
    let mut scan = kernfs::kstrto::Scan::new(b"3:17 -4:5");
    assert_eq!(
        (scan.int(), scan.literal(b':'), scan.uint()),
        (Some(3), Some(()), Some(17))
    );
    assert_eq!(
        (scan.int(), scan.literal(b':'), scan.uint()),
        (Some(-4), Some(()), Some(5))
    );
    assert_eq!(kernfs::kstrto::int(b"-2147483648\n", 10), Ok(i32::MIN));
    assert_eq!(kernfs::kstrto::int(b"2147483648", 10), Err(Errno::RANGE));
    assert_eq!(kernfs::kstrto::uint(b"ff", 16), Ok(255));
    assert_eq!(kernfs::kstrto::u16(b"65536", 0), Err(Errno::RANGE));
}

#[test]
fn a_mount_point_gives_way() {
    let top = Tree::sysfs().root();
    top.create_mount_point("pci0000:00").unwrap();
    assert_eq!(top.create_mount_point("pci0000:00"), Ok(()));
    top.create_dir("pci0000:00").unwrap();
    assert_eq!(top.create_mount_point("pci0000:00"), Err(Errno::EXIST));
}
