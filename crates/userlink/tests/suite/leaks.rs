//! What clients open is given back: descriptors, threads and memory of both processes return to where they were.

use crate::machine::{Machine, Who};

/// `count` prints descriptors and threads of the machine's processes; `settle` waits until they are what they were. Not counted are
/// the supervisor's handles of recent processes (it keeps at most 64) and the workers of idle workqueues.
const COUNT: &str = r#"
supervisor=$PPID
machine=$(tr ' ' '\n' </proc/$supervisor/task/$supervisor/children | grep . | grep -vx $$)
[ -n "$machine" ] || { echo 'no kernel process beside the command' >&2; exit 9; }
count() {
    for process in $supervisor $machine; do
        ls -l /proc/$process/fd | grep -vc 'pidfd'
        cat /proc/$process/task/*/comm | grep -vc kworker
    done | tr '\n' ' '
}
settle() { # settle WANTED
    for try in $(seq 200); do
        [ "$(count)" = "$1" ] && echo settled && return
        sleep 0.05
    done
    echo "before: $1; after: $(count) (descriptors and threads of the supervisor, then of the kernel process)"
    ls -l /proc/$supervisor/fd /proc/$machine/fd
    exit 8
}
all() { devlink dev show; devlink port show; devlink dev info; devlink dev param show; devlink dev reload $DEVICE; }
all >/dev/null; genl ctrl list >/dev/null 2>&1
sleep 0.3
before=$(count)
"#;

#[track_caller]
fn returns_to_baseline(who: Who, work: &str) {
    let Some(machine) = Machine::new(who) else {
        return;
    };
    let ran = machine
        .run(&format!("{COUNT}\n{work}\nsettle \"$before\""))
        .good();
    assert!(ran.out.ends_with("settled\n"), "{}", ran.tail());
}

#[test]
fn clients_that_come_and_go() {
    for who in [Who::Root, Who::User] {
        returns_to_baseline(who, "for i in $(seq 40); do all >/dev/null || exit 1; done");
    }
}

#[test]
fn clients_that_are_killed() {
    returns_to_baseline(
        Who::User,
        "python3 $CLIENTS/python/hostile.py killed 40 || exit 1",
    );
}

#[test]
fn bad_input() {
    returns_to_baseline(
        Who::User,
        "python3 $CLIENTS/python/hostile.py random 1000; python3 $CLIENTS/python/hostile.py fuzz 1000",
    );
}

#[test]
fn namespaces_that_come_and_go() {
    returns_to_baseline(
        Who::User,
        "for i in $(seq 15); do
            ip netns add n$i; ip netns exec n$i devlink dev show
            devlink dev reload $DEVICE netns n$i || exit 1
            python3 $CLIENTS/python/until_new.py $DEVICE ip netns del n$i || exit 2
        done",
    );
}

#[test]
fn a_thousand_sockets_of_one_client() {
    returns_to_baseline(
        Who::User,
        "python3 $CLIENTS/python/crowd.py 500 || exit 1; python3 $CLIENTS/python/crowd.py 500 || exit 1",
    );
}
