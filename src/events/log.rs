//! Events for `tracing`.

use std::error::Error;
use std::fmt;
use std::net::IpAddr;
use std::path::Path;

use tracing::level_filters::LevelFilter;
use tracing::{Level, Span, debug, error, event, field, info, warn};

use super::{KeysFetched, RefusalLog};
use crate::{Cause, Exposed, Principal, Rejection};

pub(super) fn admitted(principal: &Principal) {
    // Asking for the span is not free, even if there can be none.
    if LevelFilter::current() == LevelFilter::OFF {
        return;
    }
    debug!(
        target: "tower_keep",
        scheme = principal.scheme(),
        subject = principal.subject(),
        credential_id = principal.credential_id(),
        superseded = principal.superseded().is_some(),
        "admitted"
    );
    let span = Span::current();
    if !span.is_disabled() {
        span.record("auth.subject", principal.subject());
        span.record("auth.scheme", principal.scheme());
        if let Some(id) = principal.credential_id() {
            span.record("auth.credential_id", id);
        }
    }
}

pub(super) fn anonymous(preflight: bool) {
    debug!(target: "tower_keep", preflight, "anonymous");
}

pub(super) fn refused(log: &RefusalLog, rejection: &Rejection, report_only: bool) {
    macro_rules! refused {
        ($level:expr, $suppressed:expr) => {
            event!(
                target: "tower_keep",
                $level,
                cause = rejection.cause().name(),
                reason = rejection.reason(),
                status = rejection.cause().status().as_u16(),
                credential_id = rejection.credential_id(),
                report_only,
                suppressed = $suppressed,
                error = rejection.source().map(Chain).map(field::display),
                "refused"
            )
        };
    }
    let level = level(rejection.cause());
    // Where nobody listens, a flood costs no look at the clock.
    if level > LevelFilter::current() {
        return;
    }
    let Some(suppressed) = log.admit_refusal(rejection) else { return };
    match level {
        Level::DEBUG => refused!(Level::DEBUG, suppressed),
        Level::ERROR => refused!(Level::ERROR, suppressed),
        _ => refused!(Level::INFO, suppressed),
    }
}

