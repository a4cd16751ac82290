//! Real programs in a real sandbox around the toy service of `tests/support/echo_service.rs`.
//!
//! Run by root, every test runs twice: as root, and as user 65534 in namespaces of its own. Run by anybody else it runs
//! in the latter way only.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

const NOBODY: u32 = 65534;

/// A folder that everybody can read, with the service and its client in it.
fn folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let folder = std::env::temp_dir().join(format!("sandbox-test-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let service = env!("CARGO_BIN_EXE_echo_service");
        let client = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/client.py");
        fs::copy(service, folder.join("echo_service")).unwrap();
        fs::copy(client, folder.join("client.py")).unwrap();
        for file in ["echo_service", "client.py", "."] {
            fs::set_permissions(folder.join(file), fs::Permissions::from_mode(0o755)).unwrap();
        }
        folder
    })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Root,
    User,
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn everybody() -> Vec<Who> {
    if is_root() {
        vec![Who::Root, Who::User]
    } else {
        vec![Who::User]
    }
}

/// `program` with the test folder as working directory and nothing of the caller's environment.
fn command(who: Who, program: &str) -> Command {
    let mut command = Command::new(program);
    command
        .current_dir(folder())
        .env_clear()
        .env(
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        )
        .stdin(Stdio::null());
    if who == Who::User && is_root() {
        command.uid(NOBODY).gid(NOBODY); // and, by doing so, none of root's groups
    }
    command
}

/// The service around `words`.
fn sandbox(who: Who, words: &[&str]) -> Command {
    let service = folder().join("echo_service");
    let mut command = command(who, "timeout");
    // --foreground: the sandbox stays in the test's process group, and signals go to it alone.
    command
        .args(["--foreground", "-k", "5", "100"])
        .arg(service)
        .args(words);
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[track_caller]
fn succeeds(mut command: Command) -> Output {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}\n{}",
        output.status,
        text(&output.stdout),
        text(&output.stderr)
    );
    output
}

#[track_caller]
fn clients(name: &str, modes: &[&[&str]]) {
    for who in everybody() {
        for mode in modes {
            let words = [*mode, &["--", "python3", "client.py", name]].concat();
            let mut client = sandbox(who, &words);
            if mode.contains(&"--native") {
                client.env("NATIVE", "");
            }
            succeeds(client);
        }
    }
}

const TRAPPED: &[&[&str]] = &[&[]];
const BOTH: &[&[&str]] = &[&[], &["--native"]];
const ALL: &[&[&str]] = &[&[], &["--all"]];

#[test]
fn a_socket_has_the_names_and_options_of_a_netlink_socket() {
    clients("names", TRAPPED);
}

#[test]
fn every_way_to_receive_works() {
    clients("shapes", ALL);
}

#[test]
fn only_what_the_kernel_writes_is_written() {
    clients("fields", TRAPPED);
}

#[test]
fn a_socket_survives_dup_fork_exec_and_passing() {
    clients("relatives", BOTH);
}

#[test]
fn threads_share_and_own_sockets() {
    clients("threads", BOTH);
}

#[test]
fn edge_triggered_readiness_is_true() {
    clients("edges", ALL);
}

#[test]
fn signals_lose_nothing() {
    clients("storm", TRAPPED);
    clients("alarmed", TRAPPED);
}

#[test]
fn a_waiting_receive_ends_with_a_signal() {
    clients("interrupted", ALL);
}

#[test]
fn a_slow_reader_hears_of_it_once() {
    clients("overrun", TRAPPED);
}

#[test]
fn members_of_a_group_are_notified() {
    clients("notified", BOTH);
}

#[test]
fn a_client_that_never_reads_does_not_stand_still() {
    clients("flood", TRAPPED);
}

#[test]
fn the_real_kernel_answers_for_its_families() {
    clients("getfamily", TRAPPED);
}

#[test]
fn a_sender_and_the_namespaces_it_names_are_identified() {
    clients("identity", TRAPPED);
}

#[test]
fn a_panic_ends_one_conversation() {
    clients("panicked", TRAPPED);
}

#[test]
fn garbage_is_survived() {
    clients("garbage", BOTH);
}

#[test]
fn thousands_of_sockets_can_be_open() {
    for who in everybody() {
        let mut many = sandbox(who, &["python3", "client.py", "many"]);
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
        many.env("SOFT_LIMIT", limit.current.unwrap().to_string());
        succeeds(many);
    }
}

