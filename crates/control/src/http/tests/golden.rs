//! Who may ask what: the table `doors.txt`, role by role, question by question.

use std::fmt::Write;

use super::*;

const GOLDEN: &str = include_str!("doors.txt");

/// Who asks, and by which user id: an operator without a role, one of each role, and the owner of the data directory.
const ASKING: &[(&str, u32)] =
    &[("none", 4_006), ("viewer", 4_005), ("operator", 4_004), ("owner", 4_001), ("security", 4_003), ("local", OWNER)];

fn files() -> trustdir::MemoryFiles {
    let mut files = crate::fixture::owned();
    let text = String::from_utf8(files.remove("countersign.yaml").unwrap()).unwrap();
    files.insert("countersign.yaml", text.replace("  vera: {", "  nora: { uid: 4006 }\n  vera: {"));
    files
}

/// `yes`, `no` with a refusal that is on record, or what went wrong.
async fn may(world: &World, endpoint: &Endpoint, uid: u32) -> String {
    let before = refusals(world).len();
    let answer = send(world, &user(uid), good(endpoint)).await;
    let recorded = refusals(world).len() - before;
    match answer.status {
        403 if recorded == 1 => "no".to_owned(),
        // judged and let through: what it names is not there, or is not fit
        200 | 400 | 404 | 409 | 503 if recorded == 0 => {
            let is_read = !answer.body["message"].as_str().is_some_and(|words| words.contains("cannot be read"));
            assert!(is_read, "{} {}: {answer:?}", endpoint.method, endpoint.path);
            "yes".to_owned()
        }
        status => format!("{status} and {recorded} records: {answer:?}"),
    }
}

#[tokio::test]
async fn each_role_may_ask_what_the_table_says() {
    let world =
        World::with(&files(), crate::fixture::Folder::Own(tempfile::tempdir().unwrap()), crate::fixture::LOG_BYTES);
    let mut table = format!("{:<34}", "");
    ASKING.iter().for_each(|(role, _)| write!(table, " {role:<8}").unwrap());
    table = format!("{}\n", table.trim_end());
    for endpoint in ENDPOINTS {
        let mut line = format!("{:<34}", format!("{} {}", endpoint.method, endpoint.path));
        for (_, uid) in ASKING {
            world.clock.advance(1);
            write!(line, " {:<8}", may(&world, endpoint, *uid).await).unwrap();
        }
        writeln!(table, "{}", line.trim_end()).unwrap();
    }
    assert!(include_str!("../../../../../docs/admin-api.md").contains(GOLDEN), "docs/admin-api.md has another table");
    assert!(table == GOLDEN, "src/http/tests/doors.txt is not what is; it should be\n{table}");
}
