//! `userlink lockdep`: lock graphs that other programs have written.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Error};
use lockdep::record::Record;
use lockdep::{Grade, Suppressions};

use crate::args::{Lockdep, Merge};

/// The status of a command whose input cannot be read.
const UNREADABLE: u8 = 2;

/// What turns a record into a file.
type Output = fn(&Record) -> String;

/// Does what the command line asks for.
///
/// # Errors
/// An output cannot be written.
pub(crate) fn lockdep(args: &Lockdep) -> Result<ExitCode, Error> {
    match args {
        Lockdep::Merge(args) => match read(args) {
            Ok(record) => merge(args, &record),
            Err(error) => {
                eprintln!("userlink: {error:#}");
                Ok(ExitCode::from(UNREADABLE))
            }
        },
    }
}

/// All the files, as one record, without what does not count.
fn read(args: &Merge) -> Result<Record, Error> {
    let mut record = lockdep::merge(expand(&args.files)?)?;
    if let Some(path) = &args.suppress {
        let name = || path.display().to_string();
        let list = Suppressions::parse(&fs::read_to_string(path).with_context(name)?)
            .with_context(name)?;
        record.suppress(&list);
        for entry in list.unused() {
            eprintln!("userlink: {}: not needed: {entry}", path.display());
        }
    }
    let from = grade(&args.from);
    record
        .findings
        .retain(|finding| finding.grade.is_none_or(|grade| grade >= from));
    Ok(record)
}

fn grade(name: &str) -> Grade {
    let grades = [Grade::Deadlock, Grade::Gated, Grade::SingleThread];
    let named = grades.into_iter().find(|grade| grade.name() == name);
    named.unwrap_or(Grade::Ordered)
}

/// The graph files of folders, in the order of their names, in the place of the folders.
fn expand(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Error> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let name = || path.display().to_string();
        let entries: io::Result<Vec<PathBuf>> = fs::read_dir(path)
            .with_context(name)?
            .map(|entry| Ok(entry?.path()))
            .collect();
        let mut found = entries.with_context(name)?;
        found.retain(|file| {
            file.extension()
                .is_some_and(|extension| extension == "lockdep")
        });
        anyhow::ensure!(
            !found.is_empty(),
            "{}: no graph files there",
            path.display()
        );
        found.sort();
        files.extend(found);
    }
    Ok(files)
}

fn merge(args: &Merge, record: &Record) -> Result<ExitCode, Error> {
    let outputs: [(_, Output); 4] = [
        (&args.json, Record::to_json),
        (&args.sarif, Record::to_sarif),
        (&args.dot, Record::to_dot),
        (&args.html, Record::to_html),
    ];
    let stdout = Path::new("-");
    let mut text = true;
    for (path, output) in outputs {
        match path {
            Some(path) if path == stdout => {
                text = false;
                print(&output(record))?;
            }
            Some(path) => {
                fs::write(path, output(record)).with_context(|| path.display().to_string())?;
            }
            None => {}
        }
    }
    let cycles = record
        .findings
        .iter()
        .filter(|finding| finding.kind == lockdep::ReportKind::Circular)
        .count();
    if text {
        let counts = format!(
            "{} runs, {} classes, {} dependencies, {cycles} cycles\n",
            record.runs.len(),
            record.classes.len(),
            record.edges.len()
        );
        print(&(record.to_text() + &counts))?;
    }
    Ok(ExitCode::from(u8::from(cycles > 0)))
}

/// Who stops reading has seen enough.
fn print(text: &str) -> io::Result<()> {
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}