#[test]
fn nobody_borrows_rights() {
    if !is_root() {
        return; // an ordinary user has none to lend
    }
    let native = succeeds({
        let mut native = command(Who::Root, "python3");
        native.args(["client.py", "native_in_own_netns"]);
        native
    });
    let mut deputies = sandbox(Who::Root, &["python3", "client.py", "deputies"]);
    deputies.env("NATIVE_IN_OWN_NETNS", text(&native.stdout).trim());
    succeeds(deputies);
    // The attack of the reference, word for word.
    let metrics = |attack: &str| {
        let output = sandbox(Who::Root, &["sh", "-c", attack]).output().unwrap();
        (output.status.code(), text(&output.stderr))
    };
    let nobody = "setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps=-all";
    let (status, error) = metrics(&format!("{nobody} ip tcp_metrics flush"));
    assert_ne!(status, Some(0), "{error}");
    assert!(error.contains("Operation not permitted"), "{error}");
}

#[test]
fn the_real_kernel_answers_in_namespaces_of_the_clients_own() {
    for who in everybody() {
        for flags in ["-n", "-Ur", "-Urn", "-Urpfmn"] {
            let script = format!(
                "unshare {flags} python3 client.py getfamily && unshare {flags} python3 client.py names"
            );
            succeeds(sandbox(who, &["sh", "-c", &script]));
        }
    }
}

#[test]
fn a_killed_client_pins_no_namespace() {
    for who in everybody() {
        let events = folder().join(format!("events-{who:?}"));
        fs::write(&events, "").unwrap();
        fs::set_permissions(&events, fs::Permissions::from_mode(0o666)).unwrap();
        // The script ends when the machine has heard of the end of every namespace that the program made.
        let wait = format!(
            "python3 client.py unpinned && for try in $(seq 200); do \
             [ $(grep -c NetGone {0}) = 12 ] && exit 0; sleep 0.05; done; cat {0}; exit 1",
            events.display()
        );
        let mut unpinned = sandbox(who, &["sh", "-c", &wait]);
        unpinned.env("ECHO_EVENTS", &events);
        succeeds(unpinned);
    }
}

#[test]
fn the_end_of_the_kernel_process_is_said_and_survived() {
    for who in everybody() {
        let output = sandbox(who, &["python3", "client.py", "orphan"])
            .output()
            .unwrap();
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(7), "{error}");
        assert!(
            error.contains("the process that runs the devices ended early"),
            "{error}"
        );
    }
}

#[test]
fn the_status_is_the_commands() {
    for who in everybody() {
        for (script, status) in [
            ("exit 7", 7),
            ("kill -TERM $$", 143),
            ("kill -KILL $$", 137),
            ("true", 0),
        ] {
            let output = sandbox(who, &["sh", "-c", script]).output().unwrap();
            assert_eq!(output.status.code(), Some(status), "{script}");
        }
        let output = sandbox(who, &["no-such-program"]).output().unwrap();
        assert_eq!(output.status.code(), Some(125));
        assert_eq!(
            text(&output.stderr),
            "echo_service: cannot run `no-such-program`: No such file or directory (os error 2)\n"
        );
    }
}

#[test]
fn signals_reach_the_command() {
    for who in everybody() {
        for signal in ["INT", "TERM", "HUP", "QUIT", "USR1", "USR2"] {
            let script = format!(
                "trap 'echo got; exit 3' {signal}; echo ready; while :; do sleep 0.01; done"
            );
            let service = folder().join("echo_service");
            let mut running = command(who, service.to_str().unwrap());
            // A background job of a shell has some of them ignored, and a shell cannot trap what it began with ignored.
            running.args(["env", "--default-signal", "sh", "-c", &script]);
            running.stdout(Stdio::piped());
            let mut running = running.spawn().unwrap();
            let mut out = std::io::BufReader::new(running.stdout.take().unwrap());
            let mut line = String::new();
            std::io::BufRead::read_line(&mut out, &mut line).unwrap();
            assert_eq!(line, "ready\n");
            let kill = Command::new("kill")
                .arg(format!("-{signal}"))
                .arg(running.id().to_string())
                .status();
            assert!(kill.unwrap().success());
            std::io::BufRead::read_line(&mut out, &mut line).unwrap();
            assert_eq!(line, "ready\ngot\n", "{signal}");
            assert_eq!(running.wait().unwrap().code(), Some(3), "{signal}");
        }
    }
}

