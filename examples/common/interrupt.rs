//! Ctrl-C.

use std::io;

#[cfg(windows)]
use tokio::signal::windows::ctrl_c as presses;

/// Listens for Ctrl-C from this call on, so that one pressed before somebody waits for it is not lost.
pub(crate) fn interrupted() -> io::Result<impl Future<Output = ()>> {
    let mut presses = presses()?;
    Ok(async move {
        presses.recv().await;
    })
}

#[cfg(unix)]
fn presses() -> io::Result<tokio::signal::unix::Signal> {
    use tokio::signal::unix::{SignalKind, signal};

    signal(SignalKind::interrupt())
}
