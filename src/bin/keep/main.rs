//! The command line for API keys and tokens: `cargo install tower-keep --features cli`.
//!
//! `keep --help` prints what can be said; `docs/keep.md` shows an example of each. Results go to standard output, as tables
//! on a terminal and as JSON elsewhere; everything else goes to standard error. No secret is ever an argument.
//!
//! | exit code | meaning |
//! |---|---|
//! | 0 | it was done; the key or token is good |
//! | 1 | no: the key or token is not good, there is no such key, it is there already, or it has ended |
//! | 2 | the arguments make no sense, or there was no secret to read |
//! | 3 | the store, or the issuer of a token, is out of reach |
//! | 4 | the configuration or the input is wrong, or the operation was refused |
//! | 130 | interrupted |

mod args;
mod ask;
mod failure;
mod keys;
mod moment;
mod output;
mod pepper;
mod setup;
mod store;
mod token;

use std::io;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use clap_complete::Shell;
use tower_keep::KeyFormat;
use tracing_subscriber::EnvFilter;

use args::{Cli, Command};
use failure::Failure;
use output::{note, print};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _unread = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let filter = EnvFilter::try_from_env("KEEP_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(false).init();
    match start(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.text().into_iter().for_each(note);
            ExitCode::from(failure.code())
        }
    }
}

fn start(cli: Cli) -> Result<(), Failure> {
    let runtime = tokio::runtime::Runtime::new()
        .map_err(|error| Failure::refused(format!("the asynchronous runtime does not start: {error}")))?;
    let done = runtime.block_on(async {
        tokio::select! {
            biased;
            Ok(()) = tokio::signal::ctrl_c() => Err(Failure::Interrupted),
            done = run(cli) => done,
        }
    });
    // Whoever waits for a key to be typed is not waited for.
    runtime.shutdown_background();
    done
}

async fn run(cli: Cli) -> Result<(), Failure> {
    match cli.command {
        Command::Keys(command) => keys::run(command, &cli.global).await,
        Command::Token(command) => token::run(command, &cli.global).await,
        Command::Pepper(command) => pepper::run(&command, &cli.global),
        Command::Pattern => print(&format!("{}\n", KeyFormat::new(&cli.global.prefix)?.pattern())),
        Command::Completions { shell } => completions(shell),
    }
}

fn completions(shell: Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "keep", &mut script);
    print(&String::from_utf8_lossy(&script))
}