#[test]
fn the_command_starts_with_the_usual_signals() {
    let script = "import signal; assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == set()";
    for who in everybody() {
        succeeds(sandbox(who, &["python3", "-c", script]));
        let pipe = succeeds(sandbox(who, &["sh", "-c", "yes | head -1"]));
        assert_eq!(text(&pipe.stderr), "");
    }
}

#[test]
fn a_machine_inside_a_machine_is_refused() {
    let service = folder().join("echo_service");
    let service = service.to_str().unwrap();
    for who in everybody() {
        let inside = sandbox(who, &[service, "true"]).output().unwrap();
        assert_eq!(inside.status.code(), Some(125));
        assert_eq!(
            text(&inside.stderr),
            "echo_service: already inside `userlink run` (USERLINK_CTL is set): run the command directly, it has this \
             machine's devlink\n"
        );
        let hidden = sandbox(who, &["env", "-u", "USERLINK_CTL", service, "true"])
            .output()
            .unwrap();
        assert_eq!(hidden.status.code(), Some(125));
        let error = text(&hidden.stderr);
        assert!(error.contains("inside another `userlink run`"), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
}

#[test]
fn refused_user_namespaces_are_explained() {
    if !is_root() {
        return; // the setting cannot be changed
    }
    // A user namespace in which no further ones may be made.
    let script = format!(
        "echo 0 >/proc/sys/user/max_user_namespaces; exec setpriv --bounding-set=-all --inh-caps=-all {} true",
        folder().join("echo_service").display()
    );
    let mut refused = command(Who::Root, "unshare");
    let output = refused.args(["-Ur", "sh", "-c", &script]).output().unwrap();
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(125), "{error}");
    assert!(error.contains("user namespaces are refused"), "{error}");
    assert!(error.contains("sysctl user.max_user_namespaces"), "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
}

#[test]
fn an_ordinary_user_can_add_namespaces() {
    let script = "set -e; name=uluser$$; ip netns add $name; ip netns | grep -q $name; \
                  ip link show lo | grep -q LOWER_UP; [ $(id -u) = 0 ]; \
                  ip netns exec $name python3 client.py notified; ip netns del $name; [ -d /run ]; \
                  [ $(ls /sys/class/net) = lo ]";
    succeeds(sandbox(Who::User, &["sh", "-c", script]));
}

#[test]
fn the_control_socket_answers_the_tree() {
    let script = "import os, socket\n\
                  s = socket.socket(socket.AF_UNIX)\n\
                  s.connect(os.environ['USERLINK_CTL'])\n\
                  s.sendall(b'hello you\\n')\n\
                  answer = b''\n\
                  while part := s.recv(100): answer += part\n\
                  assert answer == b'ok\\nhello you\\n', answer\n\
                  folder = os.path.dirname(os.environ['USERLINK_CTL'])\n\
                  assert os.stat(folder).st_mode & 0o777 == 0o700\n\
                  print(folder)\n";
    for who in everybody() {
        let output = succeeds(sandbox(who, &["python3", "-c", script]));
        let folder = text(&output.stdout);
        assert!(
            !Path::new(folder.trim()).exists(),
            "{folder} is still there"
        );
    }
}

#[test]
fn nothing_stays_behind() {
    for who in everybody() {
        let service = folder().join("echo_service");
        let mut running = command(who, service.to_str().unwrap());
        let mut running = running.args(["sleep", "100"]).spawn().unwrap();
        let list = format!("/proc/{0}/task/{0}/children", running.id());
        let start = Instant::now();
        let children = loop {
            let children = fs::read_to_string(&list).unwrap();
            if children.split_whitespace().count() == 2 {
                break children;
            }
            assert!(start.elapsed() < Duration::from_secs(20), "{children}");
            std::thread::sleep(Duration::from_millis(10));
        };
        let children: Vec<&str> = children.split_whitespace().collect();
        running.kill().unwrap();
        running.wait().unwrap();
        // The kernel process goes with its supervisor, however that ended.
        let kernel = PathBuf::from(format!("/proc/{}/fd/0", children[0]));
        let start = Instant::now();
        while fs::read_link(&kernel).is_ok() {
            assert!(start.elapsed() < Duration::from_secs(20));
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = Command::new("kill").arg(children[1]).status();
    }
}
