//! Kubernetes: the tokens of service accounts, and a set of keys behind an authority and a credential of the cluster's own.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::http::HeaderMap;
use axum::routing::get;
use axum_server::tls_rustls::RustlsConfig;
use serde::Deserialize;
use serde_json::{Value, json};
use tower_keep::{Algorithm, Cause, HttpClient, Jwt, RemoteKeys};

use super::{changed, lasting, outcome, verdict};
use crate::support::{START, TestClock};
use crate::tokens::mint::Signer;

/// How the examples make theirs.
#[path = "../../../examples/common/tls.rs"]
mod made;

type Result<T, E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;

const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";
const AUDIENCE: &str = "https://orders.shop.svc";
const SUBJECT: &str = "system:serviceaccount:shop:checkout";

/// A token that is projected into a pod, for an audience of its own.
fn claims() -> Value {
    lasting(json!({
        "aud": [AUDIENCE],
        "iss": ISSUER,
        "jti": "bed7e3a0-5d3d-4bcb-93d1-0a5a4e5b1f2e",
        "kubernetes.io": {
            "namespace": "shop",
            "node": { "name": "node-1", "uid": "646e7c5e-32d6-4d42-9dbd-e504e6cbe6b1" },
            "pod": { "name": "checkout-5bdd8f", "uid": "5a0aa1d3-5f4b-4a6c-8b57-0d0e4c1f0a6e" },
            "serviceaccount": { "name": "checkout", "uid": "14ee3fa4-a7e2-420f-9f9a-dbc4507c3798" },
        },
        "nbf": START,
        "sub": SUBJECT,
    }))
}

#[derive(Clone, Deserialize)]
struct Token {
    #[serde(rename = "kubernetes.io")]
    place: Place,
}

#[derive(Clone, Deserialize)]
struct Place {
    namespace: String,
}

/// A server with a certificate that nobody else vouches for, which hands out keys for a credential.
struct Cluster {
    folder: PathBuf,
    signer: Arc<Mutex<Signer>>,
    credentials: Arc<Mutex<Vec<String>>>,
    keys_at: String,
}

impl Cluster {
    async fn start(name: &str, credential: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("kubernetes-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let certificates = made::Certificates::new("kubernetes", Ipv4Addr::LOCALHOST.into()).unwrap();
        certificates.write_ca(&folder.join("ca.crt")).unwrap();
        fs::write(folder.join("token"), format!("{credential}\n")).unwrap();

        let signer = Arc::new(Mutex::new(Signer::new(Algorithm::RS256)));
        let (credentials, keys) = (Arc::new(Mutex::new(Vec::new())), Arc::clone(&signer));
        let (seen, good) = (Arc::clone(&credentials), format!("Bearer {credential}"));
        let app = Router::new().route(
            "/openid/v1/jwks",
            get(async move |headers: HeaderMap| {
                let given = headers.get("authorization").map(|it| it.to_str().unwrap().to_owned()).unwrap_or_default();
                seen.lock().unwrap().push(given.clone());
                let document = json!({ "keys": [keys.lock().unwrap().jwk()] }).to_string();
                match given == good {
                    true => Ok(document),
                    false => Err(axum::http::StatusCode::UNAUTHORIZED),
                }
            }),
        );
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let keys_at = format!("https://{}/openid/v1/jwks", listener.local_addr().unwrap());
        let tls = RustlsConfig::from_pem(certificates.server.into(), certificates.key.into()).await.unwrap();
        tokio::spawn(axum_server::from_tcp_rustls(listener, tls).unwrap().serve(app.into_make_service()));
        Self { folder, signer, credentials, keys_at }
    }

    fn tokens(&self, client: HttpClient) -> Jwt {
        let keys = RemoteKeys::new(&self.keys_at).client(client).bearer_file(self.folder.join("token"));
        let tokens = Jwt::with_remote_keys(keys).issuer(ISSUER).audience(AUDIENCE).accept_no_typ();
        tokens.claims::<Token>().clock(TestClock::new()).build().unwrap()
    }

    fn trusting(&self) -> HttpClient {
        let client = HttpClient::builder().root_certificates_file(self.folder.join("ca.crt")).unwrap();
        client.build().unwrap()
    }

    fn sign(&self, claims: &Value) -> String {
        self.signer.lock().unwrap().jws(json!({ "alg": "RS256", "kid": "k1" }).to_string(), claims.to_string())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

#[tokio::test]
async fn a_service_account_is_let_in_by_keys_behind_an_authority_of_the_cluster() {
    let cluster = Cluster::start("in", "first").await;
    let tokens = cluster.tokens(cluster.trusting());

    let principal = verdict(&tokens, &cluster.sign(&claims())).await.unwrap();

    assert_eq!((principal.subject(), principal.issuer()), (SUBJECT, Some(ISSUER)));
    assert_eq!(principal.details::<Token>().unwrap().place.namespace, "shop");
    assert_eq!(*cluster.credentials.lock().unwrap(), ["Bearer first"]);
    // The token that every pod has is for the cluster itself.
    let of_cluster = cluster.sign(&changed(claims(), json!({ "aud": [ISSUER] })));
    assert_eq!(outcome(&tokens, &of_cluster).await, "token_audience");
    // The ones of old have no end, and no audience.
    let of_old = json!({ "aud": null, "exp": null, "iss": "kubernetes/serviceaccount" });
    assert_eq!(outcome(&tokens, &cluster.sign(&changed(claims(), of_old))).await, "token_issuer");
}

#[tokio::test]
async fn the_credential_is_read_anew_each_time_since_it_is_written_anew() {
    let cluster = Cluster::start("anew", "second").await;
    let file = cluster.folder.join("token");
    fs::write(&file, "first").unwrap();
    let tokens = cluster.tokens(cluster.trusting());
    let token = cluster.sign(&claims());

    let before = verdict(&tokens, &token).await.unwrap_err();
    fs::write(&file, "second\n").unwrap();
    let reloaded = tokens.reload().await;
    let after = outcome(&tokens, &token).await;
    fs::remove_file(&file).unwrap();
    let without = tokens.reload().await.unwrap_err();

    assert_eq!((before.cause(), before.reason()), (Cause::Unavailable, "keys_unavailable"));
    assert!(reloaded.is_ok() && after == "ok", "{reloaded:?} {after}");
    assert!(without.to_string().contains("could not be asked"), "{without}");
    assert_eq!(outcome(&tokens, &token).await, "ok", "the keys that are there stay in use");
    // The first one may have been tried again by then.
    cluster.credentials.lock().unwrap().dedup();
    assert_eq!(*cluster.credentials.lock().unwrap(), ["Bearer first", "Bearer second"]);
}

#[tokio::test]
async fn a_client_that_does_not_know_the_authority_gets_no_keys_and_tells_no_credential() {
    let cluster = Cluster::start("unknown", "first").await;
    let other = made::Certificates::new("other", Ipv4Addr::LOCALHOST.into()).unwrap();
    let client = HttpClient::builder().root_certificates(other.ca).build().unwrap();
    let tokens = cluster.tokens(client);

    let rejection = verdict(&tokens, &cluster.sign(&claims())).await.unwrap_err();

    assert_eq!(rejection.cause(), Cause::Unavailable);
    assert_eq!(*cluster.credentials.lock().unwrap(), Vec::<String>::new());
}
