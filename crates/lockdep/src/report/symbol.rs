//! Names for code addresses: which function, how far into it, how large it is.
//!
//! Name, offset and size of a compiled function come from the symbol table of the executable, as the kernel's `kallsyms`
//! gives them. The functions that were compiled into it come from the debug information; line tables are enough, but then
//! their names are without the path, so the source file tells whose they are. Nothing here runs before somebody reads a
//! report.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use object::{Object, ObjectSegment, ObjectSymbol, SymbolKind};

/// A function that an address belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Function {
    pub(super) name: String,
    /// Offset of the address into the compiled function, and the size of that, where the symbol table has it.
    pub(super) place: Option<(usize, usize)>,
    /// For a function that was compiled into the next one of the list: source file and line.
    pub(super) inlined_at: Option<(String, u32)>,
}

/// The functions that an address belongs to, the innermost inlined one first. Empty if nothing is known.
pub(super) fn functions(address: usize) -> Vec<Function> {
    if cfg!(miri) {
        // It names only pointers that it gave out itself, and these are numbers.
        return Vec::new();
    }
    let symbol = symbol(address);
    let place = symbol
        .as_ref()
        .map(|symbol| (address.wrapping_sub(symbol.start), symbol.size));
    let mut functions = Vec::new();
    backtrace::resolve(std::ptr::without_provenance_mut(address), |frame| {
        let file = frame
            .filename()
            .map(|file| source_file(&file.to_string_lossy()))
            .unwrap_or_default();
        if let Some(name) = frame.name() {
            let name = qualified(&format!("{name:#}"), &file);
            let inlined_at = Some((file, frame.lineno().unwrap_or(0)));
            functions.push(Function {
                name,
                place,
                inlined_at,
            });
        }
    });
    // The last one is the compiled function, which the symbol table knows with its whole path.
    let outermost = functions.pop().map(|function| function.name);
    let name = symbol
        .map(|symbol| format!("{:#}", rustc_demangle::demangle(&symbol.name)))
        .or(outermost);
    functions.extend(name.map(|name| Function {
        name,
        place,
        inlined_at: None,
    }));
    functions
}

/// The name of an inlined function, with the path of the module that its source file stands for: that is not always the
/// whole path, but says where to look. Names that have a path already keep it.
fn qualified(name: &str, file: &str) -> String {
    let path = name.split('<').next().unwrap_or(name);
    if path.contains("::") {
        return name.to_owned();
    }
    let name = match name.find('<') {
        Some(generics) if generics > 0 && !name.starts_with('{') => &name[..generics],
        _ => name,
    };
    if file.is_empty() {
        return name.to_owned();
    }
    let mut parts: Vec<&str> = file.trim_end_matches(".rs").split('/').collect();
    match parts.get(1) {
        Some(&"src") => drop(parts.remove(1)),
        Some(&("tests" | "examples" | "benches")) => drop(parts.drain(..2)),
        _ => {}
    }
    if parts.len() > 1 && ["lib", "main", "mod"].contains(&parts[parts.len() - 1]) {
        parts.pop();
    }
    // The folder of a crate from a registry carries a version.
    let version = parts[0]
        .rfind('-')
        .filter(|&at| parts[0][at + 1..].starts_with(|c: char| c.is_ascii_digit()));
    let krate = version
        .map_or(parts[0], |at| &parts[0][..at])
        .replace('-', "_");
    let modules = parts[1..]
        .iter()
        .fold(krate, |path, part| path + "::" + part);
    format!("{modules}::{name}")
}

/// A source file by its crate: `net-core/src/net.rs`.
fn source_file(path: &str) -> String {
    let crate_root = ["/src/", "/tests/", "/examples/", "/benches/"]
        .iter()
        .filter_map(|root| path.rfind(root))
        .max();
    let start = crate_root
        .and_then(|root| path[..root].rfind('/'))
        .or_else(|| path.rfind('/'));
    if crate_root.is_some_and(|root| !path[..root].contains('/')) {
        return path.to_owned();
    }
    start.map_or(path, |start| &path[start + 1..]).to_owned()
}

/// A function of a symbol table.
#[derive(Clone, Debug)]
struct Symbol {
    start: usize,
    size: usize,
    name: String,
}

/// The functions of a mapped file by address in the file, sorted.
type Symbols = Arc<Vec<Symbol>>;

/// A part of a file that is mapped and executable.
struct Mapping {
    start: usize,
    end: usize,
    offset: usize,
    path: String,
}

/// Symbol tables that were read already, by path, with the segments that say how file offsets become addresses.
static TABLES: Mutex<Option<HashMap<String, Option<Table>>>> = Mutex::new(None);

#[derive(Clone)]
struct Table {
    symbols: Symbols,
    /// File offset, size, address of each segment.
    segments: Arc<Vec<(usize, usize, usize)>>,
}

fn symbol(address: usize) -> Option<Symbol> {
    let mapping = mapping(address)?;
    let mut tables = TABLES.lock().unwrap_or_else(PoisonError::into_inner);
    let table = tables
        .get_or_insert_default()
        .entry(mapping.path.clone())
        .or_insert_with(|| read_table(&mapping.path))
        .clone()?;
    drop(tables);
    let offset = address - mapping.start + mapping.offset;
    let &(start, _, base) = table
        .segments
        .iter()
        .find(|(start, size, _)| (*start..start + size).contains(&offset))?;
    let in_file = offset - start + base;
    let at = table
        .symbols
        .partition_point(|symbol| symbol.start <= in_file)
        .checked_sub(1)?;
    let symbol = &table.symbols[at];
    // One past the end: where a call that never returns would have returned to.
    (in_file <= symbol.start + symbol.size).then(|| Symbol {
        start: address - (in_file - symbol.start),
        ..symbol.clone()
    })
}

