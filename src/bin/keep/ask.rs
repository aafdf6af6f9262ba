//! What is asked of the person at the terminal, and what is read from standard input instead.

use std::io::{self, BufRead, IsTerminal, Read, Write};

use tower_keep::Secret;
use zeroize::Zeroizing;

use crate::args::Nothing;
use crate::failure::Failure;

/// The longest secret that is read.
const SECRET_MAX: usize = 64 * 1024;

/// Reads a secret: the first line of standard input, or what is typed unseen at a terminal.
pub(crate) async fn secret(what: &'static str, said: &Nothing) -> Result<Secret, Failure> {
    if !said.misplaced.is_empty() {
        let text = format!(
            "a {what} is never an argument: others can read those, and shells remember them. Write it to standard input, \
             or start without it to be asked"
        );
        return Err(Failure::Usage(text));
    }
    // Reading blocks, and Ctrl-C has to be heard meanwhile.
    let read = tokio::task::spawn_blocking(move || if io::stdin().is_terminal() { typed(what) } else { piped() });
    match read.await {
        Ok(Ok(secret)) if secret.expose().is_empty() => Err(Failure::Usage(format!("there is no {what} to read"))),
        Ok(Ok(secret)) => Ok(secret),
        Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => Err(Failure::Interrupted),
        Ok(Err(error)) => Err(Failure::refused(format!("the {what} cannot be read: {error}"))),
        Err(error) => Err(Failure::refused(format!("the {what} cannot be read: {error}"))),
    }
}

fn typed(what: &str) -> io::Result<Secret> {
    let text = Zeroizing::new(rpassword::prompt_password(format!("{what}: "))?);
    Ok(Secret::new(text.trim().to_owned()))
}

fn piped() -> io::Result<Secret> {
    // The whole length at once: a text that grows leaves copies of itself behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(SECRET_MAX + 1));
    io::stdin().lock().take(SECRET_MAX as u64 + 1).read_until(b'\n', &mut bytes)?;
    if bytes.len() > SECRET_MAX {
        return Err(io::Error::other("it is longer than 64 KiB"));
    }
    let text = std::str::from_utf8(&bytes).map_err(|_| io::Error::other("it is no text"))?;
    Ok(Secret::new(text.trim().to_owned()))
}

/// Has what cannot be undone confirmed: by `--yes`, or by somebody at a terminal.
pub(crate) async fn confirm(question: String, yes: bool) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Err(Failure::refused("this cannot be undone, and nobody can be asked here: say --yes"));
    }
    let answer = tokio::task::spawn_blocking(move || {
        write!(io::stderr().lock(), "{} [yes/no] ", crate::output::visible(&question))?;
        let mut answer = String::new();
        io::stdin().lock().take(64).read_line(&mut answer)?;
        io::Result::Ok(answer)
    });
    match answer.await {
        Ok(Ok(answer)) if ["y", "yes"].contains(&answer.trim().to_ascii_lowercase().as_str()) => Ok(()),
        Ok(_) => Err(Failure::refused("nothing was changed")),
        Err(error) => Err(Failure::refused(format!("nobody could be asked: {error}"))),
    }
}
