//! What can be said to `keep`. No argument is ever a secret.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use tower_keep::RateLimit;

use crate::moment::Moment;

const EXIT_CODES: &str = "\
Exit codes:
  0    it was done; the key or token is good
  1    no: the key or token is not good, there is no such key, it is there already, or it has ended
  2    the arguments make no sense, or there was no secret to read
  3    the store, or the issuer of a token, is out of reach
  4    the configuration or the input is wrong, or the operation was refused
  130  interrupted

Environment:
  KEEP_STORE   the URL of the store, unless --store or --store-file names it
  KEEP_PREFIX, KEEP_PEPPER_FILE, KEEP_REDIS_PREFIX  what --prefix, --pepper-file and --redis-prefix say
  KEEP_PEPPER  peppers, in the form that `keep pepper new` prints, unless --pepper-file names a file of them
  KEEP_LOG     what is logged on standard error, such as `debug`; the default is `warn`
  NO_COLOR     nothing is coloured anyway

No secret is ever an argument: keys and tokens are read from standard input, or asked for on a terminal.";

/// Issues, lists, rotates and revokes API keys, and looks into tokens.
#[derive(Parser)]
#[command(name = "keep", version, after_long_help = EXIT_CODES, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Args)]
pub(crate) struct Global {
    /// Where the keys are: sqlite:keys.db, postgres://…, redis://…, rediss://… or file:keys.toml
    ///
    /// Others on this machine can read arguments. A URL with a password belongs into KEEP_STORE or a --store-file.
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) store: Option<String>,
    /// A file that holds the URL of the store
    #[arg(long, global = true, value_name = "PATH", conflicts_with = "store")]
    pub(crate) store_file: Option<PathBuf>,
    /// What names of keys in Redis begin with, where servers are set up with another prefix
    #[arg(long, global = true, env = "KEEP_REDIS_PREFIX", default_value = "{tower-keep}:", value_name = "TEXT")]
    pub(crate) redis_prefix: String,
    /// How keys of this product start
    #[arg(long, global = true, env = "KEEP_PREFIX", default_value = "tk")]
    pub(crate) prefix: String,
    /// A file of peppers, as `keep pepper new` prints them; the first one is written, the others are accepted
    #[arg(long, global = true, env = "KEEP_PEPPER_FILE", value_name = "PATH")]
    pub(crate) pepper_file: Option<PathBuf>,
    /// Who does it, for the audit; user@host, unless something is said
    #[arg(long = "as", global = true, value_name = "NAME")]
    pub(crate) actor: Option<String>,
    /// How long to wait for the store
    #[arg(long, global = true, default_value = "10s", value_parser = duration, value_name = "TIME")]
    pub(crate) timeout: Duration,
    /// Print JSON, which is the default where standard output is no terminal
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Print tables for people, which is the default on a terminal
    #[arg(long, global = true, conflicts_with = "json")]
    pub(crate) human: bool,
    /// Do without asking what cannot be undone
    #[arg(long, short, global = true)]
    pub(crate) yes: bool,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// API keys
    #[command(subcommand)]
    Keys(Keys),
    /// Bearer tokens
    #[command(subcommand)]
    Token(Token),
    /// Peppers of digests
    #[command(subcommand)]
    Pepper(Pepper),
    /// Print the regular expression that finds keys in texts, for secret scanners
    Pattern,
    /// Print a script that completes the arguments of `keep` in a shell
    Completions { shell: Shell },
}

#[derive(Subcommand)]
pub(crate) enum Keys {
    /// Make a key, and show it once
    Create(Create),
    /// List keys, in the order of their ids
    List(List),
    /// Show a key, and what was done to it
    Show { id: String },
    /// Give a key a new secret, and show it once
    Rotate {
        id: String,
        /// How long the secret before it goes on working
        #[arg(long, default_value = "24h", value_parser = duration, value_name = "TIME")]
        grace: Duration,
    },
    /// Revoke keys for good
    Revoke {
        #[arg(required = true)]
        id: Vec<String>,
    },
    /// List who did what, the latest first
    Audit {
        id: Option<String>,
        /// How many entries
        #[arg(long, default_value_t = 100)]
        limit: usize,
        /// Only entries with lower numbers
        #[arg(long, value_name = "NUMBER")]
        before: Option<u64>,
    },
    /// Say whether a key is good, which is read from standard input or asked for
    Verify(VerifyKey),
    /// Revoke a key that was found somewhere, which is read from standard input or asked for
    Leaked(Nothing),
    /// Store records, or keys of another system
    Import(Import),
    /// Write all records as JSON Lines, with digests and without secrets
    Export {
        /// Where to; it is readable by its owner alone
        #[arg(default_value = "-")]
        file: PathBuf,
    },
}

