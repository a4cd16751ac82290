//! What SARIF 2.1.0 requires of a log (OASIS standard, sections 3.13 to 3.30 and 3.49), as far as ours has it: the properties that
//! must be there, those that may, and of which form each is. The published schema is not part of the project; this says the
//! same of the objects that occur, and refuses every property that it does not know, as the schema does.

use super::json::Value;

/// Of an object: the properties that it must have, and those that it may have, with what each must be.
type Rule<'a> = (&'a [&'a str], &'a [(&'a str, Check)]);
type Check = fn(&Value, &str);

fn fields(value: &Value, at: &str, (required, known): Rule<'_>) {
    let Value::Object(fields) = value else {
        panic!("{at}: no object");
    };
    for name in required {
        assert!(fields.contains_key(*name), "{at}: {name} is missing");
    }
    for (name, value) in fields {
        let known = known.iter().find(|(known, _)| known == name);
        let (_, check) = known.unwrap_or_else(|| panic!("{at}: {name} is no property of it"));
        check(value, &format!("{at}.{name}"));
    }
}

fn each(value: &Value, at: &str, check: Check) {
    let Value::List(items) = value else {
        panic!("{at}: no array");
    };
    for (index, item) in items.iter().enumerate() {
        check(item, &format!("{at}[{index}]"));
    }
}

fn text(value: &Value, at: &str) {
    assert!(matches!(value, Value::Text(_)), "{at}: no string");
}

fn whole(value: &Value, at: &str, least: f64) {
    let Value::Number(number) = value else {
        panic!("{at}: no number");
    };
    assert!(number.fract() == 0.0 && *number >= least, "{at}: {number}");
}

fn one_of(value: &Value, at: &str, values: &[&str]) {
    text(value, at);
    assert!(values.contains(&value.text()), "{at}: {}", value.text());
}

fn bag(value: &Value, at: &str) {
    assert!(matches!(value, Value::Object(_)), "{at}: no property bag");
}

/// `artifactLocation.uri`: a URI reference (RFC 3986).
fn uri(value: &Value, at: &str) {
    text(value, at);
    let allowed =
        |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=%".contains(&byte);
    assert!(value.text().bytes().all(allowed), "{at}: {}", value.text());
}

fn message(value: &Value, at: &str) {
    fields(value, at, (&["text"], &[("text", text)]));
}

fn region(value: &Value, at: &str) {
    fields(
        value,
        at,
        (
            &["startLine"],
            &[("startLine", |value, at| whole(value, at, 1.0))],
        ),
    );
}

fn artifact(value: &Value, at: &str) {
    fields(value, at, (&["uri"], &[("uri", uri)]));
}

fn physical(value: &Value, at: &str) {
    let rule: Rule<'_> = (
        &["artifactLocation"],
        &[("artifactLocation", artifact), ("region", region)],
    );
    fields(value, at, rule);
}

fn logical(value: &Value, at: &str) {
    fields(
        value,
        at,
        (&["fullyQualifiedName"], &[("fullyQualifiedName", text)]),
    );
}

fn location(value: &Value, at: &str) {
    const KNOWN: &[(&str, Check)] = &[
        ("id", |value, at| whole(value, at, -1.0)),
        ("message", message),
        ("physicalLocation", physical),
        ("logicalLocations", |value, at| each(value, at, logical)),
    ];
    fields(value, at, (&[], KNOWN));
}

fn fingerprints(value: &Value, at: &str) {
    let Value::Object(prints) = value else {
        panic!("{at}: no object");
    };
    prints.values().for_each(|print| text(print, at));
}

fn result(value: &Value, at: &str) {
    const KNOWN: &[(&str, Check)] = &[
        ("ruleId", text),
        ("level", |value, at| {
            one_of(value, at, &["none", "note", "warning", "error"]);
        }),
        ("message", message),
        ("locations", |value, at| each(value, at, location)),
        ("relatedLocations", |value, at| each(value, at, location)),
        ("partialFingerprints", fingerprints),
        ("properties", bag),
    ];
    fields(value, at, (&["message"], KNOWN));
    // 3.28.2: the ids of related locations are distinct.
    let related = value.at("relatedLocations").items().iter();
    let mut ids: Vec<u64> = related.map(|it| it.at("id").number() as u64).collect();
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), count, "{at}: an id twice");
}

fn rule(value: &Value, at: &str) {
    fields(value, at, (&["id"], &[("id", text), ("name", text)]));
}

fn driver(value: &Value, at: &str) {
    const KNOWN: &[(&str, Check)] = &[
        ("name", text),
        ("version", text),
        ("rules", |value, at| each(value, at, rule)),
    ];
    fields(value, at, (&["name"], KNOWN));
}

fn tool(value: &Value, at: &str) {
    fields(value, at, (&["driver"], &[("driver", driver)]));
}

fn run(value: &Value, at: &str) {
    const KINDS: Check = |value, at| one_of(value, at, &["utf16CodeUnits", "unicodeCodePoints"]);
    const KNOWN: &[(&str, Check)] = &[
        ("tool", tool),
        ("results", |value, at| each(value, at, result)),
        ("columnKind", KINDS),
    ];
    fields(value, at, (&["tool"], KNOWN));
    // 3.27.5: a result's rule is one of the tool's.
    let rules = value.at("tool").at("driver").at("rules").items();
    for result in value.at("results").items() {
        let id = result.at("ruleId").text();
        assert!(
            rules.iter().any(|rule| rule.at("id").text() == id),
            "{at}: no rule {id}"
        );
    }
}

/// Panics where the log is not as it must be.
pub(crate) fn check(log: &Value) {
    const KNOWN: &[(&str, Check)] = &[
        ("$schema", uri),
        ("version", |value, at| one_of(value, at, &["2.1.0"])),
        ("runs", |value, at| each(value, at, run)),
    ];
    fields(log, "log", (&["version", "runs"], KNOWN));
}
