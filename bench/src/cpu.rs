//! CPU time of a process and of everything it started, from /proc.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

/// User and system time so far of a process and its living descendants, all threads included.
pub fn time_of_tree(pid: u32) -> Result<Duration> {
    let processes = processes()?;
    let mut members = vec![pid];
    let mut ticks = 0;
    while let Some(member) = members.pop() {
        members.extend(processes.iter().filter(|process| process.parent == member).map(|process| process.pid));
        ticks += processes.iter().find(|process| process.pid == member).map_or(0, |process| process.ticks);
    }
    Ok(Duration::from_secs(ticks) / u32::try_from(rustix::param::clock_ticks_per_second())?)
}

/// One line of the process table.
#[derive(PartialEq, Eq, Debug)]
struct Process {
    pid: u32,
    parent: u32,
    ticks: u64,
}

fn processes() -> Result<Vec<Process>> {
    let entries = fs::read_dir("/proc").context("cannot read /proc")?;
    let stats = entries.filter_map(|entry| fs::read_to_string(entry.ok()?.path().join("stat")).ok());
    Ok(stats.filter_map(|stat| parse(&stat)).collect())
}

/// Reads `PID (NAME) STATE PPID …`; the name may hold anything, also parentheses (proc_pid_stat(5)).
fn parse(stat: &str) -> Option<Process> {
    let (pid, rest) = stat.split_once(" (")?;
    let (_, rest) = rest.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split(' ').collect();
    let field = |number: usize| fields.get(number.checked_sub(3)?).copied();
    let ticks = field(14)?.parse::<u64>().ok()? + field(15)?.parse::<u64>().ok()?;
    Some(Process { pid: pid.parse().ok()?, parent: field(4)?.parse().ok()?, ticks })
}

/// The machine, in a line, with how busy it was before the measurement.
pub fn machine() -> String {
    let line = |path: &str, key: &str| {
        let text = fs::read_to_string(path).unwrap_or_default();
        let found = text.lines().find(|line| line.starts_with(key)).unwrap_or("").to_owned();
        found.split_once(": ").map_or(found.clone(), |(_, value)| value.to_owned())
    };
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let busy = line("/proc/loadavg", "").split(' ').next().unwrap_or("unknown").to_owned();
    format!(
        "{cores} cores of {}, Linux {}, load average {busy} before",
        line("/proc/cpuinfo", "model name"),
        line("/proc/sys/kernel/osrelease", "")
    )
}

#[cfg(test)]
mod tests {
    use super::{Process, parse, time_of_tree};

    #[test]
    fn a_stat_line_is_read_whatever_the_name() {
        let line = "17 (a) b (c) S 4 17 17 0 -1 4194304 1 2 3 4 250 50 0 0 20 0 1 0 5 6 7";
        assert_eq!(parse(line), Some(Process { pid: 17, parent: 4, ticks: 300 }));
        assert_eq!(parse("17 (a"), None);
    }

    #[test]
    fn this_process_uses_time() {
        let before = time_of_tree(std::process::id()).unwrap();
        let mut sum = 0_u64;
        while time_of_tree(std::process::id()).unwrap() == before {
            sum = (0..100_000).fold(sum, |sum, number| sum.wrapping_mul(31) ^ number);
        }
        assert!(time_of_tree(std::process::id()).unwrap() > before, "{sum}");
    }
}
