//! The embedded copy of the trust directory, and its ports.

use std::{
    collections::BTreeMap,
    fs,
    net::{Ipv4Addr, TcpListener},
    path::Path,
};

use crate::acme::{
    Ports,
    catalogue::SERVICES,
    files::{FILES, with_ports, write_to},
};

/// Every file below a folder, by its path from there.
fn below(folder: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut open = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
                found.insert(name, fs::read_to_string(&path).unwrap());
            }
        }
    }
    found
}

fn owned<T: ToString>(files: impl IntoIterator<Item = (&'static str, T)>) -> BTreeMap<String, String> {
    files.into_iter().map(|(path, text)| (path.to_owned(), text.to_string())).collect()
}

#[test]
fn the_table_holds_every_file_of_the_folder_and_no_other() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/acme");
    assert_eq!(owned(FILES.iter().copied()), below(&folder));
    assert!(FILES.is_sorted_by_key(|(path, _)| *path));
}

#[test]
fn the_standard_ports_change_nothing() {
    assert_eq!(owned(with_ports(&super::standard_ports())), owned(FILES.iter().copied()));
}

#[test]
fn every_service_has_one_upstream_and_only_that_is_rewritten() {
    let ports = super::ports();
    let mut restored = owned(with_ports(&ports));
    for service in SERVICES {
        let port = ports.get(service.name).unwrap();
        let text = restored.get_mut(&format!("domains/{}/domain.yaml", service.domain)).unwrap();
        let (new, old) = (format!("http://127.0.0.1:{port}]"), format!("http://127.0.0.1:{}]", service.port));
        assert_eq!(text.matches(&new).count(), 1, "{}", service.name);
        *text = text.replace(&new, &old);
    }
    assert_eq!(restored, owned(FILES.iter().copied()));
}

#[test]
fn a_service_whose_port_is_taken_gets_the_next_free_one() {
    // The first port of the block is held, so that the first service moves behind the last.
    let held = TcpListener::bind((Ipv4Addr::LOCALHOST, super::ports().get("ledger").unwrap())).unwrap();
    let first = held.local_addr().unwrap().port();
    let ports = Ports::available_from(first).unwrap();
    let last = first + u16::try_from(SERVICES.len()).unwrap();
    assert_eq!((ports.get("ledger"), ports.get("invoices")), (Some(last), Some(first + 1)));
    let mut numbers: Vec<_> = ports.0.values().copied().collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (first + 1..=last).collect::<Vec<_>>());
}

#[test]
fn ports_that_were_moved_onto_standard_ones_are_rewritten_once() {
    let moved = Ports(SERVICES.iter().map(|service| (service.name, service.port + 1)).collect());
    let files = owned(with_ports(&moved));
    let text = &files["domains/finance/domain.yaml"];
    assert!(text.contains("urls: [http://127.0.0.1:7102]") && text.contains("urls: [http://127.0.0.1:7103]"), "{text}");
    assert!(!text.contains("7101"), "{text}");
}

#[test]
fn the_directory_is_written_as_embedded() {
    let folder = tempfile::tempdir().unwrap();
    write_to(folder.path(), &super::standard_ports()).unwrap();
    assert_eq!(below(folder.path()), owned(FILES.iter().copied()));
}

#[test]
fn a_file_that_cannot_be_written_is_named() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("domains"), "in the way").unwrap();
    let error = write_to(folder.path(), &super::standard_ports()).unwrap_err().to_string();
    assert!(error.contains("domains/finance/apis/invoices.json"), "{error}");
}
