//! Unmodified clients: each lists the device, reloads it into a namespace and sees it there.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::flash::some_firmware;
use crate::machine::{DEVICE, Machine, Ran, Who, skip, tool};

/// The three lines that each client's program prints around its reload.
#[track_caller]
fn check_listed(ran: &Ran) {
    let line = |start: &str| {
        ran.out
            .lines()
            .find_map(|line| line.strip_prefix(start))
            .unwrap_or_else(|| panic!("no line {start:?}: {}", ran.tail()))
    };
    let has = |text: &str| text.split_whitespace().any(|name| name == DEVICE);
    assert!(
        has(line("here: ")) && !has(line("here, after:")) && has(line("n1: ")),
        "{}",
        ran.tail()
    );
}

fn iproute2(who: Who) {
    let Some(machine) = Machine::new(who) else {
        return;
    };
    let ran = machine.run("
        list() { devlink $1 $2 dev show | sed 's/: .*//;s/:$//' | grep -v '^ ' | tr '\\n' ' '; }
        ip netns add n1 || exit 1
        echo \"here: $(list)\"
        devlink dev reload $DEVICE netns n1 || exit 2
        echo \"here, after: $(list)\"
        echo \"n1: $(list -N n1)\"
        devlink -N n1 dev reload $DEVICE netns 1 || devlink -N n1 dev reload $DEVICE netns $$ || exit 3
        devlink dev show $DEVICE >/dev/null || exit 4
    ").good();
    check_listed(&ran);
}

#[test]
fn iproute2_as_root() {
    iproute2(Who::Root);
}

#[test]
fn iproute2_as_user() {
    iproute2(Who::User);
}

#[test]
fn iproute2_prints_json() {
    let Some(machine) = Machine::new(Who::User) else {
        return;
    };
    let ran = machine.run("devlink -j dev show; devlink -j port show; devlink -j dev info; devlink -j dev param show").good();
    assert_eq!(ran.out.lines().count(), 4, "{}", ran.tail());
    for line in ran.out.lines() {
        assert!(
            line.starts_with('{')
                && line.ends_with('}')
                && (line.contains(DEVICE) || line.contains("auxiliary/mlx5_core.eth.0")),
            "{}",
            ran.tail()
        );
    }
}

/// A machine for clients that are on pyroute2; `None` where that is not installed.
pub(crate) fn with_pyroute2(who: Who) -> Option<Machine> {
    let machine = Machine::new(who)?;
    let venv = machine.outside("$VENV/bin/python -c 'import pyroute2'");
    if venv.code != 0 {
        skip("pyroute2 is not installed in target/venv (./x test does that)");
    }
    (venv.code == 0).then_some(machine)
}

fn pyroute2(who: Who) {
    let Some(machine) = with_pyroute2(who) else {
        return;
    };
    let ran = machine.run("ip netns add n1 && exec $VENV/bin/python $CLIENTS/python/pyroute2_reload.py $DEVICE n1").good();
    check_listed(&ran);
}

#[test]
fn pyroute2_as_root() {
    pyroute2(Who::Root);
}

#[test]
fn pyroute2_as_user() {
    pyroute2(Who::User);
}

/// Every call of pyroute2's devlink module, and of the socket below it.
#[test]
fn pyroute2_does_all_that_it_can() {
    let Some(machine) = with_pyroute2(Who::User) else {
        return;
    };
    let machine = machine.with(&["--device", "netdevsim@10,ports=2", "--device", "mlx5"]);
    let ran = machine
        .run("exec $VENV/bin/python $CLIENTS/python/pyroute2_all.py")
        .good();
    assert_eq!(ran.out, "good\n", "{}", ran.tail());
}

/// A Go client, a static binary that makes its system calls itself: `vishvananda` or `operator`, or `own-tests`, the library's.
/// `None` where none can be built.
pub(crate) fn go_client(client: &str) -> Option<String> {
    const SOURCES: &str = "/usr/share/gocode";
    const LIBRARY: &str = "github.com/vishvananda/netlink";
    static BUILT: OnceLock<bool> = OnceLock::new();
    let built = *BUILT.get_or_init(|| {
        let found = Path::new(SOURCES).join("src").join(LIBRARY).is_dir();
        if !found || Command::new("go").arg("version").output().is_err() {
            return false;
        }
        let place = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/go");
        let build = |how: &[&str], client: &str, source: &Path| {
            let mut go = Command::new("go");
            go.env("GOPATH", SOURCES)
                .env("GO111MODULE", "off")
                .env("GOFLAGS", "")
                .env("CGO_ENABLED", "0");
            go.env("GOCACHE", place.join("go-cache"));
            tool(go.args(how).arg("-o").arg(place.join(client)).arg(source));
        };
        build(&["build"], "vishvananda", &sources.join("main.go"));
        build(&["build"], "operator", &sources.join("operator/main.go"));
        build(&["test", "-c"], "own-tests", Path::new(LIBRARY));
        true
    });
    if !built {
        skip("needs golang-go and golang-github-vishvananda-netlink-dev");
    }
    built.then(|| format!("$BUILT/{client}"))
}

fn vishvananda(who: Who) {
    let Some(machine) = Machine::new(who) else {
        return;
    };
    let Some(client) = go_client("vishvananda") else {
        return;
    };
    let ran = machine
        .run(&format!("ip netns add n1 && exec {client} $DEVICE n1"))
        .good();
    check_listed(&ran);
    assert!(
        ran.out
            .contains(&format!("driver of {DEVICE}: mlx5_core\n")),
        "{}",
        ran.tail()
    );
}

#[test]
fn vishvananda_as_root() {
    vishvananda(Who::Root);
}

#[test]
fn vishvananda_as_user() {
    vishvananda(Who::User);
}

/// The library's own tests of devlink, which upstream pass by the calls where no device is named to them. Left out are those
/// that are skipped without a kernel module `devlink`, which no kernel since 5.0 has.
#[test]
fn vishvanandas_own_tests() {
    let Some(machine) = Machine::new(Who::User) else {
        return;
    };
    let Some(tests) = go_client("own-tests") else {
        return;
    };
    let own = "DevLinkGetAllPortList|DevLinkAddDelSfPort|DevLinkSfPortFnSet|DevlinkGetDeviceInfo";
    let ran = machine
        .run(&format!(
            "devlink dev eswitch set $DEVICE mode switchdev
             exec {tests} -test.v -test.run '{own}' -bus pci -device ${{DEVICE#pci/}} -sfnum 88"
        ))
        .good();
    let passed = ran.out.matches("--- PASS: ").count();
    assert!(passed == 7 && !ran.out.contains("SKIP"), "{}", ran.tail());
    // It notes an error of setting the function's attributes and goes on; how far the function has come is the firmware's affair.
    let set = ran.out.contains("{00:11:22:33:44:55 1 ");
    assert!(set && !ran.out.contains(" err = "), "{}", ran.tail());
}

/// What is not devlink's is the real kernel's, in the same socket and in the same dump.
#[test]
fn other_families_are_the_kernels() {
    let Some(machine) = Machine::new(Who::User) else {
        return;
    };
    let inside = machine
        .run("python3 $CLIENTS/python/families.py; python3 $CLIENTS/python/families.py")
        .good();
    let outside = machine
        .outside("unshare -Urn python3 $CLIENTS/python/families.py")
        .good();
    let set = |text: &str| {
        text.lines()
            .map(str::to_owned)
            .collect::<std::collections::BTreeSet<_>>()
    };
    let (inside, outside) = (set(&inside.out), set(&outside.out));
    let ours: Vec<_> = inside
        .difference(&outside)
        .filter(|line| !line.starts_with("devlink "))
        .collect();
    let lost: Vec<_> = outside
        .difference(&inside)
        .filter(|line| !line.starts_with("devlink "))
        .collect();
    assert!(
        inside.iter().any(|line| line.starts_with("devlink ")),
        "{inside:?}"
    );
    assert!(
        ours.is_empty() && lost.is_empty(),
        "added {ours:?}, lost {lost:?}"
    );
}

#[test]
fn many_clients_at_once() {
    let Some(machine) = Machine::new(Who::User) else {
        return;
    };
    let ran = machine.run("
        for i in $(seq 8); do
            (for j in $(seq 12); do devlink dev show $DEVICE || echo bad; devlink port show >/dev/null || echo bad; done) &
        done
        wait
    ").good();
    assert_eq!(
        ran.out
            .lines()
            .filter(|line| line.starts_with(DEVICE))
            .count(),
        96,
        "{}",
        ran.tail()
    );
    assert!(!ran.out.contains("bad"), "{}", ran.tail());
}

/// A kernel's source tree with its YNL client: `USERLINK_KERNEL_TREE`, or what `./x test` has fetched.
fn tree_with_ynl() -> Option<PathBuf> {
    let given = std::env::var_os("USERLINK_KERNEL_TREE").map(PathBuf::from);
    let fetched = Path::new(env!("CARGO_BIN_EXE_userlink"))
        .ancestors()
        .nth(2)?
        .join("debian/linux-7.2");
    let has_ynl = |tree: &PathBuf| tree.join("tools/net/ynl/pyynl/lib/ynl.py").exists();
    given.into_iter().chain([fetched]).find(has_ynl)
}

/// Every do and every dump of the official specification, carried out through the kernel's own client.
#[test]
fn ynl_does_all_that_it_knows() {
    let Some(tree) = tree_with_ynl() else {
        return skip("no kernel tree with tools/net/ynl (USERLINK_KERNEL_TREE, or `./x test`)");
    };
    if !python_has("yaml") {
        return skip("Python has no yaml");
    }
    let Some(machine) = Machine::new(Who::User) else {
        return;
    };
    let firmware = some_firmware().unwrap_or_default();
    let ran = machine
        .with(&["--device", "netdevsim@10,ports=2", "--device", "spectrum"])
        .with(&["--device", "mlx5", "--clock", "virtual"])
        .python(&format!("ynl_all.py {} {firmware}", tree.display()))
        .good();
    assert!(
        ran.out.ends_with("75 operations, 0 wrong\n"),
        "{}",
        ran.tail()
    );
}

fn python_has(module: &str) -> bool {
    let mut python = Command::new("python3");
    python.args(["-c", &format!("import {module}")]);
    python.output().is_ok_and(|output| output.status.success())
}