pub(super) fn exposed(
    log: &RefusalLog,
    principal: &Principal,
    done: Exposed,
    error: Option<&(dyn Error + Send + Sync + 'static)>,
) {
    macro_rules! exposed {
        ($level:expr, $suppressed:expr) => {
            event!(
                target: "tower_keep",
                $level,
                scheme = principal.scheme(),
                subject = principal.subject(),
                issuer = principal.issuer(),
                credential_id = principal.credential_id(),
                action = done.name(),
                suppressed = $suppressed,
                error = error.map(|error| field::display(Chain(error))),
                "exposed"
            )
        };
    }
    match done {
        Exposed::Reported | Exposed::Revoked => {
            let Some(suppressed) = log.admit(Cause::Insecure) else { return };
            exposed!(Level::WARN, suppressed);
        }
        Exposed::RevocationFailed | Exposed::RevocationStopped => {
            let Some(suppressed) = log.admit(Cause::Misconfigured) else { return };
            exposed!(Level::ERROR, suppressed);
        }
    }
}

pub(super) fn exposure_unknown(log: &RefusalLog, rejection: &Rejection) {
    let Some(suppressed) = log.admit(rejection.cause()) else { return };
    let error = field::display(Chain(rejection));
    match level(rejection.cause()) {
        Level::ERROR => error!(target: "tower_keep", action = "unknown", suppressed, error, "exposed"),
        _ => warn!(target: "tower_keep", action = "unknown", suppressed, error, "exposed"),
    }
}

pub(super) fn exposure_skipped(log: &RefusalLog) {
    let Some(suppressed) = log.admit(Cause::Limited) else { return };
    warn!(target: "tower_keep", action = "skipped", suppressed, "exposed");
}

pub(crate) fn proxy_untrusted(peer: Option<IpAddr>) {
    warn!(
        target: "tower_keep",
        peer = peer.map(field::display),
        help = "if this is the address of your proxy, say `.behind(TrustedProxies::new([\"<its network>\"])?)`; if it is that \
                of a client, there is nothing to do",
        "proxy_untrusted"
    );
}

#[cfg_attr(not(feature = "redis"), allow(dead_code, reason = "all stores last"))]
pub(crate) fn store_volatile(store: &'static str, help: &'static str) {
    warn!(target: "tower_keep", store, help, "store_volatile");
}

pub(crate) fn peer_unknown() {
    warn!(
        target: "tower_keep",
        help = "axum: serve `app.into_make_service_with_connect_info::<SocketAddr>()` and say \
                `.peer_from::<ConnectInfo<SocketAddr>>()`; tonic: say \
                `.peer(|extensions| extensions.get::<TcpConnectInfo>()?.remote_addr())`; a Unix socket: \
                `TrustedProxies::dangerous_any_peer()`",
        "peer_unknown"
    );
}

pub(crate) fn throttle_off() {
    warn!(
        target: "tower_keep",
        help = "nobody who presents bad credentials is held back while the address of the client is unknown: put `RequireHttps` \
                outside of this layer, with `.peer_from::<ConnectInfo<SocketAddr>>()` under axum or \
                `.peer(|extensions| extensions.get::<TcpConnectInfo>()?.remote_addr())` under tonic",
        "throttle_off"
    );
}

#[cfg_attr(not(feature = "jwks"), allow(dead_code, reason = "nothing is fetched"))]
pub(super) fn keys_fetched(fetched: &KeysFetched<'_>) {
    let KeysFetched { from, keys, skipped, changed } = *fetched;
    match changed {
        true => info!(target: "tower_keep", from, keys, skipped, changed, "keys_fetched"),
        false => debug!(target: "tower_keep", from, keys, skipped, changed, "keys_fetched"),
    }
}

#[cfg_attr(not(feature = "jwks"), allow(dead_code, reason = "nothing is fetched"))]
pub(super) fn keys_not_fetched(from: &str, keys: usize, error: &(dyn Error + 'static)) {
    warn!(target: "tower_keep", from, keys, error = field::display(Chain(error)), "keys_not_fetched");
}

#[cfg_attr(not(feature = "file"), allow(dead_code, reason = "there are no files"))]
pub(super) fn key_file_read(path: &Path, keys: usize) {
    info!(target: "tower_keep", path = field::display(path.display()), keys, "key_file_read");
}

#[cfg_attr(not(feature = "file"), allow(dead_code, reason = "there are no files"))]
pub(super) fn key_file_refused(path: &Path, keys: usize, error: &(dyn Error + 'static)) {
    let (path, error) = (field::display(path.display()), field::display(Chain(error)));
    warn!(target: "tower_keep", path, keys, error, "key_file_refused");
}

#[cfg_attr(not(feature = "api-key"), allow(dead_code, reason = "there are no stores"))]
pub(super) fn key_changes_told() {
    info!(target: "tower_keep", "key_changes_told");
}

#[cfg_attr(not(feature = "api-key"), allow(dead_code, reason = "there are no stores"))]
pub(super) fn key_changes_not_told(error: &(dyn Error + 'static)) {
    warn!(target: "tower_keep", error = field::display(Chain(error)), "key_changes_not_told");
}

#[cfg_attr(not(feature = "api-key"), allow(dead_code, reason = "there are no stores"))]
pub(super) fn key_store_failed(log: &RefusalLog, error: &(dyn Error + 'static)) {
    let Some(suppressed) = log.admit(Cause::Unavailable) else { return };
    warn!(target: "tower_keep", suppressed, error = field::display(Chain(error)), "key_store_failed");
}

#[cfg_attr(not(feature = "introspection"), allow(dead_code, reason = "nobody is asked about tokens"))]
pub(super) fn introspected(from: &str, active: bool) {
    debug!(target: "tower_keep", from, active, "introspected");
}

#[cfg_attr(not(feature = "introspection"), allow(dead_code, reason = "nobody is asked about tokens"))]
pub(super) fn not_introspected(log: &RefusalLog, from: &str, error: &(dyn Error + 'static)) {
    let Some(suppressed) = log.admit(Cause::Unavailable) else { return };
    warn!(target: "tower_keep", from, suppressed, error = field::display(Chain(error)), "not_introspected");
}

const fn level(cause: Cause) -> Level {
    match cause {
        Cause::Missing => Level::DEBUG,
        Cause::Unavailable | Cause::Misconfigured => Level::ERROR,
        _ => Level::INFO,
    }
}

/// An error and all that is behind it.
struct Chain<'a>(&'a (dyn Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut error = self.0;
        write!(f, "{error}")?;
        while let Some(source) = error.source() {
            write!(f, ": {source}")?;
            error = source;
        }
        Ok(())
    }
}
