//! Good tokens are let in, whatever their algorithm and wherever the key comes from.

use http::StatusCode;
use tower_keep::{BearerLayer, Principal};

use super::mint::{ALGORITHMS, ISSUER, Signer, claims};
use crate::support::{get, send, status, with};

#[tokio::test]
async fn a_token_of_every_algorithm_is_let_in_and_read() {
    for algorithm in ALGORITHMS {
        let signer = Signer::new(algorithm);
        let layer = BearerLayer::new(signer.verifier().build().unwrap());
        let request = with(get("/"), "authorization", &format!("Bearer {}", signer.token(&claims())));

        let (response, heads) = send(layer, request).await;

        assert_eq!(response.status(), StatusCode::OK, "{algorithm}");
        let principal = heads[0].extensions.get::<Principal>().unwrap();
        assert_eq!(principal.subject(), "alice");
        assert_eq!(principal.issuer(), Some(ISSUER));
        assert_eq!(principal.scheme(), "bearer");
        assert_eq!(principal.credential_id(), Some("t1"));
        assert_eq!(principal.scopes().to_string(), "orders:read");
        assert!(heads[0].headers.get("authorization").is_none());
    }
}

#[tokio::test]
async fn a_token_of_another_key_is_refused() {
    for algorithm in ALGORITHMS {
        let (signer, other) = match Signer::new(algorithm) {
            signer @ Signer::Rsa { .. } => (signer, Signer::other_rsa(algorithm)),
            signer => (signer, Signer::new(algorithm)),
        };
        let layer = BearerLayer::new(signer.verifier().build().unwrap());

        let request = with(get("/"), "authorization", &format!("Bearer {}", other.token(&claims())));

        assert_eq!(status(layer, request).await, StatusCode::UNAUTHORIZED, "{algorithm}");
    }
}
