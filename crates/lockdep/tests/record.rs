//! The outputs: each from the same findings, each readable by what it is for.

#![allow(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]

mod support;

use lockdep::order::lock_order;
use lockdep::record::Record;
use lockdep::{Class, Grade, Mutex, RwLock};
use support::json;

lock_order! {
    Outer "record outer";
    Inner "record inner";
}

fn nested(outer: &Mutex<()>, inner: &Mutex<()>) {
    let _outer = outer.lock().unwrap();
    let _inner = inner.lock().unwrap();
}

fn on_thread(f: impl FnOnce() + Send) {
    std::thread::scope(|scope| drop(scope.spawn(f)));
}

fn against_the_table() {
    use lockdep::order::{Held, Mutex};
    let (outer, inner): (Mutex<Outer, ()>, Mutex<Inner, ()>) = (Mutex::new(()), Mutex::new(()));
    on_thread(|| {
        let mut root = Held::root();
        let (_outer, mut held) = outer.lock(&mut root);
        let (_inner, _held) = inner.lock(&mut held);
    });
    let mut root = Held::root();
    let (_inner, mut held) = inner.lock(&mut root);
    let mut free = held.against_declared_order("a test of the report");
    let (_outer, _held) = outer.lock(&mut free);
}

#[test]
fn every_output_tells_the_same_findings() {
    lockdep::set_handler(|_| ());
    let lock = |name: &'static str| Mutex::with_class(Class::named(name), ());
    let (a, b) = (lock("record \"a\""), lock("record <b>"));
    let [c, d] = ["record c", "record d"].map(lock);
    on_thread(|| nested(&a, &b));
    on_thread(|| nested(&b, &a));
    nested(&c, &d);
    nested(&d, &c);
    let again = RwLock::with_class(Class::named("record again"), ());
    let (one, other) = (again.read().unwrap(), again.read().unwrap());
    drop((one, other));
    against_the_table();

    let record = Record::take();
    assert_eq!(record.findings.len(), 4);
    assert_eq!(
        record.findings[2].grade,
        Some(Grade::SingleThread),
        "the worst first"
    );
    assert_eq!(record.deadlocks(), 2);
    let worst = record
        .findings
        .iter()
        .find(|finding| finding.breaks.is_empty())
        .unwrap();
    assert_eq!(worst.cycle.len(), 2, "both edges are there");
    let edge = &record.edges[worst.cycle[0]];
    assert!(
        edge.held
            .site
            .as_deref()
            .unwrap()
            .contains("tests/record.rs:")
    );
    assert!(
        edge.taken
            .stack
            .iter()
            .any(|frame| frame.contains("record::nested")),
        "{:?}",
        edge.taken.stack
    );
    let broken = record
        .findings
        .iter()
        .find(|finding| !finding.breaks.is_empty())
        .unwrap();
    assert_eq!(broken.breaks, ["Outer before Inner (record)"]);
    let report = lockdep::reports()
        .into_iter()
        .find(|report| report.signature() == broken.signature)
        .unwrap();
    assert_eq!(report.breaks(), broken.breaks);
    assert!(
        report
            .verdict()
            .unwrap()
            .contains("breaks the declared order Outer before Inner")
    );

    let text = record.to_text();
    assert!(
        text.contains("record <b> was taken while record \"a\" was held"),
        "{text}"
    );

    let value = json::parse(&record.to_json());
    assert_eq!(value.at("findings").items().len(), 4);
    assert_eq!(
        value.at("findings").items()[2].at("grade").text(),
        "single-thread"
    );
    assert_eq!(
        value.at("classes").items()[0].at("name").text(),
        "record \"a\""
    );

    let sarif = json::parse(&record.to_sarif());
    assert_eq!(sarif.at("version").text(), "2.1.0");
    support::sarif::check(&sarif);
    let results = sarif.at("runs").items()[0].at("results");
    assert_eq!(results.items().len(), 4);
    let circular = |result: &&json::Value| result.at("ruleId").text() == "Circular";
    assert_eq!(results.items().iter().filter(circular).count(), 3);
    for result in results.items().iter().filter(circular) {
        assert_eq!(result.at("locations").items().len(), 1);
        let related = result.at("relatedLocations").items();
        assert_eq!(related.len(), 4, "both sites of both edges");
        for location in related {
            let physical = location.at("physicalLocation");
            assert!(
                physical
                    .at("artifactLocation")
                    .at("uri")
                    .text()
                    .ends_with("tests/record.rs")
            );
            assert!(physical.at("region").at("startLine").number() > 0.0);
            assert!(location.at("message").at("text").text().contains("record "));
        }
    }
    assert_eq!(results.items()[2].at("level").text(), "note");

    let dot = record.to_dot();
    assert!(
        dot.contains("label=\"record \\\"a\\\"\"")
            && dot.matches(" -> ").count() == record.edges.len(),
        "{dot}"
    );

    let html = record.to_html();
    assert!(html.starts_with("<!doctype html>") && html.contains("record \\u003cb>"));

    // The file says all of it again.
    let dir = std::env::temp_dir().join(format!("lockdep-record-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let file = dir.join("graph");
    record.write(&file).unwrap();
    assert_eq!(
        std::fs::read_dir(&dir).unwrap().count(),
        1,
        "no half of a file is left"
    );
    let merged = lockdep::merge([&file]).unwrap();
    std::fs::remove_dir_all(&dir).unwrap();
    let all = |record: &Record| {
        let mut all: Vec<_> = record
            .findings
            .iter()
            .map(|it| (it.signature.clone(), it.grade, it.breaks.clone()))
            .collect();
        all.sort();
        all
    };
    assert_eq!(all(&merged), all(&record), "grades and all");
    assert!(merged.findings.iter().all(|finding| !finding.across_runs));
}