#[derive(Args)]
pub(crate) struct Create {
    /// Whose key it is
    #[arg(long)]
    pub(crate) owner: String,
    /// What it may do
    #[arg(long = "scope", value_name = "SCOPE")]
    pub(crate) scopes: Vec<String>,
    /// When it ends: in 90d, or at 2027-01-01T00:00:00Z
    #[arg(long, value_parser = Moment::parse, value_name = "TIME")]
    pub(crate) expires: Option<Moment>,
    /// From when on it is good, in the same form
    #[arg(long, value_parser = Moment::parse, value_name = "TIME")]
    pub(crate) not_before: Option<Moment>,
    /// A label for people
    #[arg(long = "label", value_parser = label, value_name = "NAME=VALUE")]
    pub(crate) labels: Vec<(String, String)>,
    /// How many requests it may make, such as 100/1m
    #[arg(long, value_name = "REQUESTS/TIME")]
    pub(crate) rate: Option<RateLimit>,
    /// From where alone it is accepted, such as 10.0.0.0/8
    #[arg(long = "network", value_name = "NETWORK")]
    pub(crate) networks: Vec<String>,
}

#[derive(Args)]
pub(crate) struct List {
    /// Only keys of an owner
    #[arg(long)]
    pub(crate) owner: Option<String>,
    /// Only keys with a label
    #[arg(long, value_parser = label, value_name = "NAME=VALUE")]
    pub(crate) label: Option<(String, String)>,
    /// Only keys that are good now
    #[arg(long)]
    pub(crate) good: bool,
    /// How many at most [default: all]
    #[arg(long)]
    pub(crate) limit: Option<usize>,
    /// Only keys behind this id
    #[arg(long, value_name = "ID")]
    pub(crate) after: Option<String>,
}

#[derive(Args)]
pub(crate) struct Import {
    /// What the lines are
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
    /// Exit with 1 if any of them was there already
    #[arg(long)]
    pub(crate) fail_on_existing: bool,
    /// Where from
    #[arg(default_value = "-")]
    pub(crate) file: PathBuf,
}

#[derive(Clone, Copy, Default, ValueEnum)]
pub(crate) enum Format {
    /// Records, as `keep keys export` writes them; also those with the slow hash of another system
    #[default]
    Jsonl,
    /// {"key": "…", "owner": "…"}: keys of another system, in plain text
    Plain,
    /// {"sha256": "…", "owner": "…"}: SHA-256 of keys of another system, in hexadecimal digits
    Sha256,
}

#[derive(Args)]
pub(crate) struct VerifyKey {
    /// From which address it would be used; networks of the key are not looked at without
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) from: Option<IpAddr>,
    #[command(flatten)]
    pub(crate) nothing: Nothing,
}

/// Takes whatever is said where a secret does not belong, so that no message repeats it.
#[derive(Args)]
pub(crate) struct Nothing {
    #[arg(hide = true)]
    pub(crate) misplaced: Vec<String>,
}

#[derive(Subcommand)]
pub(crate) enum Token {
    /// Print what a JWT says, without verifying anything; it is read from standard input or asked for
    Inspect(Nothing),
    /// Say whether a JWT is good, which is read from standard input or asked for
    Verify(Verify),
}

#[derive(Args)]
pub(crate) struct Verify {
    /// Who has to have issued it; the keys are found by the metadata there, unless --jwks names them
    #[arg(long, value_name = "URL", required_unless_present = "jwks")]
    pub(crate) issuer: Option<String>,
    /// The keys: a file, or an https URL. Without --issuer, that of the token is not looked at
    #[arg(long, value_name = "FILE|URL")]
    pub(crate) jwks: Option<String>,
    /// Whom it has to be for; any one of them
    #[arg(long, required = true)]
    pub(crate) audience: Vec<String>,
    /// How far clocks may differ
    #[arg(long, default_value = "30s", value_parser = duration, value_name = "TIME")]
    pub(crate) leeway: Duration,
    /// Accept the typ `JWT`, too
    #[arg(long)]
    pub(crate) accept_typ_jwt: bool,
    /// Accept tokens without a typ, too
    #[arg(long)]
    pub(crate) accept_no_typ: bool,
    /// Ask http servers on this machine, too
    #[arg(long)]
    pub(crate) insecure_allow_loopback: bool,
    #[command(flatten)]
    pub(crate) nothing: Nothing,
}

#[derive(Subcommand)]
pub(crate) enum Pepper {
    /// Print a fresh one, as a line for a --pepper-file
    New {
        /// What digests call it: 1 to 8 letters, digits or `-`
        #[arg(long, default_value = "1")]
        id: String,
    },
}

fn duration(text: &str) -> Result<Duration, humantime::DurationError> {
    humantime::parse_duration(text)
}

fn label(text: &str) -> Result<(String, String), &'static str> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("a label is name=value"),
    }
}
