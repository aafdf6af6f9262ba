//! What the examples share: options, certificates for a server on this machine, and the table that `--check` prints.

mod check;
mod interrupt;
mod options;
mod tls;

use std::error::Error;
use std::process::ExitCode;

use tracing_subscriber::EnvFilter;

pub(crate) use check::Table;
pub(crate) use interrupt::interrupted;
pub(crate) use options::{About, Options};
pub(crate) use tls::Certificates;

pub(crate) type Result<T, E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

/// Reads the options, starts the log, runs the example, and turns what it says into an exit code: 2 for options that
/// make no sense, 1 for an error.
pub(crate) async fn run<F>(about: About, example: impl FnOnce(Options) -> F) -> ExitCode
where
    F: Future<Output = Result<ExitCode>>,
{
    let options = match Options::read(&about, std::env::args().skip(1)) {
        Ok(Some(options)) => options,
        Ok(None) => {
            print!("{}", about.help());
            return ExitCode::SUCCESS;
        }
        Err(fault) => {
            eprintln!("error: {fault}\n\n{}", about.help());
            return ExitCode::from(2);
        }
    };
    let ended = match start_log(&options) {
        Ok(()) => example(options).await,
        Err(error) => Err(error),
    };
    ended.unwrap_or_else(|error| {
        eprintln!("error: {}", with_causes(&*error));
        ExitCode::FAILURE
    })
}

/// Says in a row of the table why a request got no answer. How a refused certificate is worded differs from one
/// platform to the next.
pub(crate) fn failure(error: &(dyn Error + 'static)) -> String {
    let text = with_causes(error);
    if text.contains("certificate") { "certificate refused".to_owned() } else { text }
}

fn with_causes(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.extend([": ", &error.to_string()]);
        cause = error.source();
    }
    text
}

/// Logs what `RUST_LOG` asks for, and what the crate says about refusals where it asks for nothing. The log goes to
/// stderr, so that what stands on stdout can be read by a program.
fn start_log(options: &Options) -> Result<()> {
    // The table of `--check` is full of refusals that are meant to be there.
    let level = if options.check { "tower_keep=warn" } else { "tower_keep=info" };
    let filter = EnvFilter::builder().with_default_directive(level.parse()?).from_env()?;
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).try_init()
}