/// The mapping that an address lies in (`/proc/self/maps`).
fn mapping(address: usize) -> Option<Mapping> {
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    maps.lines()
        .filter_map(parse_mapping)
        .find(|mapping| (mapping.start..mapping.end).contains(&address))
}

fn parse_mapping(line: &str) -> Option<Mapping> {
    // Range, permissions, offset, device, inode; what follows is the path, spaces and all.
    let mut fields = line.splitn(6, ' ');
    let (start, end) = fields.next()?.split_once('-')?;
    let offset = fields.nth(1)?;
    let path = fields.nth(2)?.trim_start();
    if path.is_empty() {
        return None;
    }
    let number = |text| usize::from_str_radix(text, 16).ok();
    Some(Mapping {
        start: number(start)?,
        end: number(end)?,
        offset: number(offset)?,
        path: path.to_owned(),
    })
}

fn read_table(path: &str) -> Option<Table> {
    // The name of the executable need not lead to it any more: it may have been replaced, or lie in another mount namespace.
    let is_self = std::fs::read_link("/proc/self/exe").is_ok_and(|exe| exe.as_os_str() == path);
    let data = std::fs::read(if is_self { "/proc/self/exe" } else { path }).ok()?;
    let file = object::File::parse(&*data).ok()?;
    let mut symbols: Vec<Symbol> = file
        .symbols()
        .chain(file.dynamic_symbols())
        .filter(|symbol| symbol.kind() == SymbolKind::Text && symbol.size() > 0)
        .filter_map(|symbol| {
            Some(Symbol {
                start: usize::try_from(symbol.address()).ok()?,
                size: usize::try_from(symbol.size()).ok()?,
                name: symbol.name().ok()?.to_owned(),
            })
        })
        .collect();
    symbols.sort_by_key(|symbol| symbol.start);
    let segments = file
        .segments()
        .filter_map(|segment| {
            let (offset, size) = segment.file_range();
            let number = |value| usize::try_from(value).ok();
            Some((number(offset)?, number(size)?, number(segment.address())?))
        })
        .collect();
    Some(Table {
        symbols: Arc::new(symbols),
        segments: Arc::new(segments),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[inline(never)]
    fn a_function_of_its_own() -> usize {
        crate::thread::ip()
    }

    #[test]
    #[cfg_attr(miri, ignore = "it has no addresses of code")]
    fn an_address_is_named_with_its_offset_and_the_size_of_the_function() {
        let functions = functions(a_function_of_its_own() + 1);
        let function = functions.last().expect("the function has a name");
        assert!(
            function.name.ends_with("tests::a_function_of_its_own"),
            "{functions:?}"
        );
        assert_eq!(function.inlined_at, None);
        let (offset, size) = function.place.expect("the symbol table has the function");
        assert!(
            offset > 0 && offset < size && size < 0x1000,
            "{offset:#x}/{size:#x}"
        );
    }

    #[test]
    fn a_source_file_is_named_by_its_crate() {
        assert_eq!(
            source_file("/home/me/userlink/crates/net-core/src/net/exit.rs"),
            "net-core/src/net/exit.rs"
        );
        assert_eq!(
            source_file("/rustc/59807/library/core/src/ops/function.rs"),
            "core/src/ops/function.rs"
        );
        assert_eq!(
            source_file("/src/lockdep/tests/origin.rs"),
            "lockdep/tests/origin.rs"
        );
        assert_eq!(source_file("app/src/main.rs"), "app/src/main.rs");
        assert_eq!(source_file("/tmp/main.rs"), "main.rs");
    }

    #[test]
    fn an_inlined_function_has_the_path_of_its_source_file() {
        assert_eq!(
            qualified("lag_add", "mlx5/src/lag/mod.rs"),
            "mlx5::lag::lag_add"
        );
        assert_eq!(
            qualified("write<()>", "lockdep/src/sync/rwlock.rs"),
            "lockdep::sync::rwlock::write"
        );
        assert_eq!(
            qualified("{closure#3}", "net-core/src/lib.rs"),
            "net_core::{closure#3}"
        );
        assert_eq!(qualified("main", "lockdep/tests/origin.rs"), "origin::main");
        assert_eq!(
            qualified("name", "rustix-1.1.6/src/thread/prctl.rs"),
            "rustix::thread::prctl::name"
        );
        assert_eq!(qualified("a::b", "x/src/y.rs"), "a::b");
        assert_eq!(
            qualified(
                "lockdep::Mutex<u32>::lock<u32>",
                "lockdep/src/sync/mutex.rs"
            ),
            "lockdep::Mutex<u32>::lock<u32>"
        );
        assert_eq!(qualified("f", ""), "f");
    }

    #[test]
    fn a_line_of_maps_is_read() {
        let line = "55d3f0a0c000-55d3f0a5f000 r-xp 0000c000 fe:01 1234567                    /usr/bin/some thing";
        let mapping = parse_mapping(line).expect("a well-formed line");
        assert_eq!(
            (mapping.start, mapping.offset, &*mapping.path),
            (0x55d3_f0a0_c000, 0xc000, "/usr/bin/some thing")
        );
        assert!(parse_mapping("55d3f0a0c000-55d3f0a5f000 r-xp 00000000 00:00 0 ").is_none());
    }
}
