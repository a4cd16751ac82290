//! SARIF 2.1.0, which code hosts and editors read: a result for each finding, at the line that completed it, with every other
//! line of the cycle as a related location.

use super::json::{Object, array, quote};
use super::{Finding, Place, Record};
use crate::grade::Grade;

impl Record {
    /// The findings as a SARIF 2.1.0 log.
    #[must_use]
    pub fn to_sarif(&self) -> String {
        let driver = Object::new()
            .text("name", "lockdep")
            .text("version", env!("CARGO_PKG_VERSION"))
            .raw("rules", &self.rules())
            .end();
        let run = Object::new()
            .raw("tool", &Object::new().raw("driver", &driver).end())
            .list("results", &self.findings, |finding| self.result(finding))
            .raw("columnKind", "\"unicodeCodePoints\"")
            .end();
        Object::new()
            .text("$schema", "https://json.schemastore.org/sarif-2.1.0.json")
            .text("version", "2.1.0")
            .raw("runs", &format!("[{run}]"))
            .end()
    }

    fn rules(&self) -> String {
        let mut kinds: Vec<String> = self
            .findings
            .iter()
            .map(|finding| format!("{:?}", finding.kind))
            .collect();
        kinds.sort();
        kinds.dedup();
        array(&kinds, |kind| {
            Object::new().text("id", kind).text("name", kind).end()
        })
    }

    fn result(&self, finding: &Finding) -> String {
        let mut places: Vec<(String, &Place)> = Vec::new();
        for &at in &finding.cycle {
            let edge = &self.edges[at];
            let (from, to) = (&self.classes[edge.from].name, &self.classes[edge.to].name);
            let (thread, tid) = &edge.thread;
            places.push((
                format!("{to} taken under {from} by {thread}/{tid}"),
                &edge.taken,
            ));
            places.push((
                format!("{from} held by {thread}/{tid} while {to} is taken"),
                &edge.held,
            ));
        }
        let own = Place {
            site: finding.site.clone(),
            ..Place::default()
        };
        let locations: Vec<String> = location(&own, None).into_iter().collect();
        let related: Vec<String> = places
            .iter()
            .enumerate()
            .filter_map(|(id, (message, place))| location(place, Some((id, message))))
            .collect();
        let level = match finding.grade {
            None | Some(Grade::Certain | Grade::Deadlock) => "error",
            Some(Grade::Gated) => "warning",
            Some(Grade::SingleThread | Grade::Ordered) => "note",
        };
        let mut properties = Object::new().list("classes", &finding.classes, |class| quote(class));
        if let (Some(grade), Some(instances)) = (finding.grade, finding.instances) {
            properties = properties
                .text("grade", grade.name())
                .text("instances", instances.name());
        }
        let fingerprint = Object::new()
            .text("lockdepSignature/v1", &finding.signature)
            .end();
        Object::new()
            .text("ruleId", &format!("{:?}", finding.kind))
            .text("level", level)
            .raw("message", &message(&finding.headline()))
            .raw("locations", &array(&locations, Clone::clone))
            .raw("relatedLocations", &array(&related, Clone::clone))
            .raw("partialFingerprints", &fingerprint)
            .raw("properties", &properties.end())
            .end()
    }
}

fn message(text: &str) -> String {
    Object::new().text("text", text).end()
}

/// A place as a SARIF location; nothing if it is not known.
fn location(place: &Place, related: Option<(usize, &String)>) -> Option<String> {
    let (file, line) = place.site.as_deref()?.rsplit_once(':')?;
    let line: u32 = line.parse().ok().filter(|&line| line > 0)?;
    let region = Object::new().raw("startLine", &line.to_string()).end();
    let physical = Object::new()
        .raw(
            "artifactLocation",
            &Object::new().text("uri", &uri(file)).end(),
        )
        .raw("region", &region)
        .end();
    let mut location = Object::new();
    if let Some((id, text)) = related {
        location = location
            .raw("id", &id.to_string())
            .raw("message", &message(text));
    }
    let logical = place
        .stack
        .iter()
        .find(|frame| !frame.starts_with("lockdep::"));
    if let Some(frame) = logical {
        let name = Object::new().text("fullyQualifiedName", frame).end();
        location = location.raw("logicalLocations", &format!("[{name}]"));
    }
    Some(location.raw("physicalLocation", &physical).end())
}

/// A path as a URI reference.
fn uri(path: &str) -> String {
    let mut uri = String::new();
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            uri += &format!("%{byte:02X}");
        }
    }
    if path.starts_with('/') {
        format!("file://{uri}")
    } else {
        uri
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_becomes_a_uri() {
        assert_eq!(uri("src/a b.rs"), "src/a%20b.rs");
        assert_eq!(uri("/home/x.rs"), "file:///home/x.rs");
    }
}
