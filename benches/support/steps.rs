//! Counts instructions on the processor itself: a program is run one instruction after the other.
//!
//! A simulated processor lacks what the real one has (instructions for SHA-256, wide vectors, the clock that the kernel
//! maps into every process), so its counts are not those of a server.

use std::process::{Command, Stdio};

use nix::errno::Errno;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, raise};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;

/// Stops, in the program that is counted, where counting begins and where it ends.
pub(crate) fn mark() {
    let _ = raise(Signal::SIGSTOP);
}

/// Lets the program that started this one count its instructions, and returns whether it can.
pub(crate) fn allow() -> bool {
    ptrace::traceme().and_then(|()| raise(Signal::SIGSTOP)).is_ok()
}

/// Starts this program once more, which then has to call [`allow`], and returns how many instructions it takes from each
/// odd [`mark`] to the next.
#[allow(clippy::zombie_processes, reason = "it is waited for by its number, or killed as its tracer ends")]
pub(crate) fn count(arguments: &[&str]) -> Result<Vec<u64>, Errno> {
    let program = std::env::current_exe().expect("a program knows where it stands");
    let child = Command::new(program).args(arguments).stdin(Stdio::null()).spawn().expect("the program starts");
    let pid = Pid::from_raw(child.id().cast_signed());
    let mut counts = Vec::new();
    // Only a program that is traced is seen to stop.
    if waitpid(pid, None)? != WaitStatus::Stopped(pid, Signal::SIGSTOP) {
        return Err(Errno::EPERM);
    }
    ptrace::setoptions(pid, Options::PTRACE_O_EXITKILL)?;
    loop {
        match resume(pid, ptrace::cont)? {
            Some(Signal::SIGSTOP) => {}
            Some(_) => return Err(Errno::EINTR),
            None => return Ok(counts),
        }
        let mut count = 0;
        while resume(pid, ptrace::step)? == Some(Signal::SIGTRAP) {
            count += 1;
        }
        counts.push(count);
    }
}

/// Lets a program go on in a way, and returns the signal that stops it again, if it does not end.
fn resume(pid: Pid, how: fn(Pid, Option<Signal>) -> Result<(), Errno>) -> Result<Option<Signal>, Errno> {
    how(pid, None)?;
    match waitpid(pid, None)? {
        WaitStatus::Stopped(_, signal) => Ok(Some(signal)),
        WaitStatus::Exited(_, 0) => Ok(None),
        // A panic, or another signal: what was counted is worth nothing.
        _ => Err(Errno::ECHILD),
    }
}
