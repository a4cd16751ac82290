//! What the lock validator says about waits for work items. A test binary of its own, and one test: reports are the
//! process's.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::mpsc;
use std::sync::{Arc, Mutex, OnceLock};

use driver_core::{DriverCore, ManualClock, SeededRng, Work, Workqueue};
use lockdep::{Banner, Report, ReportKind};

/// A way to wait for an item.
type Way = fn(&Workqueue, &Work);

/// The reports that have come since the last call.
fn news(seen: &mut usize) -> Vec<Arc<Report>> {
    let all = lockdep::reports();
    let new = all[*seen..].to_vec();
    *seen = all.len();
    new
}

#[test]
fn waits_for_work_are_part_of_the_order_and_nothing_hangs() {
    let core = DriverCore::new(Arc::new(ManualClock::new()), Arc::new(SeededRng::new(1)));
    let mut seen = 0;

    // To flush a queue under a lock that its items take: reported although no item runs at that moment.
    let wq = Workqueue::alloc_ordered(core.workers(), "mlx5_events");
    let lock = Arc::new(lockdep::Mutex::named("intf_mutex", ()));
    let work = {
        let lock = Arc::clone(&lock);
        Work::new("mlx5_event_work", move |_held| drop(lock.lock()))
    };
    wq.queue(&work);
    wq.flush();
    assert!(news(&mut seen).is_empty());
    {
        let _guard = lock.lock().unwrap();
        wq.flush();
    }
    let reports = news(&mut seen);
    assert_eq!(reports.len(), 1);
    assert_eq!(reports[0].kind(), ReportKind::Circular);
    let text = reports[0].kernel_text(&Banner::default());
    assert!(
        text.contains("((wq_completion)mlx5_events){+.+.}-{0:0}"),
        "{text}"
    );
    assert!(text.contains("(mlx5_event_work){+.+.}-{0:0}"), "{text}");
    assert!(text.contains("process_one_work"), "{text}");

    // To wait for an item under a lock that the item takes; an unordered queue has no part in it.
    let other = Arc::new(lockdep::Mutex::named("other_mutex", ()));
    let work = {
        let other = Arc::clone(&other);
        Work::new("other_work", move |_held| drop(other.lock()))
    };
    core.system_wq().queue(&work);
    work.flush();
    {
        let _guard = other.lock().unwrap();
        work.cancel_sync();
    }
    let reports = news(&mut seen);
    assert_eq!(reports.len(), 1);
    assert_eq!(reports[0].kind(), ReportKind::Circular);
    assert!(!reports[0].classes().contains(&"(wq_completion)events"));

    // An item that waits for itself, each way there is: reported, not done.
    let wq = Workqueue::alloc_ordered(core.workers(), "self");
    let (done, done_rx) = mpsc::channel();
    let own: Arc<OnceLock<Work>> = Arc::default();
    let work = {
        let (wq, own) = (wq.clone(), Arc::clone(&own));
        let ways: Mutex<Vec<Way>> = Mutex::new(vec![
            |_, work| assert!(!work.flush()),
            |_, work| assert!(!work.cancel_sync()),
            |wq, _| wq.flush(),
        ]);
        Work::new("self_work", move |_held| {
            let way = ways.lock().unwrap().pop();
            if let (Some(way), Some(own)) = (way, own.get()) {
                way(&wq, own);
            }
            done.send(()).unwrap();
        })
    };
    own.set(work.clone()).unwrap();
    for _ in 0..3 {
        wq.queue(&work);
        done_rx
            .recv_timeout(std::time::Duration::from_secs(20))
            .unwrap();
        wq.flush();
    }
    let reports = news(&mut seen);
    let recursive = |class| {
        reports.iter().any(|report| {
            report.kind() == ReportKind::Recursive && report.classes().contains(&class)
        })
    };
    assert!(recursive("self_work"));
    assert!(recursive("(wq_completion)self"));
    for report in &reports {
        let text = report.kernel_text(&Banner::default());
        assert!(
            text.contains("Workqueue: self waits_for_work_are_part_of_the_order"),
            "{text}"
        );
        assert!(report.thread().0.starts_with("kworker/u4:"));
    }
}
